import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandt.errors import InputError
from gandt.manifest import read_labels
from gandt.manifest.labels import label_attributes, labels_of
from gandt.manifest.lines import read_lines

AUGMENTED = str(Path(__file__).parent / "fixtures" / "ground-truth" / "augmented.manifest")
MANY_I, MANY_T = "image-classification-multilabel", "text-classification-multilabel"


@pytest.fixture(scope="module")
def table():
    return read_labels(AUGMENTED)


def rows(table, item):
    part = table[table["item"] == item]
    return list(zip(part["label"], part["confidence"].round(4), part["type"], strict=True))


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        ("s3://kites/1.jpg", [("kite", 0.95, "image-classification")]),
        ("s3://kites/2.jpg", [("balloon", 0.61, "image-classification")]),
        ("Let it fly!", [("glad", 0.8, "text-classification")]),
        ("s3://kites/3.jpg", [(*label, MANY_I) for label in (("kite", 0.95), ("person", 0.77), ("cloud", 0.2))]),
        ("Windy and wet", [("wind", 0.9, MANY_T), ("rain", 0.4, MANY_T)]),
        ("s3://kites/4.jpg", [("kite", 0.9, "object-detection"), ("balloon", 0.7, "object-detection")]),
        ("s3://kites/6.jpg", [("bad", 0.93, "label-verification")]),
        ("s3://kites/7.jpg", [("BACKGROUND", 0.9, "semantic-segmentation"), ("kite", 0.8, "semantic-segmentation")]),
        ("Kites over Ghent", [("place", 0.7, "text-span")]),
        ("s3://kites/8.jpg", [("kite", 0.97, "custom")]),
        ("s3://kites/9.jpg", [("kite", 0.9, "custom")]),
    ],
)  # fmt: skip
def test_every_type_of_the_contract(table, item, wanted) -> None:
    assert rows(table, item) == wanted


def test_what_a_label_alone_does_not_say_is_in_value(table) -> None:
    value = {row.item: json.loads(row.value) for row in table.itertuples() if isinstance(row.value, str)}
    assert value["s3://kites/4.jpg"] == {"left": 300, "top": 5, "width": 40, "height": 40}
    assert value["s3://kites/6.jpg"]["worker-feedback"][0] == {"comment": "one kite is missing"}
    assert value["s3://kites/7.jpg"] == {"mask": "s3://kites/out/mask-7.png", "hex-color": "#2acf59"}
    assert value["Kites over Ghent"] == {"startOffset": 11, "endOffset": 16}
    assert value["s3://kites/8.jpg"]["votes"] == {"kite": 2}


def test_custom_labels_of_others(table) -> None:
    assert rows(table, "s3://kites/11.jpg")[0][0] == "0"
    assert rows(table, "s3://kites/13.jpg")[0][0] == "not cell"


def test_both_spellings_of_the_metadata(table) -> None:
    custom = table[table["attribute"] == "flying"]
    assert custom["job"].unique().tolist() == ["find-kites"]
    assert custom["created_at"].dt.year.tolist() == [2020, 2021, 2021]
    first = table[table["item"] == "s3://kites/1.jpg"].iloc[0]
    assert (first["job"], first["human"], str(first["created_at"])) == (
        "sky-one",
        True,
        "2019-04-18 16:40:59.217995+00:00",
    )
    assert not table[table["item"] == "s3://kites/2.jpg"].iloc[0]["human"]


def test_objects_without_a_label_say_why(table) -> None:
    reasons = table[table["label"].isna()].set_index("item")["reason"]
    assert reasons["s3://kites/12.jpg"] == "no worker answered"
    assert reasons["s3://kites/5.jpg"] == "nothing was found on it"
    assert reasons["s3://kites/10.jpg"] == "nobody answered"
    assert "its answers are in s3://bucket/raw/" in reasons["No post-Lambda here"]
    assert "s3://kites/14.jpg" not in set(table["item"])  # it was never asked


def test_data_objects_are_numbered_as_the_service_does(table) -> None:
    assert table[table["item"] == "s3://kites/10.jpg"]["data_object"].tolist() == ["11"]


def test_one_attribute(table) -> None:
    assert read_labels(AUGMENTED, attribute="sky")["item"].tolist() == [f"s3://kites/{n}.jpg" for n in (1, 2, 12)]
    with pytest.raises(InputError, match="'skye'"):
        read_labels(AUGMENTED, attribute="skye")
    assert label_attributes(read_lines(AUGMENTED))[:3] == ["sky", "mood", "seen"]


def test_labels_held_in_s3_are_fetched(s3) -> None:
    s3.put_object(
        Bucket="bucket",
        Key="held.json",
        Body=json.dumps({"label": "kite", "labels": ["kite"], "confidence": 0.9, "votes": {"kite": 3}}),
    )
    line = {"source-ref": "s3://b/1", "t": {"label": "kite", "confidence": 0.9, "s3Uri": "s3://bucket/held.json"}}
    (row,) = labels_of(line, "t", s3=s3)
    assert (row["label"], json.loads(row["value"])) == ("kite", {"votes": {"kite": 3}})
    line["t"]["s3Uri"] = "s3://bucket/lost.json"
    assert labels_of(line, "t", s3=s3)[0]["label"] == "kite"


def test_the_real_job(shared) -> None:
    table = read_labels(str(shared / "groundtruth-job/manifests/output/output.manifest"))
    assert len(table) == 100 and table["label"].notna().all() and (table["type"] == "image-classification").all()
    assert table["confidence"].max() == 0.95


keys = st.sampled_from(["annotations", "entities", "class_id", "label", "labels", "confidence", "items", "s3Uri"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=4),
    max_leaves=15,
)
KINDS = [
    *("image-classification", "object-detection", "text-span", "custom", "semantic-segmentation"),
    *("image-classification-multilabel", "label-verification"),
]
metadata = st.sampled_from(
    ["class-name", "class-map", "confidence-map", "confidence", "objects", "internal-color-map", "entities", "job-name"]
)


@settings(max_examples=150, deadline=None)
@given(
    value=anything,
    kind=st.sampled_from(["groundtruth/" + kind for kind in KINDS]) | anything,
    rest=st.dictionaries(metadata, anything),
)
def test_any_label_is_survived(value, kind, rest) -> None:
    found = labels_of({"source": "x", "t": value, "t-metadata": {"type": kind, **rest}}, "t", s3=object())
    assert found
    for row in found:
        assert row.get("label") is None or isinstance(row["label"], str)
        assert isinstance(row.get("confidence", math.nan), float)
