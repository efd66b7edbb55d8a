"""Texts that somebody means ill with, and what no screen or page may hold of them."""

import re
import unicodedata
from html.parser import HTMLParser

from hypothesis import strategies as st

HOSTILE = (
    "<script>window.ran=1</script>",
    "</script><script>window.ran=1</script>",
    "</title></style></textarea></svg><img src=x onerror=window.ran=1>",
    '"><img src=x onerror=window.ran=1>',
    "' onmouseover='window.ran=1' x='",
    '" autofocus onfocus="window.ran=1',
    "javascript:window.ran=1",
    "{{ 1 | plus: 41 }}{% assign ran = 1 %}{% raw %}",
    "<!-- ]]> <svg onload=window.ran=1>",
    "&lt;script&gt;&#x202e;&rlm;",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b]8;;http://evil\x1b\\",
    "a\x00b\x08\x08c\x7f",
    "\x9b31mC1\x9d0;t\x9c",
    "one\r\nWARNING: all is well\rgandt: done\x85\u2028\u2029end",
    "\u202egnp.exe",
    "\u2069\u2069\u202c\u2067right",
    "\u200f\u061c\u200e",
    "\u05e9\u05dc\u05d5\u05dd",
    "zero\u200bwid\u200dth\ufeff\u00ad",
    "tag\U000e0041\U000e0042",
    "e" + "\u0301" * 400,
    '=HYPERLINK("http://evil")',
    "[red]rich[/red] [link=http://evil]here[/link] [/]",
    "$\\frac$ $x_{$",
    "x" * 5000,
)
_CONTROLS = r"\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_DIRECTIONS = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SHOWS = re.compile(rf"[{_CONTROLS}{_DIRECTIONS}\u200b\u2060-\u2065\u206a-\u206f\ufeff]")


def texts(**options: int) -> st.SearchStrategy[str]:
    """Any text, rich in what these are made of, without lone surrogates."""
    bad = st.sampled_from(sorted({each for text in HOSTILE for each in text}))
    return st.text(bad | st.characters(exclude_categories=("Cs",)), **options)


def unsafe(output: str) -> list[str]:
    """Return what a screen or page must not hold: controls but line ends, and direction marks outside isolates."""
    for line in output.split("\n"):
        depth = 0
        for each in line:
            depth += (each == "\u2068") - (each == "\u2069")
            assert depth in (0, 1), f"an isolate isn't closed, or closes another: {line!a}"
        assert depth == 0, f"an isolate isn't closed: {line!a}"
    return _SHOWS.findall(re.sub("[\u2068\u2069]", "", output))


def invisible(text: str) -> list[str]:
    """Return the characters of these categories, by whatever Unicode version Python has."""
    return [each for each in text if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp")]


class Page(HTMLParser):
    """A page's elements with the names of their attributes, and all its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: set[tuple[str, tuple[str, ...]]] = set()
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add((tag, tuple(sorted(name for name, _ in attrs))))
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.texts += [value for name, value in attrs if value and name != "srcdoc"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def checked(html: str, plain: str) -> Page:
    """Parse a page made with hostile text and see that it is built as the one made with plain text."""
    page = Page(html)
    assert page.elements <= Page(plain).elements, page.elements - Page(plain).elements
    assert not [link for link in page.links if link.strip().lower().startswith("javascript")]
    assert unsafe("".join(page.texts).replace("\n", "")) == []
    return page
