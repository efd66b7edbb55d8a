"""The HTML of a template, inspected without a browser: its form, its fields, what it loads, who can use it."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from gandt.templates.scan import UnfinishedError, pieces

LIBRARY = "https://assets.crowd.aws/crowd-html-elements.js"
_AWS = "https://assets.crowd.aws/"  # the library's later version and its style lie there too

# what each element can't do without (docs of the crowd elements; docs/ground-truth.md)
_NEEDS = {
    **dict.fromkeys(("crowd-classifier", "crowd-classifier-multi-select"), ("categories", "header", "name")),
    **dict.fromkeys(
        ("crowd-image-classifier", "crowd-image-classifier-multi-select"), ("src", "categories", "header", "name")
    ),
    **dict.fromkeys(
        (
            "crowd-bounding-box",
            "crowd-instance-segmentation",
            "crowd-keypoint",
            "crowd-line",
            "crowd-polygon",
            "crowd-polyline",
            "crowd-semantic-segmentation",
        ),
        ("header", "labels", "name", "src"),
    ),
    "crowd-entity-annotation": ("header", "labels", "name", "text"),
    "crowd-text-ranking": ("responses", "ordinal-ranking-dimensions"),
    "crowd-question-answer-generation": ("text",),
    **dict.fromkeys(
        (
            "crowd-checkbox",
            "crowd-input",
            "crowd-radio-button",
            "crowd-slider",
            "crowd-text-area",
            "crowd-toggle-button",
        ),
        ("name",),
    ),
}
_NATIVE = frozenset({"input", "select", "textarea"})
_SILENT = frozenset({"submit", "button", "reset", "image"})
_SHARE_A_NAME = frozenset({"radio", "checkbox", "crowd-checkbox", "crowd-radio-button"})
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_LOOP = re.compile(r"\{%-?\s*(for|tablerow|endfor|endtablerow)\b")
_LETTER = re.compile(r"[^\n]")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    level : str
        ``"error"`` where the job would fail or lose answers, ``"warning"`` where workers or answers suffer.
    rule : str
        The rule's name in docs/templates.md.
    line : int
        The template's line, 0 where it is about the whole.
    message : str
        What is wrong, why it matters, what to do.
    """

    level: str
    rule: str
    line: int
    message: str


@dataclass
class Page:
    """What was found in the HTML: ``fields`` (name as written → line) and ``problems``."""

    fields: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def inspect(template: str) -> Page:
    """Inspect a template's HTML; Liquid's tags count as nothing, its outputs as some text."""
    reader = _Reader(template)
    try:
        # behind the last > no tag is whole, and the parser takes minutes over many that aren't
        reader.feed(reader.text[: reader.text.rfind(">") + 1])
        reader.close()
    except AssertionError:  # the standard library's parser, over <![ without a name
        reader.say(
            "error", "html", "there is a broken declaration, <![ …; browsers take it for a comment: leave it out"
        )
    reader.finish()
    return reader.page


class _Reader(HTMLParser):
    def __init__(self, template: str) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.outputs: list[str] = []  # Liquid's {{ ... }}, by the number that stands in their place
        self.loops: list[tuple[tuple[int, int], tuple[int, int]]] = []  # where they begin and end, as (line, column)
        self.text = self._without_liquid(template)
        self.open: list[str] = []
        self.forms = self.libraries = 0
        self.has: set[str] = set()
        self.labelled: set[str] = set()
        self.unlabelled: list[tuple[str, int, str]] = []  # id, line, element
        self.button: tuple[int, bool] | None = None  # line, and whether it has a name yet
        self.named_once: dict[str, int] = {}

    def say(self, level: str, rule: str, message: str, line: int | None = None) -> None:
        self.page.problems.append(Problem(level, rule, self.getpos()[0] if line is None else line, message))

    def _without_liquid(self, template: str) -> str:
        """Blank tags out, put marks in place of outputs, and note the loops; every line and column stays true."""
        made: list[str] = []
        loops: list[tuple[int, int]] = []
        at, line, line_start = 0, 1, 0
        try:
            for piece in pieces(template):
                made.append(template[at : piece.start])
                line += template.count("\n", at, piece.start)
                line_start = template.rfind("\n", line_start, piece.start) + 1 or line_start
                text = template[piece.start : piece.end]
                loop = _LOOP.match(text)
                if loop and not loop[1].startswith("end"):
                    loops.append((line, piece.start - line_start))
                elif loop and loops:
                    self.loops.append((loops.pop(), (line, piece.start - line_start)))
                if piece.kind == "output":
                    self.outputs.append(text)
                    mark = f"\ue000{len(self.outputs) - 1}\ue001"
                    made.append(mark + _LETTER.sub("\ue002", text[len(mark) :]))
                else:
                    made.append(_LETTER.sub(" ", text))
                at, line = piece.end, line + text.count("\n")
        except UnfinishedError:
            pass  # check tells of it; what stands before it is looked at
        return "".join(made) + template[at:]

    def liquid(self, text: str) -> str:
        """Put the Liquid outputs back into ``text``."""
        text = re.sub("\ue002\n?", "", text)
        return re.sub("\ue000(\\d+)\ue001", lambda found: self.outputs[int(found[1])], text)

    # --- what the parser calls ----------------------------------------------------------------------------------

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: self.liquid(value or "") for name, value in attrs}
        if tag not in _VOID:
            self.open.append(tag)
        if self.button and (tag == "img" and given.get("alt", "").strip()):
            self.button = (self.button[0], True)
        self._structure(tag, given)
        self._loads(tag, given)
        self._control(tag, given)
        self._access(tag, given)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass
        if tag == "button" and self.button:
            if not self.button[1]:
                why = "a button has neither text nor aria-label, so a screen reader can't name it"
                self.say("warning", "accessibility", why, self.button[0])
            self.button = None

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if self.button and data.strip():
            self.button = (self.button[0], True)
        if inside == "script":
            for number in re.findall("\ue000(\\d+)\ue001", data):
                output = self.outputs[int(number)]
                if "to_json" not in output:
                    why = f"{output} in a script is HTML-escaped, not JavaScript; pipe it through to_json"
                    self.say("warning", "script-output", why)
        if inside == "style" and re.search(r"@import|url\(\s*['\"]?\s*(?:https?:)?//", data):
            self.say("warning", "remote", "the style loads something from elsewhere; write it out in the template")
        if inside == "title" and data.strip():
            self.has.add("title")

    # --- the rules ------------------------------------------------------------------------------------------------

    def _structure(self, tag: str, given: dict[str, str]) -> None:
        if tag == "crowd-form":
            self.forms += 1
        if tag == "crowd-entity-annotation" and "crowd-form" not in self.open:
            self.forms += 1  # it holds a form of its own
        if tag == "form" and "crowd-form" in self.open:
            self.say(
                "warning", "form", "a <form> inside crowd-form takes its fields away from it; leave the <form> out"
            )
        if tag == "html" and given.get("lang"):
            self.has.add("lang")
        if tag == "meta" and given.get("name") == "viewport":
            self.has.add("viewport")
            if re.search(r"user-scalable\s*=\s*(no|0)|maximum-scale\s*=\s*1\b", given.get("content", "")):
                self.say("warning", "accessibility", "the viewport forbids zooming; workers with weak sight need it")
        for name, value in given.items():
            if "skip_autoescape" in value and "to_json" not in value:
                self.say("warning", "escaping", f"{name} of <{tag}> is not escaped: what a manifest holds becomes HTML")

    def _loads(self, tag: str, given: dict[str, str]) -> None:
        wanted = {"script": "src", "link": "href", "iframe": "src", "img": "src", "audio": "src", "video": "src"}
        key = wanted.get(tag, "src" if tag.startswith("crowd-") or tag == "source" else "")
        address = given.get(key, "").strip() if key else ""
        if not address:
            return
        if tag in ("script", "link") and address.startswith(_AWS):
            self.libraries += tag == "script"
            return
        if "{{" in address:
            if tag not in ("script", "link") and "grant_read_access" not in address:
                why = f"{address} in {key} of <{tag}> lacks | grant_read_access, and no browser opens an s3:// address"
                self.say("warning", "grant", why)
            return
        if address.startswith("http://"):
            self.say("error", "remote", f"<{tag}> loads {address} over http, which browsers refuse on a page of https")
        elif address.startswith(("https://", "//")):
            if tag in ("script", "link", "iframe"):
                why = f"<{tag}> loads {address}: whoever serves it can read and change answers, and can be down"
                self.say("warning", "remote", f"{why}; write it out in the template")
        elif re.fullmatch(r"\$\{[\w.-]+\}", address):
            why = f"{address} in {key} of <{tag}> is Mechanical Turk's way to write a variable"
            say = f"write {{{{ task.input.{address[2:-1]} | grant_read_access }}}}"
            self.say("error", "variable", f"{why}, which Ground Truth leaves as it is; {say}")
        elif not address.startswith(("data:", "#", "blob:")):
            why = f"<{tag}> loads {address!r}, and Ground Truth has only this one file; write it out in the template"
            self.say("error", "remote", why)

    def _control(self, tag: str, given: dict[str, str]) -> None:
        for name in _NEEDS.get(tag, ()):
            if not given.get(name):
                # AWS's own samples leave the header out, though its reference requires it
                level = "warning" if name == "header" else "error"
                self.say(level, "name" if name == "name" else "attribute", f"<{tag}> lacks its attribute {name!r}")
        kind = given.get("type", "").lower()
        field_ = (
            tag in _NEEDS
            or (tag.startswith("crowd-") and bool(given.get("name")))
            or (tag in _NATIVE and kind not in _SILENT)
        )
        if not field_ or "data-not-submitted" in given:
            return
        name = given.get("name", "")
        if not name:
            if tag in _NATIVE:
                why = f"<{tag}> has no name, so nothing of it is submitted; name it, or mark it data-not-submitted"
                self.say("error", "name", why)
            return
        line = self.getpos()[0]
        self.page.fields.setdefault(name, line)
        if not {"crowd-form", "crowd-entity-annotation"} & set(self.open):
            self.say("error", "form", f"the field {name!r} lies outside crowd-form, so it is not submitted")
        if tag in _SHARE_A_NAME or kind in _SHARE_A_NAME:
            return
        if "{{" not in name and any(start < self.getpos() < end for start, end in self.loops):
            why = f"the field {name!r} is in a loop, so that many have one name; write {name}-{{{{ item.index }}}}"
            self.say("error", "name", why)
        elif name in self.named_once:
            why = f"the field {name!r} has the name of the one in line {self.named_once[name]}; give it one of its own"
            self.say("warning", "name", why)
        self.named_once.setdefault(name, line)

    def _access(self, tag: str, given: dict[str, str]) -> None:
        line = self.getpos()[0]
        named = any(given.get(name, "").strip() for name in ("aria-label", "aria-labelledby", "title"))
        if tag == "img" and "alt" not in given:
            self.say("warning", "accessibility", "an image has no alt text, so a screen reader reads its address aloud")
        if tag == "label":
            self.labelled.add(given.get("for", ""))
        shown = tag in _NATIVE and given.get("type", "").lower() not in {"hidden", *_SILENT}
        if shown and not named and "label" not in self.open:
            self.unlabelled.append((given.get("id", ""), line, tag))
        if tag == "button":
            self.button = (line, named)
            if not given.get("type"):
                self.say("warning", "button", 'a <button> without type="button" submits the page when it is pressed')
        if tag in ("audio", "video"):
            if "controls" not in given:
                self.say("warning", "accessibility", f"<{tag}> has no controls, so a keyboard can't play it")
            if "autoplay" in given:
                self.say("warning", "accessibility", f"<{tag}> plays by itself, over what a screen reader says")
        if given.get("tabindex", "").isdigit() and int(given["tabindex"]) > 0:
            self.say(
                "warning",
                "accessibility",
                "a tabindex above 0 makes the keyboard jump; use 0 and the order of the page",
            )

    def finish(self) -> None:
        if not self.forms:
            self.say(
                "error",
                "form",
                "there is no <crowd-form>, so nothing can be submitted; put all of the page into one",
                0,
            )
        elif self.forms > 1:
            self.say("warning", "form", f"there are {self.forms} crowd-forms, and only one is submitted", 0)
        if not self.libraries:
            why = f'Ground Truth\'s elements are not loaded; add <script src="{LIBRARY}"></script>'
            self.say("error", "library", why, 0)
        if self.forms and not self.page.fields:
            self.say("error", "name", "no field has a name, so the answer would be empty", 0)
        for identity, line, tag in self.unlabelled:
            if not identity or identity not in self.labelled:
                why = f"<{tag}> has no label: wrap it in <label>, or give it an aria-label"
                self.say("warning", "accessibility", why, line)
        for what, why in (
            ("lang", 'the page does not tell its language; begin it with <html lang="en"> or whichever it is'),
            ("title", "the page has no <title>, the first thing a screen reader says"),
            (
                "viewport",
                'phones show the page tiny; add <meta name="viewport" content="width=device-width, initial-scale=1">',
            ),
        ):
            if what not in self.has:
                self.say("warning", "accessibility", why, 0)
