"""How hard each image is, for the simulated crowd only: judged by the vectors, seen against the truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gandt.demo.crowd import Scene
from gandt.demo.pool import OTHER, Pool
from gandt.embedding import EmbeddingStore

NEIGHBOURS = 5
NEIGHBOURS_FROM = 5000  # at most so many images are compared with


def imagine_scene(
    pool: Pool,
    store: EmbeddingStore,
    candidates: pd.DataFrame,
    where: Mapping[str, str],
) -> Scene:
    """Return what the crowd knows of every image in ``where`` (local path → ``s3://`` address).

    An image is hard when its nearest neighbours bear another label than its own; its rank among all gives the
    difficulty. Where nobody knows the truth, the crowd makes one up: the best third of the candidates of each label
    show it, the others do not.
    """
    readable = candidates["item"].tolist()
    truth = {item: pool.truth[item] for item in readable} if pool.truth is not None else _made_up(candidates)
    truth.update((item, label) for label, items in pool.seeds.items() for item in items)
    items = sorted(truth)
    labels = [*pool.labels, OTHER]
    own = np.array([labels.index(truth[item]) for item in items])
    vectors = np.asarray(store.vectors[store.rows(items)], dtype=np.float32)
    vectors -= vectors.mean(axis=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    sampled = np.random.default_rng(0).permutation(len(items))[:NEIGHBOURS_FROM]
    likeness = np.stack([_likeness(vectors, vectors[sampled[own[sampled] == k]]) for k in range(len(labels))], axis=1)
    rows = np.arange(len(items))
    mine = likeness[rows, own]
    likeness[rows, own] = -np.inf
    rank = np.argsort(np.argsort(likeness.max(axis=1) - mine, kind="stable"), kind="stable")
    difficulty = dict(zip(items, (rank / max(len(items) - 1, 1)).tolist(), strict=True))
    lookalike = dict(zip(items, likeness.argmax(axis=1).tolist(), strict=True))
    return Scene(
        truth={where[item]: truth[item] for item in where if item in truth},
        lookalike={where[item]: labels[lookalike[item]] for item in where if item in truth},
        difficulty={where[item]: difficulty[item] for item in where if item in truth},
    )


def _likeness(
    vectors: np.ndarray[Any, np.dtype[Any]], group: np.ndarray[Any, np.dtype[Any]]
) -> np.ndarray[Any, np.dtype[Any]]:
    """Return each vector's mean similarity to its nearest neighbours in ``group``, itself left out; −1 for no group."""
    if not len(group):
        return np.full(len(vectors), -1.0)
    likeness = vectors @ group.T
    likeness[likeness > 1 - 1e-6] = -1.0  # the image itself
    count = min(NEIGHBOURS, len(group))
    nearest: np.ndarray[Any, np.dtype[Any]] = np.partition(likeness, -count, axis=1)[:, -count:].mean(axis=1)
    return nearest


def _made_up(candidates: pd.DataFrame) -> dict[str, str]:
    truth = dict.fromkeys(candidates["item"], OTHER)
    kept = candidates[candidates["decision"] == "keep"]
    for label, group in kept.groupby("label"):
        best = group.nlargest(-(-len(group) // 3), "score")["item"]
        truth.update(dict.fromkeys(best, str(label)))
    return truth
