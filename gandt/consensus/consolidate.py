"""Answers in, labels out: one function over all methods."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gandt.consensus.calibration import discount, fit_correlation
from gandt.consensus.classifier import Voice
from gandt.consensus.crowd import Bools, Crowd, Fit, Floats, row_sum
from gandt.consensus.crowdkit import AGGREGATORS, crowd_kit
from gandt.consensus.dawid_skene import dawid_skene
from gandt.consensus.em import Limits
from gandt.consensus.encode import encode
from gandt.consensus.ground_truth import ground_truth
from gandt.consensus.hierarchical import hierarchical
from gandt.consensus.majority import majority
from gandt.consensus.one_coin import one_coin
from gandt.consensus.reliability import worker_table
from gandt.consensus.weighted import weighted
from gandt.errors import InputError

_UNSEEN = ("\0one", "\0two")  # stand-ins for classes, where answers name fewer than two

METHODS: dict[str, Callable[[Crowd, Limits], Fit]] = {
    "auto": hierarchical,
    "majority": majority,
    "certainty": majority,
    "weighted": weighted,
    "one-coin": one_coin,
    "dawid-skene": dawid_skene,
    "ground-truth": ground_truth,
    **{name: partial(crowd_kit, name) for name in AGGREGATORS},
}
_DOUBT = 1e-6
# these count votes in one pass, or aren't ours, so they have no place for a classifier's voice
_DEAF = ("majority", "certainty", "weighted", *AGGREGATORS)


class ConvergenceWarning(UserWarning):
    """A method reached its cap of iterations before its result stood still."""


@dataclass(frozen=True)
class Consensus:
    """The labels that a crowd's answers add up to, and what they say about the workers.

    Attributes
    ----------
    labels : pd.DataFrame
        item, label, confidence (the probability that the label is right), status ("confident" | "relabel" |
        "unanswered"), votes (answers for the label), workers (answers in all), method. Gold items are left out. An
        unanswered item has no label and no confidence.
    workers : pd.DataFrame
        worker, answers, reliability, reliability_low, reliability_high (95 %), gold_answers, gold_right, excluded.
    probabilities : float64 array, shape (items, classes)
        Rows as in ``labels``, columns as in ``classes``. With a single class the rest to 1 is "anything else".
    classes : tuple of str
    method : str
    iterations : int
    converged : bool
    set_aside : pd.DataFrame
        row, item, worker, label, reason of each answer that wasn't used.
    parts : tuple of (Crowd, Fit)
        The answers on codes and what the method found, for gandt.consensus.workers and redundancy; with several labels
        per item one pair for each class.
    correlation : float
        By how much the confidences were discounted for errors that workers share; see gandt/consensus/calibration.py.
    """

    labels: pd.DataFrame
    probabilities: Floats
    classes: tuple[str, ...]
    method: str
    iterations: int
    converged: bool
    set_aside: pd.DataFrame
    correlation: float
    parts: tuple[tuple[Crowd, Fit], ...] = field(repr=False)

    @property
    def crowd(self) -> Crowd:
        """The answers on codes."""
        return self.parts[0][0]

    @property
    def fit(self) -> Fit:
        """What the method found."""
        return self.parts[0][1]

    @cached_property
    def workers(self) -> pd.DataFrame:
        """The table of workers, made when it is first asked for."""
        return worker_table(self.parts)


def consolidate(
    answers: pd.DataFrame,
    *,
    method: str = "auto",
    categories: Sequence[str] | None = None,
    items: Sequence[str] | None = None,
    gold: Mapping[str, str] | None = None,
    target: float = 0.95,
    min_answers: int = 2,
    exclude: Collection[str] = (),
    previous: pd.DataFrame | None = None,
    classifier: pd.DataFrame | None = None,
    correlation: float | None = None,
    min_agreeing: int = 2,
    min_share: float = 0.5,
    iterations: int = 500,
    tolerance: float = 1e-4,
) -> Consensus:
    """Turn workers' answers into one label per item, with a confidence and a status.

    Parameters
    ----------
    answers : pd.DataFrame
        Columns item, worker, label (or crowd-kit's task, worker, label). Of several answers by one worker on one item
        the first counts; the others, and answers that can't be used, are in ``Consensus.set_aside``.
    method : str
        One of :data:`METHODS`.
    categories : sequence of str, optional
        The classes, in order; by default every label that occurs.
    items : sequence of str, optional
        Everything that was asked, so that unanswered items appear.
    gold : mapping of item to label, optional
        Known items: they judge the workers, and are left out of the labels.
    target : float
        The expected accuracy that a label must reach to be "confident".
    min_answers : int
        With fewer answers than this a label is never "confident": one answer gives no certainty.
    exclude : collection of str
        Workers whose answers weigh nothing; they stay in ``Consensus.workers``, marked.
    previous : pd.DataFrame, optional
        The workers table of an earlier job, as prior knowledge of the same workers.
    classifier : pd.DataFrame, optional
        A classifier's out-of-sample probabilities (item, and a column per class): one more, calibrated voice.
    correlation : float, optional
        How much the workers' errors on an item correlate, from 0 (independent) to 1 (all answers are worth one); by
        default learned from the gold, or where there is none :data:`gandt.consensus.calibration.CORRELATION`.
    min_agreeing, min_share
        g-and-t's rule, for the method "certainty" alone: confident when at least ``min_agreeing`` workers agree and
        they are more than the share ``min_share`` of the item's answers.
    iterations, tolerance
        Cap of the turns, and the mean move of the items' probabilities below which a method has converged.

    Raises
    ------
    InputError
        When the answers table lacks a column or any item, or an option makes no sense.

    Warns
    -----
    ConvergenceWarning
        When the cap of iterations was reached.

    Notes
    -----
    Ties go to the class with the most answers in the whole job, then to the earlier class.
    """
    if method not in METHODS:
        raise InputError(f"there is no consensus method {method!r}; choose one of {', '.join(METHODS)}")
    if not 0 < target <= 1:
        raise InputError(f"the target accuracy must lie above 0 and at most at 1; it is {target}")
    if correlation is not None and not 0 <= correlation <= 1:
        raise InputError(f"the correlation of errors must lie between 0 and 1; it is {correlation}")
    if classifier is not None and method in _DEAF:
        raise InputError(f"the method {method} has no place for a classifier's probabilities; use auto")
    given: dict[str, Any] = {"items": items, "gold": gold, "exclude": exclude, "previous": previous}
    crowd = encode(answers, categories=categories, **given)
    seen = crowd.classes
    if len(seen) < 2:  # a model needs something else that the truth might be
        crowd = encode(answers, categories=(*seen, *_UNSEEN[len(seen) :]), **given)
        classifier = None
    if classifier is not None:
        crowd = replace(crowd, voice=Voice(crowd, classifier))
    limits = Limits(iterations, tolerance)
    fit, probabilities, correlation = solve(crowd, method, limits, correlation)
    warn_unless_converged([fit], method)
    kept: Bools | slice = ~crowd.gold if gold else slice(None)
    probabilities = probabilities[kept, : len(seen)]
    labels = _labels(crowd, kept, probabilities, seen, method)
    if method == "certainty":
        certain = (labels["votes"] >= min_agreeing) & (labels["votes"] > min_share * labels["workers"])
    else:
        certain = (labels["confidence"] >= target) & (crowd.speakers()[kept] >= min_answers)
    labels.insert(3, "status", status(labels["workers"].to_numpy(), certain.to_numpy()))
    return Consensus(
        labels=labels,
        probabilities=probabilities,
        classes=seen,
        method=method,
        iterations=fit.iterations,
        converged=fit.converged,
        set_aside=crowd.set_aside,
        correlation=correlation,
        parts=((crowd, fit),),
    )


def solve(crowd: Crowd, method: str, limits: Limits, correlation: float | None) -> tuple[Fit, Floats, float]:
    """Fit a method; return that, the items' discounted class probabilities, and the correlation they took."""
    fit = METHODS[method](crowd, limits)
    if correlation is None:
        correlation = fit_correlation(crowd, lambda blind: METHODS[method](blind, limits))
    probabilities = discount(fit.probabilities, crowd.voices(), correlation)
    # nothing that people say is certain, however many say it
    probabilities = (1 - _DOUBT) * probabilities + _DOUBT / probabilities.shape[1]
    return fit, probabilities, correlation


def warn_unless_converged(fits: Sequence[Fit], method: str) -> None:
    """Warn the caller of the public function when a fit ended at its cap."""
    if not all(fit.converged for fit in fits):
        turns = max(fit.iterations for fit in fits)
        warnings.warn(
            f"{method} stopped at its cap of {turns} iterations before it converged; allow more, or judge the result "
            "with care",
            ConvergenceWarning,
            stacklevel=3,
        )


def best(probabilities: Floats, votes: Floats) -> npt.NDArray[np.int64]:
    """Pick each row's likeliest class; ties go to the class with more ``votes`` over all rows, then the earlier."""
    order = np.argsort(-votes.sum(axis=0), kind="stable")
    # rounding makes ties that arithmetic only just missed
    return np.asarray(order[np.argmax(probabilities[:, order].round(9), axis=1)])


def status(workers: npt.NDArray[np.int64], certain: Bools) -> Any:
    """Say of each label whether it is confident, to be relabeled, or unanswered."""
    return named(("relabel", "confident", "unanswered"), np.where(workers == 0, 2, certain.astype(np.int64)))


def named(names: Sequence[str], codes: npt.NDArray[np.integer[Any]]) -> Any:
    """Write codes as a column of text, -1 as a gap; much quicker than through Python's strings."""
    return pd.array(list(names), dtype="str").take(codes, allow_fill=True)


def _labels(
    crowd: Crowd, kept: Bools | slice, probabilities: Floats, classes: tuple[str, ...], method: str
) -> pd.DataFrame:
    votes = crowd.votes[kept]
    total = row_sum(votes).astype(np.int64)
    rows = np.arange(len(total))
    answered = total > 0
    if not classes:
        votes, probabilities, classes = np.zeros((len(total), 1)), np.zeros((len(total), 1)), ("",)
    chosen = best(probabilities, votes[:, : len(classes)])
    return pd.DataFrame(
        {
            "item": crowd.items[kept],
            "label": named(classes, np.where(answered, chosen, -1)),
            "confidence": np.where(answered, probabilities[rows, chosen], np.nan),
            "votes": np.where(answered, votes[rows, chosen], 0).astype(np.int64),
            "workers": total,
            "method": named((method,), np.zeros(len(total), dtype=np.int64)),
        }
    )
