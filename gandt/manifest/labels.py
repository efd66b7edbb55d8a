"""Read augmented manifests: the labels of every built-in task type, and of custom ones in both spellings.

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from gandt import storage
from gandt.arguments import checked
from gandt.errors import InputError, StorageError
from gandt.manifest.lines import line_items, read_lines

COLUMNS = [
    *(
        "item",
        "label",
        "confidence",
        "attribute",
        "type",
        "job",
        "human",
        "created_at",
        "data_object",
        "value",
        "reason",
    ),
]


def label_attributes(lines: Iterable[dict[str, Any]]) -> list[str]:
    """Return the label attributes of a manifest's lines, in order: every key with a ``-metadata`` sibling."""
    found: dict[str, None] = {}
    for line in lines:
        for key, value in line.items():
            if key.endswith("-metadata") and isinstance(value, dict):
                found.setdefault(key.removesuffix("-metadata"))
    return list(found)


@checked
def read_labels(manifest: str, *, attribute: str | None = None, s3: Any = None) -> pd.DataFrame:
    """Read the labels that an augmented manifest holds.

    Parameters
    ----------
    manifest : str
        Local path or ``s3://`` address, usually ``<job>/manifests/output/output.manifest``.
    attribute : str, optional
        One label attribute; by default all that have a ``-metadata``.
    s3 : optional
        A boto3 S3 client.

    Returns
    -------
    pandas.DataFrame
        A row for each label of each item (several for multi-label and for boxes): ``item``, ``label`` (str; None where
        the object failed, or nothing was found on it), ``confidence`` (float64 in 0 … 1, NaN where Ground Truth gives
        none), ``attribute``, ``type`` (such as ``image-classification`` or ``custom``), ``job``, ``human`` (False for
        automated labels), ``created_at`` (UTC), ``data_object`` (the line's zero-based number, str), ``value`` (JSON
        of what a label alone doesn't say: a box, a span, a mask's address), ``reason`` (why there is no label).

    Raises
    ------
    InputError
        When a line isn't a JSON object, or no line has the attribute.
    StorageError
        When the manifest can't be read.
    """
    rows: list[dict[str, Any]] = []
    known = False
    for number, line in enumerate(read_lines(manifest, s3=s3)):
        for name in [attribute] if attribute is not None else label_attributes([line]):
            known |= name in line or f"{name}-metadata" in line
            rows += labels_of(line, name, str(number), s3=s3)
    if attribute is not None and not known:
        raise InputError(f"no line of {manifest} has the label attribute {attribute!r}; is its name spelled rightly?")
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["confidence"] = pd.to_numeric(table["confidence"], errors="coerce").astype("float64")
    moments = pd.to_datetime(table["created_at"], utc=True, format="ISO8601", errors="coerce")
    table["created_at"] = moments.astype("datetime64[ns, UTC]")
    return table


def labels_of(line: dict[str, Any], attribute: str, data_object: str = "", *, s3: Any = None) -> list[dict[str, Any]]:
    """Return the rows of one line under one attribute, as :func:`read_labels` gives them; [] without the attribute."""
    metadata = line.get(f"{attribute}-metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if attribute not in line and not metadata:
        return []
    head = {"attribute": attribute, "data_object": data_object, **_head(metadata)}
    items = line_items(line) or [data_object]
    if line.get(attribute) is None:
        reason = metadata.get("failure-reason") or "the object has no label"
        return [{**head, "item": item, "reason": str(reason)} for item in items]
    value = line[attribute]
    if (
        isinstance(value, dict)
        and isinstance(value.get("s3Uri"), str)
        and set(value) <= {"s3Uri", "label", "confidence"}
    ):
        value = _held(value, s3)  # gandt's post-annotation Lambda refers to S3 where a response would be too large
    kind = head["type"]
    if isinstance(value, dict) and isinstance(value.get("items"), list) and kind in ("custom", ""):
        return [{**head, **row} for row in _page(value["items"], items)]
    return [{**head, "item": items[0], **row} for row in _READERS.get(kind, _custom)(value, metadata)]


def _head(metadata: dict[str, Any]) -> dict[str, Any]:
    kind = str(metadata.get("type", ""))
    kind = kind.partition("/")[2].lower() if kind.lower().startswith("groundtruth/") else kind
    job = str(metadata.get("job-name", metadata.get("job_name", "")))
    moment = metadata.get("creation-date", metadata.get("creation_date"))
    human = metadata.get("human-annotated", metadata.get("human_annotated"))
    return {
        "type": kind,
        "job": job.removeprefix("labeling-job/"),
        "human": None if human is None else str(human).lower() in ("yes", "true"),
        "created_at": moment if isinstance(moment, str) else None,
    }


# --- one reader for each form of label; each yields label, confidence, value ------------------------------------------


def _classified(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    # the label is the class's number, an int in real manifests and a string on some pages
    yield {"label": str(metadata.get("class-name", value)), "confidence": _number(metadata.get("confidence"))}


def _verified(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    feedback = metadata.get("worker-feedback")
    extra = {"value": _dumps({"worker-feedback": feedback})} if feedback else {}
    for row in _classified(value, metadata):
        yield row | extra


def _multilabel(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names, sure = _mapping(metadata.get("class-map")), _mapping(metadata.get("confidence-map"))
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        yield {"label": str(names.get(str(number), number)), "confidence": _number(sure.get(str(number)))}
    if not numbers:
        yield {"reason": "none of the labels was chosen"}


def _boxes(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names = _mapping(metadata.get("class-map"))
    objects = metadata.get("objects")
    boxes = value.get("annotations") if isinstance(value, dict) else None
    boxes = boxes if isinstance(boxes, list) else []
    for place, box in enumerate(boxes):
        found = objects[place] if isinstance(objects, list) and place < len(objects) else None
        number = box.get("class_id") if isinstance(box, dict) else None
        shape = {key: entry for key, entry in _mapping(box).items() if key != "class_id"}
        yield {
            "label": str(names.get(str(number), number)),
            "confidence": _number(_mapping(found).get("confidence")),
            "value": _dumps(shape),
        }
    if not boxes:
        yield {"reason": "nothing was found on it"}


def _mask(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    colors = metadata.get("internal-color-map")
    if not isinstance(colors, dict) or not colors:
        yield {"label": None, "value": _dumps(value)}
        return
    for entry in map(_mapping, colors.values()):
        row = {"label": str(entry.get("class-name")), "confidence": _number(entry.get("confidence"))}
        yield row | {"value": _dumps({"mask": value, "hex-color": entry.get("hex-color")})}


def _spans(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inner = _mapping(_mapping(value).get("annotations")).get("entities")
    entities = inner if isinstance(inner, list) else []
    sure = metadata.get("entities")
    for place, entity in enumerate(map(_mapping, entities)):
        found = sure[place] if isinstance(sure, list) and place < len(sure) else None
        span = {key: entry for key, entry in entity.items() if key != "label"}
        yield {
            "label": str(entity.get("label")),
            "confidence": _number(_mapping(found).get("confidence")),
            "value": _dumps(span),
        }
    if not entities:
        yield {"reason": "nothing was found on it"}


def _custom(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if value == {}:  # a job without a post-annotation Lambda
        where = metadata.get("worker-response-ref")
        yield {"reason": "the job had no post-annotation Lambda" + (f"; its answers are in {where}" if where else "")}
        return
    if isinstance(value, dict) and ("label" in value or isinstance(value.get("labels"), list)):
        yield from _given(value)
    elif isinstance(value, dict):
        yield {"label": None, "value": _dumps(value)}
    else:
        yield {
            "label": value if isinstance(value, str) else _dumps(value),
            "confidence": _number(metadata.get("confidence")),
        }


def _given(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the labels of gandt's own form of label, and of others that call it ``label`` or ``labels``."""
    labels = value["labels"] if isinstance(value.get("labels"), list) else [value.get("label")]
    sure = _mapping(value.get("confidence-map"))
    rest = {
        key: entry for key, entry in value.items() if key not in ("label", "labels", "confidence", "confidence-map")
    }
    for label in labels:
        if label is not None:
            name = label if isinstance(label, str) else _dumps(label)
            yield {
                "label": name,
                "confidence": _number(sure.get(name, value.get("confidence"))),
                "value": _dumps(rest) if rest else None,
            }
    if not any(label is not None for label in labels):
        yield {"reason": "nobody answered", "value": _dumps(rest) if rest else None}


def _page(entries: list[Any], items: list[str]) -> Iterator[dict[str, Any]]:
    for place, entry in enumerate(map(_mapping, entries)):
        known = items[place] if place < len(items) else ""
        item = entry.get("source-ref") or entry.get("source") or known
        inner = {key: part for key, part in entry.items() if key not in ("source-ref", "source", "index")}
        for row in _given(inner):
            yield {"item": str(item), **row}


_READERS = {
    "image-classification": _classified,
    "text-classification": _classified,
    "label-verification": _verified,
    "image-classification-multilabel": _multilabel,
    "text-classification-multilabel": _multilabel,
    "object-detection": _boxes,
    "semantic-segmentation": _mask,
    "text-span": _spans,
}


def _held(value: dict[str, Any], s3: Any) -> Any:
    try:
        return json.loads(storage.read_text(value["s3Uri"], s3=s3))
    except (StorageError, ValueError, RecursionError):
        return value  # the label and its confidence stand in the manifest as well


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) else math.nan


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
