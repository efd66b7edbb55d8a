"""A rule gives the same scores wherever its products run."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_candidates import make_store

from gandt.candidates import devices, filter_by_similarity
from gandt.candidates.devices import CPU
from gandt.candidates.duplicates import near_pairs
from gandt.candidates.rules import RULES
from gandt.embedding.vectors import Vectors
from gandt.errors import InputError


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5), st.integers(12, 900), st.integers(1, 10), st.integers(0, 9), st.booleans(), st.integers(0, 99)
)
def test_the_nearest_are_those_that_sorting_finds(
    rows: int, columns: int, count: int, seed: int, own: bool, values: int
) -> None:
    similar = np.random.default_rng(seed).integers(0, values + 1, (rows, columns)).astype(np.float32)  # with many ties
    places, found = CPU.nearest(similar.copy(), count, 2 if own else None)
    if own:
        similar[np.arange(rows), 2 + np.arange(rows)] = -np.inf
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(similar, axis=1)[:, -count:])
    np.testing.assert_array_equal(np.take_along_axis(similar, places, axis=1), found)
    assert all(len(set(row)) == count for row in places.tolist())


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_torch_scores_as_numpy_does(tmp_path: Path, rule: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("gandt.candidates.spread.ANCHORS", 150)
    stored = np.asarray(make_store(tmp_path / "store").vectors).astype(dtype)
    vectors = Vectors([stored[:70], stored[70:]], stored.shape[1], dtype)
    seeds = [np.arange(0, 12), np.arange(60, 70), np.arange(240, 251)]
    one, other = (RULES[rule](vectors, seeds, device=device) for device in (CPU, devices.Torch("cpu")))
    np.testing.assert_allclose(one.scores, other.scores, atol=2e-3 if rule == "spread" else 1e-5)
    for mine, its in zip(one.own, other.own, strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-3 if rule == "spread" else 1e-5)


def test_torch_finds_the_same_duplicates(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    store = make_store(tmp_path / "store")
    one, other = (near_pairs(store, 0.5, device) for device in (CPU, devices.Torch("cpu")))
    assert len(one) > 100 and set(zip(one["row"], one["other"], strict=True)) == set(
        zip(other["row"], other["other"], strict=True)
    )
    np.testing.assert_allclose(np.sort(one["similarity"]), np.sort(other["similarity"]), atol=1e-5)


def test_a_gpu_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", per_class=4)
    with pytest.raises(InputError, match="no device 'tpu'; choose from auto, cpu, cuda"):
        filter_by_similarity(store, {"cat": ["cat-1"]}, keep=0.5, device="tpu")
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match="torch sees no GPU"):
        filter_by_similarity(store, {"cat": ["cat-1"]}, keep=0.5, device="cuda")
