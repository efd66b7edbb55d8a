"""The learned labels applied to the whole pool, with a threshold that keeps a wanted precision."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gandt.arguments import checked
from gandt.candidates.carry import carry_labels
from gandt.errors import InputError
from gandt.rounds.loop import Run
from gandt.rounds.select import predict
from gandt.rounds.stop import gold_lacks
from gandt.tables import read_table

Array = np.ndarray[Any, np.dtype[Any]]

GENERALIZED, SEED = "classifier", "seed"


@dataclass(frozen=True)
class Threshold:
    """The least probability from which a classifier's label is kept.

    Attributes
    ----------
    probability : float
        Infinite where no threshold keeps the precision.
    precision, low : float or None
        Of the gold items that pass: the share that is right, and the lower end of a one-sided 90 % interval.
    kept, gold : int
        Gold items that pass, and all of them.
    wanted : float
    best : float
        The highest precision that gold proves, by the same interval, at any threshold.
    unseen : str or None
        The label ``ask.other`` where no gold item has it: then gold can't tell what the threshold lets through of what
        is none of the classes.
    """

    probability: float
    precision: float | None
    low: float | None
    kept: int
    gold: int
    wanted: float
    best: float = 0.0
    unseen: str | None = None

    def sentence(self) -> str:
        """Say it for people."""
        return f"{self._kept()} {gold_lacks(self.unseen)}" if self.unseen else self._kept()

    def _kept(self) -> str:
        if self.precision is None:
            most = math.floor(1000 * self.best) / 10
            return (
                f"No threshold keeps a precision of {self.wanted:.0%} on the {self.gold} gold items (the most they "
                f"prove is {most:.1f}%), so the classifier labels nothing; ask for less, or label more."
            )
        return (
            f"Labels of a probability of {self.probability:.3f} or more are kept: of the {self.kept} gold items above "
            f"it {self.precision:.1%} are right (nine times in ten {self.low:.1%} or more; wanted {self.wanted:.0%})."
        )


@checked
def choose_threshold(probability: Array, right: Array, wanted: float, *, confidence: float = 0.9) -> Threshold:
    """Choose the lowest threshold whose precision on gold is as wanted.

    Parameters
    ----------
    probability : float array, shape (gold,)
        Of the predicted label of each gold item.
    right : bool array, shape (gold,)
        Whether it is the true one.
    wanted : float
        The precision, 0 to 1.
    confidence : float
        How sure: the lower end of Clopper and Pearson's one-sided interval must reach ``wanted``. The threshold is
        the best of many looked at, which a bare share would flatter.

    Raises
    ------
    InputError
        When there is no gold, or ``wanted`` is no share.
    """
    if np.shape(probability) != np.shape(right) or np.ndim(right) != 1:
        raise InputError(
            f"a threshold needs one probability and one truth value per gold item; they have the shapes "
            f"{np.shape(probability)} and {np.shape(right)}"
        )
    if not len(probability):
        raise InputError("a threshold needs gold, items of known label that nobody was asked about; give some as gold")
    if not 0 < wanted <= 1:
        raise InputError(f"a precision lies above 0 and at most at 1; it is {wanted}")
    order = np.argsort(-np.asarray(probability, float), kind="stable")
    sorted_, hits = np.asarray(probability, float)[order], np.cumsum(np.asarray(right, bool)[order])
    counts = np.arange(1, len(order) + 1)
    low = stats.beta.ppf(1 - confidence, hits, counts - hits + 1)
    low = np.where(hits > 0, low, 0.0)
    last_of_tie = np.append(sorted_[1:] < sorted_[:-1], True)
    # a precision of 1 can't be proved by any number of gold items: there all of them must be right
    best = float(low[last_of_tie].max())
    good = np.flatnonzero(last_of_tie & ((low >= wanted) if wanted < 1 else (hits == counts)))
    if not len(good):
        return Threshold(float("inf"), None, None, 0, len(order), wanted, best)
    at = int(good[-1])
    share = float(hits[at] / counts[at])
    return Threshold(float(sorted_[at]), share, float(low[at]), int(counts[at]), len(order), wanted, best)


@checked
def generalize(run: Run, precision: float | None = None) -> tuple[pd.DataFrame, Threshold]:
    """Label the whole pool of a run: seeds and answers as they are, the rest by the classifier where it is sure.

    Parameters
    ----------
    run : Run
        With at least one finished round, and gold.
    precision : float, optional
        Wanted of the classifier's labels; by default the configuration's ``generalize.precision``.

    Returns
    -------
    labels : DataFrame
        item, label, confidence, status ("confident", "relabel", or "unanswered" for what is left unlabelled), votes,
        workers, method ("seed", "gold", the consensus method, "classifier" or "carried"), carried_from. Every embedded
        item of the pool exactly once. What is ``ask.other`` has that label, as any other: whoever exports it can
        leave it out.
    threshold : Threshold

    Raises
    ------
    InputError
        When the run has no finished round, no classifier yet, or no gold.
    """
    history = run.history()
    if not history:
        raise InputError(f"{run.folder} has no finished round; run gandt run first")
    table = read_table(str(run.folder / f"round-{len(history) - 1:03}" / "labels.csv"))
    table = table.astype({"confidence": float, "votes": "int64", "workers": "int64"})
    answered = table[table["label"].notna() & table["item"].isin(run.stands_for.index)]
    known = run.labels(table)
    model = run.learn(known)
    if model is None:
        raise InputError(
            "only one class has labels, so there is no classifier to generalize with; ask about more items"
        )
    gold = list(run.gold)
    found = predict(model, run.points, run.store.rows(gold))
    truth = list(run.gold.values())
    right = np.array([model.classes[k] == label for k, label in zip(found.argmax(axis=1), truth, strict=True)])
    wanted = run.config["generalize"]["precision"] if precision is None else precision
    threshold = choose_threshold(found.max(axis=1) if gold else np.empty(0), right, wanted)
    threshold = replace(threshold, unseen=run.config.unseen_other(truth))

    pieces = [
        _rows(list(run.seeds), list(run.seeds.values()), [1.0] * len(run.seeds), SEED),
        _rows(gold, truth, [1.0] * len(gold), "gold"),
        answered[~answered["item"].isin(run.seeds)],
    ]
    own = pd.concat([piece for piece in pieces if len(piece)], ignore_index=True).drop_duplicates("item")
    carried = carry_labels(own, run.stands_for)
    rest = run.stands_for.index[~run.stands_for.index.isin(carried["item"])].astype(str).tolist()
    guessed = predict(model, run.points, run.store.rows(rest))
    confidence = guessed.max(axis=1) if rest else np.empty(0)
    names = np.array(model.classes, object)[guessed.argmax(axis=1)] if rest else np.empty(0, object)
    kept = confidence >= threshold.probability
    names[~kept] = None
    guesses = _rows(rest, names, np.where(kept, confidence, np.nan), GENERALIZED)
    guesses["status"] = np.where(kept, "confident", "unanswered")
    guesses["method"] = np.where(kept, GENERALIZED, "")
    whole = pd.concat([carried, guesses.assign(carried_from="")], ignore_index=True) if rest else carried
    return whole.sort_values("item", ignore_index=True), threshold


def _rows(items: Sequence[str], labels: Any, confidence: Any, method: str) -> pd.DataFrame:
    rows = {"item": items, "label": labels, "confidence": confidence, "status": "confident"}
    return pd.DataFrame({**rows, "votes": 0, "workers": 0, "method": method})
