"""Majority vote: the class with the most answers.

The confidence is the posterior under the simplest model in which that class is the best guess: one accuracy a shared
by all workers, errors even over the other K - 1 classes, classes equally likely; p(k) ∝ (a (K-1) / (1-a))^votes(k).
a follows from how often two workers agree on an item, P = a² + (1-a)²/(K-1), solved for a.
"""

import numpy as np

from gandt.consensus.crowd import Crowd, Fit, Floats, one_coin_likelihood
from gandt.consensus.em import Limits

# before any agreement is seen: workers are right four times in five, worth ten pairs of answers
_ACCURACY = 0.8
_PAIRS = 10.0


def majority(crowd: Crowd, limits: Limits) -> Fit:
    """Count votes; see the module."""
    classes = len(crowd.classes)
    accuracy = np.full(len(crowd.workers), pooled_accuracy(crowd.votes))
    log_likelihood = one_coin_likelihood(crowd, accuracy)
    log_prior = np.full(classes, -np.log(classes))
    probabilities = crowd.expect(log_likelihood, log_prior)
    return Fit(probabilities, log_likelihood, log_prior)


def pooled_accuracy(votes: Floats) -> float:
    """Estimate the accuracy that all workers would share, from the agreement of pairs of answers.

    Parameters
    ----------
    votes : float array, shape (items, classes)

    Returns
    -------
    float
        At least a little above chance, so that more votes always mean a higher probability.
    """
    classes = votes.shape[1]
    each = votes.sum(axis=1)
    pairs = float((each * (each - 1)).sum())
    agreeing = float((votes * (votes - 1)).sum())
    expected = _ACCURACY**2 + (1 - _ACCURACY) ** 2 / (classes - 1)
    agreement = (agreeing + _PAIRS * expected) / (pairs + _PAIRS)
    root = max(1 - classes * (1 - agreement * (classes - 1)), 0.0)
    return float(np.clip((1 + np.sqrt(root)) / classes, 1 / classes + 0.01, 0.999))
