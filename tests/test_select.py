"""``gandt select``, ``carry`` and ``vectors``, from the store to the table."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from gandt import tables
from gandt.candidates.points import Points
from gandt.cli import app
from gandt.cli import select as _registered  # noqa: F401
from gandt.embedding import EmbeddingStore
from gandt.errors import GandtError, GandtWarning, InputError
from gandt.rounds.given import read_vectors, store_vectors, table_vectors
from gandt.rounds.head import learn
from gandt.rounds.select import select, select_answers

CLASSES = ("cat", "dog", "bird")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[EmbeddingStore, dict[str, str]]:
    """150 items in three heaps that overlap a little, and their truth."""
    rng = np.random.default_rng(0)
    heap = np.arange(150) % 3
    vectors = 1.5 * np.eye(3)[heap] + 0.4 * rng.normal(size=(150, 3))
    items = [f"item {number:03}" for number in range(150)]
    path = tmp_path_factory.mktemp("given") / "store"
    store = store_vectors(items, vectors, str(path))
    return store, {item: CLASSES[each] for item, each in zip(items, heap, strict=True)}


def run(*command: str) -> Any:
    result = CliRunner().invoke(app, list(command))
    if isinstance(result.exception, GandtError):
        raise result.exception
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def test_select_asks_what_is_not_labelled_and_says_what_it_knows(pool: Any) -> None:
    store, truth = pool
    known = dict(list(truth.items())[:12])
    table = select(store, known, 10)
    assert not set(table["item"]) & set(known)
    assert table["rank"].tolist() == list(range(1, 11))
    assert set(table["label"]) <= set(CLASSES)
    assert table["uncertainty"].between(0, 1).all()
    everything = select(store, known, len(truth) - 12, strategy="margin")
    assert everything["uncertainty"].is_monotonic_decreasing
    first = select(store, {}, 6)
    assert {truth[item] for item in first["item"]} == set(CLASSES), "with no label at all it takes typical items"
    assert first["label"].isna().all()


def test_neighbours_of_the_chosen_are_asked_along_with_them(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gandt.rounds import select as module

    store, truth = pool
    known = dict(list(truth.items())[:12])
    alone = select(store, known, 3, strategy="surest", seed=4)["item"].tolist()
    together = select(store, known, 12, strategy="surest", neighbours=3, seed=4)["item"].tolist()
    assert together[:3] == alone
    assert len(set(together)) == 12 and not set(together) & set(known)
    points = Points(store)
    rest = [item for item in truth if item not in known]
    where = points.take(store.rows(rest))
    for place, centre in enumerate(points.take(store.rows(alone))):
        order = [rest[each] for each in np.linalg.norm(where - centre, axis=1).argsort()]
        assert order[0] == alone[place]
        assert order[1] in together, "the nearest of each"
    monkeypatch.setattr(module, "_CHUNK", 7)
    assert select(store, known, 12, strategy="surest", neighbours=3, seed=4)["item"].tolist() == together
    everything = select(store, known, len(rest), neighbours=5)
    assert set(everything["item"]) == set(rest)
    with pytest.raises(InputError, match="leave out --labels, --strategy and --neighbours"):
        run("select", store.path, "--answers", "a.csv", "--neighbours", "2")


def test_select_leaves_out_gold_and_says_when_too_little_is_left(pool: Any) -> None:
    store, truth = pool
    items = list(truth)
    known = {item: truth[item] for item in items[:100]}
    chosen = select(store, known, 10, leave_out=items[100:140])
    assert set(chosen["item"]) == set(items[140:])
    with pytest.raises(InputError, match=r"11 items are wanted and 10 items are left to ask"):
        select(store, known, 11, leave_out=items[100:140])
    with pytest.raises(InputError, match="needs labels of two classes, and only 'cat' has"):
        select(store, {items[0]: "cat"}, 5)
    with pytest.raises(InputError, match="stranger is not in the store"):
        select(store, {"s3://bucket/stranger": "cat"}, 5)


def test_the_default_learns_more_than_random_from_as_many_labels(pool: Any) -> None:
    store, truth = pool
    points = Points(store)
    items = np.array(list(truth))
    found: dict[str, list[float]] = {"default": [], "random": []}
    for name, right in found.items():
        for seed in range(2):
            known: dict[str, str] = {}
            for _ in range(3):
                chosen = select(store, known, 4, strategy=name, seed=seed, points=points)["item"] if known else None
                chosen = select(store, {}, 4, strategy=name, seed=seed, points=points)["item"] if not known else chosen
                known |= {item: truth[item] for item in chosen}
                if len(set(known.values())) < 2:
                    break
                model = learn(points.take(store.rows(list(known))), list(known.values()))
                predicted = model.probabilities(points.take(store.rows(items.tolist()))).argmax(axis=1)
                right.append(
                    float(np.mean([model.classes[k] == truth[i] for k, i in zip(predicted, items, strict=True)]))
                )
    assert np.mean(found["default"]) > np.mean(found["random"])


def test_select_answers_asks_again_where_workers_differ(pool: Any) -> None:
    store, truth = pool
    items = list(truth)
    answers = [(item, worker, truth[item]) for item in items[:40] for worker in "ab"]
    answers += [(items[40], "a", "cat"), (items[40], "b", "dog")]
    table = select_answers(store, pd.DataFrame(answers, columns=["item", "worker", "label"]), 60)
    assert len(table) == 60
    again = table[table["ask"] == "another answer"]["item"].tolist()
    assert again[:1] == [items[40]]


def test_the_commands(pool: Any, tmp_path: Path) -> None:
    store, truth = pool
    labels, out = str(tmp_path / "labels.csv"), str(tmp_path / "ask.parquet")
    tables.write_table(pd.DataFrame({"item": list(truth)[:20], "label": list(truth.values())[:20]}), labels)
    shown = run("select", store.path, "--labels", labels, "--n", "7", "--strategy", "entropy+k-center", "--out", out)
    assert "What to ask next (7 items)" in shown.stdout
    assert len(tables.read_table(out)) == 7
    printed = json.loads(
        run("select", store.path, "--labels", labels, "-n", "3", "--duplicates", "0.9", "--json").stdout
    )
    assert len(printed["chosen"]) == 3
    carried = str(tmp_path / "carried.csv")
    assert json.loads(run("carry", store.path, labels, "--out", carried, "--json").stdout)["carried over"] == 0
    assert len(tables.read_table(carried)) == 20
    with pytest.raises(InputError, match="--answers has labels and a ranking of its own"):
        run("select", store.path, "--labels", labels, "--answers", labels)
    with pytest.raises(InputError, match="there is no strategy 'magic'"):
        run("select", store.path, "--labels", labels, "--strategy", "magic", "-n", "2")


# ---------------------------------------------------------------------- given vectors


def test_given_vectors_keep_their_distances(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(40, 5)) * rng.uniform(0.2, 2, size=(40, 1)) * 1000 + 77
    store = store_vectors([f"/row {number}" for number in range(40)], vectors, str(tmp_path / "store"))
    points = Points(store).take(np.arange(40))
    apart = [np.linalg.norm(some[:, None] - some[None], axis=2)[np.triu_indices(40, 1)] for some in (points, vectors)]
    assert np.corrcoef(*apart)[0, 1] > 0.99
    assert np.linalg.norm(np.asarray(store.vectors), axis=1) == pytest.approx(np.ones(40), abs=1e-5)


def test_a_table_becomes_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "item": [f"r{number}" for number in range(6)],
            "size": ["1", "2", "3", "4", None, "6"],
            "colour": ["red", "blue", "red", "blue", "red", "red"],
            "note": [f"different {number}" for number in range(6)],
            "label": ["a", "b"] * 3,
        }
    )
    path = str(tmp_path / "table.csv")
    tables.write_table(table, path)
    with pytest.warns(GandtWarning, match="left out, since they are empty or different text .*: note"):
        items, vectors = read_vectors(path, skip=["label"])
    assert items == [f"r{number}" for number in range(6)]
    assert vectors.shape == (6, 3), "a standardised number and two colours; the note and the label tell nothing"
    assert vectors[:, 0].mean() == pytest.approx(0, abs=1e-6)
    with pytest.warns(GandtWarning, match="left out.* item, note"):
        assert read_vectors(path, item="none such")[0][0] == "row 0"


def test_vectors_of_ones_own_from_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "sounds.npy", np.eye(3))
    tables.write_table(pd.DataFrame({"item": ["a", "b", "c"]}), str(tmp_path / "sounds.items.csv"))
    printed = json.loads(run("vectors", str(tmp_path / "sounds.npy"), str(tmp_path / "store"), "--json").stdout)
    assert printed["items"] == 3
    with pytest.raises(InputError, match="holds a store already; choose a new folder"):
        run("vectors", str(tmp_path / "sounds.npy"), str(tmp_path / "store"))
    (tmp_path / "sounds.npy").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="isn't a readable"):
        run("vectors", str(tmp_path / "sounds.npy"), str(tmp_path / "other"))


def test_what_are_no_vectors(tmp_path: Path) -> None:
    where = str(tmp_path / "store")
    with pytest.raises(InputError, match="the item 'a' occurs twice"):
        store_vectors(["a", "a"], np.eye(2), where)
    with pytest.raises(InputError, match="the vector of 'b' has a gap or an infinite number"):
        store_vectors(["a", "b"], np.array([[1, 2], [np.nan, 1]]), where)
    with pytest.raises(InputError, match="don't fit 1 items"):
        store_vectors(["a"], np.eye(2), where)
    with pytest.raises(InputError, match="no column of numbers or of repeating words"):
        table_vectors(pd.DataFrame({"name": ["x", "y", "z"]}))
    assert not Path(where).exists()
