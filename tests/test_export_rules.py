"""What exports hold to: who made a label, confidence, numbers of classes, shapes, interrupted runs, refusals."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exporting import BASE, READERS, box, pictures, read_coco_json, read_yolo, same, simple, wanted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from gandt import storage, tables
from gandt.candidates.carry import carry_labels
from gandt.cli import app
from gandt.cli import consensus as _consensus  # noqa: F401
from gandt.cli import manifest as _manifest  # noqa: F401
from gandt.cli import rounds as _rounds  # noqa: F401
from gandt.consensus import METHODS, consolidate, consolidate_sets
from gandt.errors import GandtError, InputError, StorageError
from gandt.export import FORMS, export
from gandt.export.classes import read_categories
from gandt.export.files import MARKER, Names, safe
from gandt.export.shapes import Shape, inside
from gandt.manifest import combine, read_lines
from gandt.manifest.labels import class_numbers, labels_of, read_labels

COPYING = ("folders", "imagefolder", "yolo", "voc")


def command(*words: str) -> Any:
    result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, GandtError):
        raise result.exception
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def write_manifest(path: Path, *lines: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------- any labels


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text[0] != "[" and text.strip()
)
label = st.tuples(texts, st.none() | st.floats(0, 1), st.sampled_from(["confident", "relabel"]))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return pictures(tmp_path_factory.mktemp("pictures"), 4)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "table"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(label, min_size=1, max_size=4), sides=st.lists(st.floats(0, 9.5), min_size=4, max_size=4))
def test_any_labels_come_back(
    form: str, shown: list[str], tmp_path_factory: pytest.TempPathFactory, labels: Any, sides: list[float]
) -> None:
    """Every text, every confidence, and boxes anywhere in the picture."""
    table = pd.DataFrame(labels, columns=["label", "confidence", "status"]).assign(method="auto")
    table.insert(0, "item", shown[: len(table)])
    if form in BASE:
        shape = dict(zip(("left", "top", "width", "height"), (side + 0.25 for side in sides), strict=True))
        table["value"] = json.dumps(shape)
    _, name, read = READERS[form][0]
    out = str(tmp_path_factory.mktemp(form) / name)
    try:
        export(table, out, form, statuses=["confident", "relabel"])
    except InputError as refusal:
        assert form == "voc" and "XML can't hold the character" in str(refusal)
        return
    same(form, read(out), wanted(table))


@pytest.mark.parametrize("form", ["manifest", "imagefolder"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=st.lists(st.dictionaries(texts, st.floats(0, 1), max_size=3), min_size=1, max_size=4))
def test_any_sets_of_labels_come_back(
    form: str, shown: list[str], tmp_path_factory: pytest.TempPathFactory, sets: list[dict[str, float]]
) -> None:
    table = pd.DataFrame({"item": shown[: len(sets)], "label": [json.dumps(list(names)) for names in sets]})
    table = table.assign(confidence_map=[json.dumps(names) for names in sets], status="confident", method="auto")
    _, name, read = READERS[form][0]
    out = str(tmp_path_factory.mktemp(form) / name)
    export(table, out, form)
    found = read(out)
    assert list(found) == table["item"].tolist()
    for item, names in zip(table["item"], sets, strict=True):
        assert {label: sure for label, sure, _ in found[item].labels} == names
        assert len(found[item].labels) == len(names) and found[item].human is True


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=90), max_size=12), st.booleans())
def test_names_are_apart_on_any_file_system(texts: list[str], alone: bool) -> None:
    names = Names("labels.parquet")
    given_ = [names.free("", safe(text), ".jpg", alone=alone) for text in [*texts, "x", "X", "x-2", "x", "labels"]]
    assert len({name.casefold() for name in given_}) == len(given_)
    assert all(len(name.encode()) < 255 and "/" not in name and name not in (".jpg", "..") for name in given_)


# ---------------------------------------------------------------------- confidence


def test_a_manifest_has_the_confidence_of_a_csv(tmp_path: Path) -> None:
    """README's way: answers to labels as CSV, then export, then split: what is sure is found."""
    answers = [(f"s3://b/{n}.jpg", worker, ("cat", "dog")[n % 2]) for n in range(6) for worker in "abcde"]
    tables.write_table(pd.DataFrame(answers, columns=["item", "worker", "label"]), str(tmp_path / "answers.csv"))
    found = {}
    for kind in ("csv", "parquet", "jsonl"):
        labels, out = str(tmp_path / f"labels.{kind}"), str(tmp_path / f"{kind}.manifest")
        command("consensus", str(tmp_path / "answers.csv"), "--out", labels)
        command("export", labels, out, "--as", "manifest", "--status", "confident,relabel")
        found[kind] = read_labels(out)["confidence"].round(9).tolist()
        assert min(found[kind]) > 0.5
    assert found["csv"] == found["parquet"] == found["jsonl"]
    sure, _ = combine.split_lines(read_lines(str(tmp_path / "csv.manifest")), "label", min(found["csv"]))
    assert len(sure) == 6


def test_a_confidence_that_nobody_knows_is_left_out_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    table = simple(tmp_path / "in", "one").astype({"confidence": object})
    table.loc[0, "confidence"] = None
    out = str(tmp_path / "out.manifest")
    done = export(table, out, "manifest")
    first, second, _ = (line["label-metadata"] for line in read_lines(out))
    assert "confidence" not in first and second["confidence"] == 0.98
    assert "1 items have labels without a confidence; they have none in the export either" in done.notes
    for wrong in ("70%", "1,5", 1.5, -0.1, "x"):
        table.loc[1, "confidence"] = wrong
        with pytest.raises(InputError, match=r"b/x.png has the confidence .*, which is no number from 0 to 1"):
            export(table, out, "manifest")


# ---------------------------------------------------------------------- who made it


def human(table: pd.DataFrame, out: Path, **options: Any) -> dict[str, Any]:
    statuses = ["confident", "relabel"] if "status" in table.columns else None
    assert export(table, str(out), "manifest", statuses=statuses, **options).items
    lines = read_lines(str(out))
    return {line["source-ref"]: line["label-metadata"].get("human-annotated") for line in lines}


@pytest.mark.parametrize(
    ("method", "more", "said"),
    [
        *((method, {}, "yes") for method in sorted(METHODS)),
        *((method, {}, "yes") for method in ("seed", "gold", "folders", "clusters/ward", "clusters/kmeans")),
        ("", {"workers": "3"}, "yes"),
        ("classifier", {}, "no"),
        ("classifier/logistic-regression", {}, "no"),
        ("carried", {}, "no"),
        ("clusters/ward", {"carried_from": "other.jpg"}, "no"),
        ("auto", {"carried_from": "other.jpg"}, "no"),
        ("classifier", {"workers": 2}, "no"),
        ("somebody's model", {"workers": 0}, None),
        ("", {"workers": 0}, None),
        ("", {}, None),
        (None, {}, None),
    ],
)
def test_only_peoples_labels_are_called_human(method: Any, more: dict[str, Any], said: Any, tmp_path: Path) -> None:
    table = pd.DataFrame([{"item": "s3://b/1.jpg", "label": "cat", "method": method, **more}])
    assert human(table, tmp_path / "out.manifest") == {"s3://b/1.jpg": said}
    if said == "yes":
        assert human(table, tmp_path / "out.manifest", human_only=True) == {"s3://b/1.jpg": "yes"}
    else:
        with pytest.raises(
            InputError, match=r"nothing is left to export \(1 not known to be made by people left out\)"
        ):
            export(table, str(tmp_path / "out.manifest"), "manifest", human_only=True)
        with pytest.raises(InputError, match="not known to be made by people"):
            export(table, str(tmp_path / "out.csv"), "table", human_only=True)


def test_what_the_verbs_write_is_known_for_what_it_is(tmp_path: Path) -> None:
    answers = pd.DataFrame(
        [("1", w, "cat") for w in "abc"] + [("2", w, "dog") for w in "abc"], columns=["item", "worker", "label"]
    )
    labels = consolidate(answers).labels
    carried = carry_labels(labels, pd.Series({"1": "1", "2": "2", "3": "1"}))
    assert human(carried, tmp_path / "out.manifest") == {"1": "yes", "2": "yes", "3": "no"}
    sets = consolidate_sets(answers)
    assert human(sets.labels, tmp_path / "out.manifest") == {"1": "yes", "2": "yes"}
    again = read_labels(str(tmp_path / "out.manifest"))
    assert set(again["type"]) == {"image-classification-multilabel"}
    assert human(again, tmp_path / "again.manifest") == {"1": "yes", "2": "yes"}


def test_a_manifests_own_word_counts(tmp_path: Path) -> None:
    said = {"yes": "yes", "no": "no", None: None}
    lines = []
    for number, value in enumerate(said):
        facts = {"class-name": "cat", "confidence": 0.9, "type": "groundtruth/image-classification"}
        facts |= {"human-annotated": value} if value else {}
        lines.append({"source-ref": f"s3://b/{number}.jpg", "t": 0, "t-metadata": facts})
    table = read_labels(write_manifest(tmp_path / "in.manifest", *lines))
    out = str(tmp_path / "out.manifest")
    export(table, out, "manifest")
    assert [line["t-metadata"].get("human-annotated") for line in read_lines(out)] == list(said.values())


# ---------------------------------------------------------------------- numbers of classes


def numbers_in(form: str, out: str) -> list[Any]:
    path = Path(out)
    if form == "manifest":
        return [line["label"] for line in read_lines(out)]
    if form == "coco":
        return [one["category_id"] - 1 for one in json.loads(path.read_text())["annotations"]]
    if form == "yolo":
        stems = [Path(name).stem for name in pd.read_parquet(path / "labels.parquet")["file_name"]]
        return [int((path / f"labels/train/{stem}.txt").read_text().split()[0]) for stem in stems]
    return pd.read_parquet(path / "train/metadata.parquet")["label"].tolist()


@pytest.mark.parametrize("form", ["manifest", "coco", "yolo", "imagefolder"])
def test_numbers_are_the_same_in_every_split(form: str, tmp_path: Path) -> None:
    table = simple(tmp_path / "in", BASE.get(form, "one"), ("cat", "dog", "dog"))
    order, name = ["owl", "dog", "cat"], READERS[form][0][1]
    for part, wanted_ in ((table, [2, 1, 1]), (table.head(1), [2]), (table.tail(1), [1])):
        out = str(tmp_path / f"part-{len(part)}-{part.index[0]}" / name)
        assert export(part, out, form, categories=order).classes == {"owl": 0, "dog": 1, "cat": 2}
        assert numbers_in(form, out) == wanted_
    done = export(table, str(tmp_path / "sorted" / name), form)
    assert done.classes == {"cat": 0, "dog": 1}
    assert any("classes are numbered in the order of the names that occur" in note for note in done.notes)


def test_classes_come_from_a_file_or_a_manifest(tmp_path: Path) -> None:
    table = simple(tmp_path / "in", "one", ("cat", "dog"))
    labels = str(tmp_path / "labels.csv")
    tables.write_table(table, labels)
    categories = tmp_path / "categories.json"
    categories.write_text(
        json.dumps({"document-version": "2018-11-28", "labels": [{"label": "dog"}, {"label": "cat"}]})
    )
    out = str(tmp_path / "out.manifest")
    done = command("export", labels, out, "--as", "manifest", "--categories", str(categories), "--json")
    assert json.loads(done.stdout)["classes"] == {"dog": 0, "cat": 1}
    assert class_numbers(out, "label") == {"dog": 0, "cat": 1} == read_categories(out)
    again = str(tmp_path / "again.manifest")
    command("export", labels, again, "--as", "manifest", "--categories", out)
    assert numbers_in("manifest", again) == [1, 0]
    # a manifest keeps its own, and gaps where the form knows numbers at all
    facts = {"class-map": {"4": "cat", "7": "dog"}, "objects": [{}], "type": "groundtruth/object-detection"}
    boxes = {"image_size": [{"width": 40, "height": 30, "depth": 3}], "annotations": [{"class_id": 7, **box(0)}]}
    gaps = write_manifest(tmp_path / "gaps.manifest", {"source-ref": table["item"][0], "t": boxes, "t-metadata": facts})
    command("export", gaps, again, "--as", "manifest")
    assert next(iter(read_lines(again)))["t"] == boxes
    command("export", gaps, str(tmp_path / "coco.json"), "--as", "coco")
    assert numbers_in("coco", str(tmp_path / "coco.json")) == [7]
    with pytest.raises(
        InputError, match="YOLO numbers classes from 0 without gaps, and these labels have 4 cat, 7 dog"
    ):
        command("export", gaps, str(tmp_path / "yolo"), "--as", "yolo")
    for text in ("{}", "[]", '{"labels": ["cat"]}', "x"):
        categories.write_text(text)
        with pytest.raises(InputError, match="is no label category file"):
            read_categories(str(categories))


@pytest.mark.parametrize(
    ("categories", "said"),
    [
        (["cat"], "has the label 'dog', which is none of the categories cat"),
        (["cat", "dog", "cat"], "the category 'cat' is given twice"),
        (["cat", " "], "a class has no name"),
        ([], "no class is given"),
    ],
)
def test_categories_that_cannot_be(categories: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        export(simple(tmp_path / "in", "one"), str(tmp_path / "out.manifest"), "manifest", categories=categories)
    assert not (tmp_path / "out.manifest").exists()


def test_contradicting_numbers_are_refused(tmp_path: Path) -> None:
    def line(number: int, name: str) -> dict[str, Any]:
        return {
            "source-ref": f"s3://b/{name}",
            "t": number,
            "t-metadata": {"class-name": name, "type": "groundtruth/x"},
        }

    for lines, said in (
        ((line(0, "cat"), line(0, "dog")), "0 is 'cat' and 'dog'"),
        ((line(0, "cat"), line(1, "cat")), "'cat' is 0 and 1"),
    ):
        with pytest.raises(InputError, match=said):
            class_numbers(write_manifest(tmp_path / "x.manifest", *lines))


# ---------------------------------------------------------------------- shapes


def boxed(folder: Path, **sides: Any) -> pd.DataFrame:
    table = simple(folder, "box", ("cat",))
    return table.assign(value=json.dumps({**box(0), **sides}))


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ({"width": 0}, r"has a box without area \(width 0, height 8\)"),
        ({"height": -3}, r"has a box without area \(width 10, height -3\)"),
        ({"left": 40}, "has a box outside of its image of 40 x 30"),
        ({"top": -8}, "has a box outside of its image of 40 x 30"),
        ({"left": "3"}, "has a box with '3' where a number of pixels belongs"),
        ({"left": None}, "has a box with 'None' where a number of pixels belongs"),
        ({"width": float("inf")}, "has a box with 'inf' where a number of pixels belongs"),
        ({"top": True}, "has a box with 'True' where a number of pixels belongs"),
    ],
)
def test_boxes_that_are_none_are_refused_by_name(sides: dict[str, Any], said: str, tmp_path: Path) -> None:
    for form in ("manifest", "yolo", "voc", "imagefolder"):
        with pytest.raises(InputError, match=said):
            export(boxed(tmp_path / "in", **sides), str(tmp_path / "out"), form)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["manifest", "coco", "yolo", "voc"])
def test_boxes_that_reach_beyond_their_image_are_cut_and_that_is_said(form: str, tmp_path: Path) -> None:
    _, name, read = READERS[form][0]
    table = boxed(tmp_path / "in", left=-2, top=25, width=50)
    sizes = pd.DataFrame({"item": table["item"], "width": [40], "height": [30]})
    done = export(table, str(tmp_path / name), form, sizes=sizes)
    assert "1 boxes reached beyond their images and were cut to them" in done.notes
    same(form, read(str(tmp_path / name)), wanted(boxed(tmp_path / "in", left=0, top=25, width=40, height=5)))


@given(st.lists(st.floats(-50, 90), min_size=2, max_size=2), st.lists(st.floats(0.01, 200), min_size=2, max_size=2))
def test_a_cut_box_lies_inside(corner: list[float], extent: list[float]) -> None:
    try:
        found = inside("x", Shape("box", (*corner, *extent)), (40, 30))
    except InputError:
        assert corner[0] >= 40 or corner[1] >= 30 or corner[0] + extent[0] <= 0 or corner[1] + extent[1] <= 0
        return
    left, top, width, height = found.box
    assert left >= 0 and top >= 0 and width > 0 and height > 0
    assert left + width <= 40 + 1e-9 and top + height <= 30 + 1e-9


def test_a_rotated_photograph_has_the_size_it_is_seen_in(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "x.jpg", exif=exif)
    table = simple(tmp_path / "in", "box", ("cat",)).assign(item=str(tmp_path / "x.jpg"))
    export(table, str(tmp_path / "out.manifest"), "manifest")
    (line,) = read_lines(str(tmp_path / "out.manifest"))
    assert line["label"]["image_size"] == [{"width": 30, "height": 40, "depth": 3}]


def test_an_image_on_which_nothing_was_found_is_an_example_and_one_nobody_looked_at_is_none(tmp_path: Path) -> None:
    first, second, third = pictures(tmp_path / "in", 3)
    size = {"image_size": [{"width": 40, "height": 30, "depth": 3}]}
    facts = {"class-map": {"0": "cat"}, "objects": [{"confidence": 0.9}], "type": "groundtruth/object-detection"}
    manifest = write_manifest(
        tmp_path / "in.manifest",
        {"source-ref": first, "t": {**size, "annotations": [{"class_id": 0, **box(0)}]}, "t-metadata": facts},
        {"source-ref": second, "t": {**size, "annotations": []}, "t-metadata": {**facts, "objects": []}},
        {"source-ref": third, "t-metadata": {**facts, "failure-reason": "no worker answered"}},
    )
    for form, out, read in (("coco", "c.json", read_coco_json), ("yolo", "yolo", lambda out: None)):
        done = json.loads(command("export", manifest, str(tmp_path / out), "--as", form, "--json").stdout)
        assert (done["items"], done["left_out"]) == (2, {"no worker answered": 1})
        read(str(tmp_path / out))
    assert list(read_coco_json(str(tmp_path / "c.json"))) == [first, second]
    assert tree(tmp_path / "yolo/labels/train")["x-2.txt"] == b""
    assert json.loads((tmp_path / "c.json").read_text())["images"][1]["width"] == 40
    command("export", manifest, str(tmp_path / "out.manifest"), "--as", "manifest")
    values = [line["t"] for line in read_lines(str(tmp_path / "out.manifest"))]
    assert values == [{**size, "annotations": [{"class_id": 0, **box(0)}]}, {**size, "annotations": []}]


@pytest.mark.parametrize("link", [False, True])
def test_coco_with_its_images_beside_it(link: bool, tmp_path: Path) -> None:
    table = simple(tmp_path / "in", "box")
    out = tmp_path / "out"
    export(table, str(out), "coco", images=True, link=link)
    content = json.loads((out / "annotations.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["images/x.png", "images/x-2.png", "images/2.png"]
    for image, item in zip(content["images"], table["item"], strict=True):
        assert (out / image["file_name"]).read_bytes() == Path(item).read_bytes()
        assert (out / image["file_name"]).samefile(item) is link
        assert (image["width"], image["height"]) == (40, 30)
    same("coco", read_coco_json(str(out / "annotations.json")), wanted(table))


def test_masks_leave_their_background_out(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    (item,) = pictures(tmp_path / "in", 1)
    mask = Image.new("RGB", (40, 30), "#ffffff")
    mask.paste("#1f77b4", (5, 6, 15, 16))
    mask.save(tmp_path / "mask.png")
    colours = {"0": ("BACKGROUND", "#ffffff"), "1": ("cat", "#1f77b4"), "2": ("dog", "#2ca02c")}
    entries = {
        key: {"class-name": name, "hex-color": colour, "confidence": 0.9} for key, (name, colour) in colours.items()
    }
    facts = {"internal-color-map": entries, "type": "groundtruth/semantic-segmentation"}
    line = {"source-ref": item, "t-ref": str(tmp_path / "mask.png"), "t-ref-metadata": facts}
    manifest = write_manifest(tmp_path / "in.manifest", line)
    printed = json.loads(command("export", manifest, str(tmp_path / "c.json"), "--as", "coco", "--json").stdout)
    assert printed["left_out"] == {"a mask's background": 1, "classes without a pixel on their mask": 1}
    content = json.loads((tmp_path / "c.json").read_text())
    assert [one["name"] for one in content["categories"]] == ["cat", "dog"]
    (one,) = content["annotations"]
    assert (one["bbox"], one["area"], one["category_id"]) == ([5, 6, 10, 10], 100, 2)


# ---------------------------------------------------------------------- two rows, other tables


@pytest.mark.parametrize("form", ["manifest", "folders", "imagefolder"])
def test_two_labels_of_one_item_are_refused_and_repeats_counted(form: str, tmp_path: Path) -> None:
    table = simple(tmp_path / "in", "one")
    out = str(tmp_path / READERS[form][0][1])
    twice = pd.concat([table, table.head(1).assign(label="owl")])
    with pytest.raises(InputError, match=r"a/x.png has two labels, 'cat' and 'owl'; leave one of the rows"):
        export(twice, out, form)
    done = export(pd.concat([table, table.head(1)]), out, form)
    assert (done.items, done.left_out) == (3, {"repeated rows": 1})


def test_multi_labels_of_a_manifest_lose_what_is_likelier_wrong_and_say_so(tmp_path: Path) -> None:
    facts = {"class-map": {"0": "cat", "1": "dog", "2": "owl"}, "type": "groundtruth/image-classification-multilabel"}
    lines = [
        {"source-ref": "s3://b/1", "t": [0, 1], "t-metadata": {**facts, "confidence-map": {"0": 0.9, "1": 0.2}}},
        {"source-ref": "s3://b/2", "t": [], "t-metadata": {**facts, "confidence-map": {}}},
        {"source-ref": "s3://b/3", "t": [2], "t-metadata": {**facts, "confidence-map": {"2": 0}}},  # a single worker's
    ]
    manifest = write_manifest(tmp_path / "in.manifest", *lines)
    out = str(tmp_path / "out.manifest")
    printed = json.loads(command("export", manifest, out, "--as", "manifest", "--json").stdout)
    assert printed["left_out"] == {"labels that a worker chose and that are likelier wrong": 1}
    found = [(line["t"], line["t-metadata"]["confidence-map"]) for line in read_lines(out)]
    assert found == [([0], {"0": 0.9}), ([], {}), ([2], {})]


def test_labels_of_gandts_own_lambda_with_several_are_a_multi_label(tmp_path: Path) -> None:
    lines = [
        {"source-ref": "s3://b/1", "t": {"labels": ["cat", "dog"], "confidence-map": {"cat": 0.9, "dog": 0.8}}},
        {"source-ref": "s3://b/2", "t": {"label": "owl", "confidence": 0.7}},
    ]
    for line in lines:
        line["t-metadata"] = {"type": "groundtruth/custom", "human-annotated": "yes"}
    out = str(tmp_path / "out.manifest")
    command("export", write_manifest(tmp_path / "in.manifest", *lines), out, "--as", "manifest")
    back = read_labels(out)
    assert back[["item", "label", "confidence"]].to_numpy().tolist() == [
        ["s3://b/1", "cat", 0.9],
        ["s3://b/1", "dog", 0.8],
        ["s3://b/2", "owl", 0.7],
    ]


def test_an_item_on_two_lines_is_refused(tmp_path: Path) -> None:
    facts = {"class-map": {"0": "cat"}, "objects": [{}], "type": "groundtruth/object-detection"}
    value = {"image_size": [{"width": 40, "height": 30, "depth": 3}], "annotations": [{"class_id": 0, **box(0)}]}
    line = {"source-ref": "s3://b/1", "t": value, "t-metadata": facts}
    manifest = write_manifest(tmp_path / "in.manifest", line, line)
    with pytest.raises(InputError, match="s3://b/1 is on two lines of the manifest"):
        command("export", manifest, str(tmp_path / "out.json"), "--as", "coco")


ANSWERS = pd.DataFrame({"item": ["a"], "worker": ["w"], "label": ["cat"]})
CANDIDATES = pd.DataFrame({"item": ["a"], "decision": ["discard"], "label": ["cat"], "score": [0.1], "reason": ["x"]})
ONE = pd.DataFrame({"item": ["a.jpg"], "label": ["cat"]})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("table", "said"),
    [
        (ANSWERS, "this table holds answers, one a worker; make labels of them first: gandt consensus"),
        (CANDIDATES, "this table holds candidates, with a filter's guess for a label"),
        (ONE[["item"]], "labels without the column label"),
        (ONE[["label"]], "labels without the column item"),
    ],
)
def test_tables_of_other_kinds_are_refused(form: str, table: pd.DataFrame, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        export(table, str(tmp_path / "out.csv"), form)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        (ONE.assign(item=[None]), {}, "row 1 of what is to be exported has no item"),
        (ONE.assign(item=[float("nan")]), {}, "row 1 of what is to be exported has no item"),
        (ONE.assign(label=[3]), {}, "has the label 3, which is no text"),
        (ONE.assign(label=[" "]), {}, r"nothing is left to export \(1 no label left out\)"),
        (ONE.assign(label=[None]), {}, r"nothing is left to export \(1 no label left out\)"),
        (ONE.assign(status=["relabel"]), {}, r"\(1 relabel left out\); --status chooses"),
        (
            ONE.assign(status=["relabel"]),
            {"statuses": ["sure"]},
            "there is no status 'sure'; there is confident, relabel",
        ),
        (ONE, {"statuses": ["relabel"]}, "these labels have no column status"),
        (ONE, {"skip_missing": True}, "the form manifest copies no images"),
        (ONE, {"link": True}, "the form manifest has no use for --link, which is of coco, yolo, voc, folders"),
        (ONE, {"images": True}, "the form manifest has no use for --images, which is of coco"),
        (ONE, {"attribute": "x-metadata"}, "ends in -metadata"),
        (ONE, {"attribute": "a b"}, "isn't 1 to 127 letters, digits and inner hyphens"),
        (ONE.assign(confidence_map="x"), {}, "a.jpg has the label 'cat', where others have a JSON list of several"),
        (ONE.assign(label='["cat"]', confidence_map="x"), {}, "a.jpg has a confidence_map that is no JSON object"),
        (ONE.assign(label='["cat"]', confidence_map='{"cat": 7}'), {}, "a.jpg has the confidence '7'"),
        (pd.concat([ONE, ONE.assign(label='["cat"]')]), {}, "some labels are lists and others, as a.jpg's, are not"),
        (pd.concat([ONE, ONE.assign(value=json.dumps(box(0)))]), {}, "a.jpg has a label that is no shape"),
        (ONE.assign(value='{"startOffset": 1, "endOffset": 3}'), {}, "these labels are spans of texts"),
        (ONE.assign(value='{"vertices": [{"x": 1, "y": 2}]}'), {}, "a.jpg has a polygon of 1 corners"),
    ],
)
def test_what_cannot_be_exported(table: pd.DataFrame, options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        export(table, str(tmp_path / "out"), "manifest", **options)
    assert not any(tmp_path.iterdir())


def test_what_cannot_be_exported_on_the_command_line(tmp_path: Path) -> None:
    labels = str(tmp_path / "labels.csv")
    tables.write_table(simple(tmp_path / "in", "one"), labels)
    out = str(tmp_path / "out")
    with pytest.raises(GandtError, match="nix"):
        command("export", labels, out, "--as", "coco", "--store", str(tmp_path / "nix"))
    with pytest.raises(GandtError, match="nix"):
        command("export", labels, out, "--as", "folders", "--store", str(tmp_path / "nix"))
    with pytest.raises(InputError, match="--category and by --categories; give one of the two"):
        command("export", labels, out, "--as", "folders", "--category", "cat", "--categories", "x.json")
    with pytest.raises(InputError, match="there is no form 'zip'"):
        command("export", labels, out, "--as", "zip")
    with pytest.raises(InputError, match="written locally"):
        command("export", labels, "s3://bucket/x", "--as", "folders")
    with pytest.raises(InputError, match="a table holds the labels' names and no numbers"):
        command("export", labels, out, "--as", "table", "--category", "cat")
    assert not Path(out).exists()
    sizes = pd.DataFrame({"item": ["a"], "width": [1], "height": [1]})
    with pytest.raises(InputError, match=r"the form folders has no use for the images' sizes \(--store\)"):
        export(ONE, out, "folders", sizes=sizes)


@pytest.mark.parametrize("form", ["yolo", "voc", "imagefolder"])
def test_files_that_readers_pass_over_are_refused(form: str, tmp_path: Path) -> None:
    table = simple(tmp_path / "in", BASE.get(form, "one"), ("cat",))
    other = Path(table["item"][0]).rename(tmp_path / "x")
    with pytest.raises(InputError, match=r"x ends in nothing, and readers of .* pass over such files"):
        export(table.assign(item=str(other)), str(tmp_path / "out"), form)


def test_xml_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    table = simple(tmp_path / "in", "box", ("cat",)).assign(label="a\x01b")
    with pytest.raises(InputError, match=r"XML can't hold the character U\+0001; take COCO"):
        export(table, str(tmp_path / "out"), "voc")
    assert not (tmp_path / "out").exists()


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    labels = str(tmp_path / "labels.csv")
    tables.write_table(simple(tmp_path / "in", "one", status=["confident", "relabel", "unanswered"]), labels)
    result = command("export", labels, str(tmp_path / "out"), "--as", "folders")
    assert "left out: 1 relabel" in result.stderr and "left out: 1 unanswered" in result.stderr
    assert "classes are numbered" not in result.stderr
    result = command("export", labels, str(tmp_path / "out.manifest"), "--as", "manifest")
    assert "classes are numbered in the order of the names that occur" in result.stderr
    printed = json.loads(command("export", labels, str(tmp_path / "again"), "--as", "folders", "--json").stdout)
    assert printed["left_out"] == {"relabel": 1, "unanswered": 1}


@pytest.mark.parametrize(
    ("label", "kind"),
    [("01", "csv"), ("1e5", "csv"), ("NA", "csv"), ("true", "csv"), ("01", "jsonl"), ("1e5", "jsonl")],
)
def test_labels_that_pandas_makes_something_else_of_are_said(label: str, kind: str, tmp_path: Path) -> None:
    for name in (label, "cat"):
        done = export(ONE.assign(label=name), str(tmp_path / f"x.{kind}"), "table")
        assert any("pandas makes something else of 1 labels" in note for note in done.notes) is (name != "cat")
    assert not export(ONE.assign(label=label), str(tmp_path / "x.parquet"), "table").notes


@pytest.mark.parametrize("link", [False, True])
def test_folders_hold_every_file_inside_whatever_the_labels(tmp_path: Path, link: bool) -> None:
    table = simple(tmp_path / "in", "one", ("cat", "../dog", "..", "Cat", "a/b", "a:b"))
    out = tmp_path / "out" / "folders"
    done = export(table, str(out), "folders", link=link)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["folders"]
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["Cat", "_", "_dog", "a_b", "a_b-2", "cat-2"]
    assert any("labels can't be folders' names and are written otherwise" in note for note in done.notes)
    back = pd.read_parquet(out / "labels.parquet")
    assert back["label"].tolist() == table["label"].tolist()
    for name, item in zip(back["file_name"], table["item"], strict=True):
        assert (out / name).samefile(item) is link
    with pytest.raises(InputError, match="isn't a new or empty folder"):
        export(table, str(out), "folders")


# ---------------------------------------------------------------------- interrupted


def moments(form: str, table: pd.DataFrame, out: Path, patch: pytest.MonkeyPatch) -> int:
    """Export once; return how many files are written on the way."""
    count = 0
    real = storage.write_bytes

    def counted(*args: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        real(*args, **options)

    with patch.context() as here:
        here.setattr(storage, "write_bytes", counted)
        export(table, str(out), form)
    return count


@pytest.mark.parametrize("marker", ["", "[]", "{}", "x", '{"files": [1], "texts": 3, "link": 0}', '{"files": null}'])
def test_a_folder_with_a_marker_that_is_none_is_refused(marker: str, tmp_path: Path) -> None:
    table = simple(tmp_path / "in", "one")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MARKER).write_text(marker)
    with pytest.raises(InputError, match="isn't a new or empty folder"):
        export(table, str(tmp_path / "out"), "folders")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="isn't a new or empty folder"):
        export(table, str(tmp_path / "file"), "folders")


@pytest.mark.parametrize("form", COPYING)
def test_an_interrupted_export_is_completed(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before each file that it writes, and right after it, with what a killed process leaves lying about."""
    table = simple(tmp_path / "in", BASE.get(form, "one"))
    whole = tmp_path / "whole"
    count = moments(form, table, whole, monkeypatch)
    assert count > 4 and MARKER not in tree(whole)
    real = storage.write_bytes
    for stop in range(1, count + 1):
        for after in (False, True):
            out, number = tmp_path / f"out-{stop}-{after}", 0

            def dying(uri: str, *args: Any, stop: int = stop, after: bool = after, **options: Any) -> None:
                nonlocal number
                number += 1
                if number < stop or after:
                    real(uri, *args, **options)
                if number == stop:
                    part = Path(uri).with_name(f".{Path(uri).name}.{'0' * 32}.part")
                    part.parent.mkdir(parents=True, exist_ok=True)
                    part.write_bytes(b"half")
                    raise KeyboardInterrupt

            with monkeypatch.context() as here, pytest.raises(KeyboardInterrupt):
                here.setattr(storage, "write_bytes", dying)
                export(table, str(out), form)
            export(table, str(out), form)
            assert tree(out) == tree(whole)


def test_a_completed_export_copies_nothing_twice_and_takes_up_no_other(tmp_path: Path, monkeypatch: Any) -> None:
    table = simple(tmp_path / "in", "one")
    out = str(tmp_path / "out")
    gone = Path(table["item"][2])
    real, read = storage.read_bytes, []

    def reading(uri: str, **options: Any) -> bytes:
        read.append(uri)
        if uri == str(gone) and len(read) == 3:
            raise StorageError(f"can't read {uri}: the network is down")
        return real(uri, **options)

    monkeypatch.setattr(storage, "read_bytes", reading)
    with pytest.raises(StorageError, match="the network is down"):
        export(table, out, "folders")
    with pytest.raises(InputError, match="holds an unfinished export of something else"):
        export(table.assign(label="owl"), out, "folders")
    with pytest.raises(InputError, match="holds an unfinished export of something else"):
        export(table, out, "folders", link=True)
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"something else \(there is mine.txt\)"):
        export(table, out, "folders")
    (tmp_path / "out/mine.txt").unlink()
    read.clear()
    assert export(table, out, "folders").items == 3
    assert read == [str(gone)]


def test_a_file_that_went_missing_can_be_left_out_of_what_is_completed(tmp_path: Path, monkeypatch: Any) -> None:
    table = simple(tmp_path / "in", "one")
    out, gone = tmp_path / "out", Path(table["item"][2])
    real = storage.read_bytes

    def vanishing(uri: str, **options: Any) -> bytes:
        if uri == str(gone):
            gone.unlink(missing_ok=True)
        return real(uri, **options)

    with monkeypatch.context() as here, pytest.raises(StorageError, match="No such file"):
        here.setattr(storage, "read_bytes", vanishing)
        export(table, str(out), "folders")
    with pytest.raises(InputError, match=f"there is no file {gone}; bring it back"):
        export(table, str(out), "folders")
    assert export(table, str(out), "folders", skip_missing=True).left_out == {"the file is missing": 1}
    assert sorted(tree(out)) == ["cat/x.png", "dog/x.png", "labels.parquet"]


def test_files_in_s3_are_looked_for_and_copied(s3: Any, tmp_path: Path) -> None:
    for number in range(3):
        s3.put_object(Bucket="bucket", Key=f"{number}.png", Body=str(number).encode())
    table = pd.DataFrame({"item": [f"s3://bucket/{n}.png" for n in range(4)], "label": "cat"})
    with pytest.raises(InputError, match=r"there is no file s3://bucket/3.png; bring it back"):
        export(table, str(tmp_path / "out"), "folders", s3=s3)
    with pytest.raises(InputError, match=r"there is no file s3://nowhere/1; bring it back"):
        export(table.head(1).assign(item="s3://nowhere/1"), str(tmp_path / "out"), "folders", s3=s3)
    assert export(table, str(tmp_path / "out"), "folders", skip_missing=True, s3=s3).items == 3
    assert (tmp_path / "out/cat/2.png").read_bytes() == b"2"


# ---------------------------------------------------------------------- manifests that are read


@pytest.mark.parametrize(
    ("kind", "value", "facts"),
    [
        ("image-classification", 0, {"class-name": None}),
        ("image-classification-multilabel", [0], {"class-map": {"0": None}}),
        ("object-detection", {"annotations": [{"class_id": None, "left": 1}]}, {}),
        ("object-detection", {"annotations": [{"left": 1}]}, {}),
        ("semantic-segmentation", "s3://b/m.png", {"internal-color-map": {"0": {"hex-color": "#ffffff"}}}),
        ("text-span", {"annotations": {"entities": [{"startOffset": 1}]}}, {}),
    ],
)
def test_a_class_without_a_name_is_no_label_called_none(kind: str, value: Any, facts: Any, tmp_path: Path) -> None:
    line = {"source-ref": "s3://b/1", "t": value, "t-metadata": {**facts, "type": f"groundtruth/{kind}"}}
    (row,) = labels_of(line, "t")
    assert row["label"] is None and row["reason"] == "its class has no name"
    with pytest.raises(InputError, match=r"nothing is left to export \(1 its class has no name left out\)"):
        command("export", write_manifest(tmp_path / "x.manifest", line), str(tmp_path / "o"), "--as", "manifest")


def test_a_manifest_without_labels_is_refused(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "x.manifest", {"source-ref": "s3://b/1"})
    for words in (("manifest", "labels", manifest), ("export", manifest, str(tmp_path / "o"), "--as", "manifest")):
        with pytest.raises(InputError, match=r"no line of .* has a label attribute"):
            command(*words)


def test_texts_stay_texts(tmp_path: Path) -> None:
    facts = {"class-name": "joy", "confidence": 0.9, "type": "groundtruth/text-classification"}
    manifest = write_manifest(tmp_path / "x.manifest", {"source": "What a day!", "mood": 4, "mood-metadata": facts})
    out = str(tmp_path / "out.manifest")
    command("export", manifest, out, "--as", "manifest")
    (line,) = read_lines(out)
    assert (line["source"], line["mood"], line["mood-metadata"]["type"]) == ("What a day!", 4, facts["type"])
    with pytest.raises(InputError, match="the form folders is for one label an item, and these labels are texts"):
        command("export", manifest, str(tmp_path / "o"), "--as", "folders")


def test_yolo_reads_its_own_files(tmp_path: Path) -> None:
    """Two pictures of one stem and two endings get two label files."""
    table = simple(tmp_path / "in", "box", ("cat", "dog"))
    Image.new("RGB", (40, 30)).save(tmp_path / "in/x.jpg")
    table.loc[1, "item"] = str(tmp_path / "in/x.jpg")
    export(table, str(tmp_path / "out"), "yolo")
    assert sorted(path.name for path in (tmp_path / "out/labels/train").iterdir()) == ["x-2.txt", "x.txt"]
    same("yolo", read_yolo(str(tmp_path / "out")), wanted(table))
