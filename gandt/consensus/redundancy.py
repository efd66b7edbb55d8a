"""Ask until sure: which items need another answer, and from how many workers.

Easy items are sure after two answers; a fixed number of answers per item spends most of its judgements on those. So
ask in rounds of one or two workers, and after each round ask on only where the answer can still change anything:

* ``confident``: the label's confidence has reached the target; stop.
* ``ask``: it hasn't; ask so many more workers as it takes at best, at most ``per_round``.
* ``split``: if further answers fall like those so far, the item won't be sure at the cap either. People don't agree on
  it; more of them won't help. Look at it, or mend the question.
* ``capped``: it has had as many answers as it may have.

Or ask until the labels are sure *altogether*: begin with one answer per item, and in each round ask about the share of
the items where it is worth most, until their mean confidence reaches the accuracy wanted. An answer's worth is the
label's doubt times what one more of n dependent answers counts for, (1 - p) / √(1 + ρ n): a split item is worth
less with every answer, but may still be worth more than all others, and is asked then. (A lookahead over the next
answers' effect on the posterior was tried, and gains nothing over this.) Then, besides,

* ``later``: doubtful, but not among those most worth asking about in this round.
* ``enough``: all labels together are as sure as was wanted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gandt.arguments import checked, require_columns
from gandt.consensus.calibration import weight_of
from gandt.consensus.consolidate import Consensus, consolidate
from gandt.consensus.crowd import Floats
from gandt.consensus.majority import pooled_accuracy
from gandt.errors import InputError
from gandt.manifest import Manifest, build_manifest

_SPLIT_AFTER = 4  # answers before a split is believed


@checked
def next_round(
    consensus: Consensus,
    *,
    target: float = 0.95,
    cap: int = 9,
    per_round: int = 2,
    least: int = 2,
    price: float = 0.0,
    value: float | None = None,
    overall: float | None = None,
    share: float = 0.05,
) -> pd.DataFrame:
    """Say for each item whether to ask on, and how many workers.

    Parameters
    ----------
    consensus : Consensus
        Of all answers so far.
    target : float
        Confidence at which an item needs no more answers.
    cap : int
        Most answers per item.
    per_round : int
        Most workers to ask in one round: one is cheapest, two take half the rounds.
    least : int
        Voices (answers, and a classifier's) that an item must have before it counts as confident.
    price : float
        Price of one judgement, in any currency.
    value : float, optional
        What it is worth that one label is right. With it an item whose next answers are worth less than their price is
        left as ``capped``; without it only the target counts.
    overall : float, optional
        Expected accuracy of all labels together at which to stop. Until then the items most worth it are asked.
    share : float
        With ``overall``, the share of the items to ask about in one round, at most.

    Returns
    -------
    pd.DataFrame
        item, decision, ask (workers), answers, confidence, price; the most uncertain first within each decision (with
        ``overall``, those most worth it).

    Raises
    ------
    InputError
        When a number makes no sense.
    """
    if not 0 < target < 1 or cap < 1 or per_round < 1:
        raise InputError(f"target {target} must lie between 0 and 1, cap {cap} and per_round {per_round} be 1 or more")
    if not 0 < share <= 1 or not 0 < (overall or 0.5) < 1:
        raise InputError(f"the overall accuracy {overall} and the share {share} of a round must lie between 0 and 1")
    labels = consensus.labels
    crowd = consensus.crowd
    kept = ~crowd.gold
    voices = crowd.speakers()[kept]
    answers = labels["workers"].to_numpy()
    confidence = labels["confidence"].fillna(0.0).to_numpy()
    classes = max(len(consensus.classes), 2)
    skill = pooled_accuracy(crowd.votes)
    step = np.log(skill * (classes - 1) / (1 - skill))

    room = np.maximum(cap - answers, 0)
    sure = (confidence >= target) & (voices >= least)
    agreeing = labels["votes"].to_numpy() / np.maximum(answers, 1)
    hopeless = _at_cap(confidence, agreeing, answers, cap, step, consensus.dependence) < target
    split = ~sure & hopeless & (answers >= _SPLIT_AFTER)
    needed = np.full(len(labels), per_round)
    for more in range(per_round, 0, -1):
        enough = _with_agreement(confidence, answers, more, step, consensus.dependence) >= target
        needed[enough & (voices + more >= least)] = more
    ask = np.minimum(needed, room)
    if value is not None:
        # an answer can at best lift the confidence to what full agreement would give
        best = _with_agreement(confidence, answers, ask, step, consensus.dependence)
        ask = np.where((best - confidence) * value > ask * price, ask, 0)
    decision = np.where(sure, "confident", np.where(split, "split", np.where(ask > 0, "ask", "capped")))
    first = confidence  # the most uncertain first within each decision
    if overall is not None:
        # what one answer says of an item counts for less the more it has
        first = (confidence - 1) * weight_of(voices.astype(float), consensus.dependence)
        decision = _most_worth(decision, np.where(ask > 0, first, np.inf), confidence, voices, overall, share)
    table = pd.DataFrame(
        {
            "item": labels["item"],
            "decision": decision,
            "ask": np.where(decision == "ask", ask, 0),
            "answers": answers,
            "confidence": labels["confidence"],
        }
    )
    table["price"] = table["ask"] * price
    order = pd.Categorical(table["decision"], ["ask", "later", "split", "capped", "enough", "confident"], ordered=True)
    return (
        table.assign(order=order, first=first)
        .sort_values(["order", "first"], kind="stable", ignore_index=True)
        .drop(columns=["order", "first"])
    )


def _most_worth(
    decision: Any, first: Floats, confidence: Floats, voices: Any, overall: float, share: float
) -> npt.NDArray[np.str_]:
    """Keep "ask" for the share of the items that come ``first``, and for none if all together are sure enough."""
    most = max(int(share * len(decision)), 1)
    # what one answer per item says of its own accuracy is a guess: some items need a second one
    if (voices > 1).sum() >= most and confidence.mean() >= overall:
        return np.asarray(np.where(decision == "ask", "enough", decision))
    asked = np.flatnonzero(np.isin(decision, ["ask", "split"]) & np.isfinite(first))
    asked = asked[np.argsort(first[asked], kind="stable")[:most]]
    decision = np.where(decision == "ask", "later", decision)
    decision[asked] = "ask"
    return np.asarray(decision)


@checked
def next_manifest(plan: pd.DataFrame, **options: Any) -> Manifest:
    """Build the manifest of the next labeling job of the chain: one job asks the same number of workers on each page.

    Parameters
    ----------
    plan : pd.DataFrame
        Of :func:`next_round`; its items to ask go in. Set the job's NumberOfHumanWorkersPerDataObject to ``per_round``.
    **options
        As for :func:`gandt.build_manifest`.

    Raises
    ------
    InputError
        When there is nothing left to ask.
    """
    require_columns(plan, "the next round", "item", "decision")
    items = list(plan.loc[plan["decision"] == "ask", "item"])
    if not items:
        raise InputError("no item needs another answer; the labels are done")
    return build_manifest(items, **options)


@checked
def replay(
    answers: pd.DataFrame,
    truth: Mapping[str, str],
    *,
    target: float | None = 0.95,
    start: int = 2,
    cap: int = 9,
    per_round: int = 1,
    least: int = 2,
    seed: int = 0,
    classifier: pd.DataFrame | None = None,
    categories: Sequence[str] | None = None,
    method: str = "auto",
    overall: float | None = None,
    share: float = 0.05,
) -> pd.DataFrame:
    """Replay a finished job as if its answers had been asked for round by round.

    Each item's answers come in a random order; an item that has used up its real answers can't be asked again.

    Parameters
    ----------
    answers : pd.DataFrame
        item (or task), worker, label.
    truth : mapping of item to label
        To score with; it is never used to decide.
    target : float, optional
        None asks every item in every round: fixed redundancy.
    start : int
        Answers per item in the first round.
    overall, share
        As for :func:`next_round`.

    Returns
    -------
    pd.DataFrame
        One row per round: judgements (mean per item), accuracy, expected (accuracy, by the confidences), confident,
        split (shares of the items).
    """
    answers = answers.rename(columns={"task": "item"})
    require_columns(answers, "answers", "item", "worker", "label")
    table = answers[["item", "worker", "label"]].astype(str)
    table = table.drop_duplicates(["item", "worker"])
    random = np.random.default_rng(seed)
    table = table.iloc[random.permutation(len(table))]
    turn = table.groupby("item").cumcount()
    given = pd.Series(start, index=pd.unique(table["item"]))
    available = table.groupby("item").size().reindex(given.index)
    categories = sorted(set(table["label"])) if categories is None else categories
    rows = []
    while True:
        given = given.clip(upper=available)
        asked = table[turn.to_numpy() < table["item"].map(given).to_numpy()]
        result = consolidate(asked, method=method, categories=categories, classifier=classifier)
        known = result.labels[result.labels["item"].isin(list(truth))]
        right = (known["label"] == known["item"].map(truth)).mean()
        plan = next_round(
            result, target=target or 0.5, cap=cap, per_round=per_round, least=least, overall=overall, share=1.0
        )
        shares = plan["decision"].value_counts(normalize=True)
        rows.append(
            {
                "judgements": float(given.mean()),
                "accuracy": float(right),
                "expected": float(result.labels["confidence"].mean()),
                "confident": float(shares.get("confident", 0.0)),
                "split": float(shares.get("split", 0.0)),
            }
        )
        wanted = plan.set_index("item")["ask"].astype(int)
        if overall is not None:  # the first of those that have a real answer left
            left = (given < available).reindex(wanted.index)
            wanted = wanted[left & (wanted > 0)].head(max(int(share * len(given)), 1))
        more = wanted.reindex(given.index).fillna(0).astype(int)
        if target is None:
            more[:] = 1
        wanted = (given + more).clip(upper=available).clip(upper=cap)
        if (wanted <= given).all():
            return pd.DataFrame(rows)
        given = wanted.clip(lower=given)


def _odds(confidence: Floats) -> Floats:
    share = np.clip(confidence, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(share) - np.log1p(-share))


def _with_agreement(confidence: Floats, answers: Floats, more: Any, step: float, dependence: float) -> Floats:
    """Confidence if the next ``more`` answers all agree with the label."""
    odds = _odds(confidence) / weight_of(answers, dependence) + more * step
    return np.asarray(1 / (1 + np.exp(-odds * weight_of(answers + more, dependence))))


def _at_cap(confidence: Floats, share: Floats, answers: Floats, cap: int, step: float, dependence: float) -> Floats:
    """Confidence at the cap if as many of the further answers agree as the first ones make plausible at best."""
    count = np.maximum(answers, 1)
    plausible = np.minimum(share + np.sqrt(share * (1 - share) / count) + 0.5 / count, 1.0)
    further = np.maximum(cap - answers, 0) * (2 * plausible - 1) * step
    odds = _odds(confidence) / weight_of(answers, dependence) + further
    return np.asarray(1 / (1 + np.exp(-odds * weight_of(np.maximum(answers, cap), dependence))))
