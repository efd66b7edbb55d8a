"""When to stop: what the rounds so far say, each in one sentence.

* *Contradictions* are the share of unlabelled items whose predicted class changed between two successive models; when
  they no longer fall, more answers of the kind change nothing. The same for held-out accuracy (or AUC). Both are as in
  Dataiku's plugin, which drew on A. Abraham and L. Dreyfus-Schmidt, "Rebuilding trust in active learning with
  actionable metrics" (2020): stalled when all of the last three differences are below 0.01.
* The *halting bar* compares the uncertainty of what would be asked next with the pool's own.
* The *gain of the next hundred answers* extrapolates the error, which falls as a power of the answers.

The *target* is reached when the lower end of the accuracy's 95 % interval reaches it, not the estimate: with 57 of 60
gold items right the estimate is 95.0 %, and the accuracy may as well be 86 %.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

STALLED, TURNS = 0.01, 3
LEAST_NEW = 20  # labels, before contradictions between two models mean anything
_BINS, _LEAST_GREEN, _MERGED = 11, 10, 0.1

EFFICIENT, RANDOM, WASTE = "efficient", "no better than random", "not efficient"


@dataclass(frozen=True)
class Reason:
    """One thing that the rounds say.

    Attributes
    ----------
    name : str
        Such as ``target`` or ``contradictions``.
    stop : bool
        Whether it says to stop.
    sentence : str
        For people.
    """

    name: str
    stop: bool
    sentence: str


def contradictions(before: Array, now: Array) -> float:
    """Return the share of items whose predicted class changed; 0 for none in common.

    Parameters
    ----------
    before, now : array of str, shape (items,)
        Predicted labels of the same items, by two successive models.
    """
    return float(np.mean(np.asarray(before) != np.asarray(now))) if len(now) else 0.0


def stalled(values: Sequence[float | None], *, turns: int = TURNS, less_than: float = STALLED) -> bool:
    """Tell whether the last ``turns`` differences between successive values are all below ``less_than``."""
    known = [value for value in values if value is not None and value == value]
    if len(known) < turns + 1:
        return False
    return bool((np.abs(np.diff(known[-turns - 1 :])) < less_than).all())


@dataclass(frozen=True)
class HaltingBar:
    """How far down the queue it pays to ask.

    Attributes
    ----------
    efficient, no_better_than_random, not_efficient : int
        How many of the queue's items, most uncertain first, are of each kind.
    state : str
        The kind of most of the next batch.
    """

    efficient: int
    no_better_than_random: int
    not_efficient: int
    state: str


def halting_bar(uncertainty: Array, batch: int) -> HaltingBar:
    """Judge a queue of items by their uncertainty (0 to 1).

    The range of uncertainties is cut into eleven bins of equally many items. What reaches the lower edge of the
    highest bin tells more than an item drawn at random would; what is within the lowest bin tells less. Where the two
    edges are closer than 0.1 the pool is all alike: asking by uncertainty is no better than random, and where all of
    it is surer than 0.1, not efficient. The first ten are always called efficient while the classifier isn't that sure.

    Parameters
    ----------
    uncertainty : float array, shape (items,)
        Of the unlabelled pool, in any order.
    batch : int
        How many would be asked next.
    """
    order = np.sort(np.asarray(uncertainty, float))[::-1]
    if not len(order):
        return HaltingBar(0, 0, 0, WASTE)
    edges = np.quantile(order, np.linspace(0, 1, _BINS + 1))
    low, high = float(edges[1]), float(edges[-2])
    if high - low < _MERGED:
        sure = int((order < _MERGED).sum())
        counts = (0, len(order) - sure, sure)
    else:
        useful = order >= _MERGED  # whoever is nearly sure of an item learns nothing from it, whatever the rest is like
        green = max(int(((order >= high) & useful).sum()), min(_LEAST_GREEN, int(useful.sum())))
        red = min(int(((order <= low) | ~useful).sum()), len(order) - green)
        counts = (green, len(order) - green - red, red)
    middle = max(min(batch, len(order)) // 2, 1)
    state = EFFICIENT if middle <= counts[0] else RANDOM if middle <= counts[0] + counts[1] else WASTE
    return HaltingBar(*counts, state)


def next_gain(answers: Sequence[int], accuracy: Sequence[float | None], more: int = 100) -> float | None:
    """Return by how much ``more`` answers would raise the accuracy, extrapolated from the rounds so far.

    The error is taken to fall as a power of the number of answers, as learning curves mostly do (Hestness et al.,
    "Deep learning scaling is predictable, empirically", 2017), fitted by least squares on both logarithms; later
    rounds count more. None with fewer than three rounds.

    Parameters
    ----------
    answers : sequence of int
        Bought until the end of each round.
    accuracy : sequence of float or None
        Held out, after each round.
    """
    pairs = [(n, a) for n, a in zip(answers, accuracy, strict=True) if a is not None and n > 0]
    if len(pairs) < 3:
        return None
    n, a = np.array(pairs, float).T
    x, y = np.log(n), np.log(np.maximum(1 - a, 1e-4))
    if np.ptp(x) == 0:
        return None
    slope = min(float(np.polyfit(x, y, 1, w=np.linspace(0.5, 1, len(x)))[0]), 0.0)
    error = float(np.exp(y[-1]))
    return float(error * (1 - ((n[-1] + more) / n[-1]) ** slope))


_Z = 1.959964  # of a 95 % interval


def gold_needed(target: float, accuracy: float = 1.0) -> int | None:
    """Return how many gold items put the lower end of Wilson's 95 % interval at ``target``; None for no number.

    Wilson's interval holds the shares p₀ that a score test doesn't refuse, so its lower end reaches the target t where
    (p - t) ≥ z √(t (1 - t) / n).

    Parameters
    ----------
    target : float
        Above 0 and below 1.
    accuracy : float
        The share of them that is right.
    """
    if accuracy <= target:
        return None
    return math.ceil(_Z**2 * target * (1 - target) / (accuracy - target) ** 2)


def target_problem(target: float | None, gold: int) -> str | None:
    """Say why so many gold items can't show a target, were all of them right: such a run would ask its whole pool."""
    needed = gold_needed(target) if target is not None else 0
    if target is None or (needed is not None and gold >= needed):
        return None
    most = math.floor(1000 * gold / (gold + _Z**2)) / 1000
    return (
        f"of {target:.1%} can't be shown by {gold:,} gold item{'s'[: gold != 1]}, even if all are right; give "
        f"{needed:,} or more, or a target of {most:.1%} or less"
    )


def gold_lacks(other: str) -> str:
    """Say what gold without an item of the label ``other`` can't tell."""
    return f"No gold item is {other!r}, so gold doesn't tell how often what is none of the classes is taken for one."


def judge(history: Sequence[Mapping[str, Any]], wishes: Mapping[str, Any]) -> list[Reason]:
    """Return what the rounds say; whoever runs them stops when any ``stop`` is true.

    Parameters
    ----------
    history : sequence of mapping
        Each finished round's metrics: answers, spent, accuracy (of the classifier on gold), accuracy_low,
        accuracy_high, auc, contradictions, halting (a state), left (items not asked), pool (items), price_per_answer,
        currency.
    wishes : mapping
        Any of: accuracy (target, for the lower end of the interval), budget (answers), money, rounds, worth (price of
        one right label more), when_stalled
        (bool: stop then, instead of only saying so).
    """
    if not history:
        return []
    now = history[-1]
    reasons = [*_limits(history, wishes), *_signs(history, wishes)]
    if now.get("gold_lacks"):
        reasons.append(Reason("gold", False, gold_lacks(now["gold_lacks"])))
    if now["left"] == 0:
        reasons.insert(0, Reason("pool", True, "Every item of the pool has been asked."))
    return reasons


def _limits(history: Sequence[Mapping[str, Any]], wishes: Mapping[str, Any]) -> list[Reason]:
    now, reasons = history[-1], []
    target, found = wishes.get("accuracy"), now.get("accuracy")
    if target is not None and found is not None:
        low, high = now["accuracy_low"], now["accuracy_high"]
        text = f"The classifier's accuracy on gold is {found:.1%} (95 % interval {low:.1%} to {high:.1%})"
        if low >= target:
            text += f", and the whole interval reaches the target of {target:.1%}."
        elif found >= target:
            needed = gold_needed(target, found)
            more = f"; with so many right, about {needed:,} gold items would show it" if needed else ""
            text += f": the target of {target:.1%} isn't shown yet, as the interval begins below it{more}."
        else:
            text += f", below the target of {target:.1%}."
        reasons.append(Reason("target", low >= target, text))
    for name, key, unit in (("budget", "answers", "answers"), ("money", "spent", now.get("currency", "USD"))):
        limit = wishes.get(name)
        if limit is not None:
            done = now[key] >= limit
            text = f"{now[key]:,.2f} of {limit:,} {unit} are spent" if name == "money" else ""
            text = text or f"{now[key]:,} of {limit:,} {unit} are used"
            reasons.append(Reason(name, done, f"{text}{', so the budget is at its end' if done else ''}."))
    limit = wishes.get("rounds")
    if limit is not None and len(history) >= limit:
        done = "The one round that was" if limit == 1 else f"All {limit} rounds that were"
        reasons.append(Reason("rounds", True, f"{done} wanted {'is' if limit == 1 else 'are'} done."))
    return reasons


def _signs(history: Sequence[Mapping[str, Any]], wishes: Mapping[str, Any]) -> list[Reason]:
    now, reasons = history[-1], []
    ends = bool(wishes.get("when_stalled"))
    for key, what in (
        ("contradictions", "Contradictions between successive models have"),
        ("accuracy", "The held-out accuracy has"),
        ("auc", "The held-out AUC has"),
    ):
        values = [each.get(key) for each in history]
        if stalled(values):
            text = (
                f"{what} stalled for the past {TURNS} rounds (changes below {STALLED}): more of the same adds little."
            )
            reasons.append(Reason(key, ends, text))
    if now.get("halting") == EFFICIENT:
        text = "Asking by uncertainty is efficient: the next items are clearly less certain than the pool's average."
        reasons.append(Reason("halting bar", False, text))
    elif now.get("halting") == RANDOM:
        text = "Asking by uncertainty is now no better than random: the pool is about equally uncertain everywhere."
        reasons.append(Reason("halting bar", False, text))
    elif now.get("halting") == WASTE:
        text = "Asking is no longer efficient: the classifier is sure of what would be asked next."
        reasons.append(Reason("halting bar", ends, text))
    gain = next_gain([each["answers"] for each in history], [each.get("accuracy") for each in history])
    if gain is not None:
        with_gold = 1 + now.get("gold_answers", 0) / max(now["answers"], 1)  # gold that is mixed in is paid, too
        right, price = gain * now["pool"], 100 * now["price_per_answer"] * with_gold
        each_ = price / right if right > 0 else float("inf")
        text = f"The next 100 answers would cost {price:,.2f} {now['currency']} and put about {right:,.1f} more labels "
        text += f"of {now['pool']:,} right"
        worth = wishes.get("worth")
        if worth is not None:
            dear = bool(each_ > worth)
            text += f", {each_:,.2f} a piece: {'more' if dear else 'no more'} than the {worth:,.2f} one is worth"
            reasons.append(Reason("gain", dear, text + "."))
        else:
            reasons.append(Reason("gain", False, text + "."))
    return reasons
