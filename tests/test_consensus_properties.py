"""What must hold for every table of answers, however odd."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandt.consensus import METHODS, consolidate, consolidate_sets
from gandt.consensus.calibration import discount, expected_calibration_error, reliability_diagram
from gandt.consensus.crowdkit import AGGREGATORS
from gandt.consensus.encode import encode
from gandt.errors import InputError

OURS = [name for name in METHODS if name not in AGGREGATORS]
names = st.sampled_from(["a", "b", "c", "d", "e", "f"])
rows = st.lists(
    st.tuples(names, st.sampled_from(["u", "v", "w", "x"]), st.sampled_from(["1", "2", "3"])), min_size=1, max_size=40
)
quick = settings(deadline=None, max_examples=25)
pytestmark = pytest.mark.filterwarnings("ignore::gandt.consensus.ConvergenceWarning")


def table(answers: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(answers, columns=["item", "worker", "label"])


@quick
@given(answers=rows, method=st.sampled_from(OURS))
def test_probabilities_are_probabilities_and_nothing_is_certain(
    answers: list[tuple[str, str, str]], method: str
) -> None:
    result = consolidate(table(answers), method=method, categories=["1", "2", "3"])
    assert np.isfinite(result.probabilities).all()
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1)
    assert (result.labels["confidence"] < 1).all()
    single = result.labels[result.labels["workers"] == 1]
    assert method == "certainty" or (single["status"] == "relabel").all()
    kept = len(table(answers).drop_duplicates(["item", "worker"]))
    assert result.labels["workers"].sum() == kept == len(answers) - len(result.set_aside)
    workers = result.workers
    assert workers["answers"].sum() == kept
    assert (workers["reliability_low"] <= workers["reliability"]).all()
    assert (workers["reliability"] <= workers["reliability_high"]).all()


@quick
@given(answers=rows, seed=st.integers(0, 99), method=st.sampled_from(OURS))
def test_the_order_of_rows_does_not_matter(answers: list[tuple[str, str, str]], seed: int, method: str) -> None:
    once = table(answers).drop_duplicates(["item", "worker"])  # of duplicates the first counts, so there order does
    one = consolidate(once, method=method)
    other = consolidate(once.sample(frac=1, random_state=seed), method=method)
    at = pd.Index(other.labels["item"]).get_indexer(pd.Index(one.labels["item"]))
    np.testing.assert_allclose(one.probabilities, other.probabilities[at], atol=1e-6)
    assert one.workers["worker"].to_list() == other.workers["worker"].to_list()
    np.testing.assert_allclose(one.workers["reliability"], other.workers["reliability"], atol=1e-5)


@quick
@given(answers=rows, method=st.sampled_from(OURS))
def test_names_do_not_matter(answers: list[tuple[str, str, str]], method: str) -> None:
    renamed = {"1": "z", "2": "y", "3": "x"}  # the text order is turned round
    one = consolidate(table(answers), method=method, categories=["1", "2", "3"])
    other = consolidate(
        table([(item * 2, f"worker {worker}", renamed[label]) for item, worker, label in answers]),
        method=method,
        categories=["x", "y", "z"],
    )
    np.testing.assert_allclose(one.probabilities, other.probabilities[:, ::-1], atol=1e-6)


@quick
@given(answers=rows, method=st.sampled_from(["majority", "certainty"]))
def test_an_independent_copy_of_the_job_changes_no_votes(answers: list[tuple[str, str, str]], method: str) -> None:
    copy = [(f"copy {item}", f"copy {worker}", label) for item, worker, label in answers]
    one = consolidate(table(answers), method=method, categories=["1", "2", "3"]).labels
    both = consolidate(table(answers + copy), method=method, categories=["1", "2", "3"]).labels
    pd.testing.assert_frame_equal(
        one[["label", "votes", "workers"]], both.loc[: len(one) - 1, ["label", "votes", "workers"]]
    )
    second = both.loc[len(one) :, ["label", "votes", "workers"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(one[["label", "votes", "workers"]], second)


@quick
@given(answers=rows, method=st.sampled_from(OURS))
def test_both_copies_of_a_job_get_the_same_labels(answers: list[tuple[str, str, str]], method: str) -> None:
    copy = [(f"copy {item}", f"copy {worker}", label) for item, worker, label in answers]
    result = consolidate(table(answers + copy), method=method, categories=["1", "2", "3"])
    half = len(result.labels) // 2
    np.testing.assert_allclose(result.probabilities[:half], result.probabilities[half:], atol=1e-6)


messy = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", 3, 3.0, None, float("nan"), "", "\0", "é" * 9, "\ud800"]),
        st.sampled_from(["u", 1, None, "", "w\n"]),
        st.sampled_from(["x", "y", True, None, float("nan"), 7, ""]),
    ),
    max_size=20,
)


@quick
@given(answers=messy, method=st.sampled_from(OURS))
def test_messy_tables_are_an_error_or_a_defined_result(
    answers: list[tuple[object, object, object]], method: str
) -> None:
    messy_table = pd.DataFrame(answers, columns=["item", "worker", "label"], dtype=object)
    try:
        result = consolidate(messy_table, method=method)
    except InputError:
        assert not any(item is not None and item == item and item != "" for item, _, _ in answers)
        return
    assert len(result.set_aside) + result.labels["workers"].sum() == len(answers)
    assert set(result.labels["status"]) <= {"confident", "relabel", "unanswered"}
    assert result.labels["item"].is_unique
    unanswered = result.labels["status"] == "unanswered"
    assert (result.labels["label"].isna() == unanswered).all()


@quick
@given(answers=rows, comparisons=st.sampled_from([0, 20]))
def test_of_repeated_answers_the_first_counts(answers: list[tuple[str, str, str]], comparisons: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gandt.consensus.encode._COMPARISONS", comparisons)  # both ways of looking for them
        crowd = encode(table(answers))
    repeated = table(answers).duplicated(["item", "worker"]).to_numpy()
    assert crowd.set_aside["row"].to_list() == list(np.flatnonzero(repeated))
    assert sorted(crowd.row) == list(np.flatnonzero(~repeated))
    assert [crowd.classes[code] for code in crowd.label] == [answers[row][2] for row in crowd.row]
    assert list(crowd.items[crowd.item]) == [answers[row][0] for row in crowd.row]


@pytest.mark.parametrize("method", OURS)
def test_one_worker_only(method: str) -> None:
    answers = table([(f"i{number}", "w", "12"[number % 2]) for number in range(50)])
    result = consolidate(answers, method=method)
    assert (result.labels["status"] == "relabel").all()
    assert result.workers["worker"].to_list() == ["w"]


@pytest.mark.parametrize("method", OURS)
def test_one_class_only(method: str) -> None:
    answers = table([("a", worker, "cat") for worker in "uvwxyz"] + [("b", "u", "cat")])
    result = consolidate(answers, method=method)
    assert result.classes == ("cat",)
    assert list(result.labels["label"]) == ["cat", "cat"]
    if method in ("auto", "majority", "weighted", "one-coin"):  # the others can't learn from agreement alone
        assert result.probabilities[0, 0] > result.probabilities[1, 0]
    assert result.labels["confidence"].lt(1).all() and result.labels.loc[1, "status"] == "relabel"


ODD = {
    "one worker": [(f"i{number}", "w", "ab"[number % 2]) for number in range(20)],
    "one class": [("a", "u", "x"), ("a", "v", "x"), ("b", "u", "x")],
    "one answer": [("a", "u", "x")],
    "ties only": [(f"i{number}", *said) for number in range(20) for said in (("u", "a"), ("v", "b"))],
    "three-way ties": [(f"i{number}", *said) for number in range(9) for said in (("u", "a"), ("v", "b"), ("w", "c"))],
    "nobody meets": [(f"i{number}", f"w{number}", "ab"[number % 2]) for number in range(50)],
    "unanimous": [(f"i{number}", worker, "ab"[number % 2]) for number in range(20) for worker in "uvw"],
}


EXCLUDED = {"nobody": [], "one": ["u"], "everybody": ["u", "v", "w"]}


@pytest.mark.parametrize("excluded", EXCLUDED)
@pytest.mark.parametrize("crowd", ODD)
@pytest.mark.parametrize("method", OURS)
def test_odd_crowds_give_labels(method: str, crowd: str, excluded: str) -> None:
    result = consolidate(table(ODD[crowd]), method=method, exclude=EXCLUDED[excluded])
    assert np.isfinite(result.probabilities).all()
    assert result.labels["confidence"].dropna().between(0, 1).all()
    assert (result.labels["status"] == "confident").sum() <= (result.labels["workers"] > 1).sum()


QUICK = [name for name in AGGREGATORS if name != "mace"]  # which takes seconds, and every odd crowd


@pytest.mark.parametrize("crowd", ODD)
@pytest.mark.parametrize("method", QUICK)
def test_odd_crowds_give_labels_or_a_sentence_by_crowd_kit(method: str, crowd: str) -> None:
    pytest.importorskip("crowdkit.aggregation", reason="crowd-kit isn't installed (pip install crowd-kit)")
    try:
        result = consolidate(table(ODD[crowd]), method=method)
    except InputError as error:
        assert "use auto" in str(error) or "takes two classes" in str(error)
        return
    assert np.isfinite(result.probabilities).all()
    assert result.labels["confidence"].dropna().between(0, 1).all()


def test_a_method_that_compares_all_workers_says_when_they_are_too_many() -> None:
    pytest.importorskip("crowdkit.aggregation", reason="crowd-kit isn't installed (pip install crowd-kit)")
    random = np.random.default_rng(0)
    answers = pd.DataFrame({"item": np.arange(25_000) // 5, "worker": np.arange(25_000), "label": "x"})
    answers["label"] = random.choice(["x", "y"], size=len(answers))
    with pytest.raises(InputError, match="m-msr compares every worker with every other"):
        consolidate(answers, method="m-msr")


def test_labels_outside_the_categories_are_set_aside() -> None:
    result = consolidate(table([("a", "u", "cat"), ("a", "v", "cta"), ("b", "u", "?")]), categories=["cat", "dog"])
    assert list(result.labels["status"]) == ["relabel", "unanswered"]
    assert list(result.set_aside["label"]) == ["cta", "?"]
    assert set(result.set_aside["reason"]) == {"label outside the categories"}


def test_a_hundred_thousand_workers_with_one_answer_each() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(3, size=20_000)
    item = np.repeat(np.arange(20_000), 5)
    label = np.where(random.random(100_000) < 0.8, truth[item], random.integers(3, size=100_000))
    answers = pd.DataFrame({"item": item, "worker": np.arange(100_000), "label": label})
    result = consolidate(answers)
    votes = consolidate(answers, method="majority")
    right = (result.labels["label"].astype(int) == truth).mean()
    assert right >= (votes.labels["label"].astype(int) == truth).mean() - 0.002
    assert len(result.workers) == 100_000


sets = st.lists(
    st.tuples(names, st.sampled_from(["u", "v", "w"]), st.sampled_from(["cat", "dog", "none"])), min_size=1, max_size=30
)


@quick
@given(answers=sets)
def test_sets_of_labels_are_well_formed(answers: list[tuple[str, str, str]]) -> None:
    result = consolidate_sets(table(answers), categories=["cat", "dog"], none="none", items=["extra", *"abcdef"])
    assert list(result.labels["item"]) == ["extra", *"abcdef"]
    assert set(result.labels["label"].dropna()) <= {'["cat"]', '["dog"]', '["cat", "dog"]', '["none"]'}
    assert ((result.probabilities > 0) & (result.probabilities < 1)).all()
    assert (result.labels["votes"] <= result.labels["workers"]).all()


@quick
@given(
    scores=st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=8),
    answers=st.integers(0, 40),
    correlation=st.floats(0, 1),
)
def test_the_discount_keeps_order_and_never_adds_confidence(
    scores: list[list[float]], answers: int, correlation: float
) -> None:
    before = np.array(scores) / np.sum(scores, axis=1, keepdims=True)
    after = discount(before, np.full(len(before), float(answers)), correlation)
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert (np.argsort(before, axis=1, kind="stable") == np.argsort(after, axis=1, kind="stable")).all() or (
        np.abs(np.diff(np.sort(before, axis=1))).min() < 1e-9
    )
    assert (after.max(axis=1) <= before.max(axis=1) + 1e-9).all()


def test_the_reliability_diagram_counts_every_item() -> None:
    confidence = np.array([0.05, 0.95, 0.99, 1.0, 0.55])
    right = np.array([False, True, True, False, True])
    diagram = reliability_diagram(confidence, right)
    assert diagram["items"].sum() == 5
    assert expected_calibration_error(confidence, right) == pytest.approx((0.05 + abs(2.94 - 2) + 0.45) / 5)
