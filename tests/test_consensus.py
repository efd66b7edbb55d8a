"""Answers to labels: the methods, on crowds whose truth is known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gandt.answers import read_answers
from gandt.consensus import METHODS, ConvergenceWarning, consolidate
from gandt.consensus.crowdkit import AGGREGATORS
from gandt.errors import InputError

OURS = [name for name in METHODS if name not in AGGREGATORS]
# the best of the three as crowd-kit 1.4.2 has them
PUBLISHED = {
    "bluebirds": 0.889,
    "cf": 0.887,
    "cf_amt": 0.86,
    "ms": 0.793,
    "sp": 0.917,
    "sp_amt": 0.946,
    "tweets": 0.709,
}
RIVALS = ("majority", "dawid-skene", "one-coin")
CATEGORIES = ("cat", "dog", "bird", "None of these")


def simulate(
    items: int = 300, each: int = 3, skills: tuple[float, ...] = (0.9,) * 10 + (0.25, 0.25), seed: int = 0
) -> tuple[pd.DataFrame, dict[str, str]]:
    """A crowd of one-coin workers, each item answered by ``each`` of them."""
    random = np.random.default_rng(seed)
    truth = random.integers(len(CATEGORIES), size=items)
    rows = []
    for item in range(items):
        for worker in random.choice(len(skills), size=each, replace=False):
            right = random.random() < skills[worker]
            wrong = (truth[item] + random.integers(1, len(CATEGORIES))) % len(CATEGORIES)
            rows.append((f"i{item}", f"w{worker}", CATEGORIES[truth[item] if right else wrong]))
    return pd.DataFrame(rows, columns=["item", "worker", "label"]), {
        f"i{item}": CATEGORIES[code] for item, code in enumerate(truth)
    }


def accuracy(labels: pd.DataFrame, truth: dict[str, str]) -> float:
    """The share of the items with known truth that are labeled right."""
    labels = labels[labels["item"].isin(list(truth))]
    return float((labels["label"] == labels["item"].map(truth)).mean())


def load(shared: Path, name: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """A real crowd and its truth."""
    answers = pd.read_csv(shared / "crowd" / f"{name}.answers.csv", dtype=str)
    truth = pd.read_csv(shared / "crowd" / f"{name}.truth.csv", dtype=str)
    return answers, dict(zip(truth["task"], truth["label"], strict=True))


@pytest.mark.parametrize("method", OURS)
def test_every_method_labels_a_small_job_well(method: str) -> None:
    answers, truth = simulate()
    result = consolidate(answers, method=method, categories=CATEGORIES)
    assert accuracy(result.labels, truth) > (0.85 if method == "majority" else 0.9)
    assert list(result.labels.columns) == ["item", "label", "confidence", "status", "votes", "workers", "method"]
    assert result.probabilities.shape == (300, 4)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1)
    assert result.classes == CATEGORIES


@pytest.mark.parametrize("method", OURS)
def test_one_answer_gives_no_certainty(method: str) -> None:
    answers = pd.DataFrame({"item": ["a", "b"], "worker": ["w", "w"], "label": ["x", "y"]})
    result = consolidate(answers, method=method)
    assert list(result.labels["status"]) == ["relabel", "relabel"]
    assert (result.labels["confidence"] < 1).all()


def test_gold_judges_workers_and_is_left_out_of_the_labels() -> None:
    answers, truth = simulate(items=200, each=3)
    gold = {f"i{number}": truth[f"i{number}"] for number in range(40)}
    result = consolidate(answers, gold=gold, categories=CATEGORIES)
    assert not set(result.labels["item"]) & set(gold)
    workers = result.workers.set_index("worker")
    expected = answers[answers["item"].isin(list(gold))]
    right = expected[expected["label"] == expected["item"].map(gold)].groupby("worker").size()
    assert workers["gold_right"].to_dict() == right.reindex(workers.index, fill_value=0).to_dict()
    assert workers.loc[["w10", "w11"], "reliability_high"].max() < workers.drop(["w10", "w11"])["reliability"].min()


def test_a_second_answer_by_the_same_worker_is_set_aside() -> None:
    answers = pd.DataFrame({"item": ["a", "a", "a"], "worker": ["v", "w", "v"], "label": ["x", "x", "y"]})
    result = consolidate(answers)
    assert result.labels.loc[0, ["label", "votes", "workers"]].to_list() == ["x", 2, 2]
    assert result.set_aside.to_dict("records") == [
        {"row": 2, "item": "a", "worker": "v", "label": "y", "reason": "a worker's second answer"}
    ]


def test_unanswered_items_appear() -> None:
    answers = pd.DataFrame({"task": ["a", "a"], "worker": ["v", "w"], "label": ["x", None]})
    result = consolidate(answers, items=["b", "a"])
    assert list(result.labels["item"]) == ["b", "a"]
    assert list(result.labels["status"]) == ["unanswered", "relabel"]
    assert result.labels.loc[0, ["label", "confidence"]].isna().all()
    assert list(result.set_aside["reason"]) == ["no label"]


def test_excluded_workers_weigh_nothing_but_stay_in_the_table() -> None:
    answers, _ = simulate()
    without = consolidate(answers[~answers["worker"].isin(["w10", "w11"])], categories=CATEGORIES)
    excluded = consolidate(answers, exclude=["w10", "w11"], categories=CATEGORIES)
    by_item = excluded.labels.set_index("item").loc[without.labels["item"]]
    np.testing.assert_allclose(by_item["confidence"], without.labels["confidence"], rtol=1e-6)
    assert excluded.workers.set_index("worker").loc["w10", "excluded"]


def test_cap_of_iterations_is_a_warning() -> None:
    answers, _ = simulate(items=60)
    with pytest.warns(ConvergenceWarning, match="cap of 2 iterations"):
        result = consolidate(answers, method="dawid-skene", iterations=2)
    assert not result.converged and result.iterations == 2


@pytest.mark.parametrize(
    ("table", "options", "sentence"),
    [
        ({"item": ["a"], "worker": ["w"]}, {}, "lacks the column label"),
        ({"item": [], "worker": [], "label": []}, {}, "nothing to consolidate"),
        ({"item": ["a"], "worker": ["w"], "label": ["x"]}, {"method": "best"}, "no consensus method 'best'"),
        ({"item": ["a"], "worker": ["w"], "label": ["x"]}, {"gold": {"a": "y"}, "categories": ["x"]}, "gold item a"),
        ({"item": ["a"], "worker": ["w"], "label": ["x"]}, {"categories": ["x", "x"]}, "must be different"),
        ({"item": ["a"], "worker": ["w"], "label": ["x"]}, {"target": 95}, "target accuracy"),
    ],
)
def test_bad_input_is_explained(table: dict[str, list[str]], options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        consolidate(pd.DataFrame(table), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "method", "bar"),
    [
        ("bluebirds", "dawid-skene", 0.885),
        ("ms", "one-coin", 0.785),
        ("sp", "dawid-skene", 0.91),
        ("cf", "majority", 0.87),
    ],
)
def test_published_accuracies_are_met(shared: Path, name: str, method: str, bar: float) -> None:
    answers, truth = load(shared, name)
    assert accuracy(consolidate(answers, method=method).labels, truth) >= bar


def test_ground_truths_method_gives_what_the_service_gave(shared: Path) -> None:
    answers = read_answers(str(shared / "groundtruth-job"))
    labels = consolidate(answers, method="ground-truth", dependence=0).labels.set_index("item")
    lines = (shared / "groundtruth-job/manifests/output/output.manifest").read_text().splitlines()
    for line in map(json.loads, lines):
        metadata = next(value for key, value in line.items() if key.endswith("-metadata"))
        ours = labels.loc[line["source-ref"]]
        assert ours["label"] == metadata["class-name"]
        # the service never goes beyond 0.95
        assert min(round(ours["confidence"], 2), 0.95) == pytest.approx(metadata["confidence"])
    assert len(lines) == len(labels)


@pytest.mark.parametrize("name", ["bluebirds", "cf", "cf_amt", "ms", "sp", "sp_amt", "tweets"])
def test_the_default_never_loses(shared: Path, name: str) -> None:
    """At least the best of vote, Dawid-Skene and one-coin less half a point, ours and crowd-kit's published ones."""
    answers, truth = load(shared, name)
    rivals = [accuracy(consolidate(answers, method=rival, iterations=2000).labels, truth) for rival in RIVALS]
    published = {
        "cf": 0.887,
        "cf_amt": 0.86,
        "ms": 0.793,
        "sp": 0.917,
        "sp_amt": 0.946,
        "tweets": 0.709,
        "bluebirds": 0.889,
    }
    assert accuracy(consolidate(answers).labels, truth) >= max(*rivals, published[name]) - 0.005
