"""Relabel or label new; duplicates asked once."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gandt import consolidate
from gandt.candidates.carry import carry_labels, representatives
from gandt.candidates.relabel import rank_answers
from gandt.embedding import EmbeddingStore
from gandt.embedding.store import Record
from gandt.embedding.writer import Writer
from gandt.errors import InputError
from gandt.rounds.select import select


def ranked(answers: list[tuple[str, str, str]], model: dict[str, float], **options: Any) -> pd.DataFrame:
    table = pd.DataFrame(answers, columns=["item", "worker", "label"])
    consensus = consolidate(table, categories=["cat", "dog"])
    probabilities = pd.DataFrame({"item": list(model), "cat": list(model.values())})
    probabilities["dog"] = 1 - probabilities["cat"]
    return rank_answers(table, probabilities, consensus.labels, consensus.workers, **options)


AGREEING = [(f"easy {number}", worker, "cat") for number in range(20) for worker in "abc"] + [
    (f"easy dog {number}", worker, "dog") for number in range(20) for worker in "abc"
]
SURE = {f"easy {number}": 0.95 for number in range(20)} | {f"easy dog {number}": 0.05 for number in range(20)}


def test_an_item_in_dispute_goes_before_one_agreed_upon_and_an_unknown_before_both() -> None:
    answers = [*AGREEING, ("disputed", "a", "cat"), ("disputed", "b", "dog")]
    table = ranked(answers, {**SURE, "disputed": 0.5, "new and unclear": 0.5, "new and clear": 0.97})
    rank = {item: number for number, item in enumerate(table["item"])}
    assert rank["new and unclear"] < rank["easy 1"]
    assert rank["disputed"] < rank["easy 1"]
    assert rank["new and unclear"] < rank["new and clear"]
    assert dict(zip(table["item"], table["ask"], strict=True))["disputed"] == "another answer"
    assert dict(zip(table["item"], table["ask"], strict=True))["new and clear"] == "first answer"
    assert table["score"].between(0, 1).all()


def test_more_agreeing_answers_raise_the_score_and_the_cap_ends_asking() -> None:
    answers = [*AGREEING, ("one", "a", "cat"), ("four", "a", "cat"), ("four", "b", "cat")]
    answers += [("four", "c", "cat"), ("four", "d", "cat")]
    model = {**SURE, "one": 0.8, "four": 0.8}
    table = ranked(answers, model).set_index("item")
    assert table.loc["one", "score"] < table.loc["four", "score"]
    assert table.loc["four", "answers"] == 4
    assert "four" not in set(ranked(answers, model, most=4)["item"])


def test_what_ranking_refuses() -> None:
    with pytest.raises(InputError, match="the label 'bird' is none of the classifier's classes cat, dog"):
        rank_answers(
            pd.DataFrame({"item": ["x"], "worker": ["a"], "label": ["bird"]}),
            pd.DataFrame({"item": ["x"], "cat": [0.5], "dog": [0.5]}),
            pd.DataFrame({"item": ["x"], "label": ["bird"]}),
            pd.DataFrame({"worker": ["a"], "reliability": [0.9]}),
        )
    with pytest.raises(InputError, match="the table of workers lacks the column reliability"):
        empty = pd.DataFrame({"item": [], "worker": [], "label": []})
        rank_answers(empty, pd.DataFrame({"item": []}), empty, pd.DataFrame({"worker": []}))


def store_of(path: Path, contents: dict[str, str]) -> EmbeddingStore:
    """Make a store in which an item has the bytes named by the second string; the first letter makes the vector."""
    description = {"model": "test", "weights": "", "precision": "fp32", "preprocessing": {}, "dim": 3}
    with Writer(str(path), {**description, "dtype": "float32"}) as writer:
        seen: dict[str, int] = {}
        records, rows = [], []
        for item, content in contents.items():
            new = content not in seen
            if new:
                seen[content] = len(rows)
                rng = np.random.default_rng(ord(content[0]))
                vector = rng.normal(size=3) + 0.01 * len(rows)
                rows.append(vector / np.linalg.norm(vector))
            row = seen[content] if new else -1
            records.append(Record(item, content, 10, 10, "embedded", "", row, "1"))
        writer.write(records, np.array(rows, np.float32))
    return EmbeddingStore.open(str(path))


def test_duplicates_are_asked_once_and_the_label_is_carried_over_and_marked(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", {"/b": "x1", "/a": "x1", "/c": "y1", "/d": "z1"})
    stands_for = representatives(store)
    assert stands_for.to_dict() == {"/a": "/a", "/b": "/a", "/c": "/c", "/d": "/d"}
    near = pd.DataFrame(
        {"group": [0, 0], "item": ["/c", "/d"], "kind": ["representative", "near"], "similarity": [1, 0.95]}
    )
    assert representatives(store, near)["/d"] == "/c"
    labels = pd.DataFrame({"item": ["/a", "/c"], "label": ["cat", None], "method": ["auto", "auto"]})
    carried = carry_labels(labels, representatives(store, near)).set_index("item")
    assert carried.loc["/b"].to_dict() == {"label": "cat", "method": "carried", "carried_from": "/a"}
    assert carried.loc["/a", "carried_from"] == ""
    assert "/d" not in carried.index, "there is no label to carry"


def test_a_labelled_duplicate_speaks_for_its_group_even_if_it_is_no_representative(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", {"/a": "x1", "/b": "x1", "/c": "x1"})
    carried = carry_labels(pd.DataFrame({"item": ["/b"], "label": ["cat"]}), representatives(store), only=["/c"])
    assert carried[["item", "label", "carried_from"]].to_numpy().tolist() == [["/b", "cat", ""], ["/c", "cat", "/b"]]
    nothing = pd.DataFrame({"item": [], "label": []})
    assert not len(carry_labels(nothing, representatives(store)))


def test_select_asks_each_heap_of_duplicates_once_and_none_whose_duplicate_is_labelled(tmp_path: Path) -> None:
    contents = {"/a": "x", "/b": "x", "/c": "y", "/d": "z", "/e": "z", "/f": "w"}
    store = store_of(tmp_path / "store", contents)
    known = {"/b": "cat", "/c": "dog"}
    assert set(select(store, known, 2, strategy="random")["item"]) == {"/d", "/f"}
    with pytest.raises(InputError, match=r"2 items are left to ask \(duplicates count once\)"):
        select(store, known, 3)
    near = pd.DataFrame(
        {"group": [0, 0], "item": ["/f", "/d"], "kind": ["representative", "near"], "similarity": [1, 0.95]}
    )
    assert select(store, known, 1, duplicates=near)["item"].tolist() == ["/f"], "/d is near it, and /e a copy of /d"
