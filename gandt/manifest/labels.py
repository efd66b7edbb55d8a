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
from gandt.manifest.lines import line_items, line_names, page_entries, read_lines

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
#: only where a line has them: an image's size in pixels beside boxes; what gandt's own export adds to the metadata
MORE_COLUMNS = ["width", "height", "status", "method"]

NOTHING_FOUND, NONE_CHOSEN = "nothing was found on it", "none of the labels was chosen"


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
        Where any line has them also ``width`` and ``height`` (Int64, pixels of the image that boxes were drawn on),
        and ``status`` and ``method``, which :func:`gandt.export.export` writes beside the contract's own keys.

    Raises
    ------
    InputError
        When a line isn't a JSON object, no line has the attribute, or none has any.
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
    if not known:
        raise InputError(
            f"no line of {manifest} has a label attribute (a key with a sibling that ends in -metadata), so there are "
            "no labels in it; is it a job's output manifest? A label without metadata is read by its name"
        )
    more = [name for name in MORE_COLUMNS if any(row.get(name) is not None for row in rows)]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *more])
    for name in {"width", "height"} & set(more):
        table[name] = table[name].astype("Int64")
    table["confidence"] = pd.to_numeric(table["confidence"], errors="coerce").astype("float64")
    moments = pd.to_datetime(table["created_at"], utc=True, format="ISO8601", errors="coerce")
    table["created_at"] = moments.astype("datetime64[ns, UTC]")
    return table


def class_numbers(manifest: str, attribute: str | None = None, *, s3: Any = None) -> dict[str, int]:
    """Return the number of each class that an augmented manifest's labels name, in the numbers' order.

    Parameters
    ----------
    manifest : str
        Local path or ``s3://`` address.
    attribute : str, optional
        One label attribute; by default all that have a ``-metadata``.
    s3 : optional
        A boto3 S3 client.

    Returns
    -------
    dict of str to int
        Empty where labels have no numbers, as custom ones.

    Raises
    ------
    InputError
        When lines contradict each other about a number.
    """
    numbers: dict[str, int] = {}
    names: dict[int, str] = {}
    for line in read_lines(manifest, s3=s3):
        for key in [attribute] if attribute is not None else label_attributes([line]):
            for name, number in _numbered(line.get(key), _mapping(line.get(f"{key}-metadata"))):
                before, other = numbers.setdefault(name, number), names.setdefault(number, name)
                if before != number or other != name:
                    two = (
                        f"{name!r} is {before} and {number}"
                        if before != number
                        else f"{number} is {other!r} and {name!r}"
                    )
                    raise InputError(
                        f"{manifest} numbers its classes in two ways: {two}; name them in the order wanted"
                    )
    return dict(sorted(numbers.items(), key=lambda pair: pair[1]))


def _numbered(value: Any, metadata: dict[str, Any]) -> Iterator[tuple[str, int]]:
    pairs = list(_mapping(metadata.get("class-map")).items())
    pairs += [
        (key, _mapping(entry).get("class-name")) for key, entry in _mapping(metadata.get("internal-color-map")).items()
    ]
    if "class-name" in metadata:
        pairs.append((value, metadata["class-name"]))
    for number, name in pairs:
        if isinstance(name, str) and isinstance(number, (int, str)) and str(number).isdecimal():
            yield name, int(number)


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
    if isinstance(value, dict) and isinstance(value.get("items"), list) and value["items"] and kind in ("custom", ""):
        return [{**head, **row} for row in _page(value["items"], items, _by_index(line))]
    return [{**head, "item": items[0], **row} for row in _READERS.get(kind, _custom)(value, metadata)]


def _head(metadata: dict[str, Any]) -> dict[str, Any]:
    kind = str(metadata.get("type", ""))
    kind = kind.partition("/")[2].lower() if kind.lower().startswith("groundtruth/") else kind
    job = str(metadata.get("job-name", metadata.get("job_name", "")))
    own = {key: str(metadata[key]) for key in ("status", "method") if isinstance(metadata.get(key), str)}
    moment = metadata.get("creation-date", metadata.get("creation_date"))
    human = metadata.get("human-annotated", metadata.get("human_annotated"))
    return {
        "type": kind,
        "job": job.removeprefix("labeling-job/"),
        "human": None if human is None else str(human).lower() in ("yes", "true"),
        "created_at": moment if isinstance(moment, str) else None,
        **own,
    }


# --- one reader for each form of label; each yields label, confidence, value ------------------------------------------


def _classified(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    # the label is the class's number, an int in real manifests and a string on some pages
    yield {**_named(metadata.get("class-name", value)), "confidence": _number(metadata.get("confidence"))}


def _verified(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    feedback = metadata.get("worker-feedback")
    extra = {"value": _dumps({"worker-feedback": feedback})} if feedback else {}
    for row in _classified(value, metadata):
        yield row | extra


def _multilabel(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names, sure = _mapping(metadata.get("class-map")), _mapping(metadata.get("confidence-map"))
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        yield {**_named(names.get(str(number), number)), "confidence": _number(sure.get(str(number)))}
    if not numbers:
        yield {"reason": NONE_CHOSEN}


def _boxes(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names = _mapping(metadata.get("class-map"))
    objects = metadata.get("objects")
    boxes = value.get("annotations") if isinstance(value, dict) else None
    boxes = boxes if isinstance(boxes, list) else []
    size = _size(value)
    for place, box in enumerate(boxes):
        found = objects[place] if isinstance(objects, list) and place < len(objects) else None
        number = box.get("class_id") if isinstance(box, dict) else None
        shape = {key: entry for key, entry in _mapping(box).items() if key != "class_id"}
        yield {
            **_named(names.get(str(number), number)),
            "confidence": _number(_mapping(found).get("confidence")),
            "value": _dumps(shape),
            **size,
        }
    if not boxes:
        yield {"reason": NOTHING_FOUND, **size}


def _size(value: Any) -> dict[str, int]:
    """Return width and height of the image that boxes were drawn on, {} where it isn't said."""
    sizes = _mapping(value).get("image_size")
    size = _mapping(sizes[0]) if isinstance(sizes, list) and sizes else {}
    found = {side: size.get(side) for side in ("width", "height")}
    return {side: length for side, length in found.items() if type(length) is int and 0 < length < 1 << 31}


def _mask(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    colors = metadata.get("internal-color-map")
    if not isinstance(colors, dict) or not colors:
        yield {"label": None, "value": _dumps(value)}
        return
    for entry in map(_mapping, colors.values()):
        row = {**_named(entry.get("class-name")), "confidence": _number(entry.get("confidence"))}
        yield row | {"value": _dumps({"mask": value, "hex-color": entry.get("hex-color")})}


def _spans(value: Any, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inner = _mapping(_mapping(value).get("annotations")).get("entities")
    entities = inner if isinstance(inner, list) else []
    sure = metadata.get("entities")
    for place, entity in enumerate(map(_mapping, entities)):
        found = sure[place] if isinstance(sure, list) and place < len(sure) else None
        span = {key: entry for key, entry in entity.items() if key != "label"}
        yield {
            **_named(entity.get("label")),
            "confidence": _number(_mapping(found).get("confidence")),
            "value": _dumps(span),
        }
    if not entities:
        yield {"reason": NOTHING_FOUND}


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


def _by_index(line: dict[str, Any]) -> dict[str, str]:
    """Return the names that a page's line brings, by its entries' index."""
    names = line_names(line)
    entries = enumerate(page_entries(line))
    return {str(entry.get("index", place)): names[place] for place, entry in entries} if names else {}


def _page(entries: list[Any], items: list[str], names: dict[str, str]) -> Iterator[dict[str, Any]]:
    for place, entry in enumerate(map(_mapping, entries)):
        known = items[place] if place < len(items) else ""
        item = names.get(str(entry.get("index", place))) or entry.get("source-ref") or entry.get("source") or known
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


def _named(name: Any) -> dict[str, str | None]:
    """Return a class's name as a label; where it has none (null, or empty) there is no label, and the reason why."""
    bare = name is None or not str(name).strip()
    return {"label": None, "reason": "its class has no name"} if bare else {"label": str(name)}


def _number(value: Any) -> float:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) else math.nan


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
