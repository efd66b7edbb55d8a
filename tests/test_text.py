"""How others' text is shown: every character seen, what languages need kept, the same in Python and on pages."""

import logging
import re
from io import StringIO

import pytest
from hostile import HOSTILE, invisible, texts, unsafe
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from gandt.text import LogFormatter, escaped, html, isolated, on_screen, script, sentence, shortened, shown, visible

KEPT = (
    "plain", "na\u00efve Stra\u00dfe", "e\u0301\u0323", "\u732b \u72ac",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u05d1\u05b0\u05bc\u05e8\u05b5\u05d0\u05e9\u05b4\u05c1\u05d9\u05ea", "\u0645\u0631\u062d\u0628\u0627",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, by a non-joiner
    "\u0915\u094d\u200d\u0937", "\u0d28\u0d4d\u200d",  # Devanagari; a Malayalam letter that ends in a joiner
    "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f469\U0001f3fd\u200d\U0001f680", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\u845b\U000e0100", "\u2139\ufe0f", "\u1820\u180b",
)  # fmt: skip
SHOWN = {
    "\x1b[31m": "␛[31m",
    "a\x00b": "a␀b",
    "\x7f": "␡",
    "a\r\nb\tc": "a␍␊b␉c",
    "\x9b": "⟨U+009B⟩",
    "\u2028": "⟨U+2028⟩",
    "\u202egnp.exe": "⟨U+202E⟩gnp.exe",
    "\u2066\u2069": "⟨U+2066⟩⟨U+2069⟩",
    "\u200f\u061c": "⟨U+200F⟩⟨U+061C⟩",
    "ca\u200dt": "ca⟨U+200D⟩t",
    "\u200d": "⟨U+200D⟩",
    "no\u200bspace\ufeff": "no⟨U+200B⟩space⟨U+FEFF⟩",
    "x\ufe0f": "x⟨U+FE0F⟩",
    "cat\U000e0041": "cat⟨U+E0041⟩",
    "\U0001f3f4\U000e0067": "\U0001f3f4⟨U+E0067⟩",
    "\udcff.png": "⟨U+DCFF⟩.png",
    "\u3164": "⟨U+3164⟩",
    "o" + "\u0301" * 50: "o" + "\u0301" * 8 + "⟨+42 marks⟩",
}


@pytest.mark.parametrize("text", KEPT)
def test_what_languages_and_emoji_need_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("text", SHOWN)
def test_what_cant_be_seen_or_acts_is_shown(text: str) -> None:
    assert visible(text) == SHOWN[text]


@given(st.text() | texts())
def test_any_text_is_seen_in_one_line(text: str) -> None:
    seen = visible(text)
    assert not invisible(seen)
    assert not unsafe(seen)
    seen.encode()
    assert len(seen) >= len(text) or "marks⟩" in seen, "nothing is left out"
    several = visible(text, lines=True)
    assert not invisible(re.sub(r"[\n\t]", "", several))
    assert several.count("\n") == text.count("\n")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_itself(text: str) -> None:
    assert visible(text) == isolated(text) == text


@given(texts() | st.text(st.sampled_from("ab 1,\u05d0\u05d1\u0627\u0628\u0661-'")))
def test_isolates_are_balanced_around_what_runs_from_right_to_left(text: str) -> None:
    seen = visible(text)
    out = isolated(seen)
    assert out.replace("\u2068", "").replace("\u2069", "") == seen
    assert not unsafe(out)
    outside = re.sub("\u2068[^\u2068\u2069]*\u2069", "", out)
    assert not re.search(r"[\u05d0-\u05ea\u0620-\u064a\u0660-\u0669]", outside)


def test_a_phrase_is_one_isolate_and_two_of_them_are_two() -> None:
    phrase = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
    assert isolated(f"a {phrase}: 3, {phrase}") == f"a \u2068{phrase}\u2069: 3, \u2068{phrase}\u2069"


@given(texts())
def test_html_ends_no_element_and_no_attribute(text: str) -> None:
    for made in (html(text).removeprefix("<bdi>").removesuffix("</bdi>"), escaped(text), sentence(text)):
        assert not re.search("[<>\"']", made)
        assert not unsafe(made)


def test_a_templates_content_is_shown_but_for_markup() -> None:
    content = {"a": ["\x1b", {"b": ("\u202e", 3, None)}], "page": Markup("<p>\u200b</p>")}
    assert shown(content) == {"a": ["␛", {"b": ["⟨U+202E⟩", 3, None]}], "page": "<p>\u200b</p>"}


def test_long_text_is_shortened_and_says_so() -> None:
    assert shortened("x" * 1100) == "x" * 1100
    assert shortened("x" * 1101) == "x" * 1100 + "… (1,101 characters)"


def test_only_a_terminal_gets_isolates() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    assert on_screen("\u05d0\x1b", StringIO()) == "\u05d0␛"
    assert on_screen("\u05d0\x1b", Terminal()) == "\u2068\u05d0\u2069␛"


@pytest.mark.parametrize("text", HOSTILE)
def test_nobody_writes_a_log_record(text: str) -> None:
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter())
    log = logging.Logger("service")
    log.addHandler(handler)
    log.warning("labeling job %s: over", text)
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("labeling job failed")
    lines = stream.getvalue().removesuffix("\n").split("\n")
    assert not unsafe(stream.getvalue())
    assert [line.split(":")[0] for line in lines if not line.startswith("    ")] == ["WARNING", "ERROR"]


def test_pages_have_the_same_rule(browser) -> None:
    page = browser.new_page()
    page.set_content("<p></p>")
    page.add_script_tag(content=script())

    @settings(max_examples=25, deadline=None)
    @given(st.lists(texts() | st.text() | st.sampled_from([*KEPT, *SHOWN, *HOSTILE]), min_size=20, max_size=60))
    def same(some: list[str]) -> None:
        units = [list(memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H")) for text in some]
        asked = "([some, lines]) => some.map((units) => visible(String.fromCharCode(...units), lines))"
        # in JavaScript two halves make one character
        joined = [text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") for text in some]
        for lines in (False, True):
            assert page.evaluate(asked, [units, lines]) == [visible(text, lines=lines) for text in joined]

    same()
    page.close()
