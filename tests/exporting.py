"""Labels to export, and each form's usual reader: what the tests of gandt/export put in, and how it is read back."""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from gandt.export import Exported, export
from gandt.manifest.labels import read_labels

WIDTH, HEIGHT = 40, 30
ODD = [
    "01",
    "1e5",
    "NA",
    "true",
    "-1",
    "=1+1",
    "null",
    "naïve 🐱",
    "a/b",
    "c\\d",
    'say "it"',
    "it's",
    "x,y",
    "l1\nl2",
    " a ",
]

#: one label (name, confidence, box)
Found = tuple[str, float | None, tuple[float, ...] | None]


@dataclass
class Read:
    """What a reader found about an item."""

    labels: list[Found]
    status: str | None
    human: bool | None


@dataclass
class Case:
    """A table to export, the options that it takes, and what must come back, by item."""

    labels: pd.DataFrame
    want: dict[str, Read]
    options: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def pictures(folder: Path, count: int) -> list[str]:
    """Return ``count`` small pictures: a/x.png, b/x.png (equal names in two folders), then c/2.png and so on."""
    found = []
    for number in range(count):
        path = folder / ("a", "b", "c")[min(number, 2)] / ("x.png" if number < 2 else f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (10 * number, 0, 0)).save(path)
        found.append(str(path))
    return found


def simple(folder: Path, base: str, names: tuple[str, ...] = ("cat", "dog", "cat"), **columns: Any) -> pd.DataFrame:
    """Return confident labels of people, as consensus makes them; with a box each when ``base`` is "box"."""
    items = pictures(folder, len(names))
    table = {"item": items, "label": list(names), "confidence": [round(0.99 - n / 100, 2) for n in range(len(names))]}
    table |= {"status": "confident", "method": "auto"}
    if base == "box":
        table["value"] = [json.dumps(box(number)) for number in range(len(names))]
    return pd.DataFrame(table).assign(**columns)


def box(number: int) -> dict[str, Any]:
    """Return the box of the item of this number, one of them with fractions of pixels."""
    return {"left": 3 + number, "top": 2, "width": 10.5 if number == 1 else 10, "height": 8}


def wanted(table: pd.DataFrame, human: bool | None = True) -> dict[str, Read]:
    """Return what is to come back of a table of one label or box a row."""
    want = {}
    for row in table.to_dict("records"):
        sides = _around(row.get("value"))
        want[str(row["item"])] = Read([(str(row["label"]), _maybe(row["confidence"]), sides)], row["status"], human)
    return want


# ---------------------------------------------------------------------- cases


def one_label(folder: Path, base: str) -> Case:
    table = simple(folder, "one")
    return Case(table, wanted(table))


def several_labels(folder: Path, base: str) -> Case:
    sets = (["cat", "dog"], [], ["dog"])
    maps = [{"cat": 0.9, "dog": 0.8}, {"cat": 0.1, "dog": 0.05}, {"cat": 0.2, "dog": 0.97}]
    table = simple(folder, "one").assign(
        label=[json.dumps(each) for each in sets], confidence_map=list(map(json.dumps, maps))
    )
    want = {
        item: Read([(name, sure[name], None) for name in names], "confident", True)
        for item, names, sure in zip(table["item"], sets, maps, strict=True)
    }
    return Case(table, want)


def boxes(folder: Path, base: str) -> Case:
    table = simple(folder, "box")
    two = table.assign(label="dog", value=json.dumps(box(5))).head(1)
    want = wanted(table)
    want[table["item"][0]].labels += wanted(two)[table["item"][0]].labels
    return Case(pd.concat([table, two], ignore_index=True), want)


def polygons(folder: Path, base: str) -> Case:
    corners = {"vertices": [{"x": 1, "y": 2}, {"x": 11, "y": 2}, {"x": 11, "y": 12.5}]}
    table = simple(folder, "one").assign(value=json.dumps(corners))
    want = wanted(table.assign(value='{"left": 1, "top": 2, "width": 10, "height": 10.5}'))
    return Case(table, want)


def masks(folder: Path, base: str) -> Case:
    table = simple(folder, "one")
    mask = Image.new("RGB", (WIDTH, HEIGHT), "#ffffff")
    mask.paste("#1f77b4", (5, 6, 15, 16))
    mask.save(folder / "mask.png")
    value = {"mask": str(folder / "mask.png"), "hex-color": "#1f77b4"}
    want = wanted(table.assign(value='{"left": 5, "top": 6, "width": 10, "height": 10}'))
    return Case(table.assign(value=json.dumps(value)), want)


def two_attributes(folder: Path, base: str) -> Case:
    table = simple(folder, base)
    kind = "object-detection" if base == "box" else "image-classification"
    both = [table.assign(attribute=name, type=kind) for name in ("animal", "colour")]
    return Case(
        pd.concat([both[0], both[1].assign(label="red")], ignore_index=True), wanted(table), {"attribute": "animal"}
    )


def gold(folder: Path, base: str) -> Case:
    table = simple(folder, base, method=["gold", "seed", "gold"], confidence=1.0)
    return Case(table, wanted(table))


def relabel(folder: Path, base: str) -> Case:
    table = simple(folder, base, status=["confident", "relabel", "confident"])
    return Case(table, wanted(table), {"statuses": ["confident", "relabel"]}, {"relabel": 1})


def unanswered(folder: Path, base: str) -> Case:
    table = simple(folder, base, ("cat", "dog", "cat"), status=["confident", "confident", "unanswered"])
    table.loc[2, ["label", "confidence"]] = None
    return Case(table, wanted(table.head(2)), {}, {"unanswered": 1})


def carried(folder: Path, base: str) -> Case:
    table = simple(folder, base, method="carried", carried_from="other.png")
    return Case(table, wanted(table, human=False))


def of_a_classifier(folder: Path, base: str) -> Case:
    table = simple(folder, base, method=["classifier", "classifier/logistic", "classifier/svm"])
    return Case(table, wanted(table, human=False))


def of_nobody_knows_whom(folder: Path, base: str) -> Case:
    table = simple(folder, base, method=None, confidence=float("nan"))
    return Case(table, wanted(table, human=None))


def odd_labels(folder: Path, base: str) -> Case:
    table = simple(folder, base, tuple(ODD))
    return Case(table, wanted(table))


def equal_names(folder: Path, base: str) -> Case:
    table = simple(folder, base, ("cat", "dog"))
    return Case(table, wanted(table))


def missing_file(folder: Path, base: str) -> Case:
    table = simple(folder, base)
    Path(table["item"][1]).unlink()
    return Case(table, wanted(table), {"skip_missing": True}, {"the file is missing": 1})


CASES: dict[str, Callable[[Path, str], Case]] = {
    "one label": one_label,
    "several labels": several_labels,
    "boxes": boxes,
    "polygons": polygons,
    "masks": masks,
    "two label attributes": two_attributes,
    "gold and seeds": gold,
    "status relabel": relabel,
    "unanswered": unanswered,
    "carried over": carried,
    "a classifier's": of_a_classifier,
    "maker and confidence unknown": of_nobody_knows_whom,
    "odd label texts": odd_labels,
    "equal names in two folders": equal_names,
    "a missing file": missing_file,
}

# ---------------------------------------------------------------------- readers


def _around(value: Any) -> tuple[float, ...] | None:
    """Return the box around a label's value: a box, a polygon, or the mask of :func:`masks`."""
    shape = json.loads(value) if isinstance(value, str) else None
    if shape is None:
        return None
    if "mask" in shape:
        return (5, 6, 10, 10)
    if "vertices" in shape:
        across, down = ([corner[way] for corner in shape["vertices"]] for way in ("x", "y"))
        return (min(across), min(down), max(across) - min(across), max(down) - min(down))
    return tuple(shape[side] for side in ("left", "top", "width", "height"))


def _maybe(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if value is None or value != value or value == "" else value


def read_table_form(out: str) -> dict[str, Read]:
    """Read with pandas alone, as docs/exports.md says."""
    if out.endswith(".csv"):
        table = pd.read_csv(out, dtype=str, keep_default_na=False)
        table = table.apply(lambda column: column.str.replace(r"^'(?='*[=+\-@\t\r])", "", regex=True))
    elif out.endswith(".jsonl"):
        table = pd.read_json(out, lines=True, dtype=False)
    else:
        table = pd.read_parquet(out)
    found: dict[str, Read] = {}
    for row in table.to_dict("records"):
        label, sure = _maybe(row["label"]), _maybe(row["confidence"])
        if label is None:
            continue
        if "confidence_map" in row:
            pairs = [(name, json.loads(row["confidence_map"])[name]) for name in json.loads(label)]
        else:
            pairs = [(label, None if sure is None else float(sure))]
        sides = _around(_maybe(row.get("value")))
        read = found.setdefault(row["item"], Read([], _maybe(row["status"]), None))
        read.labels += [(name, sure, sides) for name, sure in pairs]
    return found


def read_manifest_form(out: str) -> dict[str, Read]:
    found: dict[str, Read] = {}
    for row in read_labels(out).to_dict("records"):
        read = found.setdefault(row["item"], Read([], _maybe(row.get("status")), _maybe(row["human"])))
        if row["label"] is not None and row["label"] == row["label"]:
            read.labels.append((row["label"], _maybe(row["confidence"]), _around(row["value"])))
    return found


def read_coco_json(out: str) -> dict[str, Read]:
    content = json.loads(Path(out).read_text())
    return _of_coco(
        content["images"], content["annotations"], {one["id"]: one["name"] for one in content["categories"]}
    )


def read_coco_pycocotools(out: str) -> dict[str, Read]:
    coco = pytest.importorskip("pycocotools.coco").COCO(out)
    anns = coco.loadAnns(coco.getAnnIds())
    for annotation in anns:
        if "segmentation" in annotation:  # its pixels are where the box says
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 with NumPy 2.4
                pixels = coco.annToMask(annotation)
            left, top, width, height = map(int, annotation["bbox"])
            assert pixels[top : top + height, left : left + width].sum() == pixels.sum() > 0
    return _of_coco(
        coco.loadImgs(coco.getImgIds()), anns, {one["id"]: one["name"] for one in coco.loadCats(coco.getCatIds())}
    )


def _of_coco(images: list[Any], annotations: list[Any], names: dict[int, str]) -> dict[str, Read]:
    found = {image["id"]: Read([], None, None) for image in images}
    for one in annotations:
        read = found[one["image_id"]]
        read.status, read.human = one.get("status"), one.get("human")
        read.labels.append((names[one["category_id"]], one.get("confidence"), tuple(one["bbox"])))
    return {image["item"]: found[image["id"]] for image in images}


def read_yolo(out: str) -> dict[str, Read]:
    """Read as Ultralytics does: names of data.yaml, a text file for each image; and labels.parquet with pandas."""
    names = yaml.safe_load((Path(out) / "data.yaml").read_text())["names"]
    beside = pd.read_parquet(Path(out) / "labels.parquet")
    found = {}
    for name, part in beside.groupby("file_name", sort=False):
        with Image.open(Path(out) / str(name)) as picture:
            width, height = picture.size
        text = Path(str(Path(out) / str(name)).replace("/images/", "/labels/")).with_suffix(".txt").read_text()
        labels = []
        for line, sure in zip(text.splitlines(), part["confidence"], strict=True):
            number, *shares = line.split()
            points = list(map(float, shares))
            if len(points) == 4:
                x, y, wide, high = points
                sides = ((x - wide / 2) * width, (y - high / 2) * height, wide * width, high * height)
            else:
                across, down = points[::2], points[1::2]
                sides = (min(across) * width, min(down) * height)
                sides += ((max(across) - min(across)) * width, (max(down) - min(down)) * height)
            labels.append((names[int(number)], _maybe(sure), sides))
        row = part.iloc[0]
        found[row["item"]] = Read(labels, _maybe(row["status"]), _maybe(row["human"]))
    return found


def read_voc(out: str) -> dict[str, Read]:
    found = {}
    for stem in (Path(out) / "ImageSets/Main/trainval.txt").read_text().splitlines():
        root = ElementTree.parse(Path(out) / "Annotations" / f"{stem}.xml").getroot()
        assert (Path(out) / "JPEGImages" / root.findtext("filename", "")).is_file()
        read = found.setdefault(root.findtext("item", ""), Read([], None, None))
        for one in root.findall("object"):
            left, top, right, bottom = (
                float(one.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")
            )
            sure = one.findtext("confidence")
            sides = (left, top, right - left, bottom - top)
            read.labels.append((one.findtext("name", ""), None if sure is None else float(sure), sides))
            read.status = one.findtext("status")
            read.human = {"yes": True, "no": False, None: None}[one.findtext("human")]
    return found


def read_folders(out: str) -> dict[str, Read]:
    """Read the folders as any loader of classes does, and the labels themselves with pandas."""
    table = pd.read_parquet(Path(out) / "labels.parquet")
    below = {path.relative_to(out).as_posix() for path in Path(out).rglob("*") if path.is_file()} - {"labels.parquet"}
    assert below == set(table["file_name"])
    folder = table["file_name"].str.partition("/")[0]
    assert (table.groupby(folder)["label"].nunique() == 1).all() and (
        folder.groupby(table["label"]).nunique() == 1
    ).all()
    return {
        row["item"]: Read(
            [(row["label"], _maybe(row["confidence"]), None)], _maybe(row["status"]), _maybe(row["human"])
        )
        for row in table.to_dict("records")
    }


def read_imagefolder_parquet(out: str) -> dict[str, Read]:
    path = Path(out) / "train/metadata.parquet"
    features = json.loads(pq.read_schema(path).metadata[b"huggingface"])["info"]["features"]
    rows = pq.read_table(path).to_pylist()
    assert all((path.parent / row["file_name"]).is_file() for row in rows)
    kind = next(name for name in ("label", "labels", "objects") if name in features)
    inner = {"label": lambda f: f, "labels": lambda f: f["feature"], "objects": lambda f: f["categories"]["feature"]}[
        kind
    ]
    return _of_imagefolder(rows, kind, inner(features[kind])["names"])


def read_imagefolder_datasets(out: str) -> dict[str, Read]:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    found = datasets.load_dataset("imagefolder", data_dir=out, split="train", cache_dir=str(Path(out).parent / "cache"))
    kind = next(name for name in ("label", "labels", "objects") if name in found.features)
    feature = found.features[kind]
    feature = feature if kind == "label" else feature.feature if kind == "labels" else feature["categories"].feature
    assert type(feature).__name__ == "ClassLabel" and found[0]["image"].size == (WIDTH, HEIGHT)
    return _of_imagefolder(list(found.remove_columns("image")), kind, feature.names)


def _of_imagefolder(rows: list[Any], kind: str, names: list[str]) -> dict[str, Read]:
    found = {}
    for row in rows:
        if kind == "label":
            assert row["class_name"] == names[row["label"]]
            labels = [(names[row["label"]], row["confidence"], None)]
        elif kind == "labels":
            labels = [(names[n], sure, None) for n, sure in zip(row["labels"], row["confidences"], strict=True)]
        else:
            parts = row["objects"]
            numbers = zip(parts["categories"], parts["confidences"], parts["bbox"], strict=True)
            labels = [(names[n], sure, tuple(sides)) for n, sure, sides in numbers]
        found[row["item"]] = Read(labels, row["status"], row["human"])
    return found


#: form → readers: name, how the file or folder is called, and the function
READERS: dict[str, list[tuple[str, str, Callable[[str], dict[str, Read]]]]] = {
    "table": [
        ("pandas, Parquet", "out.parquet", read_table_form),
        ("pandas, CSV", "out.csv", read_table_form),
        ("pandas, JSON lines", "out.jsonl", read_table_form),
    ],
    "manifest": [("gandt manifest labels", "out.manifest", read_manifest_form)],
    "coco": [("json", "out.json", read_coco_json), ("pycocotools", "out.json", read_coco_pycocotools)],
    "yolo": [("yaml and text", "out", read_yolo)],
    "voc": [("xml", "out", read_voc)],
    "folders": [("pandas", "out", read_folders)],
    "imagefolder": [("pyarrow", "out", read_imagefolder_parquet), ("datasets", "out", read_imagefolder_datasets)],
}

BASE = {"coco": "box", "yolo": "box", "voc": "box"}


def same(form: str, read: dict[str, Read], want: dict[str, Read]) -> None:
    """Check that what was read is what went in."""
    assert list(read) == list(want)
    for item, one in want.items():
        found = [sorted(labels, key=lambda label: str(_seen(label))) for labels in (read[item].labels, one.labels)]
        for (name, sure, sides), (wanted_name, wanted_sure, wanted_sides) in zip(*found, strict=True):
            assert name == wanted_name, item
            assert sure == pytest.approx(wanted_sure, abs=1e-9), item  # pandas reads JSON to the last digit but one
            assert sides == pytest.approx(wanted_sides, abs=1e-5), item
        assert read[item].status == one.status or (form in ("coco", "voc") and not one.labels)
        assert form == "table" or read[item].human is one.human or (form in ("coco", "voc") and not one.labels)


def _seen(label: Found) -> Found:
    name, sure, sides = label
    sure = None if sure is None else round(sure, 6)
    return name, sure, None if sides is None else tuple(round(float(side), 3) for side in sides)


def run(form: str, out: str, case: Case, **options: Any) -> Exported:
    """Export a case."""
    return export(case.labels, out, form, **options)
