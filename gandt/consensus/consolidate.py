"""Answers in, labels out: one function over all methods."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gandt.arguments import checked
from gandt.consensus.calibration import DEPENDENCE, Promise, discount, fit_dependence, promise
from gandt.consensus.classifier import Voice
from gandt.consensus.crowd import Bools, Crowd, Fit, Floats, row_sum
from gandt.consensus.crowdkit import AGGREGATORS, crowd_kit
from gandt.consensus.dawid_skene import dawid_skene
from gandt.consensus.em import Limits
from gandt.consensus.encode import Name, encode
from gandt.consensus.ground_truth import ground_truth
from gandt.consensus.hierarchical import hierarchical
from gandt.consensus.majority import majority
from gandt.consensus.one_coin import one_coin
from gandt.consensus.reliability import worker_table
from gandt.consensus.weighted import weighted
from gandt.errors import GandtWarning, InputError

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


class ConvergenceWarning(GandtWarning):
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
        Calibrated; rows as in ``labels``, columns as in ``classes``. With a single class the rest to 1 is "anything
        else". Of items in doubt the method's label needn't be the likeliest here.
    classes : tuple of str
    method : str
    iterations : int
    converged : bool
    set_aside : pd.DataFrame
        row, item, worker, label, reason of each answer that wasn't used.
    parts : tuple of (Crowd, Fit)
        The answers on codes and what the method found, for gandt.consensus.workers and redundancy; with several labels
        per item one pair for each class.
    by_class : pd.DataFrame, optional
        With several labels per item: item, category, label ("yes" | "no"), confidence, status of each category on its
        own; else None.
    dependence : float
        By how much the confidences were discounted for errors that workers share; see gandt/consensus/calibration.py.
    promise : Promise, optional
        How many of the gold items that would be confident are right, with an interval; None without gold, where
        "confident" rests on the model alone. With several labels per item it counts yes-or-no labels.
    """

    labels: pd.DataFrame
    probabilities: Floats
    classes: tuple[str, ...]
    method: str
    iterations: int
    converged: bool
    set_aside: pd.DataFrame
    dependence: float
    promise: Promise | None
    parts: tuple[tuple[Crowd, Fit], ...] = field(repr=False)
    by_class: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def crowd(self) -> Crowd:
        """The answers on codes."""
        return self.parts[0][0]

    @property
    def fit(self) -> Fit:
        """What the method found."""
        return self.parts[0][1]

    @property
    def promise_in_words(self) -> str:
        """What is known of the promise that "confident" makes, as a sentence."""
        if self.promise is None:
            return (
                "What confident promises rests on the model: without gold nothing in the answers tells whether all are "
                "misled alike."
            )
        if not self.promise.items:
            return "No gold item would be confident by its answers, so what confident promises isn't measured."
        items, right = self.promise.items, self.promise.right
        what = "gold items" if self.by_class is None else "yes-or-no labels of gold items"
        return (
            f"Of {items:,} {what} that their answers alone make confident at {self.promise.target:g}, {right:,} "
            f"are right: {right / items:.1%} (95 % interval {self.promise.low:.1%} to {self.promise.high:.1%})."
        )

    @property
    def alike_in_words(self) -> str:
        """Which workers agree with each other more than their accuracy explains, as a sentence; empty for none."""
        return self.alike_by_name({})

    def alike_by_name(self, names: Mapping[str, str]) -> str:
        """Return :attr:`alike_in_words` with workers' names, by their ids, where these are known."""
        pairs = self.alike
        if pairs.empty:
            return ""
        first = pairs.head(3).replace({"worker": dict(names), "other": dict(names)}) if names else pairs.head(3)
        named = [f"{row.worker} and {row.other} ({row.items:,} items)" for row in first.itertuples()]
        more = f", and {len(pairs) - 3:,} more pairs" if len(pairs) > 3 else ""
        return (
            "These workers agree with each other more than their accuracy explains: "
            f"{'; '.join(named)}{more}. They may err alike, so their common answers count for less."
        )

    @property
    def alike(self) -> pd.DataFrame:
        """Pairs of workers who agree with each other more than their accuracy explains (method auto).

        worker, other, items, correlation, z as in :class:`gandt.consensus.shared_errors.SharedErrors`; with several
        labels per item of all classes, the most surprising first.
        """
        found = [fit.alike for _, fit in self.parts if fit.alike is not None and len(fit.alike)]
        if not found:
            return pd.DataFrame(columns=["worker", "other", "items", "correlation", "z"])
        table = pd.concat(found).sort_values(["z", "worker"], ascending=[False, True])
        return table.drop_duplicates(["worker", "other"]).reset_index(drop=True)

    @cached_property
    def workers(self) -> pd.DataFrame:
        """The table of workers, made when it is first asked for."""
        return worker_table(self.parts)


@checked
def consolidate(
    answers: pd.DataFrame,
    *,
    method: str = "auto",
    categories: Sequence[Name] | None = None,
    items: Sequence[Name] | None = None,
    gold: Mapping[Any, Name] | None = None,
    target: float = 0.95,
    min_answers: int = 2,
    exclude: Collection[Name] = (),
    previous: pd.DataFrame | None = None,
    classifier: pd.DataFrame | None = None,
    dependence: float | None = None,
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
    dependence : float, optional
        How much the workers' errors on an item depend on each other: with ρ, the log odds of n answers are divided by
        √(1 + ρ n). 0 takes them for independent; by default it is learned from the gold, or where there is none
        :data:`gandt.consensus.calibration.DEPENDENCE`.
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
    if dependence is not None and not 0 <= dependence < float("inf"):
        raise InputError(f"the dependence of errors must be 0 or more; it is {dependence}")
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
    solved = solve(crowd, method, limits, dependence, target, min_answers)
    fit, probabilities = solved.fit, solved.probabilities
    warn_unless_converged([fit], method)
    kept: Bools | slice = ~crowd.gold if gold else slice(None)
    probabilities = probabilities[kept, : len(seen)]
    labels = _labels(crowd, kept, fit.probabilities[kept, : len(seen)], probabilities, seen, method)
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
        dependence=solved.dependence,
        promise=solved.promise,
        parts=((crowd, fit),),
    )


@dataclass(frozen=True)
class Solved:
    """A crowd solved: the fit, its discounted class probabilities (items, classes), and what gold says of them."""

    fit: Fit
    probabilities: Floats
    dependence: float
    promise: Promise | None


def solve(
    crowd: Crowd, method: str, limits: Limits, dependence: float | None, target: float, min_answers: int
) -> Solved:
    """Fit a method, calibrate its confidences, and measure on gold what they promise."""
    fit = METHODS[method](crowd, limits)
    kept = None
    if not crowd.gold.any():
        dependence = DEPENDENCE if dependence is None else dependence
    else:  # fitted once more without being told the gold, or it would foretell what it was told
        blind_crowd = crowd.without_gold()
        blind = METHODS[method](blind_crowd, limits)
        gold = np.flatnonzero(crowd.gold & (crowd.answered > 0))
        if dependence is None:
            dependence = fit_dependence(crowd.known, blind_crowd, to_calibrate(blind))
        label = best(blind.probabilities, crowd.votes)[gold]
        found = _discounted(blind_crowd, blind, dependence)[gold, label]
        sure = (found >= target) & (blind_crowd.speakers()[gold] >= min_answers)
        right = (label == crowd.known[gold]) & sure
        kept = promise(target, int(sure.sum()), int(right.sum()))
    return Solved(fit, _discounted(crowd, fit, dependence), dependence, kept)


def to_calibrate(fit: Fit) -> Floats:
    """Return the class probabilities that confidences are made of, shape (items, classes)."""
    return fit.probabilities if fit.plain is None else fit.plain


def _discounted(crowd: Crowd, fit: Fit, dependence: float) -> Floats:
    told = None if crowd.voice is None else crowd.voice.probabilities
    flat = discount(to_calibrate(fit), crowd.answered, dependence, told)
    # nothing that people say is certain, however many say it
    return np.asarray((1 - _DOUBT) * flat + _DOUBT / flat.shape[1])


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
    crowd: Crowd, kept: Bools | slice, found: Floats, probabilities: Floats, classes: tuple[str, ...], method: str
) -> pd.DataFrame:
    votes = crowd.votes[kept]
    total = row_sum(votes).astype(np.int64)
    rows = np.arange(len(total))
    answered = total > 0
    if not classes:
        votes, found, probabilities, classes = *(np.zeros((len(total), 1)) for _ in range(3)), ("",)
    chosen = best(found, votes[:, : len(classes)])
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
