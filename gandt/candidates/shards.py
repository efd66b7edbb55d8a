"""Rule "mean" over shards: a map with a tiny reduce, so that no machine needs the whole store.

Each step is a function of one shard, with sums in between::

    pool = sum of summarise(shard) over the shards            # the pool's mean: one vector and a count
    targets, own = prepare(pool, seed_vectors(shards, seeds)) # on one machine: tiny
    scores = score(shard, pool, targets)                      # per shard
    bounds = thresholds(own, recall, [moments(scores) of each shard])  # keep what reaches them

To keep a share of the pool instead, ``histogram`` counts each shard's scores, the counts add up, and ``cut`` finds
the very score at which a single machine would cut. Sums are exact, so any number of shards decides alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gandt.candidates.rules import Array, centred, centred_products, deviation, exact_sum, left_out, unit
from gandt.candidates.similar import lower_bounds
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError

_BINS = 1 << 16


@dataclass(frozen=True)
class Pool:
    """How many vectors a part of the pool has, and their exact sum (dim,); pools add up."""

    count: int
    total: Array

    def __add__(self, other: "Pool") -> "Pool":
        return Pool(self.count + other.count, self.total + other.total)

    @property
    def mean(self) -> Array:
        """The mean vector, float32."""
        mean: Array = (self.total / max(self.count, 1)).astype(np.float32)
        return mean


def summarise(shard: EmbeddingStore) -> Pool:
    """Map, first round: a shard's share of the pool's mean."""
    return Pool(len(shard.vectors), exact_sum(shard.vectors))


def seed_vectors(shards: Sequence[EmbeddingStore], seeds: Mapping[str, Sequence[str]]) -> dict[str, Array]:
    """Gather the seeds' vectors, by label, from whatever shard has them.

    Raises
    ------
    InputError
        When no shard has a seed; the sentence names it.
    """
    found: dict[str, Array] = {}
    for shard in shards:
        rows = shard.items.set_index("item")["row"].reindex([item for group in seeds.values() for item in group])
        rows = rows[rows.notna() & (rows >= 0) & ~rows.index.duplicated()].astype("int64")
        found.update(zip(rows.index, shard.vectors[rows.to_numpy()], strict=True))
    missing = [item for group in seeds.values() for item in group if item not in found]
    if missing:
        raise InputError(f"{missing[0]} is in none of the shards; embed it first")
    return {label: np.stack([found[item] for item in sorted(set(group))]) for label, group in seeds.items()}


def prepare(pool: Pool, seeds: Mapping[str, Array]) -> tuple[Array, list[Array]]:
    """Return the labels' directions (labels, dim), and each label's seeds scored against its other seeds."""
    groups = [centred(group, pool.mean) for group in seeds.values()]
    own = [left_out(group) for group in groups]
    targets = np.stack([unit(group.sum(axis=0)) for group in groups])
    return targets, own


def thresholds(own: Sequence[Array], recall: float, shards: Sequence[tuple[int, Array, Array]]) -> Array:
    """Return the scores from which an item is kept (labels,), from the moments of every shard's scores."""
    count, total, squares = (sum(column[1:], column[0]) for column in zip(*shards, strict=True))
    return lower_bounds(own, recall, np.ones(len(own), bool), deviation(count, total, squares))


def score(shard: EmbeddingStore, pool: Pool, targets: Array) -> Array:
    """Map, second round: a shard's scores by row of its vectors (n, labels)."""
    return centred_products(shard.vectors, pool.mean, targets)


def _ordered(scores: Array) -> Array:
    """Return float32 numbers as unsigned integers of the same order."""
    bits = np.ascontiguousarray(scores, np.float32).view(np.uint32)
    ordered: Array = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ordered


def histogram(scores: Array, within: int | None = None) -> Array:
    """Count scores (n,) by their upper 16 bits; or, of those with the upper bits ``within``, by their lower 16."""
    bits = _ordered(scores)
    keys = bits >> 16 if within is None else bits[bits >> 16 == within] & np.uint32(_BINS - 1)
    return np.bincount(keys.astype(np.int64), minlength=_BINS)


def cut(counts: Array, keep: int) -> tuple[int, int]:
    """Return the bin of the score that ranks ``keep`` from the top, and how many of the bin are to be kept."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, keep))
    before = int(from_top[place - 1]) if place else 0
    return len(counts) - 1 - place, keep - before


def score_at(upper: int, lower: int) -> float:
    """Return the score that two bins, of the upper and of the lower bits, stand for."""
    bits = np.array([upper << 16 | lower], np.uint32)
    return float(np.where(bits >> 31, bits & np.uint32(0x7FFFFFFF), ~bits).astype(np.uint32).view(np.float32)[0])
