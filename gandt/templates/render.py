"""Ground Truth's dialect of Liquid."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import liquid
from liquid.exceptions import LiquidError, LiquidSyntaxError, TemplateNotFoundError
from markupsafe import Markup

from gandt import storage
from gandt.arguments import checked
from gandt.errors import ContractError
from gandt.templates.scan import UnfinishedError, pieces

# where render leaves the caller's grant for the filter: no variable of a template can have this name
_GRANT = "\0grant"


# what the library raises over a broken template: its own errors, and what its filters let through
BROKEN = (LiquidError, RecursionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _Environment(liquid.Environment):
    # a template is somebody's file: no page needs more than this, and a loop over a loop ends
    loop_iteration_limit = 1_000_000
    output_stream_limit = 20_000_000
    local_namespace_limit = 20_000_000


@checked
def render(template: str, task_input: Mapping[str, Any], *, grant: Callable[[str], str] | None = None) -> str:
    """Render a worker template with Ground Truth's dialect of Liquid.

    Output is HTML-escaped; ``skip_autoescape`` leaves it raw, ``to_json`` gives JSON that is safe in a script and in
    a single-quoted attribute, ``grant_read_access`` turns an S3 address into one that a browser can open. A variable
    that the task input lacks is empty, as in the service.

    Parameters
    ----------
    template : str
        The template's text.
    task_input : Mapping
        What the pre-annotation Lambda returned as ``taskInput``; the template's ``task.input``.
    grant : callable, optional
        Maps an ``s3://`` address to a URL that the worker's browser may open; by default it stays as it is. Addresses
        of other kinds (``https:``, ``data:``) are never passed to it.

    Returns
    -------
    str
        The page.

    Raises
    ------
    ContractError
        When the template isn't valid Liquid, uses an unknown filter, gives ``grant_read_access`` anything but an
        address, or loops without end; the sentence names the line.
    """
    try:
        return parsed(template).render({"task": {"input": dict(task_input)}, _GRANT: grant})
    except BROKEN as error:
        raise ContractError(f"the template can't be rendered: {sentence(error)}") from error


@lru_cache(maxsize=1)
def environment() -> liquid.Environment:
    """Return the Liquid environment with Ground Truth's filters; thread-safe, made once."""
    made = _Environment(autoescape=True)
    made.add_filter("to_json", _to_json)
    made.add_filter("skip_autoescape", _skip_autoescape)
    made.add_filter("grant_read_access", _Grant())
    return made


@lru_cache(maxsize=16)
def parsed(template: str) -> liquid.BoundTemplate:
    """Parse once for all the pages of a job."""
    for _ in pieces(template):
        pass  # raises over what the library would take too long for
    return environment().from_string(template)


def _to_json(value: Any) -> Markup:
    """Serialise as JSON in which nothing ends a script or a single-quoted attribute."""
    if liquid.is_undefined(value):
        value = None
    text = json.dumps(value, ensure_ascii=False, default=str)
    for character in "<>&'\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _skip_autoescape(value: Any) -> Markup:
    return Markup("" if liquid.is_undefined(value) or value is None else value)


class _Grant:
    """The filter ``grant_read_access``; the caller's ``grant`` travels in the render's own variables."""

    with_context = True

    def __call__(self, value: Any, *, context: liquid.RenderContext) -> str:
        if not isinstance(value, str) or not value:
            absent = liquid.is_undefined(value) or not value
            what = "nothing (the task input lacks it)" if absent else f"a {type(value).__name__}"
            raise liquid.exceptions.FilterArgumentError(
                f"grant_read_access was given {what}, and needs the address of a file", token=None
            )
        grant: Any = context.globals.get(_GRANT)
        return grant(value) if grant is not None and storage.is_s3(value) else value


def sentence(error: BaseException) -> str:
    """Return what Liquid says as half a sentence, with the line and the words it is about."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, TemplateNotFoundError):
        return f"it includes {str(error)!r}, and Ground Truth has no other files: write that part out in the template"
    if not isinstance(error, (LiquidError, UnfinishedError)):
        return f"a filter was given what it can't work with ({type(error).__name__})"
    message = " ".join(str(getattr(error, "message", "") or error).split()).rstrip(".")
    source, start = _place(error)
    if not source:
        return message
    near = " ".join(source[start : start + 60].split("\n")[0].split())
    kind = "syntax error: " if isinstance(error, (LiquidSyntaxError, UnfinishedError)) else ""
    return f"line {whereabouts(error)}: {kind}{message}, near {near!r}"


def whereabouts(error: BaseException) -> int:
    """Return the template's line (from 1) that an error of `BROKEN` is about, 0 where it doesn't tell."""
    source, start = _place(error)
    return source.count("\n", 0, start) + 1 if source else 0


def _place(error: BaseException) -> tuple[str, int]:
    if isinstance(error, UnfinishedError):
        return error.source, error.start
    token = getattr(error, "token", None)
    source, start = getattr(token, "source", None), getattr(token, "start_index", None)
    return (source, start) if isinstance(source, str) and isinstance(start, int) and start >= 0 else ("", 0)
