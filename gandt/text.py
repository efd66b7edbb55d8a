"""Text that gandt did not write, made safe for eyes: answers, names of items, labels and workers, reasons, file names.

A screen or a page shows every character, or says which one it doesn't: a control character as its symbol (␛ ␀ ␊ ␡),
what has no symbol and can't be seen, or turns the text around it, by its number (⟨U+202E⟩). What languages and emoji
need stays: combining marks up to eight on one letter, joiners in Arabic, Persian, Indic and emoji, emoji's variants and
flags. It is for eyes only: files keep the text as it is.

Right-to-left text stays as it is and is isolated, so that what stands beside it keeps its place: on pages by ``<bdi>``
(:func:`html`), in sentences and on terminals by U+2068 … U+2069 (:func:`isolated`); Unicode Standard Annex 9.
"""

import html as _html
import logging
import re
from typing import IO, Any

LONGEST = 1_100  # characters in a cell; more than any s3:// address has

# In JavaScript's notation, which _python reads, so that the pages' script has the very same rule.
_JOINING = r"\u{600}-\u{109F}\u{1200}-\u{1CFF}\u{A800}-\u{ABFF}\u{FB50}-\u{FDCF}\u{FDF0}-\u{FDFF}\u{FE70}-\u{FEFC}"
_JOINING += r"\u{10A00}-\u{11FFF}\u{1E900}-\u{1E95F}"
_EMOJI = r"\u{A9}\u{AE}\u{2190}-\u{21FF}\u{2300}-\u{27BF}\u{2900}-\u{297F}\u{2B00}-\u{2BFF}\u{1F000}-\u{1FAFF}"
_VIRAMA = r"\u{94D}\u{9CD}\u{A4D}\u{ACD}\u{B4D}\u{BCD}\u{C4D}\u{CCD}\u{D4D}\u{DCA}"  # Malayalam: a joiner ends a word
_VARIED = r"0-9#*\u{1000}-\u{109F}\u{203C}\u{2049}\u{2100}-\u{3163}\u{3165}-\u{9FFF}\u{A840}-\u{A87F}"
_VARIED += r"\u{AA60}-\u{AA7F}\u{F900}-\u{FAFF}\u{20000}-\u{3FFFF}" + _EMOJI
_MARK = r"\u{300}-\u{34E}\u{350}-\u{36F}\u{483}-\u{489}\u{591}-\u{5BD}\u{610}-\u{61A}\u{64B}-\u{65F}\u{E34}-\u{E3A}"
_MARK += r"\u{E47}-\u{E4E}\u{1AB0}-\u{1AFF}\u{1DC0}-\u{1DFF}\u{20D0}-\u{20FF}\u{FE20}-\u{FE2F}"
_HIDDEN = r"\u{0}-\u{1F}\u{7F}-\u{9F}\u{AD}\u{34F}\u{61C}\u{115F}\u{1160}\u{17B4}\u{17B5}\u{180E}\u{200B}\u{200E}"
_HIDDEN += r"\u{200F}\u{2028}-\u{202E}\u{2060}-\u{206F}\u{3164}\u{D800}-\u{DFFF}\u{FDD0}-\u{FDEF}\u{FEFF}\u{FFA0}"
_HIDDEN += r"\u{FFF0}-\u{FFFB}\u{FFFE}\u{FFFF}\u{1BCA0}-\u{1BCA3}\u{1D173}-\u{1D17A}\u{E0000}-\u{E00FF}"
_HIDDEN += r"\u{E01F0}-\u{E0FFF}"
_PATTERN = "|".join(
    (
        r"(\u{1F3F4}[\u{E0030}-\u{E0039}\u{E0061}-\u{E007A}]{2,6}\u{E007F})",  # 1: the flag of a part of a country
        rf"([{_MARK}]{{8}})([{_MARK}]+)",  # 2 and 3: marks that would run over the lines above and below
        rf"[{_HIDDEN}]",
        rf"(?<![{_JOINING}{_EMOJI}\u{{FE0F}}])[\u{{200C}}\u{{200D}}]",
        rf"(?<![{_VIRAMA}])[\u{{200C}}\u{{200D}}](?![{_JOINING}{_EMOJI}])",
        rf"(?<![{_VARIED}])[\u{{FE00}}-\u{{FE0F}}\u{{E0100}}-\u{{E01EF}}]",
        r"(?<![\u{1800}-\u{18AA}])[\u{180B}-\u{180D}\u{180F}]",
    )
)
_RIGHT_TO_LEFT = r"\u{590}-\u{8FF}\u{FB1D}-\u{FDFF}\u{FE70}-\u{FEFC}\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}"
_RUN = rf"[{_RIGHT_TO_LEFT}]+(?:[ '\u{{200C}}\u{{200D}}-][{_RIGHT_TO_LEFT}]+)*"

_SCRIPT = """// Made by gandt/text.py, which says what it is for; the same rule as its visible().
"use strict";
const UNSEEN = /%s/gu;
function visible(text, lines = false) {
  const shown = (each) => {
    const code = each.codePointAt(0);
    if (code < 32 || code === 127) return String.fromCharCode(code === 127 ? 0x2421 : 0x2400 + code);
    return `\\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\\u27e9`;
  };
  const safe = (part) => part.replace(UNSEEN, (each, flag, kept, more) =>
    flag ?? (kept ? `${kept}\\u27e8+${[...more].length} marks\\u27e9` : shown(each)));
  const whole = String(text);
  if (!lines) return safe(whole);
  const parts = whole.replaceAll("\\r\\n", "\\n").split(/([\\n\\t])/);
  return parts.map((part, place) => (place %% 2 ? part : safe(part))).join("");
}
"""


def _python(pattern: str) -> str:
    return re.sub(r"\\u\{(\w+)\}", lambda found: re.escape(chr(int(found[1], 16))), pattern)


_UNSEEN = re.compile(_python(_PATTERN))
_RUNS = re.compile(_python(_RUN))


def visible(text: str, *, lines: bool = False) -> str:
    """Return text in which every character is seen; in one line, unless ``lines`` keeps line ends and tabs.

    Nothing it returns moves a cursor, colours a terminal, ends a line, turns text around, or can't be encoded.
    """
    if not lines:
        return _UNSEEN.sub(_shown, text)
    parts = re.split(r"([\n\t])", text.replace("\r\n", "\n"))
    return "".join(part if place % 2 else _UNSEEN.sub(_shown, part) for place, part in enumerate(parts))


def _shown(found: re.Match[str]) -> str:
    if found[1]:
        return found[1]
    if found[2]:
        return f"{found[2]}⟨+{len(found[3])} marks⟩"
    code = ord(found[0])
    if code < 32 or code == 127:
        return chr(0x2421 if code == 127 else 0x2400 + code)
    return f"⟨U+{code:04X}⟩"


def isolated(text: str) -> str:
    """Return visible text with each run of right-to-left words in an isolate, so that the rest keeps its order."""
    return _RUNS.sub(lambda found: f"\u2068{found[0]}\u2069", text)


def on_screen(text: str, stream: IO[str], *, lines: bool = False) -> str:
    """Return text to be printed on ``stream``: visible, and isolated where it is a terminal."""
    seen = visible(text, lines=lines)
    return isolated(seen) if stream.isatty() else seen


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return the first ``longest`` characters of a text, and how many it has where they are more."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def html(text: object) -> str:
    """Return a name, label or answer as HTML: visible, escaped, and isolated with a direction of its own."""
    return f"<bdi>{escaped(text)}</bdi>"


def sentence(text: str) -> str:
    """Return a sentence of gandt's that quotes others as HTML: visible, escaped, what is right-to-left isolated."""
    return _html.escape(isolated(visible(text)))


def escaped(text: object) -> str:
    """Return text for a place with nothing beside it, an attribute in quotes or an SVG's text: visible and escaped."""
    return _html.escape(visible(str(text)))


def shown(content: Any) -> Any:
    """Return what a template is given with every text in it visible; markup, and what is no text, stays as it is."""
    if isinstance(content, dict):
        return {name: shown(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [shown(value) for value in content]
    return visible(content) if isinstance(content, str) and not hasattr(content, "__html__") else content


def script() -> str:
    """Return a script for pages that defines ``visible(text, lines)``."""
    return _SCRIPT % _PATTERN


class LogFormatter(logging.Formatter):
    """Writes a record as one visible line, and a traceback indented below it, so that nobody can write a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text."""
        parts = [visible(f"{record.levelname}: {record.getMessage()}")]
        if record.exc_info:
            parts += visible(self.formatException(record.exc_info), lines=True).split("\n")
        return "\n    ".join(parts)
