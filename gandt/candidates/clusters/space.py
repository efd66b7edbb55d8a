"""The space in which clusters are sought: vectors whitened gently, and drawn towards their neighbours."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gandt.candidates.clusters.ward import ward
from gandt.candidates.spread import whitening
from gandt.embedding import EmbeddingStore

Array = np.ndarray[Any, np.dtype[Any]]

NEIGHBOURS = 10
_ROWS = 2048
_LEARNED = 20_000  # labelled points that guesses are learned from
_RIDGE = 0.3
_SPLIT = 4_000  # members that the two halves of a cluster are sought with


class Space:
    """The vectors of some rows of a store, centred, whitened as rule "spread" does, at length 1.

    Parameters
    ----------
    store : EmbeddingStore
        Vectors are read from disk when asked for.
    rows : int64 array, shape (n,)
        Rows of the store; point i is ``rows[i]``.
    """

    def __init__(self, store: EmbeddingStore, rows: Array) -> None:
        self._vectors, self._rows = store.vectors, rows
        self._centre, self._projection = whitening(store.vectors)

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, which: Array) -> Array:
        """Return the points of these numbers, float32 (len(which), dim)."""
        moved: Array = (self._vectors[self._rows[which]].astype(np.float32) - self._centre) @ self._projection
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
        return moved

    def all(self) -> Array:
        """Return all points, float32 (n, dim)."""
        parts = [self.at(np.arange(first, min(first + _ROWS, len(self)))) for first in range(0, len(self), _ROWS)]
        return np.concatenate(parts)


def smoothed(points: Array, turns: int = 2) -> Array:
    """Move every point halfway to the mean of its 10 nearest, ``turns`` times; lengths stay 1.

    Clusters of smoothed points are purer (docs/clusters.md has the figures): single odd vectors no longer tear a
    neighbourhood apart.
    """
    count = min(NEIGHBOURS, len(points) - 1)
    if count < 1:
        return points
    nearest = np.empty((len(points), count), np.int64)
    for first in range(0, len(points), _ROWS):
        cosines = points[first : first + _ROWS] @ points.T
        own = np.arange(len(cosines))
        cosines[own, own + first] = -np.inf
        nearest[first : first + _ROWS] = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    moved = points
    for _ in range(turns):
        mean = np.zeros_like(moved)
        for column in nearest.T:
            mean += moved[column]
        moved = moved + mean / count
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return moved


def odd_first(points: Array, own: Array, others: list[Array]) -> Array:
    """Return an order of points in which those come first that fit their own centre least, or another one well."""
    fit = points @ own
    if others:
        fit = fit - 0.5 * (points @ np.stack(others).T).max(axis=1)
    order: Array = np.argsort(fit, kind="stable")
    return order


def halves_of(points: Space) -> Callable[[Array], Array]:
    """Return the function that splits a cluster into the two that Ward's method merges last."""

    def halves(members: Array) -> Array:
        some = spaced(members, _SPLIT)
        found = points.at(some)
        cut = ward(smoothed(found)).cut(2)
        if len(some) == len(members):
            second: Array = cut == 1
            return second
        centres = np.stack([found[cut == half].mean(axis=0) for half in (0, 1)])
        similar = points.at(members) @ centres.T
        nearer: Array = similar[:, 1] > similar[:, 0]
        return nearer

    return halves


def guesses(points: Space, labels: Array, which: Array) -> list[tuple[str, Array]]:
    """Sort points by the label that those with one foretell, the surest points of each label last.

    Parameters
    ----------
    points : Space
    labels : object array, shape (points,)
        Each point's label; empty where it has none.
    which : int64 array
        The points to sort.

    Returns
    -------
    list of (str, int64 array)
        A label and its points; last, under an empty label, the third that is least sure. Ridge regression on the
        labels, each of which counts the same; its scores rank, they are no probabilities.
    """
    known = spaced(np.flatnonzero(labels != ""), _LEARNED)
    names, numbers, counts = np.unique(labels[known].astype(str), return_inverse=True, return_counts=True)
    weights = (len(known) / (len(names) * counts[numbers]))[:, None].astype(np.float32)
    inputs = np.hstack([points.at(known), np.ones((len(known), 1), np.float32)])
    squares = inputs.T @ (weights * inputs)
    wanted = inputs.T @ (weights * np.eye(len(names), dtype=np.float32)[numbers])
    learned = np.linalg.solve(squares + _RIDGE * len(known) * np.eye(len(squares)) / 100, wanted)
    scores = np.concatenate(
        [points.at(which[first : first + _ROWS]) @ learned[:-1] + learned[-1] for first in range(0, len(which), _ROWS)]
    )
    best = scores.argmax(axis=1)
    top = np.sort(scores, axis=1)
    sure = top[:, -1] - top[:, -2] if len(names) > 1 else top[:, -1]
    doubtful = sure < np.quantile(sure, 1 / 3)
    groups = [(str(name), which[(best == number) & ~doubtful]) for number, name in enumerate(names)]
    return [(name, members) for name, members in [*groups, ("", which[doubtful])] if len(members)]


def spaced(members: Array, most: int) -> Array:
    """Return ``most`` of the members, evenly spaced; all where they are fewer."""
    if len(members) <= most:
        return members
    some: Array = members[np.linspace(0, len(members) - 1, most).astype(np.int64)]
    return some
