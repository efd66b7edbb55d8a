"""Strategies: which items to ask about next."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gandt.candidates.points import kmeans, squared_distances
from gandt.candidates.strategies import DIVERSITIES, LIMIT, OTHERS, choose, strategy
from gandt.candidates.uncertainty import UNCERTAINTIES, consensus
from gandt.errors import InputError

EVERY = [
    "default",
    *UNCERTAINTIES,
    *DIVERSITIES,
    *OTHERS,
    *(f"{one}+{other}" for one in UNCERTAINTIES for other in DIVERSITIES),
]


def probabilities(seed: int, items: int, classes: int = 3) -> Any:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), items)


def points(seed: int, items: int, dim: int = 6) -> Any:
    return np.random.default_rng(seed).normal(size=(items, dim)).astype(np.float32)


@pytest.mark.parametrize("name", EVERY)
def test_every_strategy_returns_distinct_items_the_same_for_the_same_seed(name: str) -> None:
    for items, n, labelled in ((1, 1, 0), (7, 7, 2), (40, 9, 0), (40, 39, 5)):
        for known in (None, probabilities(1, items)):
            found = [
                choose(
                    name, known, points(2, items), n, np.random.default_rng(3), labelled=points(4, labelled)
                ).tolist()
                for _ in range(2)
            ]
            assert found[0] == found[1]
            assert len(set(found[0])) == n


@settings(deadline=None, max_examples=40)
@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(2, 5)), elements=st.floats(0.01, 1)))
def test_uncertainties_lie_between_0_and_1_and_know_their_ends(raw: Any) -> None:
    given_ = raw / raw.sum(axis=2, keepdims=True)
    annotators, items, classes = given_.shape
    even = np.full((annotators, items, classes), 1 / classes)
    sure = np.zeros_like(even)
    sure[:, :, 0] = 1
    for name, measure in UNCERTAINTIES.items():
        values = measure(given_)
        assert values.shape == (items,)
        assert ((values >= 0) & (values <= 1)).all()
        assert measure(sure) == pytest.approx(np.zeros(items), abs=1e-9)
        if name in ("least-confidence", "margin", "entropy"):
            assert measure(even) == pytest.approx(np.ones(items))
            assert measure(given_[0]) == pytest.approx(measure(given_[:1]))


def test_several_annotators_who_contradict_each_other_are_uncertain() -> None:
    agree = [[0.9, 0.1], [0.9, 0.1]]
    contradict = [[1.0, 0.0], [0.0, 1.0]]
    one_alone = [[1.0, 0.0], [np.nan, np.nan]]
    nobody = [[np.nan, np.nan]] * 2
    every = np.array([agree, contradict, one_alone, nobody]).transpose(1, 0, 2)
    assert UNCERTAINTIES["vote-entropy"](every) == pytest.approx([0, 1, 0, 0])
    assert UNCERTAINTIES["disagreement"](every) == pytest.approx([0, 1, 0, 0], abs=1e-9)
    assert UNCERTAINTIES["entropy"](every)[1:] == pytest.approx([1, 0, 1])
    assert consensus(every)[3] == pytest.approx([0.5, 0.5])


def test_uncertainty_alone_takes_the_most_uncertain_first() -> None:
    known = np.array([[0.9, 0.1], [0.5, 0.5], [0.7, 0.3], [0.2, 0.8]])
    for name in ("least-confidence", "margin", "entropy"):
        assert choose(name, known, points(0, 4), 3, np.random.default_rng(0)).tolist() == [1, 2, 3]
    assert choose("surest", known, points(0, 4), 1, np.random.default_rng(0)).tolist() == [0]


@pytest.mark.parametrize("name", ["k-center", "typical", "design", "default"])
def test_diversity_takes_one_of_each_heap_and_leaves_the_labelled_heap_alone(name: str) -> None:
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(4, dtype=np.float32)
    heap = np.repeat(np.arange(4), 25)
    pool = centres[heap] + 0.1 * rng.normal(size=(100, 4)).astype(np.float32)
    assert set(heap[choose(name, None, pool, 4, rng)]) == {0, 1, 2, 3}
    chosen = choose(name, None, pool, 3, rng, labelled=pool[heap == 1])
    assert 1 not in heap[chosen]
    if name != "typical":  # it makes 28 clusters here, some heaps have several of the largest
        assert set(heap[chosen]) == {0, 2, 3}


def test_design_prefers_what_the_classifier_does_not_know() -> None:
    rng = np.random.default_rng(0)
    heap = np.repeat([0, 1], 50)
    pool = 5 * np.eye(2, dtype=np.float32)[heap] + 0.5 * rng.normal(size=(100, 2)).astype(np.float32)
    known = np.where((heap == 0)[:, None], [[0.99, 0.01]], [[0.55, 0.45]])
    assert (heap[choose("default", known, pool, 5, rng)] == 1).sum() >= 4


def test_cluster_takes_of_each_cluster_its_share() -> None:
    heap = np.repeat([0, 1, 2], [60, 30, 10])
    pool = 9 * np.eye(3, dtype=np.float32)[heap] + 0.01 * points(1, 100, 3)
    chosen = choose("entropy+cluster", probabilities(0, 100), pool, 10, np.random.default_rng(1))
    assert np.bincount(heap[chosen]).tolist() == [6, 3, 1]


def test_balanced_takes_each_predicted_class_in_turn() -> None:
    known = np.array([[0.9, 0.1]] * 8 + [[0.45, 0.55], [0.2, 0.8]])
    chosen = choose("balanced", known, points(0, 10), 4, np.random.default_rng(0))
    assert known[chosen].argmax(axis=1).tolist().count(1) == 2
    assert chosen[0] == 8


def test_gaussian_and_random_draw_by_chance_but_not_blindly() -> None:
    known = np.array([[0.99, 0.01]] * 50 + [[0.5, 0.5]] * 50)
    rng = np.random.default_rng(0)
    assert (choose("gaussian", known, points(0, 100), 20, rng) >= 50).mean() > 0.7
    assert (choose("margin+random", known, points(0, 100), 20, rng) >= 50).mean() > 0.7
    assert 2 < (choose("random", known, points(0, 100), 20, rng) >= 50).sum() < 18


def test_of_a_large_pool_the_uncertain_are_looked_at() -> None:
    items = LIMIT + 500
    known = np.tile([0.999, 0.001], (items, 1))
    known[-400:] = 0.5
    for name in ("default", "margin+typical", "margin+k-center"):
        chosen = choose(name, known, points(0, items, 3), 10, np.random.default_rng(0))
        assert (chosen >= items - 400).sum() >= 8


def test_what_a_strategy_may_not_do() -> None:
    rng, pool = np.random.default_rng(0), points(0, 5)
    with pytest.raises(InputError, match="8 items are wanted and the pool has 5 unlabelled items; ask for fewer"):
        choose("random", None, pool, 8, rng)
    with pytest.raises(InputError, match="the pool has no items"):
        choose("random", None, pool[:0], 1, rng)
    with pytest.raises(InputError, match="there is no strategy 'magic'; take default, least-confidence"):
        strategy("magic")
    with pytest.raises(InputError, match="there is no strategy 'k-center\\+margin'"):
        strategy("k-center+margin")
    with pytest.raises(InputError, match="must return 2 distinct indices below 5"):
        choose(lambda p, e, n, rng: np.zeros(n, int), None, pool, 2, rng)
    with pytest.raises(InputError, match="probabilities for 4 items and vectors for 5"):
        choose("margin", probabilities(0, 4), pool, 2, rng)
    with pytest.raises(InputError, match="each 0 or more, and those of an item adding up to 1"):
        choose("margin", np.full((5, 2), 0.9), pool, 2, rng)
    with pytest.raises(InputError, match="at least two classes"):
        choose("margin", np.ones((5, 1)), pool, 2, rng)


def test_a_strategy_of_ones_own() -> None:
    def last(probabilities: Any, embeddings: Any, n: int, rng: Any, labelled: Any = None) -> Any:
        assert labelled is not None
        return np.arange(len(embeddings))[::-1][:n]

    assert choose(last, None, points(0, 5), 2, np.random.default_rng(0), labelled=points(1, 3)).tolist() == [4, 3]


def test_kmeans_finds_heaps() -> None:
    heap = np.repeat(np.arange(5), 20)
    pool = 9 * np.eye(5, dtype=np.float32)[heap] + 0.1 * points(0, 100, 5)
    groups = kmeans(pool, 5, np.random.default_rng(0))
    assert len(set(zip(heap, groups, strict=True))) == 5
    assert len(set(kmeans(np.ones((9, 2)), 3, np.random.default_rng(0)))) == 1
    assert squared_distances(pool[:3], pool)[0, 0] == pytest.approx(0, abs=1e-4)
