"""Expectation maximisation, the loop that the methods share."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gandt.consensus.crowd import Crowd, Fit, Floats


class Limits(NamedTuple):
    """When to stop: after ``iterations`` turns, or when the items' probabilities move by ``tolerance`` in the mean."""

    iterations: int = 500
    tolerance: float = 1e-4


def log_class_prior(crowd: Crowd, probabilities: Floats) -> Floats:
    """Log shares of the classes over the items that were answered and aren't gold, with one pseudo-item per class.

    Gold is left out because someone chose it: its classes say nothing of the pool's.
    """
    answered = np.diff(crowd.matrix.indptr) > 0
    mass = probabilities[answered & ~crowd.gold].sum(axis=0) + 1.0
    return np.asarray(np.log(mass / mass.sum()))


def maximise(
    crowd: Crowd,
    m_step: Callable[[Floats], tuple[Floats, Floats]],
    *,
    start: Floats | None = None,
    limits: Limits = Limits(),  # noqa: B008  (immutable)
) -> Fit:
    """Alternate ``m_step`` and the E-step until the probabilities stand still.

    Parameters
    ----------
    m_step : callable
        Takes the state probabilities, shape (items, states); returns the pairs' log-likelihood, shape (pairs, states),
        and the log prior of the states.
    start : float array, shape (items, states), optional
        First probabilities; by default the states are the classes, and these the shares of the votes.
    """
    probabilities = _with_voice(crowd, crowd.start()) if start is None else start
    for turn in range(1, limits.iterations + 1):  # noqa: B007  (reported)
        log_likelihood, log_prior = m_step(probabilities)
        if crowd.voice is not None:
            crowd.voice.calibrate(crowd.by_class(probabilities))
            log_prior = crowd.voice.log_prior(log_prior)
        updated = crowd.expect(log_likelihood, log_prior)
        change = float(np.abs(updated - probabilities).sum()) / max(len(updated), 1)
        probabilities = updated
        if change < limits.tolerance:
            break
    return Fit(crowd.by_class(probabilities), log_likelihood, log_prior, turn, change < limits.tolerance)


def _with_voice(crowd: Crowd, shares: Floats) -> Floats:
    """Count a classifier as one more vote, or single answers would start, and stay, certain."""
    if crowd.voice is None:
        return shares
    answers = crowd.answered[:, None]
    heard = (crowd.voice.speaks & ~crowd.gold)[:, None]
    return np.asarray(np.where(heard, (answers * shares + crowd.voice.probabilities) / (answers + 1), shares))
