"""A template's Liquid, told from its HTML in one pass, whatever it holds.

The Liquid library's own scanner takes minutes over a few thousand braces that are never closed; what this one refuses
never reaches it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_OPEN = re.compile(r"\{[{%]")
_BLOCK = re.compile(r"\{%-?\s{0,20}(comment|raw|doc)\s{0,20}-?%\}")
_END = {
    name: re.compile(r"\{%-?\s{0,20}end" + name + r"\s{0,20}-?%\}") for name in ("comment", "raw", "doc")
}  # fmt: skip


class UnfinishedError(ValueError):
    """Liquid that is opened and never closed, or has nothing in it; at character ``start`` of ``source``."""

    def __init__(self, message: str, source: str, start: int) -> None:
        super().__init__(message)
        self.source, self.start = source, start


@dataclass(frozen=True)
class Piece:
    """A piece of Liquid: its kind (``output``, ``tag``, or ``block`` for a comment or raw text) and its place."""

    kind: str
    start: int
    end: int


def pieces(template: str) -> Iterator[Piece]:
    """Yield the Liquid in a template, in order.

    Raises
    ------
    UnfinishedError
        At the first piece that isn't closed, or an output with nothing in it.
    """
    at = 0
    while found := _OPEN.search(template, at):
        start = found.start()
        block = _BLOCK.match(template, start)
        if block:
            end = _END[block[1]].search(template, block.end())
            if not end:
                raise UnfinishedError(f"{{% {block[1]} %}} has no {{% end{block[1]} %}}", template, start)
            at = end.end()
            yield Piece("block", start, at)
            continue
        close = "}}" if found[0] == "{{" else "%}"
        stop = template.find(close, start + 2)
        if stop < 0:
            raise UnfinishedError(f"expected {close!r}, found end of file", template, start)
        at = stop + 2
        if close == "}}" and not template[start + 2 : stop].strip(" \t\r\n-"):
            raise UnfinishedError("an output has nothing in it", template, start)
        yield Piece("output" if close == "}}" else "tag", start, at)
