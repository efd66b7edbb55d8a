"""Workers who err alike are noticed in the answers alone, and nobody is accused who doesn't."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.spammers import GROUP, group
from gandt.cli import app
from gandt.cli import consensus as _commands  # noqa: F401  (registers the commands)
from gandt.consensus import consolidate
from gandt.consensus.encode import encode
from gandt.consensus.shared_errors import find_shared_errors, weighed
from tests.test_consensus import accuracy, load


def crowd(kind: str, seed: int = 0) -> tuple[pd.DataFrame, dict[str, str]]:
    """2,000 items, five answers each by twelve workers, of whom the first three copy, are lenient alike, or neither."""
    random = np.random.default_rng(seed)
    answers, truth = group(kind, random, 2000, 5)
    return answers.sample(frac=1, random_state=seed), truth


@pytest.mark.parametrize("kind", ["copied", "lenient"])
@pytest.mark.parametrize("seed", range(3))
def test_those_who_err_alike_are_named_and_count_for_less(kind: str, seed: int) -> None:
    answers, truth = crowd(kind, seed)
    coded = encode(answers)
    found = find_shared_errors(coded)
    assert {*found.pairs["worker"], *found.pairs["other"]} <= set(GROUP) and len(found.pairs)
    assert found.pairs["correlation"].between(0, 1).all() and found.pairs["z"].is_monotonic_decreasing
    lighter = np.isin(coded.workers[coded.worker], GROUP)
    assert found.weights[lighter].mean() < 0.95 and (found.weights[~lighter] == 1).all()
    result = consolidate(answers)
    assert "more than their accuracy explains" in result.alike_in_words and "w0" in result.alike_in_words
    assert result.alike.equals(found.pairs)
    # the promise holds where a plain vote's would not
    sure = result.labels[result.labels["status"] == "confident"]
    if len(sure) >= 20:
        assert accuracy(sure, truth) > 0.92


def test_copied_errors_no_longer_speak_for_all() -> None:
    answers, truth = crowd("copied")
    coded = encode(answers)
    weights = find_shared_errors(coded).weights
    assert weights[np.isin(coded.workers[coded.worker], GROUP)].mean() < 0.8
    plain = coded, weighed(coded, weights)
    fits = [consolidate(answers, exclude=["w1", "w2"]), consolidate(answers)]
    assert accuracy(fits[1].labels, truth) > accuracy(fits[0].labels, truth) - 0.005  # two copies do no harm
    np.testing.assert_allclose(plain[1].votes, coded.votes)  # votes stay whole answers
    np.testing.assert_allclose(weighed(coded, np.ones(coded.answers)).matrix.toarray(), coded.matrix.toarray())


@pytest.mark.parametrize("seed", range(8))
def test_nobody_is_accused_in_a_crowd_without_shared_errors(seed: int) -> None:
    answers, _ = crowd("none", seed)
    found = find_shared_errors(encode(answers))
    assert found.pairs.empty and (found.weights == 1).all()
    assert consolidate(answers).alike_in_words == ""


@pytest.mark.parametrize("name", ["cf", "cf_amt", "ms", "sp_amt", "tweets"])
def test_nobody_is_accused_in_the_shared_crowds(shared: Path, name: str) -> None:
    answers, _ = load(shared, name)
    assert find_shared_errors(encode(answers)).pairs.empty


def test_the_command_says_so_and_what_the_promise_rests_on(tmp_path: Path) -> None:
    answers, truth = crowd("copied")
    answers.to_csv(tmp_path / "answers.csv", index=False)
    given = ["consensus", str(tmp_path / "answers.csv"), "--out", str(tmp_path / "labels.csv"), "--json"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert any(f"{one} and {other}" in done.stderr for one in GROUP for other in GROUP)
    assert "rests on the model" in done.stderr
    shown = json.loads(done.stdout)
    assert shown["pairs_alike"] > 0 and shown["promise"] is None
    gold = pd.DataFrame({"item": list(truth)[:100], "label": list(truth.values())[:100]})
    gold.to_csv(tmp_path / "gold.csv", index=False)
    done = CliRunner().invoke(app, [*given, "--gold", str(tmp_path / "gold.csv"), "--target", "0.8"])
    promised = json.loads(done.stdout)["promise"]
    assert promised["target"] == 0.8 and promised["low"] <= promised["right"] / promised["items"] <= promised["high"]
    assert "95 % interval" in done.stderr
    done = CliRunner().invoke(app, [*given, "--by-class", str(tmp_path / "classes.csv")])
    assert done.exit_code != 0 and "add --several" in str(done.exception)
    done = CliRunner().invoke(app, [*given, "--several", "--none", "no", "--by-class", str(tmp_path / "classes.csv")])
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv(tmp_path / "classes.csv").columns) == ["item", "category", "label", "confidence", "status"]
