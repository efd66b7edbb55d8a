"""The rules that score a pool against seeds, all under one interface.

A rule maps (vectors, rows of each label's seeds) to :class:`Scores`: one number per row and label, higher is more
similar, and each seed's own score against the other seeds of its label.

Rules "mean", "nearest" and "g-and-t" work in stages, so that a pool may lie on many machines: the pool's mean is a
sum, the seeds' vectors and that mean give the targets (:class:`Prepared`), and each row is scored by these alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from gandt.candidates.devices import CPU, Array, Device
from gandt.embedding import Vectors

CHUNK = 8192
_STEADY = 1024


@dataclass(frozen=True)
class Scores:
    """What a rule returns.

    Attributes
    ----------
    scores : ndarray of float32, shape (n, labels)
        By row of the store.
    own : list of ndarray
        Per label, its seeds' scores against the label's other seeds; empty for a label with one seed.
    probabilities : ndarray of float32, shape (n, labels), or None
        Of having the label, from rules that can tell.
    """

    scores: Array
    own: list[Array]
    probabilities: Array | None = None


class Rule(Protocol):
    """A rule: scores of all rows, from the rows of each label's seeds; ``device`` runs the products."""

    def __call__(self, vectors: Vectors, seeds: Sequence[Array], *, device: Device = CPU) -> Scores:
        """Score."""


@dataclass(frozen=True)
class Prepared:
    """All that a row is scored by.

    Attributes
    ----------
    targets : ndarray of float32, shape (targets, dim)
        Directions to compare with.
    ends : tuple of int
        Label l's targets are ``ends[l]`` to ``ends[l + 1]``.
    combine : {"only", "largest", "middle"}
        How a label's cosines become its score.
    centre : ndarray or None
        Subtracted from every row first.
    own : list of ndarray
        As in :class:`Scores`.
    """

    targets: Array
    ends: tuple[int, ...]
    combine: str
    centre: Array | None
    own: list[Array]


Stage = Callable[[Array, Sequence[Array]], Prepared]

RULES: dict[str, Rule] = {}
STAGES: dict[str, Stage] = {}
TRIM = 0.1


def rule(name: str) -> Callable[[Rule], Rule]:
    """Register a rule under ``name``."""

    def add(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return add


def in_stages(name: str, *, centring: bool = True) -> Callable[[Stage], Stage]:
    """Register a rule by its stage between the pool's mean and the scores: (mean, each label's vectors) → Prepared."""

    def add(stage: Stage) -> Stage:
        @rule(name)
        def whole(vectors: Vectors, seeds: Sequence[Array], *, device: Device = CPU) -> Scores:
            centre = pool_mean(vectors) if centring else np.zeros(vectors.shape[1], np.float32)
            prepared = stage(centre, [vectors[rows] for rows in seeds])
            return Scores(score(vectors, prepared, device), prepared.own)

        STAGES[name] = stage
        return stage

    return add


@in_stages("mean")
def mean(centre: Array, seeds: Sequence[Array]) -> Prepared:
    """Cosine to the mean of a label's seeds, after the pool's mean has been subtracted from every vector."""
    groups = [centred(group, centre) for group in seeds]
    targets = np.stack([unit(group.sum(axis=0)) for group in groups])
    return Prepared(targets, tuple(range(len(groups) + 1)), "only", centre, [left_out(group) for group in groups])


@in_stages("nearest")
def nearest(centre: Array, seeds: Sequence[Array]) -> Prepared:
    """Cosine to the nearest of a label's seeds, after centring: for labels whose seeds are of several kinds."""
    groups = [centred(group, centre) for group in seeds]
    own = []
    for group in groups:
        similar = group @ group.T
        np.fill_diagonal(similar, -np.inf)
        own.append(similar.max(axis=1) if len(group) > 1 else np.empty(0))
    return Prepared(np.concatenate(groups), _ends(groups), "largest", centre, own)


@in_stages("g-and-t", centring=False)
def trimmed_mean(_: Array, seeds: Sequence[Array]) -> Prepared:
    """Score by 1 − 10 %-trimmed mean of the cosine distances to a label's seeds, without centring."""
    groups = [group.astype(np.float32) for group in seeds]
    own = []
    for group in groups:
        others = (group @ group.T)[~np.eye(len(group), dtype=bool)].reshape(len(group), -1)
        own.append(CPU.middle(others, int(TRIM * others.shape[1])) if len(group) > 1 else np.empty(0))
    return Prepared(np.concatenate(groups), _ends(groups), "middle", None, own)


def _ends(groups: Sequence[Array]) -> tuple[int, ...]:
    return tuple(np.cumsum([0, *map(len, groups)]).tolist())


def score(vectors: Vectors, prepared: Prepared, device: Device = CPU) -> Array:
    """Return the scores (n, labels) of all rows, float32; a row's score is the same among whatever others it stands."""
    labels = list(pairwise(prepared.ends))
    scores = np.empty((len(vectors), len(labels)), np.float32)
    for start, cosines in product_chunks(vectors, prepared.centre, prepared.targets, device):
        here = scores[start : start + len(cosines)]
        if prepared.combine == "only":
            here[:] = device.get(cosines)
            continue
        for label, (first, last) in enumerate(labels):
            block = cosines[:, first:last]
            if prepared.combine == "largest":
                here[:, label] = device.get(device.largest(block))
            else:
                here[:, label] = device.get(device.middle(block, int(TRIM * (last - first))))
    return scores


def pool_mean(vectors: Vectors) -> Array:
    """Return the mean vector of the pool, float32 (dim,); the same whatever the order of the rows."""
    return mean_of(len(vectors), exact_sum(vectors))


def mean_of(count: int, total: Array) -> Array:
    """Return the mean, float32, that a count and an exact sum stand for."""
    result: Array = (total / max(count, 1)).astype(np.float32)
    return result


def exact_sum(vectors: Vectors, counts: Array | None = None) -> Array:
    """Return the sum of the rows, float64 (dim,), in which the order of addition doesn't show.

    Numbers are first rounded to multiples of 2⁻²⁴, whose sums are exact in float64 for up to 2²⁸ rows. So sums over
    shards add up to just the sum over the whole. A row counts as often as ``counts`` says, by default once.
    """
    total = np.zeros(vectors.shape[1])
    for start, block in vectors.chunks(CHUNK):
        rounded = block.astype(np.float32, copy=False) + np.float32(1)  # vectors have length 1: all lie in −1 … 1
        rounded -= np.float32(1)
        total += rounded.sum(axis=0, dtype=np.float64)
        if counts is not None:
            here = counts[start : start + len(block)]
            other = np.flatnonzero(here != 1)
            total += ((here[other] - 1)[:, None] * rounded[other].astype(np.float64)).sum(axis=0)
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


def product_chunks(vectors: Vectors, centre: Array | None, targets: Array, device: Device = CPU) -> Any:
    """Yield (first row, cosines (rows, targets)) of the centred vectors with unit ``targets``, block by block.

    ``(x − m)·c = x·c − m·c`` and ``|x − m|² = 1 − 2 x·m + |m|²``: one product with the raw vectors does it all.
    Blocks are filled up to a multiple of 1,024 rows: of few rows, libraries add up in another order, and a vector's
    score must not depend on the shard that it lies in.
    """
    columns = device.put(np.asarray(targets.T, np.float32))
    if centre is not None:
        shift, length = device.put(centre @ np.asarray(targets.T, np.float32)), float(centre @ centre)
        mean = device.put(centre)
    for start, block in vectors.chunks(CHUNK):
        count = len(block)
        if count % _STEADY:
            block = np.concatenate([block, np.zeros((-count % _STEADY, block.shape[1]), block.dtype)])
        rows = device.put(block)
        cosines = rows @ columns
        if centre is not None:
            cosines -= shift
            cosines *= device.inverse_root(1 - 2 * (rows @ mean) + length)[:, None]
        yield start, cosines[:count]


def left_out(group: Array) -> Array:
    """Return each vector's cosine to the mean of the others."""
    if len(group) < 2:
        return np.empty(0)
    others = unit(group.sum(axis=0) - group)
    result: Array = (group * others).sum(axis=1)
    return result
