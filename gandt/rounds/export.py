"""Labels in the forms that others read: augmented manifest, COCO, a folder per label, Hugging Face's imagefolder."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from gandt import storage
from gandt.errors import InputError
from gandt.progress import track
from gandt.tables import write_table

FORMS = ("table", "manifest", "coco", "folders", "imagefolder")


def export(labels: pd.DataFrame, out: str, form: str, *, s3: Any = None, **options: Any) -> int:
    """Write labels in one of :data:`FORMS`; rows without a label are left out of all but the table.

    Parameters
    ----------
    labels : DataFrame
        item, label; confidence, method and value (a box as JSON) where there are.
    out : str
        A file's address; of ``folders`` and ``imagefolder`` a new or empty local folder.
    form : str
    **options
        Of the form's own function.

    Returns
    -------
    int
        How many items were written.

    Raises
    ------
    InputError
        When the form is unknown or the labels don't suit it.
    StorageError
        When it can't be written.
    """
    if form not in FORMS:
        raise InputError(f"there is no form {form!r}; take one of {', '.join(FORMS)}")
    for column in ("item", "label"):
        if column not in labels.columns:
            raise InputError(f"labels without the column {column} can't be exported; give item and label")
    if form == "table":
        write_table(labels, out, s3=s3)
        return len(labels)
    some = labels.dropna(subset=["label"])
    if not len(some):
        raise InputError("no item has a label, so there is nothing to export")
    if form == "coco":
        return to_coco(labels, out, s3=s3, **options)
    if form == "manifest":
        return to_manifest(some, out, s3=s3, **options)
    return (to_folders if form == "folders" else to_imagefolder)(some, out, s3=s3, **options)


def to_manifest(labels: pd.DataFrame, out: str, *, attribute: str = "label", s3: Any = None) -> int:
    """Write an augmented manifest as an image-classification job does; classes are numbered in order of their names.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
    """
    classes = {name: number for number, name in enumerate(sorted(set(labels["label"].astype(str))))}
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    lines = []
    for row in labels.drop_duplicates("item").to_dict("records"):
        confidence = row.get("confidence")
        known = isinstance(confidence, (int, float)) and confidence == confidence
        human = row.get("method") not in ("classifier", "carried")
        line = {
            "source-ref": str(row["item"]),
            attribute: classes[str(row["label"])],
            f"{attribute}-metadata": {
                "class-name": str(row["label"]),
                "confidence": round(float(confidence), 4) if known else 0,  # type: ignore[arg-type]
                "type": "groundtruth/image-classification",
                "human-annotated": "yes" if human else "no",
                "creation-date": moment,
                "job-name": "gandt",
            },
        }
        lines.append(json.dumps(line, ensure_ascii=False))
    storage.write_text(out, "\n".join(lines) + "\n", s3=s3, content_type="application/jsonlines")
    return len(lines)


def to_coco(labels: pd.DataFrame, out: str, *, sizes: pd.DataFrame | None = None, s3: Any = None) -> int:
    """Write COCO's object detection JSON, from labels whose ``value`` is a box (left, top, width, height).

    ``sizes`` (item, width, height) is an embedding store's items; without it images have no size. Boxes that aren't
    ones are refused, by name. https://cocodataset.org/#format-data
    """
    if "value" not in labels.columns or not labels["value"].notna().any():
        raise InputError("COCO is for boxes, and these labels have none (no column value); take manifest or folders")
    size = (
        {}
        if sizes is None
        else dict(zip(sizes["item"], zip(sizes["width"], sizes["height"], strict=True), strict=True))
    )
    categories = {name: number for number, name in enumerate(sorted(set(labels["label"].dropna().astype(str))), 1)}
    images: dict[str, int] = {}
    boxes: list[dict[str, Any]] = []
    for row in labels.to_dict("records"):
        item = str(row["item"])
        number = images.setdefault(item, len(images) + 1)
        if isinstance(row["label"], str) and isinstance(row["value"], str) and row["value"]:
            left, top, width, height = _box(item, row["value"])
            box = {"id": len(boxes) + 1, "image_id": number, "category_id": categories[str(row["label"])]}
            boxes.append({**box, "bbox": [left, top, width, height], "area": width * height, "iscrowd": 0})
    described = []
    for item, number in images.items():
        image: dict[str, Any] = {"id": number, "file_name": item}
        if item in size and min(size[item]) > 0:
            image |= {"width": int(size[item][0]), "height": int(size[item][1])}
        described.append(image)
    content = {
        "images": described,
        "annotations": boxes,
        "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in categories.items()],
    }
    storage.write_text(out, json.dumps(content, ensure_ascii=False), s3=s3, content_type="application/json")
    return len(images)


def _box(item: str, text: str) -> tuple[float, float, float, float]:
    try:
        value = json.loads(text)
        left, top, width, height = (float(value[key]) for key in ("left", "top", "width", "height"))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{item} has a label that is no box ({text[:60]}); export it in another form") from error
    if not 0 <= left < float("inf") or not 0 <= top < float("inf") or not (0 < width < 1e9 and 0 < height < 1e9):
        raise InputError(f"{item} has a box outside of any image ({text[:60]}); mend or remove it")
    return left, top, width, height


def to_folders(labels: pd.DataFrame, out: str, *, link: bool = False, s3: Any = None) -> int:
    """Copy (or with ``link`` hard-link) each item into a folder of its label's name; ``labels.csv`` lists them."""
    rows = []
    for item, label, name in _placed(labels, out, by_label=True):
        _put(item, Path(out) / name, link, s3)
        rows.append({"file_name": name, "label": label, "item": item})
    write_table(pd.DataFrame(rows), str(Path(out) / "labels.csv"))
    return len(rows)


def to_imagefolder(labels: pd.DataFrame, out: str, *, link: bool = False, s3: Any = None) -> int:
    """Write what ``datasets.load_dataset("imagefolder", data_dir=OUT)`` reads: images and ``metadata.csv`` in train/.

    https://huggingface.co/docs/datasets/image_dataset
    """
    rows = []
    train = Path(out) / "train"
    for item, label, name in _placed(labels, out, by_label=False):
        _put(item, train / name, link, s3)
        rows.append((name, label))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("file_name", "label"), *rows])
    storage.write_text(str(train / "metadata.csv"), text.getvalue())
    return len(rows)


def _placed(labels: pd.DataFrame, out: str, *, by_label: bool) -> Iterator[tuple[str, str, str]]:
    """Yield item, label and the name of its file below ``out``, which no other item has and which stays there."""
    if storage.is_s3(out):
        raise InputError(f"folders of files are written locally, not at {out}; write them, then copy: aws s3 sync")
    if Path(out).exists() and (not Path(out).is_dir() or any(Path(out).iterdir())):
        raise InputError(f"{out} isn't a new or empty folder; choose another, so that nothing in it is overwritten")
    taken = {"labels.csv", "metadata.csv"}
    folders: dict[str, str] = {}
    for item, label in track(
        list(labels.drop_duplicates("item")[["item", "label"]].astype(str).itertuples(index=False)), "copying"
    ):
        path = PurePosixPath(item)
        folder = ""
        if by_label:
            if label not in folders:
                folders[label] = _free(_safe(label), taken)
                taken.add(folders[label].lower())
            folder = folders[label] + "/"
        name = _free(folder + _safe(path.stem), taken, path.suffix)
        taken.add(name.lower())
        yield item, label, name


def _safe(name: str) -> str:
    """Return a name that is one plain part of a path on any system."""
    plain = re.sub(r'[\x00-\x1f/\\:*?"<>|]+', "_", name).strip(" .")[:120]
    return plain or "_"


def _free(name: str, taken: set[str], suffix: str = "") -> str:
    found, number = name + suffix, 1
    while found.lower() in taken:
        number += 1
        found = f"{name}-{number}{suffix}"
    return found


def _put(item: str, target: Path, link: bool, s3: Any) -> None:
    with storage.explained("write", str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        if link and not storage.is_s3(item):
            os.link(item, target)
            return
    storage.write_bytes(str(target), storage.read_bytes(item, s3=s3))
