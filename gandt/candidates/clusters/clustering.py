"""Clusters of a pool, for every number of clusters at once, as files that a page and a program can read.

A clustering is a folder: ``clusters.json`` (method, options, silhouettes, what the pool was), ``pool.parquet`` (item,
row of the store, point: items with the same content are one point), ``cuts.parquet`` (a row for each point: its
``leaf`` of the tree and, where there is no tree, its cluster for each k), and ``tree.parquet`` (Ward's dendrogram).
"""

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gandt import storage, tables
from gandt.arguments import checked
from gandt.candidates.clusters.space import Array, Space, smoothed
from gandt.candidates.clusters.ward import Tree, ward
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError, extra

METHODS = ("ward", "k-means", "hdbscan")
DIRECT = 10_000  # points beyond which Ward's tree is built over this many parts of the pool, 400 MB
PARTS = 5_000
NOISE = -1
_MANY = 1_000_000
_JUDGED = 2_000  # points that silhouettes are taken from
_FILES = tables.Schema("clusters", (), features=True)  # this module's own


@dataclass(frozen=True)
class Clustering:
    """A pool's clusters for every number of clusters.

    Attributes
    ----------
    pool : DataFrame
        item, row (of the store), point (0 … points − 1; items with the same content share one).
    method : str
        ward, k-means or hdbscan.
    ks : tuple of int
        The numbers of clusters that can be chosen.
    leaf : int64 array, shape (points,)
        Each point's leaf of the tree.
    tree : Tree or None
        Ward's dendrogram.
    given : dict of int to int64 array
        Without a tree: for each k every point's cluster, −1 for noise.
    silhouettes : dict of int to float
        For each k the mean silhouette (−1 … 1) of up to 2,000 points: advice, no more.
    facts : dict
        What else ``clusters.json`` holds.
    """

    pool: pd.DataFrame
    method: str
    ks: tuple[int, ...]
    leaf: Array
    tree: Tree | None
    given: dict[int, Array]
    silhouettes: dict[int, float]
    facts: dict[str, Any]

    @property
    def points(self) -> int:
        """How many points there are."""
        return len(self.leaf)

    @property
    def items(self) -> list[str]:
        """Each point's item (the first of those with the same content)."""
        return [str(item) for item in self.pool.drop_duplicates("point").sort_values("point")["item"]]

    @property
    def rows(self) -> Array:
        """Each point's row in the store, int64 (points,)."""
        rows: Array = self.pool.drop_duplicates("point").sort_values("point")["row"].to_numpy(np.int64)
        return rows

    @property
    def best(self) -> int:
        """The number of clusters with the highest silhouette."""
        return max(self.ks, key=lambda k: self.silhouettes.get(k, -1.0))

    def cut(self, k: int) -> Array:
        """Return every point's cluster when there are to be ``k``: int64 (points,), 0 … k−1, −1 for noise.

        Raises
        ------
        InputError
            When ``k`` is none of ``ks``.
        """
        if k not in self.ks:
            raise InputError(f"there is no cut into {k} clusters; choose k from {_listed(self.ks)}")
        return self.tree.cut(k)[self.leaf] if self.tree is not None else self.given[k]

    def write(self, folder: str) -> None:
        """Write the files; ``clusters.json`` last, so that a folder with it is whole."""
        columns: dict[str, Array] = {"leaf": self.leaf, **{f"k={k}": cut for k, cut in self.given.items()}}
        tables.write_table(pd.DataFrame(columns), storage.join(folder, "cuts.parquet"))
        tables.write_table(self.pool, storage.join(folder, "pool.parquet"))
        if self.tree is not None:
            names = ["left", "right", "height", "points"]
            tree = pd.DataFrame(self.tree.merges, columns=names).astype({"left": "int64", "right": "int64"})
            tables.write_table(tree, storage.join(folder, "tree.parquet"))
        facts = {"method": self.method, "ks": list(self.ks), "best": self.best, **self.facts}
        facts["silhouettes"] = {str(k): round(value, 4) for k, value in self.silhouettes.items()}
        storage.write_text(storage.join(folder, "clusters.json"), json.dumps(facts, indent=2) + "\n")

    @classmethod
    def read(cls, folder: str) -> "Clustering":
        """Read what :meth:`write` wrote.

        Raises
        ------
        StorageError
            When the folder can't be read.
        InputError
            When its files are damaged.
        """
        facts = json.loads(storage.read_text(storage.join(folder, "clusters.json")))
        try:
            pool = tables.read_table(storage.join(folder, "pool.parquet"), _FILES, required=["item", "row", "point"])
            pool = pool.astype({"row": "int64", "point": "int64"})
            cuts = tables.read_table(storage.join(folder, "cuts.parquet"), _FILES, required=["leaf"])
            tree = None
            if facts["method"] == "ward":
                tree = Tree(tables.read_table(storage.join(folder, "tree.parquet"), _FILES).to_numpy(np.float64))
            ks = tuple(int(k) for k in facts.pop("ks"))
            given = {} if tree is not None else {k: cuts[f"k={k}"].to_numpy(np.int64) for k in ks}
            silhouettes = {int(k): float(value) for k, value in facts.pop("silhouettes").items()}
            return cls(pool, facts.pop("method"), ks, cuts["leaf"].to_numpy(np.int64), tree, given, silhouettes, facts)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the clusters in {folder} are damaged ({error!r}); give another --out") from error


@checked
def cluster(
    store: EmbeddingStore, *, method: str = "ward", k_min: int = 2, k_max: int | None = None, seed: int = 0
) -> Clustering:
    """Find the clusters of a pool.

    Parameters
    ----------
    store : EmbeddingStore
        All of its embedded items; those with the same content count once.
    method : {"ward", "k-means", "hdbscan"}
        "ward": one tree, cut for every k. Of more than 10,000 points it is built over 5,000 parts that k-means finds.
        "k-means": mini-batch k-means, for up to eight k between the two. "hdbscan": dense regions, as many as there
        are, the rest noise; ``k_min`` and ``k_max`` play no part. Of more than 10,000 points it runs over the parts.
    k_min, k_max : int
        The range of k; by default from 2 to 60, or to the number of points where they are fewer.
    seed : int
        Of what is random in k-means.

    Raises
    ------
    InputError
        When the pool has fewer than two points, the range is empty or larger than the pool, or there is no such method.
    MissingExtraError
        When scikit-learn is needed and absent.
    """
    if method not in METHODS:
        raise InputError(f"there is no method {method!r}; choose {', '.join(METHODS)}")
    started = time.monotonic()
    pool = pool_of(store)
    rows = pool.drop_duplicates("point").sort_values("point")["row"].to_numpy(np.int64)
    count = len(rows)
    if count < 2:
        raise InputError(f"{store.path} has {count} different image{'s'[: count != 1]}; clusters need at least two")
    highest = min(60, count) if k_max is None else k_max
    if not 1 <= k_min <= highest:
        raise InputError(f"no k lies between {k_min} and {highest}; give --k-min from 1, and --k-max no smaller")
    if highest > count:
        raise InputError(f"{highest:,} clusters of {count:,} different images can't be; give --k-max {count} or less")
    points = Space(store, rows)
    leaf, tree, given = np.arange(count), None, {}
    if method == "ward":
        ks = tuple(range(k_min, highest + 1))
        leaf, tree = _ward(points, seed)
        if highest > tree.leaves:
            raise InputError(f"a tree over {tree.leaves:,} parts has no {highest:,} clusters; give a smaller --k-max")
        sample = np.unique(np.linspace(0, count - 1, min(count, _JUDGED)).astype(np.int64))
        judged = {k: tree.cut(k)[leaf[sample]] for k in ks}
    else:
        given = _k_means(points, k_min, highest, seed) if method == "k-means" else _hdbscan(points, seed)
        ks = tuple(given)
        sample = np.unique(np.linspace(0, count - 1, min(count, _JUDGED)).astype(np.int64))
        judged = {k: cut[sample] for k, cut in given.items()}
    silhouettes = silhouette(points.at(sample), judged)
    facts = {"store": str(store.path), "fingerprint": pool_fingerprint(pool), "items": len(pool), "points": count}
    facts |= {"k_min": k_min, "k_max": highest, "seed": seed, "seconds": round(time.monotonic() - started, 2)}
    return Clustering(pool, method, ks, leaf, tree, given, silhouettes, facts)


def silhouette(points: Array, cuts: dict[int, Array]) -> dict[int, float]:
    """Return for each k the mean silhouette of the points outside noise (Rousseeuw, 1987); none for a single cluster.

    Parameters
    ----------
    points : float array, shape (n, dim)
    cuts : dict of int to int array, shape (n,)
        For each k every point's cluster; noise is negative.
    """
    squares = np.einsum("ij,ij->i", points, points)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))
    np.fill_diagonal(distances, 0)
    found: dict[int, float] = {}
    for k, given in cuts.items():
        inside = np.flatnonzero(given >= 0)
        names, mine, sizes = np.unique(given[inside], return_inverse=True, return_counts=True)
        if len(names) < 2:
            continue
        order = np.argsort(mine, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        sums = np.add.reduceat(distances[np.ix_(inside, inside[order])], starts, axis=1)
        own = sums[np.arange(len(mine)), mine] / np.maximum(sizes[mine] - 1, 1)
        means = sums / sizes
        means[np.arange(len(mine)), mine] = np.inf
        other = means.min(axis=1)
        scores = np.where(sizes[mine] > 1, (other - own) / np.maximum(np.maximum(other, own), 1e-12), 0.0)
        found[k] = float(scores.mean())
    return found


def pool_fingerprint(pool: pd.DataFrame) -> str:
    """Return a hash of the items and of which of them are one point."""
    text = "\n".join(f"{item}\t{point}" for item, point in zip(pool["item"], pool["point"], strict=True))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def pool_of(store: EmbeddingStore) -> pd.DataFrame:
    """Return the pool that a store holds: item, row, point."""
    items = store.items[store.items["row"] >= 0].sort_values("item", ignore_index=True)
    pool = items[["item", "row"]].copy()
    pool["point"] = pd.factorize(pool["row"])[0].astype(np.int64)
    return pool


def _ward(points: Space, seed: int) -> tuple[Array, Tree]:
    if len(points) <= DIRECT:
        return np.arange(len(points)), ward(smoothed(points.all()))
    leaf, centres, sizes = _parts(points, seed)
    return leaf, ward(centres, sizes)


def _parts(points: Space, seed: int) -> tuple[Array, Array, Array]:
    """Cut a large pool into small parts; return each point's part, the parts' means, and how many points they have."""
    count = len(points)
    used, leaf, sizes = np.unique(
        _mini_batch(points, min(PARTS, count // 2), seed), return_inverse=True, return_counts=True
    )
    sums = np.zeros((len(used), points.at(leaf[:1]).shape[1]), np.float64)
    for first in range(0, count, 4096):
        which = np.arange(first, min(first + 4096, count))
        np.add.at(sums, leaf[which], points.at(which))
    return leaf, sums / sizes[:, None], sizes


def _mini_batch(points: Space, k: int, seed: int) -> Array:
    with extra("local", "k-means over a large pool"):
        from sklearn.cluster import MiniBatchKMeans
        from threadpoolctl import threadpool_limits  # scikit-learn needs it itself
    everything = points.all()
    size = min(1024 if k <= 256 else 4096, len(points))
    model = MiniBatchKMeans(
        k, batch_size=size, n_init=1, random_state=seed, init_size=min(3 * max(size, k), len(points))
    )
    # in small problems threads mostly wait for each other
    with threadpool_limits(1) if len(points) * k < _MANY else nullcontext():
        found: Array = model.fit(everything).predict(everything).astype(np.int64)
    return found


def _k_means(points: Space, k_min: int, k_max: int, seed: int) -> dict[int, Array]:
    ks = sorted({round(k) for k in np.geomspace(k_min, k_max, 8)})
    return {k: _by_size(_mini_batch(points, k, seed)) for k in ks}


def _hdbscan(points: Space, seed: int) -> dict[int, Array]:
    with extra("local", "gandt cluster --method hdbscan"):
        from sklearn.cluster import HDBSCAN
    if len(points) <= DIRECT:  # it compares everything with everything
        leaf, everything = np.arange(len(points)), smoothed(points.all())
    else:
        leaf, everything, _ = _parts(points, seed)
    found = HDBSCAN(min_cluster_size=max(5, len(everything) // 500), min_samples=3, copy=True).fit_predict(everything)
    if not (found >= 0).any():
        raise InputError("hdbscan found no dense region in this pool, only noise; take --method ward")
    return {int(found.max()) + 1: _by_size(found[leaf].astype(np.int64))}


def _by_size(clusters: Array) -> Array:
    """Give clusters new numbers, the largest first; noise stays −1, and an empty cluster gets no number."""
    sizes = np.bincount(clusters[clusters >= 0])
    order = np.argsort(-sizes, kind="stable")
    new = np.empty(len(sizes) + 1, np.int64)
    new[order], new[-1] = np.arange(len(sizes)), NOISE
    return new[clusters]


def _listed(ks: Sequence[int]) -> str:
    whole = list(range(ks[0], ks[-1] + 1))
    return f"{ks[0]} to {ks[-1]}" if len(ks) > 2 and list(ks) == whole else ", ".join(map(str, ks))
