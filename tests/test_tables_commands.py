"""The same table as CSV, with semicolons, in UTF-16, as Parquet, as JSON lines: every command's results are equal."""

import importlib
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from gandt.cli import app
from gandt.rounds.given import store_vectors
from gandt.tables import write_table

COMMAND_MODULES = "answers cluster consensus deploy embedding folders job manifest processing rounds select template"
for module in COMMAND_MODULES.split():
    importlib.import_module(f"gandt.cli.{module}")  # registers its commands

NAMES = ("a", "b", "é", "d,e", 'f"g', "h;i", "=j", "k l", "007", "1e5", "m", "n")
ITEMS = [f"s3://bucket/{name}.jpg" for name in NAMES]
LABELS = ["cat", "01", "NA", "-1", "true", "=1+1", "größer", "a;b"]
EDITIONS = ("csv", "semicolons", "utf-16", "parquet", "jsonl")


def write(table: pd.DataFrame, folder: Path, name: str, edition: str) -> str:
    """Write a table in an edition; return its path."""
    if edition in ("semicolons", "utf-16"):
        path = folder / f"{name}.csv"
        write_table(table, str(path))
        plain = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in ("confidence", "probability", "seconds", "height", "cat", "01"):
            if column in plain:  # as a spreadsheet writes them where the comma is the decimal sign
                plain[column] = plain[column].str.replace(".", ",", regex=False)
        encoding = "utf-16" if edition == "utf-16" else "utf-8-sig"
        plain.to_csv(path, index=False, sep=";", encoding=encoding)
    else:
        path = folder / f"{name}.{edition}"
        write_table(table, str(path))
    return str(path)


def answers_of(rng: np.random.Generator) -> pd.DataFrame:
    rows = [
        (item, worker, LABELS[place % 2] if rng.random() < 0.8 else "NA", float(rng.integers(1, 90)) / 7)
        for place, item in enumerate(ITEMS)
        for worker in ("w1", "w2", "00w3")
        if rng.random() < 0.8 and item != ITEMS[-1]
    ]
    table = pd.DataFrame(rows, columns=["item", "worker", "label", "seconds"])
    table["submitted_at"] = pd.Timestamp("2026-01-01T10:00:00.5Z")
    return table


def labels_of(rng: np.random.Generator, items: list[str] = ITEMS) -> pd.DataFrame:
    table = pd.DataFrame({"item": items, "label": rng.choice(LABELS, len(items))})
    table["label"] = table["label"].where(rng.random(len(items)) < 0.8, None)
    table.loc[:1, "label"] = ["cat", "01"]
    table.loc[len(items) - 4 :, "label"] = None
    table["confidence"] = np.where(table["label"].isna(), np.nan, rng.random(len(items)))
    table["status"] = np.where(table["label"].isna(), "unanswered", rng.choice(["confident", "relabel"], len(items)))
    return table.assign(votes=2, workers=3, method="auto")


def candidates_of(rng: np.random.Generator) -> pd.DataFrame:
    decision = rng.choice(["keep", "explore", "discard"], len(ITEMS))
    decision[:3] = ["keep", "explore", "discard"]
    return pd.DataFrame({"item": ITEMS, "decision": decision, "label": "cat", "score": rng.random(len(ITEMS))})


def predictions_of(rng: np.random.Generator) -> pd.DataFrame:
    found = rng.dirichlet(np.ones(4), len(ITEMS))
    return pd.DataFrame(found, columns=LABELS[:4]).assign(item=ITEMS)


def workers_of(rng: np.random.Generator) -> pd.DataFrame:
    found = rng.uniform(0.6, 0.9, 2)
    return pd.DataFrame(
        {
            "worker": ["w1", "00w3"],
            "reliability": found,
            "reliability_low": found - 0.1,
            "reliability_high": found + 0.05,
        }
    )


def features_of(rng: np.random.Generator) -> pd.DataFrame:
    height = np.where(rng.random(len(ITEMS)) < 0.8, rng.normal(size=len(ITEMS)), np.nan)
    height[:2] = [0.5, -1.25]
    return pd.DataFrame({"item": ITEMS, "height": height, "kind": ["red", "blue"] * (len(ITEMS) // 2), "votes": 3})


def pairs_of(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"left": ITEMS[:4], "right": ITEMS[4:8]})


# command → its words; {name} stands for a table, {out…} for what is written, {store} for an embedding store
COMMANDS = {
    "consensus": "consensus {answers} --out {out.csv} --workers {out2.jsonl} --gold {gold} --items {items} "
    "--previous {workers} --classifier {predictions} --category cat --category 01 --category NA --category=-1",
    "consensus --next": "consensus {answers} --out {out.parquet} --next {out2.csv}",
    "workers": "workers {answers} --gold {gold} --previous {workers} --out {out.csv}",
    "select --labels": "select {store} --labels {labels} --n 1 --leave-out {items} --out {out.csv}",
    "select --answers": "select {store} --answers {answers} --n 1 --out {out.csv}",
    "carry": "carry {store} {labels} --out {out.csv}",
    "recall": "recall {candidates} {labels} --wanted cat",
    "filter": "filter {store} --seeds {seeds} --rule mean --out {out.csv}",
    "vectors": "vectors {features} {out.store} --json",
    "embed": "embed {missing} {out.store}",
    "plan": "plan {items}",
    "manifest build": "manifest build {candidates} {out.manifest} --per-page 3 --category cat --category 01 "
    "--gold {gold2} --gold-rate 0.3 --gold-record {out2.csv} --carry score",
    "manifest build, labels": "manifest build {labels} {out.manifest} --category cat --category 01 --carry votes",
    "manifest build --pairs": "manifest build {pairs} {out.manifest} --pairs --category cat --category 01",
    "export table": "export {labels} {out.csv} --as table",
    "export manifest": "export {labels} {out.manifest} --as manifest",
}
TABLES: dict[str, Callable[[np.random.Generator], pd.DataFrame]] = {
    "answers": answers_of,
    "labels": labels_of,
    "candidates": candidates_of,
    "predictions": predictions_of,
    "workers": workers_of,
    "features": features_of,
    "pairs": pairs_of,
    "items": lambda rng: pd.DataFrame({"item": ITEMS[-3:]}),
    "gold": lambda rng: pd.DataFrame({"item": ITEMS[3:6], "label": ["cat", "01", "-1"]}),
    "gold2": lambda rng: pd.DataFrame({"item": ["s3://gold/1.jpg", "s3://gold/2.jpg"], "label": ["cat", "01"]}),
    "seeds": lambda rng: pd.DataFrame({"item": ITEMS[:4], "label": ["cat", "01"] * 2}),
    "missing": lambda rng: pd.DataFrame({"item": ["/nowhere/a.jpg", "/nowhere/é.jpg"]}),
}
# commands with an option or argument that takes a table, for which something else holds
WRITTEN = ("out", "workers", "by_class", "conflicts", "set_aside", "comments", "gold_record")
ELSEWHERE = {
    "job create": "its manifest is JSON lines",
    "job cost": "needs a job; tests/test_jobs.py",
    "manifest upload": "a list of files to send; tests/test_manifest_upload.py",
    "cluster": "checks are of its own clusters; tests/test_clusters.py",
    "generalize": "writes one",
    "workers names": "takes worker and name; tests/test_worker_names.py",
    "processing submit": "takes the seeds that filter takes",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "store"
    store_vectors(ITEMS, np.random.default_rng(0).normal(size=(len(ITEMS), 5)), str(folder))
    return folder


def run(words: str, folder: Path, paths: dict[str, str], store: Path) -> dict[str, bytes]:
    """Run a command; return what it printed and wrote."""
    folder.mkdir()
    filled = []
    for word in words.split():
        name = word.strip("{}")
        if word.startswith("{out"):
            filled.append(str(folder / name))
        elif word == "{store}":
            filled.append(str(store))
        else:
            filled.append(paths[name] if word.startswith("{") else word)
    result = CliRunner().invoke(app, filled)
    places = sorted([*paths.values(), str(folder)], key=len, reverse=True)
    text = result.output + (f"\n{result.exception}" if result.exception else "")
    for number, place in enumerate(places):
        text = text.replace(place, f"<{number if place == str(folder) else 'table'}>")
    written = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".csv", ".jsonl", ".parquet", ".npy", ".manifest")
    }
    manifest = written.pop("out.manifest", b"").decode()
    lines = [line.partition('"creation-date"')[0] for line in manifest.splitlines()]  # of an export: the time
    printed = " ".join(text.split())
    return {
        **written,
        "manifest": "\n".join(lines).encode(),
        "printed": printed.encode(),
        "code": bytes(result.exit_code),
    }


@pytest.mark.parametrize("command", COMMANDS)
@settings(
    phases=[Phase.generate],
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_the_form_of_a_table_changes_nothing(
    command: str, seed: int, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    words = COMMANDS[command]
    rng = np.random.default_rng(seed)
    tables = {name: make(rng) for name, make in TABLES.items() if f"{{{name}}}" in words}
    assert tables
    found: dict[str, dict[str, bytes]] = {}
    for edition in EDITIONS:
        folder = tmp_path_factory.mktemp("tables")
        paths = {name: write(table, folder, name, edition) for name, table in tables.items()}
        found[edition] = run(words, folder / "written", paths, store)
    first = found["parquet"]
    if command == "embed":  # of which nothing can be read: it says so, and how long that took
        assert all(b"/nowhere/" in other.pop("printed") for other in found.values())
    else:
        assert first["code"] == b"", first["printed"].decode()
    for edition, other in found.items():
        assert other == first, edition


def test_every_command_that_takes_a_table_is_tried_here_or_named() -> None:
    taking = set()

    def walk(command: object, name: str) -> None:
        for each, child in getattr(command, "commands", {}).items():
            walk(child, f"{name} {each}".strip())
        for parameter in [] if hasattr(command, "commands") else command.params:  # type: ignore[attr-defined]
            told = (getattr(parameter, "help", None) or "").lower()
            wrote = parameter.name in (
                "out",
                "workers",
                "by_class",
                "conflicts",
                "set_aside",
                "comments",
                "gold_record",
            )
            if "table" in told and not wrote and "instead of tables" not in told and "write" not in told:
                taking.add(name)

    walk(get_command(app), "")
    tried = {name.split(" --")[0].split(",")[0] for name in COMMANDS} | {"workers show", "export", *ELSEWHERE}
    assert taking - tried == set()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("consensus {answers} --out {out.csv} --gold {strange}", "no item of"),
        ("consensus {answers} --out {out.csv} --items {strange}", "no item of"),
        ("consensus {answers} --out {out.csv} --classifier {strange}", "no item of"),
        ("workers {answers} --gold {strange}", "no item of"),
        ("carry {store} {strange} --out {out.csv}", "no item of"),
        ("select {store} --labels {labels} --leave-out {strange} --out {out.csv}", "no item of"),
        ("recall {candidates} {strange} --wanted cat", "no item of"),
        ("consensus {answers} --out {answers}", "is read by this command, which would replace it"),
        ("consensus {answers} --out {out.csv} --workers {out.csv}", "is named twice"),
        ("carry {store} {labels} --out {labels}", "is read by this command"),
        ("export {candidates} {out.manifest} --as manifest", "holds candidates"),
        ("export {answers} {out.manifest} --as manifest", "holds answers"),
        ("filter {store} --seeds {candidates} --out {out.csv}", "holds candidates"),
        ("select {store} --labels {lists} --n 1 --out {out.csv}", "several labels"),
        ("filter {store} --seeds {lists} --out {out.csv}", "several labels"),
        ("recall {candidates} {lists} --wanted cat", "several labels"),
        ("vectors {percents} {out.store}", "column share: '6%' is no number"),
    ],
)
def test_what_does_not_meet_or_fit_is_an_error(words: str, told: str, store: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tables = {name: make(rng) for name, make in TABLES.items()}
    tables["strange"] = pd.DataFrame({"item": ["s3://other/x.jpg"], "label": ["cat"], "cat": [0.5], "01": [0.5]})
    tables["lists"] = pd.DataFrame({"item": ITEMS[:2], "label": ['["cat", "01"]', "cat"]})
    tables["percents"] = pd.DataFrame({"item": ITEMS[:3], "share": ["6%", "7%", "8 %"], "kind": ["a", "a", "b"]})
    paths = {name: write(table, tmp_path, name, "csv") for name, table in tables.items()}
    found = run(words, tmp_path / "written", paths, store)
    assert len(found["code"]) == 1 and told in found["printed"].decode()
    if told == "no item of":
        assert "s3://other/x.jpg" in found["printed"].decode() and "s3://bucket/" in found["printed"].decode()
    assert [name for name in found if name.startswith("out")] == []


def test_seeds_of_a_store_of_vectors_go_by_its_names(store: Path, tmp_path: Path) -> None:
    names = ["bottle 1", "bottle é", "bottle 3", "bottle 4", "bottle 5", "bottle 6"]
    store_vectors(names, np.random.default_rng(0).normal(size=(6, 4)), str(tmp_path / "wine"))
    (tmp_path / "seeds.csv").write_text(f"item,label\nbottle 1,red\n{unicodedata.normalize('NFD', names[1])},red\n")
    paths = {"seeds": str(tmp_path / "seeds.csv")}
    words = "filter {store} --seeds {seeds} --rule mean --out {out.csv}"
    found = run(words, tmp_path / "1", paths, tmp_path / "wine")
    assert found["code"] == b"" and "bottle 3" in found["out.csv"].decode()


def test_what_may_be_one_in_two_spellings_is_said(store: Path, tmp_path: Path) -> None:
    table = pd.DataFrame({"item": ["a", "é", "e\u0301"], "worker": "w", "label": ["Dog", "dog", "dog"]})
    gold = pd.DataFrame({"item": ["a"], "label": ["1.0"]})
    paths = {"answers": write(table, tmp_path, "a", "csv"), "gold": write(gold, tmp_path, "g", "csv")}
    told = run("consensus {answers} --gold {gold} --out {out.csv}", tmp_path / "1", paths, store)["printed"].decode()
    assert "labels 'Dog' and 'dog' differ only in what is hardly seen" in told
    assert "items '\\xe9' and 'e\\u0301' differ only" in told
    assert "no label of the gold, such as '1.0', is one that a worker gave, such as 'Dog'" in told


def test_names_in_another_unicode_form_meet(store: Path, tmp_path: Path) -> None:
    """A table that comes from a Mac names é in two characters, the store in one."""
    rng = np.random.default_rng(1)
    labels = labels_of(rng)
    labels.loc[2, ["label", "status", "confidence"]] = ["cat", "confident", 0.9]
    given_ = answers_of(rng)
    gold = pd.DataFrame({"item": [ITEMS[2]], "label": ["cat"]})
    for table in (labels, gold):
        table["item"] = [unicodedata.normalize("NFD", item) for item in table["item"]]
    paths = {
        "labels": write(labels, tmp_path, "labels", "csv"),
        "answers": write(given_, tmp_path, "answers", "csv"),
        "gold": write(gold, tmp_path, "gold", "csv"),
    }
    carried = run("carry {store} {labels} --out {out.csv}", tmp_path / "1", paths, store)
    assert ITEMS[2] in carried["out.csv"].decode() and "aren't among" not in carried["printed"].decode()
    told = run("consensus {answers} --out {out.csv} --gold {gold}", tmp_path / "2", paths, store)
    assert len(told["code"]) == 0 and ITEMS[2] not in told["out.csv"].decode()  # gold isn't among the labels


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("consensus {answers} --out {out.csv} --category cat --category=", "is empty"),
        ("consensus {answers} --out {out.csv} --classifier {twice}", "has two rows of the item"),
        ("consensus {answers} --out {out.csv} --classifier {gap}", "says nothing for the item"),
        ("manifest build {items} {out.manifest} --category cat --positive=", "an example is empty"),
        ("manifest build {items} {out.manifest} --category cat --category dog --set labels=x", "is set twice"),
        (
            "manifest build {items} {out.manifest} --category a --category b --positive s3://b/x.png --negative "
            "s3://b/x.png",
            "shows what is meant and what is not meant",
        ),
        ("embed {missing} {out.store} --threads -1", "at least 1 thread"),
    ],
)
def test_what_others_tried_is_refused_in_a_sentence(words: str, told: str, store: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tables = {name: TABLES[name](rng) for name in ("answers", "items", "missing")}
    chances = pd.DataFrame({"item": [ITEMS[0], ITEMS[0]], "cat": [0.9, 0.1], "01": [0.1, 0.9], "NA": 0.0})
    tables |= {"twice": chances, "gap": chances.head(1).assign(cat=None)}
    paths = {name: write(table, tmp_path, name, "csv") for name, table in tables.items()}
    found = run(words, tmp_path / "written", paths, store)
    assert len(found["code"]) == 1 and told in found["printed"].decode(), found["printed"].decode()


def test_seeds_that_stand_in_no_labels_folder_are_said(store: Path, tmp_path: Path) -> None:
    from PIL import Image

    from gandt.candidates.seeds import read_seeds
    from gandt.embedding import EmbeddingStore
    from gandt.errors import GandtWarning

    for name in ("cat/1.png", "loose.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.warns(GandtWarning, match="1 images in .* such as loose.png stand in no label's folder"):
        assert list(read_seeds([str(tmp_path)], EmbeddingStore.open(str(store)))) == ["cat"]
