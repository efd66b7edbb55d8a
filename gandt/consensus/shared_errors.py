"""Workers who err alike: found in the answers alone, and counted for less.

Every model here takes workers for independent once the truth is known. If they are, how two workers' answers correlate
over the items that both saw is the product of how each correlates with the truth: the table of all pairs' correlations
has one factor (C. Spearman, "General intelligence, objectively determined and measured", 1904). Copied answers, or a
group that is lenient on the same items, add a second one. So both tables are fitted, and the second factor is believed
where it explains more than five standard deviations beyond what it explains of noise.

Of two factors the answers don't say which is the truth. The truth is taken to be what the answers have most in common:
the factors are turned until the second one averages to nothing over all answers, so each group is set against the
others. The pairs that still agree beyond it, by more than three standard deviations, are named, and each of their
answers on an item that both saw counts for 1 / (1 + the sum of the correlations of its errors with the others').

Whole crowds that are misled alike (hard items, a misleading question) can't be told from crowds that are right; see
gandt/consensus/calibration.py for that.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from gandt.consensus.crowd import Crowd, Floats

_WORKERS = 100  # those with the most answers are compared
_ANSWERS = 20  # under which a worker, or a pair's shared items, say nothing
_SHARED = 10  # items that a pair must share to help fit the factors
_VARIED = 0.08  # of a worker's answers: who nearly always says the same correlates with nobody
_USUAL = 0.6  # correlation with the truth before anything is known, worth one squared deviation
_TURNS = 60
_DRAWS = 20
_SURE_FACTOR, _SURE_PAIR = 5.0, 3.0  # standard deviations
_COLUMNS = ["worker", "other", "items", "correlation", "z"]


@dataclass(frozen=True, eq=False)
class SharedErrors:
    """Pairs of workers whose errors go together.

    Attributes
    ----------
    pairs : pd.DataFrame
        worker, other, items (shared), correlation (of their errors, 0 to 1), z (standard deviations by which they agree
        beyond what their accuracy explains); the most surprising first. Empty where nothing was found.
    weights : float array, shape (answers,)
        What each answer of the crowd counts.
    """

    pairs: pd.DataFrame
    weights: Floats


def find_shared_errors(crowd: Crowd, seed: int = 0) -> SharedErrors:
    """Look for workers who err alike; see the module.

    Parameters
    ----------
    seed : int
        Of the noise that a second factor is compared with.
    """
    nothing = SharedErrors(pd.DataFrame(columns=_COLUMNS), np.ones(crowd.answers))
    workers, shared, correlation = _correlations(crowd)
    # the variance of a correlation is 1 / n; with more classes there are more comparisons
    precision = np.where(shared >= _SHARED, shared * (1.0 if len(crowd.classes) == 2 else 1.5), 0.0)
    told = precision.any(axis=1)
    if told.sum() < 4:
        return nothing
    workers, shared = workers[told], shared[np.ix_(told, told)]
    correlation, precision = correlation[np.ix_(told, told)], precision[np.ix_(told, told)]

    one = _fit(correlation, precision, np.full((len(workers), 1), _USUAL), usual=True)
    two = _second(correlation, precision, one)
    gain = _misfit(correlation, precision, one) - _misfit(correlation, precision, two)
    if gain < 1.5 * len(workers):  # noise alone gains more
        return nothing
    noise = _gains_of_noise(precision, one, seed)
    if gain < noise.mean() + _SURE_FACTOR * max(float(noise.std()), 1.0):
        return nothing

    truth, group = _turned(two, np.bincount(crowd.worker, minlength=len(crowd.workers))[workers])
    beyond = correlation - np.outer(truth, truth)
    z = beyond * np.sqrt(precision)
    alike = (z > _SURE_PAIR) & (np.outer(group, group) > 0) & (shared >= _ANSWERS)
    left = np.sqrt(np.maximum(1 - truth**2, 0.1))
    errors = np.where(alike, np.clip(beyond / np.outer(left, left), 0.0, 1.0), 0.0)
    first, second = np.nonzero(np.triu(errors, 1))
    pairs = pd.DataFrame(
        {
            "worker": crowd.workers[workers[first]],
            "other": crowd.workers[workers[second]],
            "items": shared[first, second].astype(np.int64),
            "correlation": errors[first, second],
            "z": z[first, second],
        }
    ).sort_values(["z", "worker"], ascending=[False, True], ignore_index=True)
    return SharedErrors(pairs, _weights(crowd, workers, errors))


def weighed(crowd: Crowd, weights: Floats) -> Crowd:
    """Return the same crowd, in whose sums and counts (not in its votes) each answer counts for its weight."""
    votes = crowd.votes  # of whole answers, kept beside the new matrix
    matrix = crowd.matrix.copy()
    matrix.data = weights.copy()
    lighter = replace(crowd, matrix=matrix, transposed=matrix.T)
    lighter.__dict__["votes"] = votes
    return lighter


def _correlations(crowd: Crowd) -> tuple[Any, Floats, Floats]:
    """Workers with the most answers, items that each pair shares, and how their answers to these correlate.

    The correlation is of the answers as indicators of the classes, over the shared items; 0 where it says nothing.
    """
    answers = np.bincount(crowd.worker, minlength=len(crowd.workers)) * crowd.active
    order = np.argsort(-answers, kind="stable")[:_WORKERS]
    workers = order[answers[order] >= _ANSWERS]
    place = np.full(len(crowd.workers), -1)
    place[workers] = np.arange(len(workers))
    kept = place[crowd.worker] >= 0
    item, worker, label = crowd.item[kept], place[crowd.worker[kept]], crowd.label[kept]
    shape = (len(crowd.items), len(workers))

    def seen(rows: Any) -> Any:
        return sparse.csc_matrix((np.ones(int(rows.sum())), (item[rows], worker[rows])), shape=shape)

    everything = seen(np.ones(len(item), dtype=bool))
    shared = (everything.T @ everything).toarray()
    np.fill_diagonal(shared, 0.0)
    count = np.maximum(shared, 1)
    together, varied = np.zeros_like(shared), np.zeros_like(shared)
    for code in range(len(crowd.classes)):
        said = seen(label == code)
        mean = (said.T @ everything).toarray() / count  # how often the first says it of what both saw
        together += (said.T @ said).toarray() / count - mean * mean.T
        varied += mean * (1 - mean)
    telling = (shared > 0) & (np.minimum(varied, varied.T) >= _VARIED)
    scale = np.sqrt(np.where(telling, varied * varied.T, 1.0))
    return workers, np.where(telling, shared, 0.0), np.where(telling, together / scale, 0.0)


def _fit(correlation: Floats, precision: Floats, start: Floats, *, usual: bool = False) -> Floats:
    """Fit factors, shape (workers, factors), to the pairs' correlations by alternating least squares."""
    factors, count = start, start.shape[1]
    ridge = np.eye(count)
    for _ in range(_TURNS):
        normal = np.einsum("ab,br,bs->ars", precision, factors, factors) + ridge
        wanted = (precision * correlation) @ factors + (_USUAL if usual else 0.0)
        solved = np.linalg.solve(normal, wanted[..., None])[..., 0]
        factors = 0.5 * factors + 0.5 * np.clip(solved, 0.0 if count == 1 else -0.99, 0.99)
    return factors


def _second(correlation: Floats, precision: Floats, one: Floats) -> Floats:
    """Fit two factors, starting with what one leaves."""
    left = np.where(precision > 0, correlation - one @ one.T, 0.0) * np.sqrt(precision)
    direction = np.linalg.eigh(left)[1][:, -1:]
    start = np.clip(0.2 * np.sqrt(len(one)) * direction, -0.6, 0.6)
    return _fit(correlation, precision, np.hstack([one, start]))


def _misfit(correlation: Floats, precision: Floats, factors: Floats) -> float:
    return float((precision * (correlation - factors @ factors.T) ** 2).sum() / 2)


def _gains_of_noise(precision: Floats, one: Floats, seed: int) -> Floats:
    """How much a second factor explains where there is none, in several draws."""
    random = np.random.default_rng(seed)
    deviation = np.where(precision > 0, 1 / np.sqrt(np.maximum(precision, 1.0)), 0.0)
    gains = np.zeros(_DRAWS)
    for draw in range(_DRAWS):
        noise = np.triu(random.standard_normal(precision.shape), 1)
        table = one @ one.T + (noise + noise.T) * deviation
        first = _fit(table, precision, one, usual=True)
        gains[draw] = _misfit(table, precision, first) - _misfit(table, precision, _second(table, precision, first))
    return gains


def _turned(factors: Floats, answers: Any) -> tuple[Floats, Floats]:
    """Turn two factors so that the first holds all that the answers have in common."""
    common = answers @ factors
    first = common / max(float(np.linalg.norm(common)), 1e-12)
    return factors @ first, factors @ np.array([-first[1], first[0]])


def _weights(crowd: Crowd, workers: Any, errors: Floats) -> Floats:
    involved = errors.any(axis=1)
    place = np.full(len(crowd.workers), -1)
    place[workers[involved]] = np.arange(int(involved.sum()))
    rows = np.flatnonzero(place[crowd.worker] >= 0)
    item, worker = crowd.item[rows], place[crowd.worker[rows]]
    shape = (len(crowd.items), int(involved.sum()))
    present = sparse.csr_matrix((np.ones(len(rows)), (item, worker)), shape=shape)
    others = sparse.csr_matrix(errors[np.ix_(involved, involved)])[worker].multiply(present[item])
    weights = np.ones(crowd.answers)
    weights[rows] = 1 / (1 + np.asarray(others.sum(axis=1)).ravel())
    return weights
