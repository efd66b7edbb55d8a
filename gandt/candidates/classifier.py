"""Rule "classifier": a logistic regression that tells seeds from the unlabelled pool."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize, stats

from gandt.candidates.devices import CPU, Array, Device
from gandt.candidates.rules import Scores, rule
from gandt.candidates.spread import whitening
from gandt.embedding import Vectors

_UNLABELLED = 2_000
_PENALTY = 0.05
_FOLDS = 10
_PRIOR = 2  # seeds that the pool's own deviation counts as


@rule("classifier")
def classifier(vectors: Vectors, seeds: Sequence[Array], *, device: Device = CPU) -> Scores:
    """Score by the log-odds of a ridge regression per label, seeds against a sample of the pool.

    The pool has no negatives, only unlabelled items, of which some are wanted: that lowers all odds alike and leaves
    their order (Elkan and Noto, "Learning classifiers from only positive and unlabeled data", KDD 2008). A seed's own
    score is that of a regression without it; the pool's is the mean over these regressions, so that the two compare.
    From that follow probabilities of having the label: see :func:`probabilities`.
    """
    centre, projection = whitening(vectors)
    shift, columns = device.put(centre @ projection), device.put(projection)

    def project(rows: Array) -> Any:
        projected = device.put(rows) @ columns
        projected -= shift
        projected *= device.inverse_root((projected * projected).sum(1))[:, None]
        return projected

    sample = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _UNLABELLED)).astype(np.int64))
    weights, own = [], []
    for rows in seeds:
        unlabelled = device.get(project(vectors[np.setdiff1d(sample, rows)]))
        group = device.get(project(vectors[rows]))
        weight = _fit(group, unlabelled)
        held_out, fitted = np.empty(len(group)), []
        for fold in np.array_split(np.random.default_rng(0).permutation(len(group)), min(_FOLDS, len(group))):
            rest = np.delete(group, fold, axis=0)
            fitted.append(_fit(rest, unlabelled, weight) if len(rest) else weight)
            held_out[fold] = group[fold] @ fitted[-1][:-1] + fitted[-1][-1]
        weights.append(np.mean(fitted, axis=0))
        own.append(held_out if len(group) > 1 else np.empty(0))
    directions = np.stack(weights, axis=1).astype(np.float32)
    across = device.put(directions[:-1])
    scores = np.empty((len(vectors), len(seeds)), np.float32)
    for start, block in vectors.chunks():
        scores[start : start + len(block)] = device.get(project(block) @ across) + directions[-1]
    return Scores(scores, own, np.stack([probabilities(*each) for each in zip(scores.T, own, strict=True)], axis=1))


def probabilities(scores: Array, own: Array) -> Array:
    """Return each item's probability of having the label, from seeds and an unlabelled pool.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        The pool's.
    own : ndarray, shape (seeds,)
        The seeds', each from a regression without it: what the wanted items' scores are like. They are taken for
        normal, their deviation shrunk towards the pool's as if by two seeds more;
        a further one is then distributed as Student's t.

    Returns
    -------
    ndarray of float32, shape (n,)
        Rising with the score; NaN with fewer than two seeds.

    Notes
    -----
    Bayes: ``P(wanted | score) = share · density among the wanted / density in the pool``, made monotone (isotonic
    regression). The share of the wanted in the pool is at most ``P(score ≥ t) / P(score ≥ t | wanted)`` for every t;
    the least of these is taken (Scott, "A rate of convergence for mixture proportion estimation", AISTATS 2015), over
    the t that at least ten items and 2 % of the wanted reach. It holds as far as the seeds are a random draw of the
    wanted and, at the top, the pool holds hardly anything else; it errs towards too little.
    """
    count, seeds = len(scores), len(own)
    if seeds < 2:
        return np.full(count, np.nan, np.float32)
    freedom = seeds - 1 + _PRIOR
    variance = (float(((own - own.mean()) ** 2).sum()) + _PRIOR * float(scores.var())) / freedom
    order = np.argsort(scores, kind="stable")
    z = (scores[order] - own.mean()) / max(np.sqrt(variance * (1 + 1 / seeds)), 1e-9)
    reach = (count - np.arange(count)) / count
    wanted_reach = stats.t.sf(z, freedom)
    usable = (wanted_reach > 0.02) & (reach * count >= 10)
    share = min(1.0, float((reach[usable] / wanted_reach[usable]).min())) if usable.any() else 1 / max(count, 1)
    below = 1 - wanted_reach
    edges = np.concatenate([[0.0], (below[1:] + below[:-1]) / 2, [1.0]])[: count + 1]
    found = np.empty(count, np.float32)
    found[order] = np.clip(optimize.isotonic_regression(share * count * np.diff(edges)).x, 0, 1) if count else 0
    return found


def _fit(positive: Array, unlabelled: Array, start: Array | None = None) -> Array:
    """Return weights and intercept (dim + 1,) of a ridge logistic regression in which both sides weigh the same."""
    rows = np.concatenate([positive, unlabelled]).astype(np.float64)
    signs = np.concatenate([np.ones(len(positive)), -np.ones(len(unlabelled))])
    shares = np.concatenate(
        [np.full(len(positive), 0.5 / len(positive)), np.full(len(unlabelled), 0.5 / len(unlabelled))]
    )

    def loss(weight: Array) -> tuple[float, Array]:
        margins = signs * (rows @ weight[:-1] + weight[-1])
        pull = -shares * signs / (1 + np.exp(np.clip(margins, -50, 50)))
        value = float(shares @ np.logaddexp(0, -margins)) + 0.5 * float(weight[:-1] @ weight[:-1]) * _PENALTY
        return value, np.append(rows.T @ pull + weight[:-1] * _PENALTY, pull.sum())

    start = np.zeros(rows.shape[1] + 1) if start is None else start
    found: Array = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
    return found
