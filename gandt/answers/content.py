"""What a worker's form held, as labels: every widget of the contract's tables, and plain inputs.

lambdas/post_annotation/consolidation.py does the same without gandt; a test holds the two together.
"""

import contextlib
import json
import unicodedata
from typing import Any

from gandt.errors import ContractError
from gandt.manifest.lines import loads

TILE_FIELDS = ("labels-0", "boxes-0")


def parse_content(content: Any) -> dict[str, Any]:
    """Return a form's fields from ``answerContent`` (an object) or ``annotationData.content`` (JSON in a string).

    Raises
    ------
    ContractError
        When it is neither.
    """
    if isinstance(content, str):
        try:
            content = loads(content)
        except (ValueError, RecursionError):
            raise ContractError("its content isn't JSON") from None
    if isinstance(content, dict) and isinstance(content.get("annotatedResult"), dict):
        content = content["annotatedResult"]
    if not isinstance(content, dict):
        raise ContractError("its content isn't a JSON object")
    return content


def chosen(value: Any) -> list[str]:
    """Return the labels chosen in one form field, without repeats; empty for an empty answer.

    ``{"label": "cat"}``, ``{"labels": [...]}``, radio buttons and boxes (``{"a": true, "b": false}``), text, JSON in
    a hidden input (``'["cat"]'``); anything richer (boxes, polygons, entities) is its JSON text, keys sorted.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, dict):
        if "labels" in value or "label" in value:
            return chosen(value["labels"] if "labels" in value else value["label"])
        if value and all(isinstance(flag, bool) for flag in value.values()):
            value = [name for name, flag in value.items() if flag]
        else:
            value = [value] if value else []
    names = value if isinstance(value, list) else [] if value is None else [value]
    names = [name if isinstance(name, str) else json.dumps(name, sort_keys=True) for name in names]
    # a lone surrogate can't be written as UTF-8: it would lose the whole table later
    names = [unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode()).strip() for name in names]
    return list(dict.fromkeys(name for name in names if name))


def answer_labels(form: dict[str, Any], field: str | None = None) -> list[str]:
    """Return the labels that a worker gave to an object of one item; ``field`` is :func:`answer_field`'s by default."""
    name = field if field is not None else answer_field(form)
    return chosen(form.get(name)) if name is not None else []


def answer_field(form: dict[str, Any]) -> str | None:
    """Return the name of the field that holds the answer about an object of one item, None where there is none.

    The fields of gandt's own templates come first, then a classifier's output, then radio buttons and boxes, then a
    field called ``label`` or ``labels``, then the first field that isn't empty. A ``workerComment`` is never an answer.
    """
    fields = {name: value for name, value in form.items() if name != "workerComment" and value is not None}
    for name in TILE_FIELDS:  # gandt's own templates
        if name in fields:
            return name
    for name, value in fields.items():  # a classifier's own output
        if isinstance(value, dict) and ("label" in value or "labels" in value):
            return name
    for name, value in fields.items():  # radio buttons and boxes
        if isinstance(value, dict) and value and all(isinstance(flag, bool) for flag in value.values()):
            return name
    return next((name for name in ("label", "labels", *fields) if chosen(fields.get(name))), None)


def tile_labels(form: dict[str, Any], index: Any) -> list[str]:
    """Return the labels that a worker gave to the item of a page that has this index."""
    value = form.get(f"labels-{index}")
    return chosen(value if value is not None else form.get(f"boxes-{index}"))


def worker_comments(form: dict[str, Any]) -> list[str]:
    """Return what a worker wrote in a ``<worker-comment>``: beside the label, or in a field of its own."""
    found = [form.get("workerComment")]
    found += [value.get("workerComment") for value in form.values() if isinstance(value, dict)]
    return [text for value in found if isinstance(value, str) for text in chosen([value])]


def item_of(data_object: dict[str, Any]) -> str | None:
    """Return what a manifest line, a payload's ``dataObject`` or a page's entry shows: its address, or its text."""
    for key in ("source-ref", "s3Uri", "s3uri", "source", "content"):
        value = data_object.get(key)
        if isinstance(value, str) and value:
            return value
    return None
