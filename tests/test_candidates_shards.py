"""The filter over shards decides as a single machine does."""

import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_candidates import DESCRIPTION, make_store, seeds

from gandt import EmbeddingStore, filter_by_similarity
from gandt.candidates import shards
from gandt.candidates.rules import exact_sum
from gandt.candidates.shards import Alone, Exchange
from gandt.embedding import merge
from gandt.embedding.store import EMBEDDED, Record
from gandt.embedding.vectors import Vectors
from gandt.embedding.writer import Writer
from gandt.errors import InputError, StorageError


def write(path: Path, names: list[str], contents: np.ndarray[Any, Any], vectors: np.ndarray[Any, Any]) -> str:
    """Write a store of items with these contents; equal contents share a vector."""
    owners: dict[int, int] = {}
    records = []
    for name, content in zip(names, contents.tolist(), strict=True):
        row = -1 if content in owners else len(owners)
        owners.setdefault(content, row)
        records.append(Record(name, f"{content:064x}", 1, 1, EMBEDDED, "", row, "1"))
    with Writer(str(path), DESCRIPTION | {"dim": vectors.shape[1], "model": "test"}) as writer:
        writer.write(records, vectors[list(owners)])
    return str(path)


def all_shards(folder: str, stores: list[str], given_seeds: dict[str, list[str]], **options: Any) -> pd.DataFrame:
    """Filter every shard in a thread of its own, as on machines of their own, and put the tables together."""
    of = len(stores)

    def one(number: int) -> pd.DataFrame:
        exchange = Exchange(f"{folder}/exchange", f"{number}/{of}", {}, wait=30)
        return filter_by_similarity(EmbeddingStore.open(stores[number - 1]), given_seeds, exchange=exchange, **options)

    with ThreadPoolExecutor(of) as pool:
        tables = list(pool.map(one, range(1, of + 1)))
    assert all(table.attrs == tables[0].attrs for table in tables)
    whole = pd.concat(tables)
    whole.attrs = tables[0].attrs
    return whole.sort_values("item", ignore_index=True)


@settings(deadline=None, max_examples=15)
@given(
    of=st.integers(1, 5),
    rule=st.sampled_from(["mean", "nearest", "g-and-t"]),
    aim=st.sampled_from([{"recall": 0.9}, {"keep": 0.3}, {"recall": 1.0}, {"keep": 0.0}]),
    count=st.integers(12, 1500),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_number_of_shards_gives_the_same_candidates(
    of: int, rule: str, aim: dict[str, float], count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(5, 48))[rng.integers(0, 5, count)] + rng.normal(size=(count, 48)) + 0.5
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = [f"s3://b/{number:05}.jpg" for number in rng.permutation(count)]
    contents = np.where(rng.random(count) < 0.2, rng.integers(0, count, count), np.arange(count))  # some are copies
    chosen = rng.choice(count, 10, replace=False)
    given_seeds = {"cat": [names[i] for i in chosen[:4]], "dog": [names[i] for i in chosen[3:7]]}
    given_seeds["Other"] = [names[i] for i in chosen[7:]]
    owner = rng.integers(0, of, count)  # a shard may well be empty
    with tempfile.TemporaryDirectory() as work:
        parts = [np.flatnonzero(owner == number) for number in range(of)]
        stores = [
            write(Path(work) / f"{number}", [names[i] for i in part], contents[part], vectors)
            for number, part in enumerate(parts)
        ]
        single = write(Path(work) / "single", names, contents, vectors)
        options: dict[str, Any] = {"rule": rule, "explore": 0.2, "seed": seed, "device": "cpu", **aim}
        expected = filter_by_similarity(EmbeddingStore.open(single), given_seeds, **options)
        assert len(expected) == count - len({item for group in given_seeds.values() for item in group})
        found = all_shards(work, stores, given_seeds, **options)
        merged = filter_by_similarity(merge(stores, f"{work}/merged"), given_seeds, **options)
        for table in (found, merged.sort_values("item", ignore_index=True)):
            pd.testing.assert_frame_equal(
                table, expected.sort_values("item", ignore_index=True), check_exact=True, check_like=False
            )
            assert table.attrs == expected.attrs


def test_rules_that_need_the_whole_pool_say_so(tmp_path: Path) -> None:
    exchange = Exchange(str(tmp_path / "exchange"), "1/2", {})
    with pytest.raises(InputError, match=r"rule 'spread' needs the whole pool; merge the shards .* mean, nearest or"):
        filter_by_similarity(make_store(tmp_path / "store"), seeds("cat"), exchange=exchange)


def test_machines_that_do_not_fit_together_are_told(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    folder = str(tmp_path / "exchange")
    with pytest.raises(StorageError, match=r"shard 2/2 hasn't written .*pool-00002of00002.npz; start it, then run"):
        filter_by_similarity(store, seeds("cat"), rule="mean", exchange=Exchange(folder, "1/2", {}, wait=0))
    with pytest.raises(InputError, match=r"shard 1/2 was started with other seeds, settings or data .* empty"):
        Exchange(folder, "2/2", {"rule": "nearest"}, wait=0).gather("pool", {})
    Path(folder, "pool-00001of00002.npz").write_bytes(b"PK not a zip file")
    with pytest.raises(InputError, match=r"pool-00001of00002.npz isn't what a shard writes"):
        Exchange(folder, "2/2", {}, wait=0).gather("pool", {})
    with pytest.raises(InputError, match="written i/n"):
        Exchange(folder, "3/2", {})
    other = write(tmp_path / "other", ["a", "b"], np.arange(2), np.eye(2, 7, dtype=np.float32))
    with pytest.raises(InputError, match="shard 2 was embedded otherwise than shard 1"):
        all_shards(str(tmp_path / "a"), [store.path, other], seeds("cat"), rule="mean")
    with pytest.raises(InputError, match="cow-1 is in none of the shards"):
        all_shards(str(tmp_path / "b"), [store.path, store.path], {"cow": ["cow-1", "cat-1"]}, rule="mean")


def test_shards_talk_over_s3(tmp_path: Path, s3: Any) -> None:
    shares = [{"counts": np.array([number, 7])} for number in (1, 2)]
    exchanges = [Exchange("s3://bucket/run", f"{number}/2", {"seed": 1}, wait=20, s3=s3) for number in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: one[0].gather("step", one[1]), zip(exchanges, shares, strict=True)))
    for gathered in found:
        assert [share["counts"].tolist() for share in gathered] == [[1, 7], [2, 7]]


def test_the_command_over_two_processes_of_which_one_dies(tmp_path: Path) -> None:
    made = make_store(tmp_path / "made")
    vectors, contents = np.asarray(made.vectors), np.arange(len(made.items))
    names = [f"s3://bucket/{item}" for item in made.items["item"]]
    whole = write(tmp_path / "whole", names, contents, vectors)
    stores = [write(tmp_path / f"part{number}", names[number::2], contents[number::2], vectors) for number in (0, 1)]
    given_seeds = {label: [f"s3://bucket/{item}" for item in group] for label, group in seeds("cat", "dog").items()}

    def command(number: int) -> list[str]:
        arguments = ["filter", stores[number - 1], "--rule", "mean", "--shard", f"{number}/2", "--device", "cpu"]
        arguments += [
            part for label, group in given_seeds.items() for part in ("--seeds", f"{label}={','.join(group)}")
        ]
        arguments += ["--exchange", str(tmp_path / "exchange"), "--out", str(tmp_path / f"{number}.parquet")]
        return [sys.executable, "-c", "from gandt.cli import main; main()", *arguments]

    first = subprocess.Popen(command(1))
    until = time.monotonic() + 60
    while not list((tmp_path / "exchange").glob("pool-00001*.npz")) and time.monotonic() < until:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not (tmp_path / "1.parquet").exists()
    both = [subprocess.Popen(command(number), stderr=subprocess.DEVNULL) for number in (1, 2)]
    assert [process.wait() for process in both] == [0, 0]
    found = pd.concat([pd.read_parquet(tmp_path / f"{number}.parquet") for number in (1, 2)])
    expected = filter_by_similarity(EmbeddingStore.open(whole), given_seeds, rule="mean", device="cpu")
    pd.testing.assert_frame_equal(
        found.sort_values("item", ignore_index=True),
        expected.sort_values("item", ignore_index=True),
        check_exact=True,
    )
    assert (found["decision"] == "keep").any()


@settings(deadline=None, max_examples=80)
@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=60), st.data())
def test_the_chosen_have_the_highest_scores_and_names_break_ties(values: list[float], data: st.DataObject) -> None:
    scores = np.array(values, np.float32)
    items = np.array([f"{number:02}" for number in np.random.default_rng(0).permutation(len(values))], object)
    count = data.draw(st.integers(0, len(values)))
    chosen, bound = shards.first_of(shards.keys_of_scores(scores), items, count, "x", Alone())
    order = sorted(range(len(values)), key=lambda place: (-scores[place], items[place]))
    assert set(np.flatnonzero(chosen)) == set(order[:count])
    assert shards.score_of_key(bound) == (scores[order[count - 1]] if count else np.inf)


def test_the_sum_shows_no_order() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9000, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    total = exact_sum(Vectors([rows], 8, "float32"))
    mixed = rows[rng.permutation(len(rows))]
    assert (
        exact_sum(Vectors([mixed[:10]], 8, "float32")) + exact_sum(Vectors([mixed[10:]], 8, "float32")) == total
    ).all()
    np.testing.assert_allclose(total, rows.sum(axis=0, dtype=np.float64), atol=1e-3)
    counts = rng.integers(0, 4, len(rows))
    repeated = exact_sum(Vectors([np.repeat(rows, counts, axis=0)], 8, "float32"))
    assert (exact_sum(Vectors([rows], 8, "float32"), counts) == repeated).all()
