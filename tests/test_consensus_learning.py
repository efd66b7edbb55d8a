"""Consensus and classifier that teach each other, on handwritten digits and on made-up clusters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from gandt.consensus import consolidate, consolidate_sets, consolidate_with_vectors
from gandt.consensus.classifier import out_of_sample
from gandt.errors import InputError

CLASSES = ("cat", "dog", "owl")
Scene = tuple[list[str], np.ndarray, np.ndarray]


def clusters(items: int = 150, seed: int = 0) -> Scene:
    """Names, vectors and classes of items in three clouds."""
    random = np.random.default_rng(seed)
    codes = np.arange(items) % len(CLASSES)
    vectors = np.eye(len(CLASSES), 6)[codes] + random.normal(0, 0.3, size=(items, 6))
    return [f"i{number:03}" for number in range(items)], vectors, np.array(CLASSES)[codes]


def digits() -> Scene:
    """Names, pixels and classes of 900 handwritten digits."""
    datasets = pytest.importorskip("sklearn.datasets")
    images, truth = datasets.load_digits(return_X_y=True)
    return [f"i{number:03}" for number in range(900)], images[:900] / 16.0, truth[:900].astype(str)


def simulate(scene: Scene, each: int, skill: float, seed: int = 0, workers: int = 20) -> pd.DataFrame:
    """Answers by workers who are right with probability ``skill`` and else err evenly."""
    items, _, truth = scene
    random = np.random.default_rng(seed)
    names, codes = np.unique(truth, return_inverse=True)
    rows = []
    for item, code in zip(items, codes, strict=True):
        for worker in random.choice(workers, size=each, replace=False):
            wrong = (code + random.integers(1, len(names))) % len(names)
            rows.append((item, f"w{worker}", names[code if random.random() < skill else wrong]))
    return pd.DataFrame(rows, columns=["item", "worker", "label"])


def accuracy(labels: pd.DataFrame, scene: Scene) -> float:
    """The share of the items that are labeled right."""
    assert labels["item"].tolist() == scene[0]
    return float((labels["label"].to_numpy(dtype=str) == scene[2]).mean())


@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize(("make", "gain"), [(digits, 0.25), (clusters, 0.1)])
def test_three_turns_beat_the_crowd_and_the_classifier(make: Callable[[], Scene], gain: float, each: int) -> None:
    scene = make()
    items, vectors, _ = scene
    answers = simulate(scene, each, 0.6)
    first = consolidate(answers, items=items)
    told, classes = out_of_sample(vectors, list(first.labels["label"]))
    alone = (np.array(classes)[told.argmax(axis=1)] == scene[2]).mean()
    found = accuracy(consolidate_with_vectors(answers, items, vectors).labels, scene)
    assert found > accuracy(first.labels, scene) + gain
    assert found >= alone


def test_later_turns_add_to_the_first() -> None:
    scene = digits()
    answers = simulate(scene, 2, 0.5)
    by_turns = [accuracy(consolidate_with_vectors(answers, *scene[:2], turns=n).labels, scene) for n in (0, 1, 3)]
    assert by_turns[0] == accuracy(consolidate(answers, items=scene[0]).labels, scene)
    assert by_turns[0] + 0.2 < by_turns[1]
    assert by_turns[1] + 0.01 < by_turns[2]


def test_the_length_of_vectors_does_not_count() -> None:
    scene = clusters()
    items, vectors, _ = scene
    answers = simulate(scene, 2, 0.6)
    found = consolidate_with_vectors(answers, items, vectors)
    lengths = np.random.default_rng(1).uniform(0.1, 10, size=(len(items), 1))
    for scaled in (vectors * 1000, vectors * lengths, vectors * 1e-200):
        again = consolidate_with_vectors(answers, items, scaled)
        assert_frame_equal(again.labels, found.labels, atol=1e-4)


def test_a_vector_of_zeros_tells_nothing() -> None:
    scene = clusters()
    items, vectors, _ = scene
    vectors[0] = 0
    told, _ = out_of_sample(vectors, list(scene[2]))
    assert np.isfinite(told).all()
    assert told[0].max() < 0.5
    assert len(consolidate_with_vectors(simulate(scene, 1, 0.8), items, vectors).labels) == len(items)


def test_an_items_own_label_does_not_train_its_prediction() -> None:
    _, vectors, truth = clusters()
    told, classes = out_of_sample(vectors, list(truth))
    for item in (0, 7, 100):
        changed = truth.copy()
        changed[item] = CLASSES[(CLASSES.index(truth[item]) + 1) % 3]
        other, _ = out_of_sample(vectors, list(changed))
        np.testing.assert_array_equal(other[item], told[item])
        assert np.abs(other - told).max() > 1e-4  # others learn from it
    assert classes == CLASSES


def test_noise_for_vectors_does_no_harm() -> None:
    scene = clusters(300)
    noise = np.random.default_rng(3).normal(size=(300, 20))
    answers = simulate(scene, 3, 0.7)
    first = consolidate(answers, items=scene[0])
    found = consolidate_with_vectors(answers, scene[0], noise)
    assert accuracy(found.labels, scene) > accuracy(first.labels, scene) - 0.03


def test_items_without_answers_and_answers_without_vectors() -> None:
    scene = clusters()
    items, vectors, _ = scene
    answers = simulate(scene, 2, 0.9)
    unanswered, plain = items[:10], items[-10:]
    answers = answers[~answers["item"].isin(unanswered)]
    found = consolidate_with_vectors(answers, items[:-10], vectors[:-10]).labels.set_index("item")
    assert sorted(found.index) == items
    assert (found.loc[unanswered, "status"] == "unanswered").all()
    assert found.loc[unanswered, "label"].isna().all()
    first = consolidate(answers, items=items).labels.set_index("item")
    assert (found.loc[plain, "workers"] == 2).all()
    sure = first.loc[plain, "votes"] == 2
    assert sure.any()
    assert (found.loc[plain, "label"] == first.loc[plain, "label"])[sure].all()


def test_a_class_without_labels_keeps_its_column() -> None:
    scene = clusters()
    items, vectors, _ = scene
    found = consolidate_with_vectors(simulate(scene, 2, 0.9), items, vectors, categories=(*CLASSES, "None of these"))
    assert found.classes == (*CLASSES, "None of these")
    assert found.probabilities.shape == (len(items), 4)
    assert 0 < found.probabilities[:, 3].max() < 0.1
    told, classes = out_of_sample(vectors, list(scene[2]), classes=("ape",))
    assert classes == ("ape", *CLASSES)
    np.testing.assert_allclose(told.sum(axis=1), 1)
    assert (told[:, 0] > 0).all()
    assert (told[:, 0] < 0.01).all()


def test_gold_teaches_the_classifier() -> None:
    scene = clusters()
    items, vectors, truth = scene
    answers = simulate(scene, 1, 0.4)
    gold = dict(zip(items[:60], truth[:60], strict=True))
    bare = consolidate(answers, items=items, gold=gold).labels
    found = consolidate_with_vectors(answers, items, vectors, gold=gold).labels
    assert found["item"].tolist() == items[60:]
    right = dict(zip(items, truth, strict=True))
    shares = [(table["label"] == table["item"].map(right)).mean() for table in (bare, found)]
    assert shares[1] > shares[0] + 0.3


@pytest.mark.parametrize("labels", [("cat",), ("cat", "dog")])
def test_one_class_gives_the_first_consensus(labels: tuple[str, ...]) -> None:
    rows = [(f"i{item}", f"w{worker}", "cat") for item in range(5) for worker in range(2)]
    answers = pd.DataFrame(rows, columns=["item", "worker", "label"])
    items, vectors = [f"i{item}" for item in range(6)], np.eye(6)
    found = consolidate_with_vectors(answers, items, vectors, categories=labels)
    assert_frame_equal(found.labels, consolidate(answers, items=items, categories=labels).labels)


def test_fewer_items_than_folds() -> None:
    answers = pd.DataFrame([("a", "x", "cat"), ("b", "x", "dog")], columns=["item", "worker", "label"])
    found = consolidate_with_vectors(answers, ["a", "b"], np.eye(2))
    assert found.labels["label"].tolist() == ["cat", "dog"]


def test_what_makes_no_sense_is_refused() -> None:
    answers = pd.DataFrame([("a", "x", "cat"), ("b", "x", "dog")], columns=["item", "worker", "label"])
    table = pd.DataFrame({"item": ["a"], "cat": [0.5], "dog": [0.5]})
    for items, vectors, options, words in (
        (["a"], np.eye(2), {}, "one row of vectors per item"),
        (["a", "a"], np.eye(2), {}, "several vectors"),
        (["a", "b"], np.full((2, 2), np.nan), {}, "finite"),
        (["a", "b"], np.eye(2), {"folds": 1}, "2 folds"),
        (["a", "b"], np.eye(2), {"classifier": table}, "learned here"),
        (["a", "b"], np.eye(2), {"method": "majority"}, "no place"),
    ):
        with pytest.raises(InputError, match=words):
            consolidate_with_vectors(answers, items, vectors, **options)


@pytest.mark.parametrize("value", ["70%", "0,7", "", None, "much", float("nan")])
@pytest.mark.parametrize("several", [False, True])
def test_a_probability_that_is_no_number_is_refused_by_item_and_column(value: Any, several: bool) -> None:
    answers = pd.DataFrame(
        {"item": ["a", "a", "b", "b"], "worker": ["v", "w"] * 2, "label": ["cat", "cat", "dog", "cat"]}
    )
    told = pd.DataFrame({"item": ["a", "b"], "cat": ["0.9", value], "dog": ["0.1", "0.3"]})
    function = consolidate_sets if several else consolidate
    with pytest.raises(InputError) as error:
        function(answers, classifier=told)
    assert "for the item 'b' in the column 'cat'; a probability is a number from 0 to 1" in str(error.value)
    good = function(answers, classifier=told.assign(cat=["0.9", "0.7"]))
    assert good.labels["label"].notna().all(), "numbers written as text are numbers"
