"""Confidences that mean what they say.

The models take the workers' errors on an item for independent. They aren't: what misleads one worker misleads the
next, so ten answers are worth fewer than ten. As in survey sampling (L. Kish, "Survey Sampling", 1965: the design
effect), n answers whose errors correlate by ρ are worth n / (1 + (n - 1) ρ), so a posterior p becomes

    p(k)^τ / Σ p^τ   with   τ = 1 / (1 + (n - 1) ρ).

The order of the classes never changes. ρ = ``CORRELATION`` fits the real crowds in benchmarks/consensus.py, none of
which it is right for; gold items of the job itself move it (the maximum of their likelihood under a log-normal prior).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from gandt.consensus.crowd import Bools, Crowd, Fit, Floats

CORRELATION = 0.25
_SPREAD = 0.75  # standard deviation of log ρ between crowds
_GRID = np.concatenate([[1e-6], np.geomspace(0.01, 1.0, 60)])


def discount(probabilities: Floats, answers: Floats, correlation: float) -> Floats:
    """Flatten posteriors for the correlation of errors.

    Parameters
    ----------
    probabilities : float array, shape (items, classes)
    answers : float array, shape (items,)
        How many voices spoke on each item.
    correlation : float
        ρ; 0 leaves the posteriors as they are.

    Returns
    -------
    float array, shape (items, classes)
    """
    if correlation == 0:
        return probabilities
    power = 1 / (1 + np.maximum(answers - 1, 0) * correlation)
    top = probabilities.max(axis=1, keepdims=True)
    flat = np.power(probabilities / top, power[:, None])
    flat /= flat.sum(axis=1, keepdims=True)
    return np.asarray(flat)


def fit_correlation(crowd: Crowd, fit: Callable[[Crowd], Fit]) -> float:
    """Find the ρ under which the answers foretell the gold items' classes best; the prior's mode without gold.

    The method is fitted once more without being told the gold, or it would foretell what it was told.
    """
    voices = crowd.voices()
    gold = np.flatnonzero(crowd.gold & (voices > 1))
    if not len(gold):
        return CORRELATION
    probabilities = fit(crowd.without_gold()).probabilities[gold]
    support = []
    for correlation in _GRID:
        found = discount(probabilities, voices[gold], correlation)[np.arange(len(gold)), crowd.known[gold]]
        prior = -0.5 * (np.log(max(correlation, 0.01) / CORRELATION) / _SPREAD) ** 2
        support.append(np.log(np.maximum(found, 1e-12)).sum() + prior)
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
