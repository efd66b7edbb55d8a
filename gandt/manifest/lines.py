"""A manifest's lines, read as a stream: from a local path or S3, in little memory, whatever they hold."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gandt import storage
from gandt.arguments import checked
from gandt.errors import InputError

_CHUNK = 1 << 20
LONGEST = 4 << 20  # bytes of a line that are kept; Ground Truth's limit is far below

# The user's own names of a line's items, a list with one for each, where the line shows them under other addresses.
# It stands on the line and not in a page's entries, so that it never is a part of what workers are shown.
NAMES = "gandt-items"


@dataclass(frozen=True)
class RawLine:
    """One line as it stands in the file: ``number`` from 1, ``content`` without its line end, ``cut`` if too long."""

    number: int
    content: bytes
    cut: bool = False


def raw_lines(uri: str, *, s3: Any = None) -> Iterator[RawLine]:
    r"""Yield the lines of the file at ``uri``, ended by ``\n`` or ``\r\n``; of a huge line only its beginning.

    Raises
    ------
    StorageError
        When it can't be read.
    """
    number, rest, cut = 0, b"", False
    for chunk in _chunks(uri, s3):
        *whole, rest = (rest + chunk).split(b"\n")
        for content in whole:
            number += 1
            yield RawLine(number, content[:LONGEST].removesuffix(b"\r"), cut or len(content) > LONGEST)
            cut = False
        if len(rest) > LONGEST:
            rest, cut = rest[:LONGEST], True
    if rest:
        yield RawLine(number + 1, rest.removesuffix(b"\r"), cut)


def _chunks(uri: str, s3: Any) -> Iterator[bytes]:
    with storage.explained("read", uri):
        if storage.is_s3(uri):
            with storage.stream(uri, s3=s3) as content:
                while chunk := content.read(_CHUNK):
                    yield chunk
        else:
            with Path(uri).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk


@checked
def read_lines(uri: str, *, s3: Any = None) -> Iterator[dict[str, Any]]:
    """Yield a manifest's data objects; empty lines are passed over.

    Raises
    ------
    InputError
        At a line that isn't a JSON object, with its number.
    StorageError
        When the file can't be read.
    """
    for raw in raw_lines(uri, s3=s3):
        if not raw.content.strip():
            continue
        try:
            line = loads(raw.content.decode("utf-8-sig" if raw.number == 1 else "utf-8"))
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            raise InputError(f"{uri}, line {raw.number} isn't a JSON object; gandt manifest check lists all such lines")
        yield line


def loads(text: str) -> Any:
    """Parse JSON from elsewhere; lone surrogates, which no file can hold, become question marks.

    Raises
    ------
    ValueError, RecursionError
        When it isn't JSON, or is nested too deeply.
    """
    value = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode())
    return value


def page_entries(line: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of a page (a JSON list of objects in ``source``), or [] for a line of one item."""
    source = line.get("source")
    if not isinstance(source, str) or not source.lstrip().startswith("["):
        return []
    try:
        page = loads(source)
    except (ValueError, RecursionError):
        return []
    return page if isinstance(page, list) and page and all(isinstance(entry, dict) for entry in page) else []


def line_shown(line: dict[str, Any]) -> list[str]:
    """Return what a line shows: the address or text of its item, or of each item of its page."""
    found = [_shown(entry) for entry in page_entries(line) or [line]]
    return [shown for shown in found if shown is not None]


def line_items(line: dict[str, Any]) -> list[str]:
    """Return the names of a line's items: those that it brings (:data:`NAMES`), else what it shows."""
    return line_names(line) or line_shown(line)


def line_names(line: dict[str, Any]) -> list[str]:
    """Return the names that a line brings for its items, in their order; [] where it brings none, or not one each."""
    names = line.get(NAMES)
    count = len(page_entries(line)) or 1
    if not isinstance(names, list) or len(names) != count:
        return []
    return names if all(isinstance(name, str) and name for name in names) else []


def named(line: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the line with its items' names, one for each entry; without them where it shows nothing else."""
    plain = {key: value for key, value in line.items() if key != NAMES}
    return plain if list(names) == line_shown(plain) else {**plain, NAMES: list(names)}


def addresses(lines: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return what lines show for each of their items, by the item's name; the first counts."""
    found: dict[str, str] = {}
    for line in lines:
        names = line_names(line)
        for place, entry in enumerate(page_entries(line) or [line]):
            shown = _shown(entry)
            if shown is not None:
                found.setdefault(names[place] if names else shown, shown)
    return found


def _shown(entry: dict[str, Any]) -> str | None:
    for key in ("source-ref", "source"):
        if isinstance(entry.get(key), str) and entry[key]:
            return str(entry[key])
    return None
