"""How hard each image is, for the simulated crowd only: judged by the vectors, seen against the truth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gandt.demo.crowd import Scene
from gandt.demo.pool import OTHER, Pool
from gandt.embedding import EmbeddingStore


def imagine_scene(
    pool: Pool,
    store: EmbeddingStore,
    candidates: pd.DataFrame,
    seeds: Mapping[str, Sequence[str]],
    where: Mapping[str, str],
) -> Scene:
    """Return what the crowd knows of every image in ``where`` (local path → ``s3://`` address).

    An image is hard when it resembles another label more than its own, by the means of each label's images; its rank
    among all gives the difficulty. Where nobody knows the truth, the crowd makes one up: the best third of the
    candidates of each label show it, the others do not.
    """
    truth = dict(pool.truth) if pool.truth is not None else _made_up(candidates)
    truth.update((item, label) for label, items in seeds.items() for item in items)
    items = [item for item in where if item in truth]
    labels = [*seeds, OTHER]
    vectors = np.asarray(store.vectors[store.rows(items)], dtype=np.float64)
    vectors -= vectors.mean(axis=0)
    own = np.array([labels.index(truth[item]) for item in items])
    present = np.isin(np.arange(len(labels)), own)
    means = np.stack(
        [vectors[own == k].mean(axis=0) if present[k] else np.zeros(vectors.shape[1]) for k in range(len(labels))]
    )
    likeness = vectors @ (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)).T
    rows = np.arange(len(items))
    mine = likeness[rows, own]
    likeness[rows, own] = -np.inf
    rank = np.argsort(np.argsort(likeness.max(axis=1) - mine, kind="stable"), kind="stable")
    difficulty = rank / max(len(items) - 1, 1)
    best = likeness.argmax(axis=1)
    return Scene(
        truth={where[item]: truth[item] for item in items},
        lookalike={where[item]: labels[k] for item, k in zip(items, best, strict=True)},
        difficulty={where[item]: float(d) for item, d in zip(items, difficulty, strict=True)},
    )


def _made_up(candidates: pd.DataFrame) -> dict[str, str]:
    truth = dict.fromkeys(candidates["item"], OTHER)
    kept = candidates[candidates["decision"] == "keep"]
    for label, group in kept.groupby("label"):
        best = group.nlargest(-(-len(group) // 3), "score")["item"]
        truth.update(dict.fromkeys(best, str(label)))
    return truth
