"""Copy the style and script that all templates share into each of them: ``python templates/shared/sync.py``.

A Ground Truth template is one file without remote parts, so the shared parts are written out in every template,
between ``shared/NAME`` and ``end of shared`` in comments. Edit them here; a test fails while a copy differs.
"""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
BLOCK = re.compile(
    r"(?P<start>(?:/\*|<!--) shared/(?P<name>[\w.]+) (?:\*/|-->)\n).*?(?P<end>[ ]*(?:/\*|<!--) end of shared)",
    re.DOTALL,
)


def synced(text: str) -> str:
    """Return the template ``text`` with its shared parts as they are in this folder."""
    return BLOCK.sub(lambda block: block["start"] + (HERE / block["name"]).read_text() + block["end"], text)


if __name__ == "__main__":
    for path in sorted(HERE.parent.glob("*.liquid.html")):
        path.write_text(synced(path.read_text()))
