"""Rule "spread": likeness that passes from neighbour to neighbour."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gandt.candidates.devices import CPU, Array, Device
from gandt.candidates.rules import Scores, left_out, rule, unit
from gandt.embedding import Vectors

NEIGHBOURS = 10
DAMPING = 0.95
STEPS = 20
ANCHORS = 10_000
_FLOOR = 1e-9
_ROWS = 512  # at a time: their cosines with all anchors should stay in the cache


@rule("spread")
def spread(vectors: Vectors, seeds: Sequence[Array], *, device: Device = CPU) -> Scores:
    """Likeness that spreads from the seeds through the pool's own neighbourhoods, blended with rule "mean".

    A graph joins every vector to its 10 nearest; from each seed a random walk with restarts spreads over it (label
    propagation: Zhou et al., "Learning with local and global consistency", NIPS 2003). An item is alike if the walk
    from a label's seeds reaches it often: by way of others, even where it doesn't resemble the seeds themselves.
    The score is the logarithm of that plus half the cosine to the seeds' mean, each in standard deviations over the
    pool. Vectors are centred and slightly whitened first, which evens out what all of the pool varies in. Pools of
    more than 10,000 vectors spread over that many of them, and the rest take the value of their nearest.
    """
    centre, projection = whitening(vectors)
    anchors, at = _anchors(len(vectors), seeds)

    shift, columns = device.put(centre @ projection), device.put(projection)

    def project(rows: Array) -> Any:
        projected = device.put(rows) @ columns
        projected -= shift
        projected *= device.inverse_root((projected * projected).sum(1))[:, None]
        return projected

    points = device.get(project(vectors[anchors]))
    there = device.put(points.T)
    ends = np.cumsum([0, *map(len, seeds)])
    walks, degrees = _walks(points, np.concatenate(at), device)
    reached = walks / np.sqrt(degrees)[:, None]  # (anchors, seeds)
    groups = [points[rows] for rows in at]
    targets = np.stack([unit(group.sum(axis=0)) for group in groups])
    by_label = np.stack([reached[:, a:b].mean(axis=1) for a, b in pairwise(ends)], axis=1)

    directions = device.put(targets.T)
    walked = np.empty((len(vectors), len(seeds)), np.float32)
    cosines = np.empty_like(walked)
    for start, block in vectors.chunks(_ROWS):
        rows = project(block)
        cosines[start : start + len(block)] = device.get(rows @ directions)
        if len(anchors) < len(vectors):
            neighbours, weights = _nearest(rows @ there, NEIGHBOURS, device)
            share = weights / weights.sum(axis=1, keepdims=True)
            walked[start : start + len(block)] = DAMPING * np.einsum("ij,ijk->ik", share, by_label[neighbours])
    walked[anchors] = by_label
    walked = np.log(walked + _FLOOR)

    def blend(walk: Array, cosine: Array, label: Any) -> Array:
        result: Array = (walk - means[0][label]) / spreads[0][label] + 0.5 * (cosine - means[1][label]) / spreads[1][
            label
        ]
        return result

    means = [values.mean(axis=0, dtype=np.float64) for values in (walked, cosines)]
    spreads = [np.maximum(values.std(axis=0, dtype=np.float64), 1e-9) for values in (walked, cosines)]
    own = []
    for label, (group, rows) in enumerate(zip(groups, at, strict=True)):
        others = reached[rows, ends[label] : ends[label + 1]]
        np.fill_diagonal(others, 0.0)
        walk = np.log(others.sum(axis=1) / max(len(rows) - 1, 1) + _FLOOR)
        own.append(blend(walk, left_out(group), label) if len(rows) > 1 else np.empty(0))
    return Scores(blend(walked, cosines, slice(None)).astype(np.float32), own)


def _anchors(count: int, seeds: Sequence[Array]) -> tuple[Array, list[Array]]:
    """Return the rows that form the graph (seeds among them, sorted), and where each label's seeds are in them."""
    spaced = np.linspace(0, count - 1, min(count, ANCHORS)).astype(np.int64)
    anchors = np.union1d(spaced, np.concatenate(list(seeds)))
    return anchors, [np.searchsorted(anchors, rows) for rows in seeds]


def _nearest(similar: Any, count: int, device: Device, own: int | None = None) -> tuple[Array, Array]:
    """Return each row's nearest points and their weights, from the cosines; ``own``: row i is point ``own + i``."""
    found, cosines = device.nearest(similar, count, own)
    return found, np.maximum(cosines, 1e-6) ** 3


def _walks(points: Array, starts: Array, device: Device) -> tuple[Array, Array]:
    """Return where random walks from the points ``starts`` spend their time (points, starts), and the degrees."""
    from scipy import sparse

    count, there = min(NEIGHBOURS, len(points) - 1), device.put(points.T)
    found, weights = zip(
        *(
            _nearest(device.put(points[first : first + _ROWS]) @ there, count, device, first)
            for first in range(0, len(points), _ROWS)
        ),
        strict=True,
    )
    edges = (np.repeat(np.arange(len(points)), count), np.concatenate(found).ravel())
    graph = sparse.csr_array((np.concatenate(weights).ravel(), edges), shape=(len(points),) * 2)
    graph = (graph + graph.T) / 2
    degrees = np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1e-12)
    scale = sparse.dia_array((degrees[None] ** -0.5, [0]), shape=graph.shape)
    step = DAMPING * (scale @ graph @ scale).tocsr()
    restart = np.zeros((len(points), len(starts)))
    restart[starts, np.arange(len(starts))] = 1 - DAMPING
    walks = restart / (1 - DAMPING)
    for _ in range(STEPS):
        walks = step @ walks + restart
    return walks, degrees


def whitening(vectors: Vectors, dim: int = 256) -> tuple[Array, Array]:
    """Return the pool's mean and a projection (dim of the vectors, up to ``dim``) that whitens it, gently.

    Principal components are divided by ``√(variance + 100 · mean variance)``: only the few along which everything
    varies are damped. Both are taken from at most 20,000 vectors, evenly spaced.
    """
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), 20_000)).astype(np.int64))
    sample = vectors[rows].astype(np.float32)
    centre = sample.mean(axis=0)
    sample -= centre
    variances, components = np.linalg.eigh(sample.T @ sample / len(sample))
    variances, components = variances[::-1][:dim], components[:, ::-1][:, :dim]
    typical = float((sample**2).sum() / sample.size)
    return centre, (components / np.sqrt(np.maximum(variances, 0) + 100 * typical)).astype(np.float32)
