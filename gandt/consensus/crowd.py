"""The answers on integer codes: what every consensus method works on, and the two steps that all of them share.

A crowd of n answers is a sparse 0/1 matrix with one row per item and one column per *pair* of a worker and a label
that this worker gave. With it both steps of expectation maximisation are one sparse product each: the scores of the
items are ``matrix @ log_likelihood`` and the expected counts of the pairs are ``matrix.T @ probabilities``. Memory
grows with the answers, not with workers × classes², so millions of workers with one answer each fit as well.
"""

import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from gandt.consensus.classifier import Voice

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

_TELLING = 0.25  # share of the entropy that a classifier must resolve to count as a speaker


@dataclass(frozen=True, eq=False)
class Crowd:
    """Answers on integer codes, at most one per worker and item, sorted by item.

    Attributes
    ----------
    items, workers : pd.Index of str
        Names by code. Every item that was asked is here, answered or not.
    classes : tuple of str
    item, worker, label, row : int32 arrays, shape (answers,)
        Codes of each answer, and its row in the table it came from.
    pair : int32 array, shape (answers,)
        Code of the answer's (worker, label).
    pair_worker, pair_label : int32 arrays, shape (pairs,)
        What each pair is; sorted by worker, then label.
    known : int32 array, shape (items,)
        The class of a gold item, -1 for all others.
    active : bool array, shape (workers,)
        False for workers whose answers are set at nought.
    set_aside : pd.DataFrame
        row, item, worker, label, reason of every answer that isn't used.
    earned : float array, shape (workers, 2)
        Right and wrong answers that earlier jobs credit each worker with.
    voice : Voice, optional
        A classifier's probabilities.
    """

    items: "pd.Index[Any]"
    workers: "pd.Index[Any]"
    classes: tuple[str, ...]
    item: Ints
    worker: Ints
    label: Ints
    row: Ints
    pair: Ints
    pair_worker: Ints
    pair_label: Ints
    known: Ints
    active: Bools
    set_aside: pd.DataFrame
    matrix: Any = field(repr=False)  # scipy.sparse.csr_matrix (items, pairs)
    transposed: Any = field(repr=False)
    earned: Floats
    voice: "Voice | None" = None

    @property
    def answers(self) -> int:
        """Number of answers in use."""
        return len(self.item)

    @property
    def gold(self) -> Bools:
        """Which items are gold, shape (items,)."""
        return self.known >= 0

    @cached_property
    def votes(self) -> Floats:
        """The active workers' answers per item and class, shape (items, classes)."""
        picked = np.zeros((len(self.pair_label), len(self.classes)))
        picked[np.arange(len(self.pair_label)), self.pair_label] = self.active[self.pair_worker]
        return np.asarray(self.matrix @ picked)

    @cached_property
    def answered(self) -> Floats:
        """How many active workers answered each item, shape (items,)."""
        return row_sum(self.votes)

    def voices(self) -> Floats:
        """How many spoke on each item, the classifier included as far as it tells something, shape (items,)."""
        return self.answered if self.voice is None else self.answered + self.voice.speaks * self.voice.weight

    def speakers(self) -> Ints:
        """Count the answers per item, and a classifier that tells something as one more, shape (items,)."""
        spoken = self.answered.astype(np.int32)
        if self.voice is not None and self.voice.weight >= _TELLING:
            spoken += self.voice.speaks
        return spoken

    def counts(self, probabilities: Floats) -> Floats:
        """Sum the items' ``probabilities`` over each pair's answers, shape (pairs, classes)."""
        return np.asarray(self.transposed @ probabilities)

    def by_worker(self, pairs: Floats) -> Floats:
        """Sum rows of a (pairs, …) array over each worker's pairs, shape (workers, …)."""
        if not len(self.workers):
            return np.zeros((0, *pairs.shape[1:]))
        starts = np.searchsorted(self.pair_worker, np.arange(len(self.workers)))
        return np.asarray(np.add.reduceat(pairs, starts, axis=0))

    def without_gold(self) -> "Crowd":
        """Return the same crowd, its gold items taken for unknown."""
        return replace(self, known=np.full_like(self.known, -1), voice=copy.copy(self.voice))

    def start(self) -> Floats:
        """Shares of the votes per item (uniform where there is none), gold certain, shape (items, classes)."""
        votes = self.votes
        total = self.answered[:, None]
        shares = np.divide(votes, total, out=np.full_like(votes, 1.0 / len(self.classes)), where=total > 0)
        gold = np.flatnonzero(self.gold)
        shares[gold] = 0.0
        shares[gold, self.known[gold]] = 1.0
        return shares

    def scores(self, log_likelihood: Floats, log_prior: Floats) -> Floats:
        """Sum the log-likelihoods of each item's answers by active workers, and the prior, shape (items, states).

        Parameters
        ----------
        log_likelihood : float array, shape (pairs, states)
        log_prior : float array, shape (states,) or (items, states)
        """
        if not self.active.all():
            log_likelihood = np.where(self.active[self.pair_worker, None], log_likelihood, 0.0)
        scores = np.array(self.matrix @ log_likelihood)
        scores += log_prior
        return scores

    def expect(self, log_likelihood: Floats, log_prior: Floats) -> Floats:
        """Take the E-step: the items' state probabilities, shape (items, states); gold items keep their class.

        States come in whole sets of classes: state s belongs to the class s modulo the number of classes.
        """
        scores = self.scores(log_likelihood, log_prior)
        gold = np.flatnonzero(self.gold)
        if len(gold):
            state_class = np.arange(scores.shape[1]) % len(self.classes)
            scores[gold] = np.where(state_class == self.known[gold, None], scores[gold], -np.inf)
        return softmax(scores)

    def by_class(self, states: Floats) -> Floats:
        """Sum state probabilities, shape (items, states), to class probabilities, shape (items, classes)."""
        classes = len(self.classes)
        if states.shape[1] == classes:
            return states
        summed = states[:, :classes].copy()
        for begin in range(classes, states.shape[1], classes):
            summed += states[:, begin : begin + classes]
        return summed


@dataclass(frozen=True, eq=False)
class Fit:
    """What a method found.

    Attributes
    ----------
    probabilities : float array, shape (items, classes)
        Gold items are certain.
    log_likelihood : float array, shape (pairs, states)
        log p(label | state) of each pair, whatever the method calls its workers' skills; see :meth:`Crowd.expect`.
    log_prior : float array, shape (states,) or (items, states)
        log p(state) before any answer (per item where a classifier spoke).
    iterations : int
    converged : bool
    plain : float array, shape (items, classes), optional
        Class probabilities to make confidences of, where a method has others for that than for its labels.
    alike : pd.DataFrame, optional
        Pairs of workers whose errors go together, where the method looks for them; see :class:`SharedErrors`.
    """

    probabilities: Floats
    log_likelihood: Floats
    log_prior: Floats
    iterations: int = 1
    converged: bool = True
    plain: Floats | None = None
    alike: pd.DataFrame | None = None


def row_sum(table: Floats) -> Floats:
    """Sum each row; for a few columns a product with ones is much quicker than ``sum(axis=1)``."""
    return np.asarray(table @ np.ones(table.shape[1]))


def softmax(scores: Floats) -> Floats:
    """Turn log scores into probabilities, row by row, in place."""
    top = scores[:, 0].copy()
    for column in range(1, scores.shape[1]):  # quicker than max(axis=1) for a few columns
        np.maximum(top, scores[:, column], out=top)
    scores -= top[:, None]
    np.exp(scores, out=scores)
    scores /= row_sum(scores)[:, None]
    return scores


def one_coin_likelihood(crowd: Crowd, accuracy: Floats) -> Floats:
    """Return log p(label | true class) when each worker is right with his ``accuracy`` and else errs evenly.

    Parameters
    ----------
    accuracy : float array, shape (workers,), strictly between 0 and 1

    Returns
    -------
    float array, shape (pairs, classes)
    """
    classes = len(crowd.classes)
    right = np.log(accuracy)[crowd.pair_worker]
    wrong = np.log((1 - accuracy) / max(classes - 1, 1))[crowd.pair_worker]
    table = np.repeat(wrong[:, None], classes, axis=1)
    table[np.arange(len(right)), crowd.pair_label] = right
    return table
