"""The modified Dawid-Skene that Amazon published for Ground Truth's image classification.

Each worker's confusion matrix is pulled to his own one-coin accuracy with weight 1, and to the crowd's mean accuracy
with weight 1/2, in proportion to how much he answered. With M(a) the matrix that has a on the diagonal and
(1-a)/(K-1) elsewhere:  N_j ← N_j + n_j M(acc_j) + (n_j / 2) M(ā),  C_j = N_j with rows normalised.
It starts from C_j = M(0.7), and stops after 20 turns, as published.
Source: the notebook on annotation consolidation in aws/amazon-sagemaker-examples.
"""

from dataclasses import replace

import numpy as np

from gandt.consensus.crowd import Crowd, Fit, Floats, one_coin_likelihood
from gandt.consensus.em import Limits, maximise

_START = 0.7
_TURNS = 20


def ground_truth(crowd: Crowd, limits: Limits) -> Fit:
    """Fit the model; see the module."""
    classes = len(crowd.classes)
    own = np.arange(len(crowd.pair_label)), crowd.pair_label

    def m_step(probabilities: Floats) -> tuple[Floats, Floats]:
        counts = crowd.counts(probabilities)
        truth = crowd.by_worker(counts)
        answers = truth.sum(axis=1)
        accuracy = crowd.by_worker(counts[own]) / answers
        pool = accuracy[crowd.active].mean() if crowd.active.any() else _START
        # a pair's cell of M(a), by the true class: a in its own column, (1-a)/(K-1) in the others
        wrong = (1 - accuracy + (1 - pool) / 2) / (classes - 1)
        cells = np.repeat(wrong[crowd.pair_worker, None], classes, axis=1)
        cells[own] = (accuracy + pool / 2)[crowd.pair_worker]
        rows = truth + 1.5 * answers[:, None]  # each row of M sums to 1
        likelihood = (counts + cells * answers[crowd.pair_worker, None]) / rows[crowd.pair_worker]
        prior = probabilities.mean(axis=0)
        return np.log(np.maximum(likelihood, 1e-12)), np.log(np.maximum(prior, 1e-12))

    first = one_coin_likelihood(crowd, np.full(len(crowd.workers), _START))
    start = crowd.expect(first, np.full(classes, -np.log(classes)))
    # the published code never meets its own tolerance; its 20 turns are the method, so reaching them is no failure
    fit = maximise(crowd, m_step, start=start, limits=Limits(min(limits.iterations, _TURNS), limits.tolerance))
    return replace(fit, converged=fit.converged or fit.iterations == _TURNS)
