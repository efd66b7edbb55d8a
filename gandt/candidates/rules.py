"""The rules that score a pool against seeds, all under one interface.

A rule maps (vectors, rows of each label's seeds) to :class:`Scores`: one number per row and label, higher is more
similar, and each seed's own score against the other seeds of its label.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gandt.embedding import Vectors

Array = np.ndarray[Any, np.dtype[Any]]

CHUNK = 8192


@dataclass(frozen=True)
class Scores:
    """What a rule returns.

    Attributes
    ----------
    scores : ndarray of float32, shape (n, labels)
        By row of the store.
    own : list of ndarray
        Per label, its seeds' scores against the label's other seeds; empty for a label with one seed.
    """

    scores: Array
    own: list[Array]


Rule = Callable[[Vectors, Sequence[Array]], Scores]

RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Register a rule under ``name``."""

    def add(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return add


@rule("mean")
def mean(vectors: Vectors, seeds: Sequence[Array]) -> Scores:
    """Cosine to the mean of a label's seeds, after the pool's mean has been subtracted from every vector."""
    centre = pool_mean(vectors)
    groups = [centred(vectors[rows], centre) for rows in seeds]
    targets = np.stack([unit(group.sum(axis=0)) for group in groups])
    own = [left_out(group) for group in groups]
    return Scores(centred_products(vectors, centre, targets), own)


@rule("nearest")
def nearest(vectors: Vectors, seeds: Sequence[Array]) -> Scores:
    """Cosine to the nearest of a label's seeds, after centring: for labels whose seeds are of several kinds."""
    centre = pool_mean(vectors)
    groups = [centred(vectors[rows], centre) for rows in seeds]
    ends = np.cumsum([0, *map(len, groups)])
    scores = np.empty((len(vectors), len(groups)), np.float32)
    for start, block in product_chunks(vectors, centre, np.concatenate(groups)):
        for label in range(len(groups)):
            scores[start : start + len(block), label] = block[:, ends[label] : ends[label + 1]].max(axis=1)
    own = []
    for group in groups:
        similar = group @ group.T
        np.fill_diagonal(similar, -np.inf)
        own.append(similar.max(axis=1) if len(group) > 1 else np.empty(0))
    return Scores(scores, own)


def pool_mean(vectors: Vectors) -> Array:
    """Return the mean vector of the pool, float32 (dim,); the same whatever the order of the rows."""
    return (exact_sum(vectors) / max(len(vectors), 1)).astype(np.float32)


def exact_sum(vectors: Vectors) -> Array:
    """Return the sum of the rows, float64 (dim,), in which the order of addition doesn't show.

    Numbers are first rounded to multiples of 2⁻²⁴, whose sums are exact in float64 for up to 2²⁸ rows. So sums over
    shards add up to just the sum over the whole.
    """
    total = np.zeros(vectors.shape[1])
    for _, block in vectors.chunks(CHUNK):
        rounded = block.astype(np.float32, copy=False) + np.float32(1)  # vectors have length 1: all lie in −1 … 1
        rounded -= np.float32(1)
        total += rounded.sum(axis=0, dtype=np.float64)
    return total


def moments(scores: Array) -> tuple[int, Array, Array]:
    """Return count, sum and sum of squares per label of scores (n, labels), in 1/1024, exact."""
    units = np.rint(scores * np.float32(1024)).astype(np.int64)
    return len(scores), units.sum(axis=0), (units**2).sum(axis=0)


def deviation(count: int, total: Array, squares: Array) -> float:
    """Return the standard deviation that :func:`moments` stand for, averaged over labels."""
    variance = squares / max(count, 1) - (total / max(count, 1)) ** 2
    return float(np.sqrt(np.maximum(variance, 0)).mean()) / 1024


def centred(rows: Array, centre: Array) -> Array:
    """Return ``rows − centre`` at length 1, float32."""
    return unit(rows.astype(np.float32) - centre)


def unit(vectors: Array) -> Array:
    """Return vectors (last axis) divided by their length; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: Array = vectors / np.maximum(lengths, 1e-12)
    return result


def product_chunks(vectors: Vectors, centre: Array, targets: Array) -> Any:
    """Yield (first row, cosines (rows, targets)) of the centred vectors with unit ``targets``, block by block.

    ``(x − m)·c = x·c − m·c`` and ``|x − m|² = 1 − 2 x·m + |m|²``: one product with the raw vectors does it all.
    """
    columns = np.ascontiguousarray(targets.T, np.float32)
    shift, length = centre @ columns, float(centre @ centre)
    for start, block in vectors.chunks(CHUNK):
        rows = block.astype(np.float32, copy=False)
        cosines = rows @ columns
        cosines -= shift
        cosines *= (1 / np.sqrt(np.maximum(1 - 2 * (rows @ centre) + length, 1e-12)))[:, None]
        yield start, cosines


def centred_products(vectors: Vectors, centre: Array, targets: Array) -> Array:
    """Return all cosines of :func:`product_chunks` as one array (n, targets)."""
    result = np.empty((len(vectors), len(targets)), np.float32)
    for start, block in product_chunks(vectors, centre, targets):
        result[start : start + len(block)] = block
    return result


def left_out(group: Array) -> Array:
    """Return each vector's cosine to the mean of the others."""
    if len(group) < 2:
        return np.empty(0)
    others = unit(group.sum(axis=0) - group)
    result: Array = (group * others).sum(axis=1)
    return result
