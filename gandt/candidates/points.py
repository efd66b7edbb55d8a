"""What strategies and clusters compute on vectors that fit into memory; and a store's vectors as such points."""

from typing import Any

import numpy as np
from scipy import sparse

from gandt.candidates.rules import unit
from gandt.embedding import EmbeddingStore

Array = np.ndarray[Any, np.dtype[Any]]

DIM = 256
_SAMPLE = 20_000


class Points:
    """A store's vectors as classifiers and strategies want them: centred, in their main directions, at length 1.

    Parameters
    ----------
    store : EmbeddingStore
        The mean and the ``dim`` principal components come from at most 20,000 of its vectors, evenly spaced. Vectors
        that the user brought (``gandt vectors``) keep their lengths: there they mean something.
    dim : int
        Of the points, at most. 256 lose nothing on photographs.
    """

    def __init__(self, store: EmbeddingStore, dim: int = DIM) -> None:
        self._vectors = store.vectors
        self._keep_length = store.description["model"] == "given"
        rows = np.unique(np.linspace(0, max(len(self._vectors) - 1, 0), min(len(self._vectors), _SAMPLE)))
        sample = self._vectors[rows.astype(np.int64)].astype(np.float32)
        self._centre = sample.mean(axis=0) if len(sample) else np.zeros(store.dim, np.float32)
        sample = sample - self._centre
        variances, components = np.linalg.eigh(sample.T @ sample / max(len(sample), 1))
        self._components = np.ascontiguousarray(components[:, ::-1][:, :dim], np.float32)
        self._scale = 1 / np.sqrt(max(float(variances.sum()), 1e-12))

    def take(self, rows: Array) -> Array:
        """Return the points of these rows of the store, float32, shape (rows, up to dim)."""
        points = (self._vectors[rows].astype(np.float32) - self._centre) @ self._components
        return points * np.float32(self._scale) if self._keep_length else unit(points)


def squared_distances(left: Array, right: Array) -> Array:
    """Return the squared Euclidean distance of every row of ``left`` to every row of ``right``."""
    distances: Array = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.maximum(distances, 0)


def kmeans(points: Array, k: int, rng: np.random.Generator) -> Array:
    """Return the cluster of each point, by k-means++ and at most 20 turns."""
    if k < 2 or k >= len(points):
        return np.zeros(len(points), np.int64) if k < 2 else np.arange(len(points))
    points = np.asarray(points, np.float32)
    squares = (points**2).sum(axis=1)
    starts = [int(rng.integers(len(points)))]
    nearest = np.full(len(points), np.inf)
    for _ in range(k - 1):
        point = points[starts[-1]]
        np.minimum(nearest, np.maximum(squares + point @ point - 2 * points @ point, 0), out=nearest)
        total = float(nearest.sum())
        starts.append(int(rng.choice(len(points), p=nearest / total if total else None)))
    centres = points[starts]
    groups = np.full(len(points), -1)
    for _ in range(20):
        before, groups = groups, (0.5 * (centres**2).sum(axis=1) - points @ centres.T).argmin(axis=1)
        if (before == groups).all():
            break
        member = sparse.csr_array(
            (np.ones(len(points), np.float32), (groups, np.arange(len(points)))), (k, len(points))
        )
        counts = member.sum(axis=1)
        centres = np.where(counts[:, None] > 0, (member @ points) / np.maximum(counts, 1)[:, None], centres)
    return groups
