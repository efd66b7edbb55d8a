"""One-coin: each worker is right with an accuracy of his own, and errs evenly over the other classes.

The accuracies have a common Beta prior: two pseudo-answers at the crowd's mean accuracy.
"""

import numpy as np

from gandt.consensus.crowd import Crowd, Fit, Floats, one_coin_likelihood
from gandt.consensus.em import Limits, log_class_prior, maximise

_STRENGTH = 2.0


def one_coin(crowd: Crowd, limits: Limits) -> Fit:
    """Fit the model by expectation maximisation; see the module."""
    own = np.arange(len(crowd.pair_label)), crowd.pair_label
    ones = np.ones((len(crowd.items), 1))
    answers = crowd.by_worker(crowd.counts(ones)[:, 0])

    def m_step(probabilities: Floats) -> tuple[Floats, Floats]:
        right = crowd.by_worker(crowd.counts(probabilities)[own])
        chance = 1 / len(crowd.classes)
        pool = (right[crowd.active].sum() + chance) / (answers[crowd.active].sum() + 1)
        accuracy = (right + _STRENGTH * pool + crowd.earned[:, 0]) / (answers + _STRENGTH + crowd.earned.sum(axis=1))
        return one_coin_likelihood(crowd, np.clip(accuracy, 1e-6, 1 - 1e-6)), log_class_prior(crowd, probabilities)

    return maximise(crowd, m_step, limits=limits)
