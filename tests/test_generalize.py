"""The learned labels for the whole pool."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gandt import tables
from gandt.cli import app
from gandt.cli import rounds as _registered  # noqa: F401
from gandt.errors import GandtError, InputError
from gandt.manifest.labels import read_labels
from gandt.rounds.config import read_config
from gandt.rounds.generalize import choose_threshold, generalize
from gandt.rounds.given import store_vectors
from gandt.rounds.loop import Run

CLASSES = ("bird", "cat", "dog")


def command(*words: str) -> Any:
    result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, GandtError):
        raise result.exception
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A run of two rounds on 400 items in three heaps that overlap, 120 of them gold; and the truth."""
    folder = tmp_path_factory.mktemp("generalize")
    rng = np.random.default_rng(3)
    heap = np.arange(400) % 3
    items = [f"/item {number:03}" for number in range(400)]
    store_vectors(items, 1.5 * np.eye(5)[heap] + 0.55 * rng.normal(size=(400, 5)), str(folder / "store"))
    truth = pd.DataFrame({"item": items, "label": [CLASSES[each] for each in heap]})
    tables.write_table(truth, str(folder / "truth.csv"))
    tables.write_table(truth.tail(120), str(folder / "gold.csv"))
    (folder / "run.yaml").write_text(f"""
store: {folder}/store
run: {folder}/run
classes: [bird, cat, dog]
gold: {folder}/gold.csv
choose: {{n: 30}}
ask: {{with: simulated, truth: {folder}/truth.csv, skill: 0.95}}
stop: {{rounds: 2}}
""")
    printed = json.loads(command("run", str(folder / "run.yaml"), "--json").stdout)
    assert len(printed["rounds"]) == 2
    page = Path(printed["report"]).read_text()
    assert "All 2 rounds that were wanted are done." in page
    assert "<svg" in page
    return folder, dict(zip(items, truth["label"], strict=True))


def test_the_whole_pool_gets_labels_as_precise_as_wanted_or_none(ran: Any, tmp_path: Path) -> None:
    folder, truth = ran
    out = str(tmp_path / "labels.parquet")
    printed = json.loads(
        command("generalize", str(folder / "run.yaml"), "--precision", "0.9", "--out", out, "--json").stdout
    )
    table = tables.read_table(out)
    assert sorted(table["item"]) == sorted(truth), "every item of the pool, once"
    guessed = table[table["method"] == "classifier"]
    assert len(guessed) > 20
    assert (guessed["label"] == guessed["item"].map(truth)).mean() > 0.85
    assert guessed["confidence"].min() >= printed["threshold"]["probability"] - 1e-6
    left = table[table["status"] == "unanswered"]
    assert left["label"].isna().all()
    assert printed["threshold"]["low"] >= 0.9
    assert (table[table["method"] == "gold"]["label"] == table[table["method"] == "gold"]["item"].map(truth)).all()
    strict, _ = generalize(Run(read_config(str(folder / "run.yaml"))), 0.97)
    assert (strict["method"] == "classifier").sum() <= len(guessed)
    shown = CliRunner().invoke(app, ["generalize", str(folder / "run.yaml"), "--out", out])
    assert "gold items above" in shown.output


def test_what_the_classifier_said_is_not_called_human(ran: Any, tmp_path: Path) -> None:
    folder, _ = ran
    out, labels = str(tmp_path / "out.manifest"), str(tmp_path / "labels.csv")
    words = ("generalize", str(folder / "run.yaml"), "--precision", "0.9", "--out")
    printed = json.loads(command(*words, out, "--as", "manifest", "--json").stdout)
    command(*words, labels)
    table = tables.read_table(labels)
    sure = table[table["status"] == "confident"].set_index("item")
    back = read_labels(out).set_index("item")
    assert printed["written"] == len(sure) == len(back)
    assert sum(printed["left_out"].values()) == len(table) - len(sure)
    assert (back["human"] == (sure["method"].reindex(back.index) != "classifier")).all()
    assert not back["human"].all() and back["human"].any()
    assert (back["label"] == sure["label"].reindex(back.index)).all()
    assert np.allclose(back["confidence"], sure["confidence"].astype(float).reindex(back.index))


def test_a_run_without_rounds_or_gold_has_nothing_to_generalize(ran: Any, tmp_path: Path) -> None:
    folder, _ = ran
    text = (folder / "run.yaml").read_text()
    (tmp_path / "new.yaml").write_text(text.replace(f"{folder}/run", f"{tmp_path}/run"))
    with pytest.raises(InputError, match="has no finished round; run gandt run first"):
        command("generalize", str(tmp_path / "new.yaml"), "--out", str(tmp_path / "out.csv"))
    (tmp_path / "no-gold.yaml").write_text(text.replace(f"gold: {folder}/gold.csv\n", ""))
    with pytest.raises(InputError, match="a threshold needs gold, items of known label"):
        command("generalize", str(tmp_path / "no-gold.yaml"), "--out", str(tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()


def test_people_answer_by_a_table_on_the_command_line(ran: Any, tmp_path: Path) -> None:
    folder, _ = ran
    text = (folder / "run.yaml").read_text().replace(f"{folder}/run", f"{tmp_path}/run")
    (tmp_path / "run.yaml").write_text(text.replace("with: simulated", "with: table"))
    result = CliRunner().invoke(app, ["run", str(tmp_path / "run.yaml")])
    assert result.exit_code == 0
    assert "waiting: round 0 asks about 30 items" in result.output
    assert "waiting" in json.loads(command("run", str(tmp_path / "run.yaml"), "--json").stdout)


# ---------------------------------------------------------------------- threshold


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80), st.floats(0.05, 1))
def test_a_threshold_keeps_what_it_promises(gold: list[tuple[float, bool]], wanted: float) -> None:
    probability, right = np.array([each[0] for each in gold]), np.array([each[1] for each in gold])
    found = choose_threshold(probability, right, wanted)
    kept = probability >= found.probability
    assert kept.sum() == found.kept
    if found.precision is not None:
        assert right[kept].mean() == pytest.approx(found.precision)
        assert found.precision >= wanted - 1e-9
    assert found.sentence().endswith(".")


def test_the_lowest_threshold_is_taken() -> None:
    probability = np.linspace(1, 0.5, 200)
    right = np.arange(200) < 150
    found = choose_threshold(probability, right, 0.9)
    assert found.kept == pytest.approx(160, abs=6)
    assert found.precision > 0.9
    assert choose_threshold(probability, right, 1.0).kept == 150
    assert choose_threshold(probability, np.zeros(200, bool), 0.5).probability == float("inf")
    few = choose_threshold(np.linspace(0.5, 1, 10), np.ones(10, bool), 0.9)
    assert few.best == pytest.approx(0.1 ** (1 / 10)), "ten right of ten prove that much, nine times in ten"
    assert "(the most they prove is 79.4%)" in few.sentence()
    assert choose_threshold(np.linspace(0.5, 1, 10), np.ones(10, bool), 0.79).precision == 1
    with pytest.raises(InputError, match="a threshold needs gold"):
        choose_threshold(np.empty(0), np.empty(0, bool), 0.9)
    with pytest.raises(InputError, match="a precision lies above 0"):
        choose_threshold(probability, right, 1.5)
