"""Weighted vote: a worker's vote weighs log(a (K-1) / (1-a)), where a is how reliable the others and gold find him.

One pass: the majority's posteriors judge each worker by everybody else's answers (reliability.py), then all vote
again with those weights. Workers under chance vote against themselves.
"""

import numpy as np

from gandt.consensus.crowd import Crowd, Fit, one_coin_likelihood
from gandt.consensus.em import Limits
from gandt.consensus.majority import majority
from gandt.consensus.reliability import leave_one_out, posterior, prior_of


def weighted(crowd: Crowd, limits: Limits) -> Fit:
    """Vote, judge, vote again; see the module."""
    first = majority(crowd, limits)
    right = leave_one_out(crowd, first)
    beta = posterior(crowd.worker, right, len(crowd.workers), len(crowd.classes), prior_of(crowd))
    log_likelihood = one_coin_likelihood(crowd, np.clip(beta[:, 0] / beta.sum(axis=1), 1e-3, 1 - 1e-3))
    return Fit(crowd.expect(log_likelihood, first.log_prior), log_likelihood, first.log_prior)
