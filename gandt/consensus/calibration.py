"""Confidences that mean what they say.

The models take the workers' errors on an item for independent. They aren't: what misleads one worker misleads the
next. On real crowds the log odds that a label is right grow about like the square root of the answers, not like their
number: where two workers who agree are right in 88 % of the cases, five would be in 96 %, not in 99.3 %. So a posterior
p of n answers becomes

    p(k)^τ / Σ p^τ   with   τ = 1 / √(1 + ρ n).

The order of the classes never changes. ρ = ``DEPENDENCE`` = 2 is for a crowd of which nothing is known; 0 takes the
answers for independent. Gold items of the job itself move it (the maximum of their likelihood under a log-normal
prior): how much a crowd errs alike can't be seen in its answers.

A classifier's probabilities are calibrated by themselves, so only what the answers add to them is discounted.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from gandt.consensus.crowd import Bools, Crowd, Floats, Ints

DEPENDENCE = 2.0
_SPREAD = 0.8  # standard deviation of log ρ between crowds
_GRID = np.concatenate([[1e-6], np.geomspace(0.02, 50.0, 80)])
_LEAST = 1e-300


def discount(probabilities: Floats, answers: Floats, dependence: float, prior: Floats | None = None) -> Floats:
    """Flatten posteriors for errors that workers share.

    Parameters
    ----------
    probabilities : float array, shape (items, classes)
    answers : float array, shape (items,)
        How many answered each item.
    dependence : float
        ρ; 0 leaves the posteriors as they are.
    prior : float array, shape (items, classes), optional
        What was known of the items before any answer, such as a classifier's probabilities; it isn't flattened.

    Returns
    -------
    float array, shape (items, classes)
    """
    if dependence == 0:
        return probabilities
    power = weight_of(answers, dependence)[:, None]
    if prior is None:
        top = probabilities.max(axis=1, keepdims=True)
        flat = np.power(probabilities / top, power)
    else:
        known = np.log(np.maximum(prior, _LEAST))
        scores = known + power * (np.log(np.maximum(probabilities, _LEAST)) - known)
        flat = np.exp(scores - scores.max(axis=1, keepdims=True))
    flat /= flat.sum(axis=1, keepdims=True)
    return np.asarray(flat)


def weight_of(answers: Floats, dependence: float) -> Floats:
    """Return τ, by which the log odds of so many ``answers`` are multiplied."""
    return np.asarray(1 / np.sqrt(1 + dependence * np.maximum(answers, 0)))


class Promise(NamedTuple):
    """Of the gold items that the answers alone would have made confident, how many are right.

    Attributes
    ----------
    target : float
    items, right : int
        Gold items that would be confident, and how many of them would be labeled right.
    low, high : float
        Bounds of the share that is right, at 95 % (Clopper and Pearson, Biometrika 26, 1934); 0 and 1 without items.
    """

    target: float
    items: int
    right: int
    low: float
    high: float


def promise(target: float, items: int, right: int) -> Promise:
    """Put an exact 95 % interval around ``right`` of ``items``."""
    low = float(stats.beta.ppf(0.025, right, items - right + 1)) if right else 0.0
    high = float(stats.beta.ppf(0.975, right + 1, items - right)) if right < items else 1.0
    return Promise(target, items, right, low, high)


def fit_dependence(known: Ints, blind: Crowd, probabilities: Floats) -> float:
    """Find the ρ under which the answers foretell the gold items' classes best; the prior's mode without gold.

    Parameters
    ----------
    known : int array, shape (items,)
        The class of a gold item, -1 for all others.
    blind : Crowd
        The answers without the gold.
    probabilities : float array, shape (items, classes)
        What a method found of ``blind``.
    """
    gold = np.flatnonzero((known >= 0) & (blind.answered > 1))
    if not len(gold):
        return DEPENDENCE
    told = None if blind.voice is None else blind.voice.probabilities[gold]
    support = []
    for dependence in _GRID:
        found = discount(probabilities[gold], blind.answered[gold], dependence, told)
        found = found[np.arange(len(gold)), known[gold]]
        believed = -0.5 * (np.log(max(dependence, 0.02) / DEPENDENCE) / _SPREAD) ** 2
        support.append(np.log(np.maximum(found, 1e-12)).sum() + believed)
    return float(_GRID[np.argmax(support)])


def reliability_diagram(confidence: Floats, right: Bools, bins: int = 10) -> pd.DataFrame:
    """Compare what was promised with what came true, in equal bins of confidence.

    Returns
    -------
    pd.DataFrame
        low, high, items, confidence (mean), accuracy; empty bins are left out.
    """
    place = np.clip((np.asarray(confidence) * bins).astype(int), 0, bins - 1)
    rows = []
    for bin_ in np.unique(place):
        inside = place == bin_
        rows.append(
            {
                "low": bin_ / bins,
                "high": (bin_ + 1) / bins,
                "items": int(inside.sum()),
                "confidence": float(np.mean(confidence[inside])),
                "accuracy": float(np.mean(right[inside])),
            }
        )
    return pd.DataFrame(rows, columns=["low", "high", "items", "confidence", "accuracy"])


def expected_calibration_error(confidence: Floats, right: Bools, bins: int = 10) -> float:
    """Mean distance between confidence and accuracy over the diagram's bins, weighted by items."""
    diagram = reliability_diagram(confidence, right, bins)
    gaps = (diagram["confidence"] - diagram["accuracy"]).abs() * diagram["items"]
    return float(gaps.sum() / max(diagram["items"].sum(), 1))
