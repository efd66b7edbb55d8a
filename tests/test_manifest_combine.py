import json

import pytest

from gandt.errors import InputError
from gandt.manifest import build_manifest
from gandt.manifest.combine import (
    certainty,
    chain_lines,
    explode_pages,
    filter_lines,
    join_lines,
    merge_lines,
    split_lines,
    split_share,
)


def line(number, label=None, confidence=0.9, *, attribute="sky", day=1, human="yes", **rest):
    """A line of an image classification job's output."""
    made = {"source-ref": f"s3://b/{number}.jpg", **rest}
    if label is None:
        return made
    metadata = {
        "class-name": label, "confidence": confidence, "human-annotated": human, "job-name": "labeling-job/j",
        "creation-date": f"2026-01-{day:02}T00:00:00.000001", "type": "groundtruth/image-classification",
    }  # fmt: skip
    return {**made, attribute: 0, f"{attribute}-metadata": metadata}


def page(*labels, attribute="flying"):
    """A page of gandt's own output, an item for each (label, confidence)."""
    made = build_manifest(
        [f"s3://b/{n}.jpg" for n in range(len(labels))], per_page=len(labels), categories=["x"]
    ).lines[0]
    items = [
        {
            "source-ref": f"s3://b/{n}.jpg",
            "index": n,
            "label": label,
            "labels": [label] if label else [],
            "confidence": sure,
        }
        for n, (label, sure) in enumerate(labels)
    ]
    return made | {
        attribute: {"items": items},
        f"{attribute}-metadata": {"type": "groundtruth/custom", "job-name": "j"},
    }


LINES = [line(0, "kite", 0.95), line(1, "cloud", 0.6), line(2), line(3, "kite", 0.7, human="no")]


def numbers(lines):
    return [int(entry["source-ref"].split("/")[-1].split(".")[0]) for entry in lines]


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        ({}, [0, 1, 3]),
        ({"labels": ["kite"]}, [0, 3]),
        ({"min_confidence": 0.7}, [0, 3]),
        ({"max_confidence": 0.7}, [1, 3]),
        ({"human": False}, [3]),
        ({"labels": ["kite"], "human": True}, [0]),
    ],
)
def test_filter(conditions, wanted) -> None:
    assert numbers(filter_lines(LINES, "sky", **conditions)) == wanted


def test_split_by_confidence_loses_no_line() -> None:
    confident, uncertain = split_lines(LINES, "sky", 0.7)
    assert (numbers(confident), numbers(uncertain)) == ([0, 3], [1, 2])


def test_certainty_of_a_multi_label_is_the_distance_from_one_half() -> None:
    metadata = {"type": "groundtruth/image-classification-multilabel", "confidence-map": {"0": 0.9, "1": 0.2}}
    assert certainty({"source-ref": "s3://b/1", "m": [0, 1], "m-metadata": metadata}, "m") == pytest.approx(0.8)
    assert certainty(page(("x", 0.9), ("y", 0.6)), "flying") == 0.6


def test_split_at_random_is_stable() -> None:
    many = [line(number) for number in range(1_000)]
    first, second = split_share(many, 0.8)
    assert len(first) + len(second) == 1_000 and 750 < len(first) < 850
    assert numbers(split_share(many[::2], 0.8)[0]) == [number for number in numbers(first) if number % 2 == 0]
    assert split_share(many, 0.8, seed=1)[0] != first
    with pytest.raises(InputError, match="between 0 and 1"):
        split_share(many, 1.0)


def test_chain_with_the_same_attribute_resumes() -> None:
    chained = chain_lines(LINES, "sky", min_confidence=0.9)
    assert numbers(chained) == [0, 1, 2, 3]
    assert ["sky" in entry and "sky-metadata" in entry for entry in chained] == [True, False, False, False]
    assert "sky" in LINES[1]  # nothing is changed in place


def test_chain_with_a_new_attribute_relabels_only_what_is_uncertain() -> None:
    chained = chain_lines(LINES, "sky", min_confidence=0.9, new_attribute="sky-2")
    assert numbers(chained) == [1, 2, 3]
    assert chained[0]["sky-metadata"]["class-name"] == "cloud"  # the old label passes through
    with pytest.raises(InputError, match="both the old and the new"):
        chain_lines(LINES, "sky", min_confidence=0.9, new_attribute="sky")


def test_chain_takes_pages_apart() -> None:
    chained = chain_lines(
        [page(("kite", 0.99), ("kite", 0.5), (None, None))], "flying", min_confidence=0.9, new_attribute="again"
    )
    assert numbers(chained) == [1, 2]
    assert (
        chained[0]["flying"]["label"] == "kite" and "flying" not in chained[1] and "flying-metadata" not in chained[1]
    )


def test_explode_pages_keeps_single_lines() -> None:
    exploded = list(explode_pages([LINES[0], page(("x", 0.9), ("y", 0.8))]))
    assert numbers(exploded) == [0, 0, 1]
    assert exploded[0] == LINES[0]
    assert json.dumps(exploded).count("index") == 0


def test_join_puts_attributes_side_by_side() -> None:
    joined = join_lines([line(0, "kite"), line(1)], [line(1, "blue", attribute="color"), line(5)])
    assert numbers(joined) == [0, 1, 5]
    assert set(joined[1]) == {"source-ref", "color", "color-metadata"}
    with pytest.raises(InputError, match=r"s3://b/0\.jpg has two values for 'sky-metadata'"):
        join_lines([line(0, "kite")], [line(0, "cloud")])


def test_merge_takes_the_latest_label_and_tells_conflicts() -> None:
    first = [line(0, "kite", day=1), line(1, "kite", 0.5, day=1), line(2), line(3, "kite", day=3)]
    second = [
        line(1, "cloud", 0.8, day=2, attribute="sky-2"),
        line(3, "bird", 0.99, day=2, attribute="sky-2", note="x"),
        line(4),
    ]
    merged, conflicts = merge_lines([first, second])
    assert numbers(merged) == [0, 1, 2, 3, 4]
    assert [entry.get("sky-metadata", {}).get("class-name") for entry in merged] == [
        "kite",
        "cloud",
        None,
        "kite",
        None,
    ]
    assert not any("sky-2" in entry for entry in merged) and merged[3]["note"] == "x"
    assert conflicts.to_numpy().tolist() == [
        ["s3://b/1.jpg", "cloud", "manifest 2, sky-2", "kite", "manifest 1, sky"],
        ["s3://b/3.jpg", "kite", "manifest 1, sky", "bird", "manifest 2, sky-2"],
    ]
    merged, _ = merge_lines([first, second], prefer="confidence", into="final")
    assert [entry["final-metadata"]["class-name"] for entry in merged if "final" in entry] == ["kite", "cloud", "bird"]


def test_merge_of_pages_and_of_failed_objects() -> None:
    failed = {
        "source-ref": "s3://b/0.jpg",
        "flying": {},
        "flying-metadata": {"type": "groundtruth/custom", "creation-date": "2027-01-01"},
    }
    merged, conflicts = merge_lines(
        [[page(("kite", 0.9), (None, None))], [failed, line(1, "cloud", attribute="flying")]]
    )
    assert [
        entry["flying"] if entry["source-ref"] == "s3://b/1.jpg" else entry["flying"]["label"] for entry in merged
    ] == ["kite", 0]
    assert conflicts.empty  # no label is no opinion


@pytest.mark.parametrize(
    ("options", "words"), [({"prefer": "best"}, "no preference"), ({"attributes": ["x"]}, "under x")]
)
def test_merge_names_what_it_cannot_do(options, words) -> None:
    with pytest.raises(InputError, match=words):
        merge_lines([LINES], **options)
