"""The classifier on frozen vectors."""

from typing import Any

import numpy as np
import pytest

from gandt.errors import InputError
from gandt.rounds.head import learn, make_classifier


def two_heaps(items: int = 120, noise: float = 1.0, seed: int = 0) -> tuple[Any, list[str]]:
    rng = np.random.default_rng(seed)
    heap = rng.integers(2, size=items)
    points = np.eye(8, dtype=np.float32)[heap] + noise * rng.normal(size=(items, 8)).astype(np.float32)
    return points, [("cat", "dog")[each] for each in heap]


@pytest.mark.parametrize("classifier", ["logistic", "sklearn.ensemble.RandomForestClassifier", "torch"])
def test_a_head_learns_and_its_probabilities_are_calibrated_out_of_sample(classifier: str) -> None:
    if classifier == "torch":
        pytest.importorskip("torch")
    points, labels = two_heaps(300, 0.8)
    model = learn(points[:150], labels[:150], classifier=classifier)
    found = model.probabilities(points[150:])
    right = np.array(model.classes)[found.argmax(axis=1)] == labels[150:]
    assert right.mean() > 0.7
    assert abs(found.max(axis=1).mean() - right.mean()) < 0.1
    own = np.array(model.classes)[model.out_of_sample.argmax(axis=1)] == labels[:150]
    assert abs(own.mean() - right.mean()) < 0.15, "out of sample: as good as on items it never saw"


def test_balance_helps_the_rare_class() -> None:
    points, labels = two_heaps(600, 1.2)
    few = [index for index, label in enumerate(labels) if label == "dog"][:8]
    many = [index for index, label in enumerate(labels) if label == "cat"][:150]
    found = {}
    for balance in (True, False):
        model = learn(points[few + many], ["dog"] * 8 + ["cat"] * 150, balance=balance)
        dogs = points[[index for index, label in enumerate(labels) if label == "dog"][8:]]
        found[balance] = (model.probabilities(dogs).argmax(axis=1) == 1).mean()
    assert found[True] > found[False]


def test_a_class_without_examples_gets_next_to_no_probability() -> None:
    points, labels = two_heaps(60)
    model = learn(points, labels, classes=["bird", "cat", "dog"])
    found = model.probabilities(points)
    assert model.classes == ("bird", "cat", "dog")
    assert found[:, 0].max() < 0.05
    assert found.sum(axis=1) == pytest.approx(np.ones(60))


def test_one_example_of_a_class_is_enough_to_begin_with() -> None:
    points, _ = two_heaps(3)
    model = learn(points, ["cat", "dog", "bird"])
    assert model.probabilities(points).argmax(axis=1).tolist() == [1, 2, 0]
    assert model.out_of_sample.shape == (3, 3)


def test_what_is_no_classifier() -> None:
    points, labels = two_heaps(20)
    with pytest.raises(
        InputError, match="needs labels of two classes, and only 'cat' has; label some items of another"
    ):
        learn(points, ["cat"] * 20)
    with pytest.raises(InputError, match="the label 'dog' is none of the classes cat, bird"):
        learn(points, labels, classes=["cat", "bird"])
    with pytest.raises(InputError, match="gives no probabilities; take one that has predict_proba"):
        make_classifier("sklearn.svm.LinearSVC")
    with pytest.raises(InputError, match="has no option 'colour'; it has"):
        make_classifier("logistic", {"colour": 1})
    with pytest.raises(InputError, match="can't learn from these labels"):
        learn(points, labels, options={"C": -1.0})
    for name in ("os.system", "subprocess.Popen", "sklearn", "sklearn.os.system", "sklearn.utils._testing.x", "forest"):
        with pytest.raises(InputError, match=r"no classifier|scikit-learn has no"):
            make_classifier(name)
    with pytest.raises(InputError, match="is no classifier; take for instance"):
        make_classifier("sklearn.cluster.KMeans")
