"""The crowd-* elements (``static/crowd-elements``) as one script, to be sent in place of Ground Truth's remote one."""

import re
from functools import cache
from pathlib import Path

#: The folder of the elements' files; a plain static file server may send it as it is, too.
FOLDER = Path(__file__).resolve().parent / "static" / "crowd-elements"
ENTRY = FOLDER / "crowd-html-elements.js"


def files() -> list[Path]:
    """Return the elements' files in the order in which they have to run, as the entry script lists them."""
    listed = re.search(r"const FILES = \[(.*?)\]", ENTRY.read_text(encoding="utf-8"), re.DOTALL)
    assert listed is not None, f"{ENTRY} lists no files"
    return [FOLDER / name for name in re.findall(r'"([^"]+)"', listed[1])]


@cache
def bundle() -> str:
    """Return all elements as one classic script: what to send for ``crowd-html-elements.js`` in a single response.

    It behaves like the entry script, which loads the same files one by one, and like it does nothing the second time.
    """
    parts = [f"// {path.relative_to(FOLDER)}\n{path.read_text(encoding='utf-8')}" for path in files()]
    return "if (!window.crowdElements) {\n" + "\n".join(parts) + "}\n"


@cache
def elements() -> frozenset[str]:
    """Return the names of the elements that there are: ``crowd-form``, ``crowd-input`` and so on."""
    return frozenset(re.findall(r'crowd\.define\("([a-z-]+)"', bundle()))
