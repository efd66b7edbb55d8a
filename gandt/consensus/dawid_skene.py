"""Dawid-Skene: each worker has a confusion matrix of his own.

A. P. Dawid and A. M. Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm",
Applied Statistics 28 (1979). Here with pseudo-counts on every cell, in log space.
"""

import numpy as np

from gandt.consensus.crowd import Crowd, Fit, Floats
from gandt.consensus.em import Limits, log_class_prior, maximise

_PSEUDO_COUNT = 0.01


def dawid_skene(crowd: Crowd, limits: Limits, pseudo_count: float = _PSEUDO_COUNT) -> Fit:
    """Fit the model by expectation maximisation.

    Parameters
    ----------
    pseudo_count : float
        Added to each cell of each confusion matrix; more than 0, else an answer could make a class impossible.
    """
    classes = len(crowd.classes)

    def m_step(probabilities: Floats) -> tuple[Floats, Floats]:
        counts = crowd.counts(probabilities)
        truth = crowd.by_worker(counts)[crowd.pair_worker]
        likelihood = np.log((counts + pseudo_count) / (truth + classes * pseudo_count))
        return likelihood, log_class_prior(crowd, probabilities)

    return maximise(crowd, m_step, limits=limits)
