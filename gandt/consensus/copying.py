"""Pairs of workers who agree more than what they know explains."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gandt.consensus.calibration import discount
from gandt.consensus.consolidate import Consensus
from gandt.consensus.crowd import Crowd, Floats, softmax

Rows = npt.NDArray[np.integer[Any]]

FEW = 10  # shared items under which a pair says nothing
_SHARES = (0.05, *(tenth / 10 for tenth in range(1, 10)), 0.95)  # of a worker's answers that may be copied
_LEAST = 0.01  # no agreement is believed to be less likely than this
_PAIRS = 20_000_000  # pairs of answers that are compared at most; beyond it, a sample of the items


def copying(consensus: Consensus, *, least: int = FEW, seed: int = 0) -> pd.DataFrame:
    """Find pairs of workers who agree more on the items they share than their reliability explains.

    The chance that b gives a's label on an item is r_b p + (1 - r_b) (1 - p) / (K - 1), with p the probability of
    that label by everyone but b, and r_b his reliability. If he copies a share c of his answers, they agree with
    chance c + (1 - c) times that. The likelihood ratio of the best c to c = 0 weighs each agreement by how unlikely it
    was, so good workers may agree, and two who make the same mistakes stand out. Who copied whom can't be told.

    Returns
    -------
    pd.DataFrame
        worker, other, items (shared), agreed, expected, copied (c), z (the root of twice the log of the ratio, a
        standard normal deviate if nobody copied); the most surprising pair first. Pairs that share fewer than ``least``
        items are left out.
    """
    crowd = consensus.crowd
    first, second = _answer_pairs(crowd, seed)
    if not len(first):
        return pd.DataFrame(columns=["worker", "other", "items", "agreed", "expected", "copied", "z"])
    workers, classes = len(crowd.workers), len(crowd.classes)
    key = crowd.worker[first].astype(np.int64) * workers + crowd.worker[second]
    pairs, group = np.unique(key, return_inverse=True)
    shared = np.bincount(group)
    enough = shared[group] >= least
    first, second, group = first[enough], second[enough], group[enough]
    table = consensus.workers.set_index("worker")
    reliability = table.loc[list(crowd.workers), "reliability"].to_numpy()

    chance = np.zeros(len(first))
    for mine, his in ((first, second), (second, first)):
        for begin in range(0, len(mine), 1_000_000):
            part = slice(begin, begin + 1_000_000)
            truth = others(consensus, mine[part])
            p = truth[np.arange(len(truth)), crowd.label[his[part]]]
            skill = reliability[crowd.worker[mine[part]]]
            chance[part] += 0.5 * (skill * p + (1 - skill) * (1 - p) / (classes - 1))
    alike = crowd.label[first] == crowd.label[second]
    agreed = np.bincount(group, alike, minlength=len(pairs))
    expected = np.bincount(group, chance, minlength=len(pairs))
    surprise = 1 / np.maximum(chance[alike], _LEAST) - 1
    support, copied = np.zeros(len(pairs)), np.zeros(len(pairs))
    for share in _SHARES:
        ratio = np.bincount(group[alike], np.log1p(share * surprise), minlength=len(pairs))
        ratio = ratio + (shared - agreed) * np.log1p(-share)
        copied = np.where(ratio > support, share, copied)
        support = np.maximum(support, ratio)
    kept = shared >= least
    result = pd.DataFrame(
        {
            "worker": crowd.workers[pairs[kept] // workers],
            "other": crowd.workers[pairs[kept] % workers],
            "items": shared[kept],
            "agreed": agreed[kept].astype(np.int64),
            "expected": expected[kept],
            "copied": copied[kept],
            "z": np.sqrt(2 * support)[kept],
        }
    )
    return result.sort_values(["z", "worker"], ascending=[False, True], ignore_index=True)


def others(consensus: Consensus, rows: Rows) -> Floats:
    """Class probabilities of the items of these answers, each by everyone but the one who gave it."""
    crowd, fit = consensus.crowd, consensus.fit
    item = crowd.item[rows]
    log_likelihood = np.where(crowd.active[crowd.pair_worker, None], fit.log_likelihood, 0.0)
    distinct, place = np.unique(item, return_inverse=True)
    prior = fit.log_prior if fit.log_prior.ndim == 1 else fit.log_prior[distinct]
    scores = (np.asarray(crowd.matrix[distinct] @ log_likelihood) + prior)[place]
    found = crowd.by_class(softmax(scores - log_likelihood[crowd.pair[rows]]))
    # a quarter of it: who is believed too little here accuses others of agreeing too much
    found = discount(found, crowd.answered[item] - 1, consensus.dependence / 4)
    known = crowd.known[item]
    gold = known >= 0
    found[gold] = np.eye(len(crowd.classes))[known[gold]]
    return found


def _answer_pairs(crowd: Crowd, seed: int) -> tuple[Rows, Rows]:
    """All pairs of answers on the same item, the lower worker first; of a sample of the items where there are many."""
    start = crowd.matrix.indptr
    answers = np.diff(start).astype(np.int64)
    wanted = np.flatnonzero(answers > 1)
    work = answers * (answers - 1) // 2
    if work[wanted].sum() > _PAIRS:
        wanted = np.random.default_rng(seed).permutation(wanted)
        wanted = wanted[np.cumsum(work[wanted]) <= _PAIRS]
    firsts, seconds = [], []
    for size in np.unique(answers[wanted]):
        left, right = np.triu_indices(size, 1)
        begin = start[wanted[answers[wanted] == size]][:, None]
        firsts.append((begin + left).ravel())
        seconds.append((begin + right).ravel())
    if not firsts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    swap = crowd.worker[first] > crowd.worker[second]
    return np.where(swap, second, first), np.where(swap, first, second)
