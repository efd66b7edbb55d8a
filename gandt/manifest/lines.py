"""A manifest's lines, read as a stream: from a local path or S3, in little memory, whatever they hold."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gandt import storage
from gandt.arguments import checked
from gandt.errors import InputError

_CHUNK = 1 << 20
LONGEST = 4 << 20  # bytes of a line that are kept; Ground Truth's limit is far below


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


def line_items(line: dict[str, Any]) -> list[str]:
    """Return what a line shows: the address or text of its item, or of each item of its page."""
    found = [_item(entry) for entry in page_entries(line) or [line]]
    return [item for item in found if item is not None]


def _item(entry: dict[str, Any]) -> str | None:
    for key in ("source-ref", "source"):
        if isinstance(entry.get(key), str) and entry[key]:
            return str(entry[key])
    return None
