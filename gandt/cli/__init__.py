"""The command line: every command is a thin wrapper over one function, and no logic lives here.

Results go to stdout (a table for people, or one JSON value with ``--json``), progress and messages to stderr; text
that others wrote is made visible on the way (:mod:`gandt.text`).
Exit code 0 only for success, 1 for a failure explained in one sentence, 2 for wrong use, 130 after Ctrl-C.
"""

import io
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gandt import __version__
from gandt.errors import GandtError, GandtWarning, InputError
from gandt.text import LogFormatter, isolated, on_screen, shortened, visible

#: what ``gandt --help`` shows, in the order in which the data flow
STAGES = {
    "All of it": ("demo", "run", "folders"),
    "Images to vectors": ("embed", "merge", "vectors", "processing"),
    "Vectors to candidates": ("filter", "recall", "duplicates", "select", "cluster"),
    "Questions": ("manifest", "template", "plan"),
    "Labeling jobs": ("serve", "owner", "job", "import", "deploy", "doctor"),
    "Answers to labels": ("answers", "consensus", "workers", "carry", "generalize", "export", "report"),
}

_STAGE_OF = {name: stage for stage, names in STAGES.items() for name in names}


class _ByStage(TyperGroup):
    """Lists the commands as :data:`STAGES` does."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=list(_STAGE_OF).index)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what is wrong with its use quotes arguments, which may be names of files."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if isinstance(getattr(error, "message", None), str):
                error.message = visible(error.message)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    name="gandt",
    cls=_ByStage,
    help="Confident labels for big pools of images, for as few human judgements as possible.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of tables.")]


def group(name: str, text: str, cls: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """Return a new group of commands, ``gandt NAME ...``, attached to the app."""
    commands = typer.Typer(cls=cls, help=text, no_args_is_help=True, add_completion=False)
    app.add_typer(commands, name=name, rich_help_panel=_STAGE_OF[name])
    return commands


def apart(outs: Iterable[str | None], inputs: Iterable[str | None]) -> None:
    """Refuse to write two results to one place, or over what is read.

    Raises
    ------
    InputError
        Naming the place.
    """
    taken = {_place(uri): "is read by this command, which would replace it" for uri in inputs if uri}
    for out in filter(None, outs):
        if _place(out) in taken:
            raise InputError(f"{out} {taken[_place(out)]}; choose another place to write to")
        taken[_place(out)] = "is named twice as a place to write to"


def _place(uri: str) -> str:
    return uri if uri.startswith("s3://") else os.path.realpath(uri)


def show_json(value: Any) -> None:
    """Print ``value`` as one line of JSON on stdout; NaN becomes null, numpy numbers become plain ones.

    It is printable ASCII, so that any terminal may show it, and any reader has the very text again.
    """
    print(json.dumps(_plain(value)).replace("\x7f", "\\u007f"))


def show_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print ``rows`` (all with the same keys) as a table on stdout; numbers are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False)
    columns = list(rows[0]) if rows else []
    for name in columns:
        numeric = all(isinstance(row[name], (int, float)) or row[name] is None for row in rows)
        table.add_column(Text(visible(name)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in columns))
    # a pipe has no width of its own: give tables room there instead of folding them at 80 columns
    console = Console(width=None if sys.stdout.isatty() else 160)
    with console.capture() as capture:
        console.print(Text(visible(title), style="bold"))
        console.print(table)
        console.print()
    sys.stdout.write(isolated(capture.get()) if sys.stdout.isatty() else capture.get())


def note(message: str) -> None:
    """Print a message for people on stderr, in one line whatever it quotes."""
    print(on_screen(message, sys.stderr), file=sys.stderr)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else visible(shortened(str(value)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if hasattr(value, "isoformat"):
        return value.isoformat() if value == value else None  # pandas' NaT has an isoformat too
    if isinstance(value, float) and value != value:
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


@contextmanager
def _told() -> Iterator[None]:
    """Print each of gandt's own warnings once on stderr, as a sentence."""
    seen: set[str] = set()
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, GandtWarning):
                others(message, category, *rest, **more)
            elif str(message) not in seen:
                seen.add(str(message))
                note(f"gandt: {message}")

        warnings.showwarning = show
        warnings.simplefilter("always", GandtWarning)
        yield


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    profile: Annotated[str | None, typer.Option(help="AWS profile, instead of AWS_PROFILE.")] = None,
    region: Annotated[str | None, typer.Option(help="AWS region, instead of AWS_REGION.")] = None,
    s3_endpoint: Annotated[
        str | None, typer.Option(help="Another S3 than AWS's, instead of AWS_ENDPOINT_URL_S3.")
    ] = None,
    requester_pays: Annotated[
        bool, typer.Option("--requester-pays", help="Pay for requests to S3 buckets that ask for it.")
    ] = False,
    kms_key: Annotated[
        str | None, typer.Option(help="KMS key for all that is written to S3, not each bucket's default.")
    ] = None,
) -> None:
    """Confident labels for big pools of images, for as few human judgements as possible.

    The options are for every command that reaches AWS, and stand before it: gandt --profile work embed s3://...
    """
    from gandt import storage

    ctx.with_resource(_told())
    storage.use(storage.Access(profile, region, s3_endpoint, requester_pays, kms_key))


def main() -> None:
    """Run the command line; the entry point of the console script."""
    from gandt.cli import (  # noqa: F401  (registered)
        answers,
        aws,
        cluster,
        consensus,
        demo,
        deploy,
        embedding,
        folders,
        job,
        manifest,
        past,
        processing,
        rounds,
        select,
        serve,
        template,
    )

    log = logging.StreamHandler()
    log.setFormatter(LogFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[log])
    if isinstance(sys.stdout, io.TextIOWrapper):  # what an old terminal's encoding lacks is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    for command in app.registered_commands:
        command.rich_help_panel = _STAGE_OF[str(command.name or getattr(command.callback, "__name__", ""))]
    try:
        app()
    except GandtError as error:
        note(f"gandt: {error}")
        sys.exit(1)
    except SystemExit as done:
        if done.code == 130:  # Ctrl-C
            note("gandt: interrupted; nothing is half-written, and the same command goes on from what is finished")
        raise
    except BrokenPipeError:  # `gandt ... | head` closed stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception:  # a mistake in gandt; its traceback quotes what gandt worked on
        print(on_screen(traceback.format_exc(), sys.stderr, lines=True), end="", file=sys.stderr)
        sys.exit(1)
