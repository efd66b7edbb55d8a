"""With few answers an item: no collapse, and a confidence that keeps its word. On the shared crowds, and simulated."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gandt.consensus import consolidate, consolidate_sets
from gandt.consensus.calibration import DEPENDENCE, discount, promise
from tests.test_consensus import accuracy, load

SHARED = ("bluebirds", "cf", "cf_amt", "ms", "sp_amt", "tweets")  # sp takes as long as all these together
DRAWS = 4


def drawn(answers: pd.DataFrame, number: int, draw: int) -> pd.DataFrame:
    """So many of each item's answers, at random; all for 0."""
    if not number:
        return answers
    mixed = answers.iloc[np.random.default_rng(draw).permutation(len(answers))]
    return mixed[mixed.groupby("task").cumcount() < number]


@pytest.fixture(scope="module")
def measured(shared: Path) -> pd.DataFrame:
    """By crowd, number of answers and draw: each method's accuracy, and how many of auto's confident are right."""
    rows = []
    for name in SHARED:
        answers, truth = load(shared, name)
        categories = sorted(set(answers["label"]) | set(truth.values()))
        for number in (2, 3, 5, 0):
            if number and len(answers) < 0.9 * number * answers["task"].nunique():
                continue
            for draw in range(DRAWS if number else 1):
                own = drawn(answers, number, draw)
                row: dict[str, object] = {"set": name, "number": number}
                for method in ("auto", "weighted", "majority"):
                    labels = consolidate(own, method=method, categories=categories).labels
                    row[method] = accuracy(labels, truth)
                    if method == "auto":
                        sure = labels[(labels["status"] == "confident") & labels["item"].isin(list(truth))]
                        row |= {"sure": len(sure), "right": (sure["label"] == sure["item"].map(truth)).sum()}
                        row["items"] = len(labels)
                rows.append(row)
    return pd.DataFrame(rows)


def test_few_answers_never_collapse(measured: pd.DataFrame) -> None:
    """20 draws are in benchmarks/consensus.py; of fewer the luck is wider, so are the bounds: a point more each."""
    mean = measured.groupby(["number", "set"])[["auto", "weighted", "majority"]].mean()
    assert (mean["auto"] - mean["majority"]).min() > -0.02
    by_number = mean.groupby("number").mean()
    assert (by_number["auto"] - by_number["weighted"]).min() > -0.01


def test_confident_keeps_its_word_and_is_not_empty(measured: pd.DataFrame) -> None:
    """Of the confident at 0.95: in the mean over crowds 92 % right, in the worst 88 %."""
    total = measured.groupby(["number", "set"])[["sure", "right", "items"]].sum()
    enough = total[total["sure"] >= 20]
    share = (enough["right"] / enough["sure"]).astype(float)
    assert share.min() > 0.88
    assert share.groupby("number").mean().min() > 0.92
    # twenty answers an item, and people agree
    assert total.loc[(0, "sp_amt"), "sure"] > 0.5 * total.loc[(0, "sp_amt"), "items"]
    assert len(enough.loc[0]) >= 5


def test_twenty_who_agree_are_believed_even_where_most_items_are_of_one_class() -> None:
    """So they must be where answers might be guesses: 19 of 20 items are "no"."""
    random = np.random.default_rng(0)
    truth = random.random(200) < 0.05
    rows = []
    for item, yes in enumerate(truth):
        for worker in range(20):
            said = yes if random.random() < 0.85 else not yes
            rows.append((f"i{item}", f"w{worker}", "yes" if said else "no"))
    labels = consolidate(pd.DataFrame(rows, columns=["item", "worker", "label"])).labels.set_index("item")
    plain = labels[labels["votes"] >= 17]
    assert len(plain) > 100 and (plain["status"] == "confident").mean() > 0.99


def test_two_answers_of_leaning_workers_leave_both_classes(shared: Path) -> None:
    """Two answers tell shares and confusions apart badly: what is learned from them must not take everything."""
    random = np.random.default_rng(4)
    truth = random.random(800) < 0.5
    lean = random.beta(3, 3, size=60)  # towards which class a worker errs
    rows = []
    for item, yes in enumerate(truth):
        for worker in random.choice(60, size=2, replace=False):
            right = random.random() < 0.45 + 0.5 * (lean[worker] if yes else 1 - lean[worker])
            rows.append((f"i{item}", f"w{worker}", "yes" if yes == right else "no"))
    answers = pd.DataFrame(rows, columns=["item", "worker", "label"])
    known = {f"i{item}": "yes" if yes else "no" for item, yes in enumerate(truth)}
    labels = consolidate(answers).labels
    votes = consolidate(answers, method="majority").labels
    assert accuracy(labels, known) > accuracy(votes, known) - 0.01
    assert 0.3 < (labels["label"] == "yes").mean() < 0.7


def test_more_answers_that_agree_are_never_less_sure() -> None:
    chances = np.tile([0.8, 0.2], (30, 1))
    answers = np.arange(1, 31, dtype=float)
    odds = answers[:, None] * np.log(chances)  # each answer as telling as the next
    grown = np.exp(odds - odds.max(axis=1, keepdims=True))
    sure = discount(grown / grown.sum(axis=1, keepdims=True), answers, DEPENDENCE)[:, 0]
    assert (np.diff(sure) > 0).all()
    # the log odds grow like the root of the answers
    logit = np.log(sure / (1 - sure))
    assert logit[19] / logit[4] == pytest.approx(2, rel=0.06)


def test_a_classifiers_probability_is_not_discounted_for_what_workers_share() -> None:
    told = np.array([[0.9, 0.1], [0.9, 0.1]])
    found = discount(told, np.array([0.0, 5.0]), 2.0, told)
    np.testing.assert_allclose(found, told)  # the answers added nothing


def test_gold_measures_the_promise() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(3, size=300)
    rows = []
    for item, code in enumerate(truth):
        misled = item % 10 == 0  # everybody sees the next class there
        for worker in range(7):
            right = random.random() < 0.9
            shown = (code + 1) % 3 if misled else code
            rows.append((f"i{item}", f"w{worker}", "abc"[shown if right else (shown + random.integers(1, 3)) % 3]))
    answers = pd.DataFrame(rows, columns=["item", "worker", "label"])
    gold = {f"i{item}": "abc"[truth[item]] for item in range(100)}
    result = consolidate(answers, gold=gold, target=0.8)
    assert result.promise is not None and result.promise.items > 50
    assert result.promise.right / result.promise.items == pytest.approx(0.9, abs=0.03)  # what gold shows, not 1.0
    assert result.promise.low < 0.9 < result.promise.high
    assert result.dependence > 2 * DEPENDENCE  # a crowd that errs alike is believed less
    assert "95 % interval" in result.promise_in_words and f"{result.promise.right} are right" in result.promise_in_words
    blind = consolidate(answers)
    assert blind.promise is None and "rests on the model" in blind.promise_in_words
    none = consolidate(answers[answers["worker"] == "w0"], gold=gold)
    assert none.promise == promise(0.95, 0, 0) and "isn't measured" in none.promise_in_words


def test_the_interval_of_a_promise_is_exact() -> None:
    found = promise(0.95, 10, 9)
    assert (found.low, found.high) == (pytest.approx(0.5550, abs=1e-4), pytest.approx(0.9975, abs=1e-4))
    assert promise(0.95, 0, 0)[3:] == (0.0, 1.0) and promise(0.95, 5, 5).high == 1.0


def several(workers: int, answers: int, sensitivity: float, specificity: float) -> tuple[pd.DataFrame, np.ndarray]:
    """Simulate answers of several labels each; return them and which of the six classes each item has."""
    random = np.random.default_rng(2)
    truth = random.random((400, 6)) < (0.35, 0.25, 0.2, 0.15, 0.1, 0.05)
    rows = []
    for item, own in enumerate(truth):
        for worker in random.choice(workers, size=answers, replace=False):
            said = random.random(6) < np.where(own, sensitivity, 1 - specificity)
            names = [f"c{code}" for code in np.flatnonzero(said)] or ["none"]
            rows += [(f"i{item}", f"w{worker}", name) for name in names]
    return pd.DataFrame(rows, columns=["item", "worker", "label"]), truth


def test_most_sets_of_good_workers_are_confident_and_right() -> None:
    answers, truth = several(20, 5, 0.95, 0.98)
    classes = [f"c{code}" for code in range(6)]
    result = consolidate_sets(answers, none="none", categories=classes, items=[f"i{item}" for item in range(400)])
    right = np.array(
        [
            set(label.strip("[]").replace('"', "").split(", ")) - {"none"}
            == {classes[code] for code in np.flatnonzero(own)}
            for label, own in zip(result.labels["label"], truth, strict=True)
        ]
    )
    sure = (result.labels["status"] == "confident").to_numpy()
    assert sure.mean() > 0.5 and right[sure].mean() > 0.95
    # each class has a probability and a status of its own, and the set's status follows from those
    own = result.by_class
    assert own is not None and len(own) == 6 * 400
    assert ((own.groupby("item", sort=False)["status"].agg(lambda kinds: set(kinds) == {"confident"})) == sure).all()
    assert (own["label"].eq("yes").to_numpy().reshape(400, 6) == truth)[sure].mean() > 0.99
    first = result.labels.loc[0, "confidence_map"]
    assert list(pd.io.json.ujson_loads(first)) == classes
    joint = result.labels["confidence"].to_numpy()
    assert (joint <= np.maximum(result.probabilities, 1 - result.probabilities).min(axis=1) + 1e-9).all()
