"""Images in folders: one for each label, or Hugging Face's imagefolder; both with a table of what they hold."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gandt.export.classes import Classes
from gandt.export.files import Names, Sizes, must_be_images, placed, safe, write_folder
from gandt.export.rows import Labelled
from gandt.export.selection import Selection
from gandt.images import EXTENSIONS

#: the table beside the files; Parquet, because whatever reads a CSV makes a number of the label 01
RECORD = "labels.parquet"

# datasets 5 lists all the others in packaged_modules/imagefolder/imagefolder.py
_IMAGEFOLDER_ENDINGS = EXTENSIONS - {".avif", ".heic", ".heif"}


def record(files: Mapping[str, Labelled]) -> bytes:
    """Return :data:`RECORD`'s content: file_name, item, label, confidence, status, method, human; a row a label."""
    rows = [
        {
            "file_name": name,
            "item": each.item,
            "label": label.name if label else None,
            "confidence": label.confidence if label else None,
            "status": each.status,
            "method": each.method,
            "human": each.human,
        }
        for name, each in files.items()
        for label in each.labels or (None,)
    ]
    texts = ("file_name", "item", "label", "status", "method")
    kinds = {**dict.fromkeys(texts, pa.string()), "confidence": pa.float64(), "human": pa.bool_()}
    order = ("file_name", "item", "label", "confidence", "status", "method", "human")
    return _parquet(rows, pa.schema([(name, kinds[name]) for name in order]))


def to_folders(
    selection: Selection, out: str, classes: Classes, sizes: Sizes, *, link: bool = False, s3: Any = None
) -> None:
    """Copy each item into a folder of its label's name; :data:`RECORD` has the labels themselves, confidence, status.

    A folder's name is the label as far as file systems can hold it.
    """
    names = Names(RECORD)
    folders = {name: names.free("", safe(name)) for name in classes.numbers}
    files = placed(selection.items, lambda each: folders[each.labels[0].name] + "/", names)
    used = {each.labels[0].name for each in selection.items}
    changed = [name for name, folder in folders.items() if name != folder and name in used]
    if changed:
        shown = ", ".join(f"{name!r} as {folders[name]!r}" for name in changed[:5])
        selection.notes.append(
            f"{len(changed)} labels can't be folders' names and are written otherwise ({shown}); {RECORD} "
            "has them as they are"
        )
    write_folder(out, {name: each.item for name, each in files.items()}, {RECORD: record(files)}, link=link, s3=s3)


def to_imagefolder(
    selection: Selection, out: str, classes: Classes, sizes: Sizes, *, link: bool = False, s3: Any = None
) -> None:
    """Write what ``datasets.load_dataset("imagefolder", data_dir=OUT)`` reads: ``train/`` with ``metadata.parquet``.

    The columns: ``label`` (a ClassLabel: its number, ``class_name`` its text), or ``labels`` and ``class_names``
    (lists), or ``objects`` of ``bbox`` (left, top, width, height; pixels) and ``categories``; and item, confidence,
    status, method, human. Parquet, because it alone keeps a ClassLabel's names, and a text like 01 a text.
    https://huggingface.co/docs/datasets/image_dataset
    """
    must_be_images(selection.items, "imagefolder", _IMAGEFOLDER_ENDINGS)
    names = classes.ordered("imagefolder")
    one, many = {"names": names, "_type": "ClassLabel"}, {"_type": "List"}
    text, number = ({"dtype": kind, "_type": "Value"} for kind in ("string", "float64"))
    columns: dict[str, tuple[Any, Any]] = {"file_name": (pa.string(), text), "item": (pa.string(), text)}
    if "several" in selection.kinds:
        columns["labels"] = pa.list_(pa.int64()), {**many, "feature": one}
        columns["class_names"] = pa.list_(pa.string()), {**many, "feature": text}
        columns["confidences"] = pa.list_(pa.float64()), {**many, "feature": number}
    elif "one" in selection.kinds:
        columns["label"] = pa.int64(), one
        columns["class_name"] = pa.string(), text
    else:
        box = {**many, "feature": {**many, "feature": number}}
        parts = {"bbox": box, "categories": {**many, "feature": one}, "confidences": {**many, "feature": number}}
        lists = [("bbox", pa.list_(pa.list_(pa.float64()))), ("categories", pa.list_(pa.int64()))]
        columns["objects"] = pa.struct([*lists, ("confidences", pa.list_(pa.float64()))]), parts
    columns |= {"confidence": (pa.float64(), number), "status": (pa.string(), text), "method": (pa.string(), text)}
    columns["human"] = pa.bool_(), {"dtype": "bool", "_type": "Value"}

    files = placed(selection.items, lambda _: "", Names("metadata.csv", "metadata.jsonl", "metadata.parquet"))
    rows = [{"file_name": name, **_described(each, classes)} for name, each in files.items()]
    features = {"info": {"features": {name: feature for name, (_, feature) in columns.items()}}}
    schema = pa.schema([(name, kind) for name, (kind, _) in columns.items()], {"huggingface": json.dumps(features)})
    texts = {"train/metadata.parquet": _parquet(rows, schema)}
    write_folder(out, {f"train/{name}": each.item for name, each in files.items()}, texts, link=link, s3=s3)


def _described(each: Labelled, classes: Classes) -> dict[str, Any]:
    """Return all that a row of any kind may have; the schema takes its own."""
    numbers = [classes[label.name] for label in each.labels]
    sure = [label.confidence for label in each.labels]
    boxes = [list(map(float, label.shape.box)) for label in each.labels if label.shape]
    return {
        "item": each.item,
        "label": numbers[0] if numbers else None,
        "class_name": each.labels[0].name if numbers else None,
        "labels": numbers,
        "class_names": [label.name for label in each.labels],
        "confidences": sure,
        "objects": {"bbox": boxes, "categories": numbers, "confidences": sure},
        "confidence": each.confidence,
        "status": each.status,
        "method": each.method,
        "human": each.human,
    }


def _parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    return buffer.getvalue()
