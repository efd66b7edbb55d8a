"""``gandt run`` on an open pool: what is none of the classes has a label of its own, from question to export."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from gandt import tables
from gandt.cli import app
from gandt.cli import rounds as _registered  # noqa: F401
from gandt.errors import InputError
from gandt.rounds.ask import JobAsker, Waiting
from gandt.rounds.config import Config, parse_config
from gandt.rounds.generalize import generalize
from gandt.rounds.given import store_vectors
from gandt.rounds.loop import Run, run

OTHER = "None of these"
HEAPS = ("bird", "cat", "dog", OTHER)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 320 items in four heaps, one of which is none of the three classes; truth, and 120 of it as gold."""
    folder = tmp_path_factory.mktemp("open")
    rng = np.random.default_rng(0)
    heap = np.arange(320) % 4
    items = [f"/item {number:03}" for number in range(320)]
    store_vectors(items, 1.5 * np.eye(6)[heap] + 0.3 * rng.normal(size=(320, 6)), str(folder / "store"))
    truth = pd.DataFrame({"item": items, "label": [HEAPS[each] for each in heap]})
    tables.write_table(truth, str(folder / "truth.csv"))
    tables.write_table(truth.tail(120), str(folder / "gold.csv"))
    tables.write_table(truth[truth["label"] != OTHER].tail(90), str(folder / "closed.csv"))
    tables.write_table(truth[truth["label"] != OTHER].head(6), str(folder / "seeds.csv"))
    return folder


def config(pool: Path, folder: Path, *, gold: str = "gold", ask: str = "", stop: str = "rounds: 3") -> Config:
    ask = ask or f"with: simulated, truth: {pool}/truth.csv, skill: 0.95, workers: 2, other: {OTHER}"
    return parse_config(
        f"store: {pool}/store\nrun: {folder}\nclasses: [bird, cat, dog]\nseeds: {pool}/seeds.csv\n"
        f"gold: {pool}/{gold}.csv\nchoose: {{n: 24}}\nask: {{{ask}}}\nstop: {{{stop}}}\n",
        "run.yaml",
    )


def test_what_is_none_of_the_classes_is_not_forced_into_one(pool: Path, tmp_path: Path) -> None:
    wanted = config(pool, tmp_path / "run")
    assert wanted.labels == HEAPS
    (tmp_path / "run.yaml").write_text(wanted.text)
    printed = json.loads(CliRunner().invoke(app, ["run", str(tmp_path / "run.yaml"), "--json"]).stdout)
    last = printed["rounds"][-1]
    labels = tables.read_table(str(tmp_path / "run" / "round-002" / "labels.csv"))
    truth = tables.read_table(str(pool / "truth.csv")).set_index("item")["label"]
    strangers = labels[labels["item"].map(truth) == OTHER]
    assert len(strangers) >= 5
    assert (strangers["label"] == OTHER).mean() > 0.8
    assert last["other"] == OTHER
    assert last["others"] == (labels["label"] == OTHER).sum()
    assert last["accuracy"] > 0.9, "the classifier has learned it as a class of its own"
    page = Path(printed["report"]).read_text()
    assert f"<dt>{OTHER}</dt><dd>{last['others']:,}<small>of the labelled are none of the classes" in page
    assert "gold" not in [reason["name"] for reason in printed["reasons"]]

    whole, threshold = generalize(Run(wanted), 0.9)
    guessed = whole[whole["method"] == "classifier"]
    found = guessed[guessed["label"] == OTHER]
    assert len(found) > 5
    assert (found["item"].map(truth) == OTHER).mean() > 0.8
    assert "No gold item" not in threshold.sentence()
    out = tmp_path / "out.manifest"
    words = ["generalize", str(tmp_path / "run.yaml"), "--precision", "0.9", "--out", str(out), "--as", "manifest"]
    assert CliRunner().invoke(app, words).exit_code == 0
    names = [json.loads(line)["label-metadata"]["class-name"] for line in out.read_text().splitlines()]
    assert OTHER in names


def test_gold_without_it_says_what_it_cannot_tell(pool: Path, tmp_path: Path) -> None:
    wanted = config(pool, tmp_path / "run", gold="closed", stop="rounds: 1")
    result = run(wanted)
    said = [reason for reason in result.reasons if reason.name == "gold"]
    assert [(reason.stop, reason.sentence) for reason in said] == [
        (
            False,
            "No gold item is 'None of these', so gold doesn't tell how often what is none of the classes is taken for "
            "one.",
        )
    ]
    _, threshold = generalize(Run(wanted), 0.5)
    assert threshold.sentence().endswith(said[0].sentence)


def test_people_who_fill_in_a_table_may_say_it(pool: Path, tmp_path: Path) -> None:
    for ask, good in ((f"with: table, other: {OTHER}", True), ("with: table", False)):
        wanted = config(pool, tmp_path / str(good), gold="closed", ask=ask, stop="rounds: 1")
        with pytest.raises(Waiting) as waiting:
            run(wanted)
        assert (OTHER in str(waiting.value)) is good
        folder = tmp_path / str(good) / "round-000"
        questions = tables.read_table(str(folder / "questions.csv"))
        answers = questions[["item"]].assign(worker="me", label=OTHER)
        tables.write_table(answers, str(folder / "given.csv"))
        if good:
            assert run(wanted).rounds[0]["others"] == len(questions)
        else:
            with pytest.raises(InputError, match="the answers hold the label 'None of these', which is none of"):
                run(wanted)


@pytest.mark.parametrize("other", ["cat", "Cat", " cat ", '"ca\\u0074"'])
def test_it_must_be_none_of_the_classes(other: str) -> None:
    with pytest.raises(InputError, match=r"run.yaml line 4: ask.other is the class 'cat', too"):
        parse_config(f"store: s\nrun: r\nclasses: [bird, cat]\nask: {{other: {other}}}\n", "run.yaml")


@pytest.mark.parametrize("classes", ['[cat, " cat"]', '["caf\\u00e9", "cafe\\u0301"]', '[cat, "cat\\n"]'])
def test_classes_that_look_alike_are_one(classes: str) -> None:
    with pytest.raises(InputError, match="classes must be a list of two or more different texts"):
        parse_config(f"store: s\nrun: r\nclasses: {classes}\n", "run.yaml")


def test_it_stays_what_it_was_when_the_run_began(pool: Path, tmp_path: Path) -> None:
    run(config(pool, tmp_path / "run", gold="closed", stop="rounds: 1"))
    for other in ("Nothing", ""):
        ask = f"with: table{', other: ' + other if other else ''}"
        with pytest.raises(InputError, match=r"ask.other changes the labels, which were bird, cat, dog, None of these"):
            run(config(pool, tmp_path / "run", gold="closed", ask=ask))


def test_a_template_without_a_place_for_it_is_refused_at_once(pool: Path, tmp_path: Path) -> None:
    ask = f"with: job, output: s3://bucket/jobs, template: free-text, table: {pool}/truth.csv, other: {OTHER}"
    with pytest.raises(InputError, match=r"ask.other has no place on the template free-text; take another one"):
        run(config(pool, tmp_path / "run", ask=ask))
    ask = ask.replace("free-text", "table-row")
    assert JobAsker(config(pool, tmp_path / "run", ask=ask), ["/item 001"]).config.labels == HEAPS


def test_the_question_offers_it(pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gandt import manifest

    built: dict[str, Any] = {}

    class Enough(Exception):  # noqa: N818
        pass

    def build(items: Any, **options: Any) -> Any:
        built.update(options)
        raise Enough

    monkeypatch.setattr(manifest, "build_manifest", build)
    ask = f"with: job, output: s3://bucket/jobs, template: table-row, table: {pool}/truth.csv, other: {OTHER}"
    asks = JobAsker(config(pool, tmp_path / "run", ask=ask), ["/item 001"])
    questions = pd.DataFrame({"item": ["/item 001"], "ask": "first answer", "answers": 0})
    with pytest.raises(Enough):
        asks.ask(0, questions, tmp_path)
    assert (built["categories"], built["other"]) == (["bird", "cat", "dog"], OTHER)
