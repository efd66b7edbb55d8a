"""How reliable each worker is: a posterior with an interval, from the other workers' answers and from gold.

For each of a worker's answers, q is the probability that it is right by everybody else's answers on the item alone
(on a gold item 0 or 1), so nobody is judged by his own vote, and an answer on an item that the others find hard, or
that nobody else answered, tells little. With accuracy a, errors even over K classes and chance h = 1/(K-1), the
answers' likelihood is Π (a q + (1-a) (1-q) h). Its mode under a Beta prior, and its curvature there, give the Beta
posterior that is reported.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from gandt.consensus.crowd import Crowd, Fit, Floats, Ints, softmax

_CHUNK = 1_000_000
_PRIOR = (4.0, 1.0)  # a stranger: right four times in five, known as well as five answers would tell


def leave_one_out(crowd: Crowd, fit: Fit) -> Floats:
    """Compute the probability that each answer is right, by the item's other answers (and gold), shape (answers,)."""
    right = np.empty(crowd.answers)
    log_likelihood = fit.log_likelihood
    if not crowd.active.all():
        log_likelihood = np.where(crowd.active[crowd.pair_worker, None], log_likelihood, 0.0)
    scores = crowd.scores(log_likelihood, fit.log_prior)
    for begin in range(0, crowd.answers, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        others = scores[crowd.item[part]] - log_likelihood[crowd.pair[part]]
        right[part] = crowd.by_class(softmax(others))[np.arange(len(others)), crowd.label[part]]
    known = crowd.known[crowd.item]
    return np.where(known >= 0, known == crowd.label, right)


def prior_of(crowd: Crowd) -> Floats:
    """Parameters of each worker's Beta prior, earlier jobs included, shape (workers, 2)."""
    return np.asarray(np.array(_PRIOR) + crowd.earned)


def posterior(worker: Ints, right: Floats, workers: int, classes: int, prior: Floats) -> Floats:
    """Beta posterior of each worker's accuracy.

    Parameters
    ----------
    worker : int array, shape (answers,)
    right : float array, shape (answers,)
        The probability that each answer is right, by others.
    prior : float array, shape (workers, 2)
        Parameters of the Beta prior.

    Returns
    -------
    float array, shape (workers, 2)
        Parameters of the Beta that has the posterior's mode-based mean and curvature.
    """
    if not workers:
        return np.zeros((0, 2))
    wrong = (1 - right) / max(classes - 1, 1)
    answers = np.bincount(worker, minlength=workers)
    accuracy = prior[:, 0] / prior.sum(axis=1)
    total = answers + prior.sum(axis=1)
    gain = right - wrong
    for _ in range(50):  # Newton's steps on a concave function, never more than half of the way to either end
        slope = gain / (wrong + accuracy[worker] * gain)
        information = np.bincount(worker, slope**2, minlength=workers)
        information += prior[:, 0] / accuracy**2 + prior[:, 1] / (1 - accuracy) ** 2
        rise = np.bincount(worker, slope, minlength=workers) + prior[:, 0] / accuracy - prior[:, 1] / (1 - accuracy)
        updated = np.clip(accuracy + rise / information, accuracy / 2, (1 + accuracy) / 2)
        moved = np.abs(updated - accuracy).max(initial=0.0)
        accuracy = updated
        if moved < 1e-4:
            break
    # a Beta with mean m and strength s has variance m (1-m) / (s+1); it can't know more than all answers right or wrong
    strength = np.clip(accuracy * (1 - accuracy) * information - 1, 1.0, total)
    return np.stack([accuracy * strength, (1 - accuracy) * strength], axis=1)


def worker_table(parts: Sequence[tuple[Crowd, Fit]], level: float = 0.95) -> pd.DataFrame:
    """One row per worker: answers, reliability with a ``level`` interval, gold answers and how many were right.

    Parameters
    ----------
    parts : sequence of (Crowd, Fit)
        One, or with several labels per item one yes-or-no crowd per class, all of the same answers.

    Returns
    -------
    pd.DataFrame
        worker, answers, reliability, reliability_low, reliability_high, gold_answers, gold_right, excluded; the most
        answers first, then by name.
    """
    crowd = parts[0][0]
    count = len(crowd.workers)
    right = np.stack([leave_one_out(*part) for part in parts])
    worker = np.tile(crowd.worker, len(parts))
    beta = posterior(worker, right.ravel(), count, len(crowd.classes), prior_of(crowd))
    gold = crowd.gold[crowd.item]
    gold_right = right[:, gold].min(axis=0, initial=1.0)
    tail = (1 - level) / 2
    table = pd.DataFrame(
        {
            "worker": crowd.workers,
            "answers": np.bincount(crowd.worker, minlength=count),
            "reliability": beta[:, 0] / beta.sum(axis=1),
            "reliability_low": special.betaincinv(beta[:, 0], beta[:, 1], tail),
            "reliability_high": special.betaincinv(beta[:, 0], beta[:, 1], 1 - tail),
            "gold_answers": np.bincount(crowd.worker[gold], minlength=count),
            "gold_right": np.bincount(crowd.worker[gold], gold_right, minlength=count).astype(np.int64),
            "excluded": ~crowd.active,
        }
    )
    return table.sort_values(["answers", "worker"], ascending=[False, True], ignore_index=True)
