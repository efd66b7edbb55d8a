"""Rule "classifier": a logistic regression that tells seeds from the unlabelled pool."""

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from gandt.candidates.devices import CPU, Array, Device
from gandt.candidates.rules import Scores, rule, unit
from gandt.candidates.spread import whitening
from gandt.embedding import Vectors

_UNLABELLED = 2_000
_PENALTY = 0.05
_FOLDS = 10


@rule("classifier")
def classifier(vectors: Vectors, seeds: Sequence[Array], *, device: Device = CPU) -> Scores:
    """Score by the log-odds of a ridge regression per label, seeds against a sample of the pool.

    The pool has no negatives, only unlabelled items, of which some are wanted: that lowers all odds alike and leaves
    their order (Elkan and Noto, "Learning classifiers from only positive and unlabeled data", KDD 2008). The scores
    rank; they are no probabilities of having the label. A seed's own score is that of a regression without it.
    """
    centre, projection = whitening(vectors)

    def project(rows: Array) -> Array:
        return unit((rows.astype(np.float32) - centre) @ projection)

    sample = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _UNLABELLED)).astype(np.int64))
    weights, own = [], []
    for rows in seeds:
        unlabelled = project(vectors[np.setdiff1d(sample, rows)])
        group = project(vectors[rows])
        weight = _fit(group, unlabelled)
        held_out = np.empty(len(group))
        for fold in np.array_split(np.random.default_rng(0).permutation(len(group)), min(_FOLDS, len(group))):
            rest = np.delete(group, fold, axis=0)
            held_out[fold] = _log_odds(group[fold], _fit(rest, unlabelled, weight) if len(rest) else weight)
        weights.append(weight)
        own.append(held_out if len(group) > 1 else np.empty(0))
    scores = np.empty((len(vectors), len(seeds)), np.float32)
    for start, block in vectors.chunks():
        projected = project(block)
        for label, weight in enumerate(weights):
            scores[start : start + len(block), label] = _log_odds(projected, weight)
    return Scores(scores, own)


def _log_odds(rows: Array, weight: Array) -> Array:
    odds: Array = rows @ weight[:-1] + weight[-1]
    return odds


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
