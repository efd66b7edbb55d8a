"""The filter over shards decides as a single machine does."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_candidates import DESCRIPTION, make_store, of_class, seeds

from gandt import EmbeddingStore, filter_by_similarity
from gandt.candidates import shards
from gandt.candidates.rules import exact_sum, moments
from gandt.embedding.store import EMBEDDED, Record, Vectors, Writer
from gandt.errors import InputError


@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_number_of_shards_keeps_the_same(tmp_path: Path, count: int) -> None:
    whole = make_store(tmp_path / "whole")
    items = whole.items["item"].to_numpy()
    parts = []
    for number in range(count):
        mine = np.flatnonzero(np.arange(len(items)) * 7 % count == number)
        with Writer(str(tmp_path / f"{number}"), DESCRIPTION | {"dim": 32, "model": "test"}) as writer:
            records = [Record(items[row], f"{row}", 1, 1, EMBEDDED, "", place, "1") for place, row in enumerate(mine)]
            writer.write(records, whole.vectors[mine])
        parts.append(EmbeddingStore.open(str(tmp_path / f"{number}")))
    pool = shards.summarise(parts[0])
    for part in parts[1:]:
        pool += shards.summarise(part)
    single = filter_by_similarity(whole, seeds("cat", "dog"), rule="mean")
    targets, own = shards.prepare(pool, shards.seed_vectors(parts, seeds("cat", "dog")))
    bounds = shards.thresholds(own, 0.95, [moments(shards.score(part, pool, targets)) for part in parts])
    assert dict(zip(("cat", "dog"), bounds.tolist(), strict=True)) == single.attrs["thresholds"]  # exactly
    kept, scores = set(), {}
    for part in parts:
        found = shards.score(part, pool, targets)
        rows = part.rows(list(part.items["item"]))
        scores |= dict(zip(part.items["item"], found[rows].max(axis=1), strict=True))
        kept |= set(part.items["item"][(found[rows] >= bounds).any(axis=1)])
    taken = {item for group in seeds("cat", "dog").values() for item in group}
    assert kept - taken == set(single.loc[single["decision"] == "keep", "item"])
    assert of_class(single, "cat", "dog").sum() > 0

    # a share of the pool, by histograms: the same items, seeds aside
    by_part = [
        np.array([scores[item] for item in part.items["item"] if item not in taken], np.float32) for part in parts
    ]
    keep = round(0.3 * len(single))
    upper, left = shards.cut(sum(shards.histogram(each) for each in by_part), keep)
    lower, _ = shards.cut(sum(shards.histogram(each, upper) for each in by_part), left)
    bound = shards.score_at(upper, lower)
    share = filter_by_similarity(whole, seeds("cat", "dog"), rule="mean", keep=0.3)
    expected = set(share.loc[share["decision"] == "keep", "item"])
    assert {item for item, value in scores.items() if value >= bound and item not in taken} == expected
    with pytest.raises(InputError, match="cow is in none of the shards"):
        shards.seed_vectors(parts, {"cow": ["cow"]})


@settings(deadline=None, max_examples=80)
@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=60), st.data())
def test_the_cut_is_the_score_of_that_rank(values: list[float], data: st.DataObject) -> None:
    scores = np.array(values, np.float32) + np.float32(0)  # −0 becomes 0
    keep = data.draw(st.integers(1, len(values)))
    upper, left = shards.cut(shards.histogram(scores), keep)
    lower, _ = shards.cut(shards.histogram(scores, upper), left)
    assert shards.score_at(upper, lower) == np.sort(scores)[::-1][keep - 1]


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
