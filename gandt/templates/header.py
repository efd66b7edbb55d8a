"""What a template says about itself: the TOML in its comment ``<!--gandt ... -->``."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gandt.arguments import checked
from gandt.errors import ContractError

INPUT_TYPES = ("text", "list", "boolean", "object", "image", "images", "texts", "sounds")
OUTPUT_TYPES = ("labels", "text", "boxes")

_BEGIN, _END = re.compile(r"<!--gandt\b"), "-->"


@dataclass(frozen=True)
class Input:
    """A key of ``task.input`` that a template reads.

    Attributes
    ----------
    name : str
        The key.
    type : str
        One of `INPUT_TYPES`; ``images``, ``texts`` and ``sounds`` are lists of items ``{source-ref or source, index}``.
    about : str
        What it is, for people.
    optional : bool
        Whether a task may lack it.
    sample : object
        A value to try the template with; for items, how many.
    """

    name: str
    type: str
    about: str = ""
    optional: bool = False
    sample: Any = None

    def __post_init__(self) -> None:
        if self.type not in INPUT_TYPES:
            raise ValueError(
                f"input {self.name!r} has the type {self.type!r}, and the types are {', '.join(INPUT_TYPES)}"
            )


@dataclass(frozen=True)
class Output:
    """A name in the submitted answer; ``<index>`` in it stands for an item's index, `type` says how to read it.

    ``labels``: a JSON list of labels; ``text``: a JSON list of one text; ``boxes``: JSON as of crowd-bounding-box.
    """

    name: str
    type: str
    about: str = ""

    def __post_init__(self) -> None:
        if self.type not in OUTPUT_TYPES:
            raise ValueError(
                f"output {self.name!r} has the type {self.type!r}, and the types are {', '.join(OUTPUT_TYPES)}"
            )

    def index(self, name: str) -> int | None:
        """Return the index that the field ``name`` carries (0 for an output without one); None for another's field."""
        found = re.fullmatch(re.escape(self.name).replace("<index>", r"(\d{1,18})"), name)
        return (int(found[1]) if found.groups() else 0) if found else None


@dataclass(frozen=True)
class Header:
    """What a template says about itself."""

    title: str = ""
    about: str = ""
    inputs: tuple[Input, ...] = field(default=())
    outputs: tuple[Output, ...] = field(default=())

    def labels(self, answer: Mapping[str, Any]) -> dict[int, list[str]]:
        """Return what a worker answered about each item of a page, from the form's fields.

        Parameters
        ----------
        answer : Mapping
            The submitted fields: ``answerContent``, or ``annotationData.content`` parsed.

        Returns
        -------
        dict
            Item's index → its labels. A text is one label, and so are the boxes of an image, as JSON with sorted
            keys. Unanswered items have an empty list, fields that no output declares are left out.
        """
        found: dict[int, list[str]] = {}
        for output in self.outputs:
            for name, value in answer.items():
                index = output.index(name)
                if index is not None:
                    found[index] = _read(output.type, value)
        return found


@checked
def header(template: str) -> Header | None:
    """Return the header of a template's text, or None where it has none.

    Raises
    ------
    ContractError
        When there is a header that isn't TOML, or not of the form that docs/templates.md describes.
    """
    begin = _BEGIN.search(template)
    if not begin:
        return None
    body, end, _ = template[begin.end() :].partition(_END)
    if not end:
        raise ContractError("the template's header (<!--gandt …-->) has no end; close it with -->")
    try:
        told = tomllib.loads(body)
        return Header(
            title=str(told.get("title", "")),
            about=str(told.get("about", "")),
            inputs=tuple(Input(name, **fields) for name, fields in told.get("inputs", {}).items()),
            outputs=tuple(Output(name, **fields) for name, fields in told.get("outputs", {}).items()),
        )
    except (ValueError, TypeError, AttributeError) as error:  # TOMLDecodeError is a ValueError
        reason = str(error).replace("__init__() got an unexpected keyword argument", "unknown key")
        raise ContractError(f"the template's header (<!--gandt …-->) can't be read: {reason}") from error


def _read(kind: str, value: Any) -> list[str]:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except (ValueError, RecursionError):
            value = [value]  # a plain field: the text itself
    if kind == "boxes":
        if not isinstance(value, dict) or not isinstance(value.get("boundingBoxes"), list):
            return []
        return [json.dumps(value, sort_keys=True, ensure_ascii=False)]
    entries = value if isinstance(value, list) else [value]
    texts = [entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False) for entry in entries]
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))
