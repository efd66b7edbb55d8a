"""Rule "g-and-t": the rule that gandt began with, without its defect.

An image is compared with every label by the 10 %-trimmed mean of its cosine distances to the label's seeds, and the
labels that are farther than the seeds of "Other" are counted. The threshold is the largest count that still discards
a given share of the pool; g-and-t returned nothing at all where no count did, here nothing is discarded then.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gandt.candidates.rules import CHUNK, Array, Scores, rule
from gandt.embedding import Vectors

_TRIM = 0.1


@rule("g-and-t")
def trimmed_mean(vectors: Vectors, seeds: Sequence[Array]) -> Scores:
    """Score by 1 − trimmed mean of the cosine distances to a label's seeds, without centring."""
    groups = [vectors[rows].astype(np.float32) for rows in seeds]
    ends = np.cumsum([0, *map(len, groups)])
    targets = np.ascontiguousarray(np.concatenate(groups).T)
    scores = np.empty((len(vectors), len(groups)), np.float32)
    for start, block in vectors.chunks(CHUNK):
        products = block.astype(np.float32, copy=False) @ targets
        for label in range(len(groups)):
            scores[start : start + len(block), label] = _middle(products[:, ends[label] : ends[label + 1]])
    own = []
    for group in groups:
        others = (group @ group.T)[~np.eye(len(group), dtype=bool)].reshape(len(group), -1)
        own.append(_middle(others) if len(group) > 1 else np.empty(0))
    return Scores(scores, own)


def _middle(products: Array) -> Array:
    """Return each row's mean without its lowest and highest tenth."""
    count = products.shape[1]
    cut = int(_TRIM * count)
    if cut:
        products = np.partition(products, (cut, count - cut - 1), axis=1)[:, cut : count - cut]
    mean: Array = products.mean(axis=1)
    return mean


def farther_than_other(scores: Array, other: int) -> Any:
    """Return per item how many labels are farther away than the label number ``other``."""
    return (scores < scores[:, [other]]).sum(axis=1)


def count_threshold(counts: Array, labels: int, share: float) -> int:
    """Return the largest x for which at least ``share`` of the counts are above x; ``labels`` where none is."""
    for x in range(labels, -1, -1):
        if len(counts) and (counts > x).mean() >= share:
            return x
    return labels
