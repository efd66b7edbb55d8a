"""How unsure a classifier, or several annotators, are of an item: one number from 0 (sure) to 1 (no idea).

Every measure takes probabilities of shape (items, classes), or of shape (annotators, items, classes) from several
models or workers, whose NaN means "didn't look at this item". The formulas are Settles', "Active learning literature
survey" (2009), sections 3.1 and 3.2, each divided by its largest value.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gandt.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
Uncertainty = Callable[[Array], Array]


def least_confidence(probabilities: Array) -> Array:
    """1 − the largest probability, of the mean over annotators; (items,)."""
    mean = consensus(probabilities)
    classes = mean.shape[1]
    left = (1 - mean.max(axis=1)) * classes / (classes - 1)
    return np.asarray(np.clip(left, 0, 1))


def margin(probabilities: Array) -> Array:
    """1 − (largest − second largest probability), of the mean over annotators; (items,)."""
    two = np.partition(consensus(probabilities), -2, axis=1)[:, -2:]
    gap = 1 - (two[:, 1] - two[:, 0])
    return np.asarray(np.clip(gap, 0, 1))


def entropy(probabilities: Array) -> Array:
    """Entropy of the mean over annotators, divided by the logarithm of the number of classes; (items,)."""
    mean = consensus(probabilities)
    return np.asarray(np.clip(_entropy(mean) / np.log(mean.shape[1]), 0, 1))


def vote_entropy(probabilities: Array) -> Array:
    """Entropy of the annotators' votes (each one's likeliest class), divided by that of an even split; (items,)."""
    every = several(probabilities)
    looked = ~np.isnan(every).any(axis=2)
    votes = np.nan_to_num(every).argmax(axis=2)
    shares = np.stack([((votes == k) & looked).sum(axis=0) for k in range(every.shape[2])], axis=1)
    shares = shares / np.maximum(looked.sum(axis=0), 1)[:, None]
    return np.asarray(np.clip(_entropy(shares) / _most(every), 0, 1))


def disagreement(probabilities: Array) -> Array:
    """Mean Kullback-Leibler divergence of each annotator from their mean, divided by its largest value; (items,)."""
    every = several(probabilities)
    looked = ~np.isnan(every).any(axis=2)
    mean = np.where(looked.any(axis=0), _entropy(consensus(every)), 0)
    single = np.where(looked, _entropy(np.nan_to_num(every)), 0).sum(axis=0) / np.maximum(looked.sum(axis=0), 1)
    return np.asarray(np.clip((mean - single) / _most(every), 0, 1))


UNCERTAINTIES: dict[str, Uncertainty] = {
    "least-confidence": least_confidence,
    "margin": margin,
    "entropy": entropy,
    "vote-entropy": vote_entropy,
    "disagreement": disagreement,
}


def consensus(probabilities: Array) -> Array:
    """Return the mean over annotators, (items, classes); an item nobody looked at gets even probabilities.

    Raises
    ------
    InputError
        When the numbers are no probabilities of at least two classes.
    """
    every = several(probabilities)
    looked = np.asarray(~np.isnan(every).any(axis=2))
    total = np.where(looked[:, :, None], every, 0).sum(axis=0)
    count = looked.sum(axis=0)[:, None]
    mean: Array = np.where(count > 0, total / np.maximum(count, 1), 1 / every.shape[2])
    return mean


def several(probabilities: Array) -> Array:
    """Return probabilities as (annotators, items, classes), checked.

    Raises
    ------
    InputError
        When they have another shape, fewer than two classes, are negative or don't add up to 1.
    """
    every = np.asarray(probabilities, float)
    every = every[None] if every.ndim == 2 else every
    if every.ndim != 3 or every.shape[2] < 2:
        raise InputError(
            "uncertainty needs probabilities of at least two classes, as (items, classes) or "
            f"(annotators, items, classes), not of the shape {np.shape(probabilities)}"
        )
    looked = every[np.asarray(~np.isnan(every).any(axis=2))]
    if (looked < 0).any() or not np.allclose(looked.sum(axis=-1), 1, atol=1e-3):
        raise InputError("uncertainty needs probabilities: each 0 or more, and those of an item adding up to 1")
    return every


def _entropy(probabilities: Array) -> Array:
    result: Array = -(probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(axis=-1)
    return result


def _most(every: Array) -> float:
    """Return the entropy of votes spread as evenly as so many annotators can over so many classes."""
    return float(np.log(max(min(every.shape[0], every.shape[2]), 2)))
