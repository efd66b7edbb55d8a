"""Worker templates: rendered as Ground Truth renders them, described by their header, checked before they cost money.

A template is one HTML file in Liquid. gandt's own lie in ``templates/``; each begins with a header, an HTML comment
``<!--gandt ... -->`` of TOML that declares its title, its inputs (keys of ``task.input``) and its outputs (names in
the submitted answer).
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import liquid
from liquid.exceptions import LiquidError, LiquidSyntaxError, TemplateNotFoundError
from markupsafe import Markup

from gandt import resources, storage
from gandt.errors import ContractError, InputError

SUFFIX = ".liquid.html"

# where render leaves the caller's grant for the filter: no variable of a template can have this name
_GRANT = "\0grant"
_HEADER = re.compile(r"<!--gandt\b(.*?)-->", re.DOTALL)


@dataclass(frozen=True)
class Input:
    """A key of ``task.input`` that a template reads: its type (text, list, …), what it is, whether it may be absent."""

    name: str
    type: str
    about: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Output:
    """A name in the submitted answer; ``<index>`` in it stands for an item's index, ``type`` says how to read it."""

    name: str
    type: str
    about: str = ""

    def match(self, name: str) -> str | None:
        """Return the index that ``name`` carries (``""`` for an output without one), or None where it is another's."""
        pattern = re.escape(self.name).replace("<index>", r"(\d+)")
        found = re.fullmatch(pattern, name)
        return (found.group(1) if found.groups() else "") if found else None


@dataclass(frozen=True)
class Header:
    """What a template says about itself."""

    title: str = ""
    about: str = ""
    inputs: tuple[Input, ...] = field(default=())
    outputs: tuple[Output, ...] = field(default=())


class _Environment(liquid.Environment):
    # a template is somebody's file: no page needs more than this, and a loop over a loop ends
    loop_iteration_limit = 1_000_000
    output_stream_limit = 20_000_000
    local_namespace_limit = 20_000_000


def names() -> list[str]:
    """Return the names of gandt's own templates, sorted."""
    return sorted(path.name.removesuffix(SUFFIX) for path in resources.folder("templates").glob(f"*{SUFFIX}"))


def read(template: str, *, s3: Any = None) -> str:
    """Return the text of a template: one of gandt's by name, else a file at a local path or ``s3://`` address.

    Raises
    ------
    InputError
        When it is neither a name of gandt's nor a place with a file.
    """
    if template in names():
        return (resources.folder("templates") / f"{template}{SUFFIX}").read_text(encoding="utf-8")
    if "/" not in template and "." not in template:
        raise InputError(f"gandt has no template {template!r}; it has {', '.join(names())}; a file needs its path")
    return storage.read_text(template, s3=s3)


def header(template: str) -> Header | None:
    """Return the header of the template text, or None where it has none.

    Raises
    ------
    ContractError
        When there is a header that isn't TOML, or not of the form that docs/templates.md describes.
    """
    found = _HEADER.search(template)
    if not found:
        return None
    try:
        told = tomllib.loads(found.group(1))
        return Header(
            title=told.get("title", ""),
            about=told.get("about", ""),
            inputs=tuple(Input(name, **fields) for name, fields in told.get("inputs", {}).items()),
            outputs=tuple(Output(name, **fields) for name, fields in told.get("outputs", {}).items()),
        )
    except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise ContractError(
            f"the template's header (<!--gandt …-->) can't be read: {error}; see docs/templates.md"
        ) from error


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
        parsed = environment().from_string(template)
        return parsed.render({"task": {"input": dict(task_input)}, _GRANT: grant})
    except (LiquidError, RecursionError, ValueError) as error:
        raise ContractError(f"the template can't be rendered: {_sentence(error)}") from error


@lru_cache(maxsize=1)
def environment() -> liquid.Environment:
    """Return the Liquid environment with Ground Truth's filters; thread-safe, made once."""
    made = _Environment(autoescape=True)
    made.add_filter("to_json", _to_json)
    made.add_filter("skip_autoescape", _skip_autoescape)
    made.add_filter("grant_read_access", _Grant())
    return made


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


def _sentence(error: BaseException) -> str:
    """Return what Liquid says as half a sentence, with the line and the words it is about."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, TemplateNotFoundError):
        return f"it includes {str(error)!r}, and Ground Truth has no other files: write that part out in the template"
    message = " ".join(str(getattr(error, "message", "") or error).split()).rstrip(".")
    token = getattr(error, "token", None)
    start = getattr(token, "start_index", None)
    source = getattr(token, "source", None)
    if start is None or not source or start < 0:
        return message
    line = source.count("\n", 0, start) + 1
    near = " ".join(source[start : start + 60].split("\n")[0].split())
    kind = "" if not isinstance(error, LiquidSyntaxError) else "syntax error: "
    return f"line {line}: {kind}{message}, near {near!r}"
