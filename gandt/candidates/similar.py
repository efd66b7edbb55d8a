"""Find the images worth labeling from a few seeds: score the pool against each label, then decide.

A decision never loses an item: every embedded item that isn't a seed comes back exactly once, as "keep", "explore"
(a random share of the discarded, kept so that the filter's recall can be measured) or "discard".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gandt.candidates import classifier, spread, trimmed  # noqa: F401  (they register their rules)
from gandt.candidates.rules import RULES, Array, Scores, deviation, moments
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError

KEEP, EXPLORE, DISCARD = "keep", "explore", "discard"
PRIOR_SEEDS = 2


@dataclass(frozen=True)
class _Decision:
    """Per item of the pool: kept or not, the label that counts, and the reason; per label its threshold."""

    kept: Array
    label: Array
    reason: Array
    thresholds: dict[str, float]


def filter_by_similarity(
    store: EmbeddingStore,
    seeds: Mapping[str, Sequence[str]],
    *,
    rule: str = "spread",
    recall: float = 0.95,
    keep: float | None = None,
    explore: float = 0.0,
    seed: int = 0,
    other: str = "Other",
    discard_at_least: float = 0.1,
) -> pd.DataFrame:
    """Decide for every item of the pool whether it resembles the seeds enough to be labeled.

    Parameters
    ----------
    store : EmbeddingStore
        The pool, seeds included.
    seeds : mapping of str to sequence of str
        Items by label; an item may stand under several labels and counts for each.
    rule : {"spread", "mean", "nearest", "classifier", "g-and-t"}
        How an item is scored against a label's seeds; see docs/embedding.md for which to use when.
    recall : float
        Aim: the share of the wanted items that should be kept. Each label's threshold is a lower prediction bound
        from its seeds' own scores, each scored against the *other* seeds of its label: ``mean − t · sd · √(1 + 1/n)``
        with the standard deviation pooled over labels (that of the pool's scores counting as two seeds more) and
        Student's t. It holds if the seeds are a random draw of
        the wanted items and their scores are about normal; with few seeds the bound is wide and the recall reached
        varies by several points between draws. Measure it: ``explore`` and :func:`estimate_recall`.
    keep : float, optional
        Keep this share of the pool, the most similar, instead of aiming at a recall.
    explore : float
        Share of the discarded to mark "explore", at random.
    seed : int
        Of that random choice.
    other : str
        The label whose seeds are what isn't wanted; it is scored but nothing is kept for it. Only rule "g-and-t"
        needs such seeds.
    discard_at_least : float
        Rule "g-and-t": the threshold is the largest count of labels farther than ``other`` that discards this share.

    Returns
    -------
    DataFrame
        item, decision ("keep", "explore", "discard"), label, score (for that label), reason, and a column
        ``score_<label>`` per label; best first. ``attrs`` holds rule, thresholds and the share kept.

    Raises
    ------
    InputError
        When a share is out of range, a seed isn't in the store, no label is wanted, one seed per label leaves
        nothing to aim by, or rule "g-and-t" gets no seeds of ``other``.

    Examples
    --------
    >>> table = filter_by_similarity(store, {"cat": cats, "dog": dogs}, explore=0.05)  # doctest: +SKIP
    >>> table[table["decision"] != "discard"]["item"]  # doctest: +SKIP
    """
    for name, share in (
        ("recall", recall),
        ("keep", keep),
        ("explore", explore),
        ("discard_at_least", discard_at_least),
    ):
        if share is not None and not 0 <= share <= 1:
            raise InputError(f"{name} is a share between 0 and 1, not {share}")
    if rule not in RULES:
        raise InputError(f"there is no rule {rule!r}; choose from {', '.join(RULES)}")
    seeds = {label: store.names(items) for label, items in seeds.items()}
    labels = [label for label, items in seeds.items() if len(items)]
    wanted = np.array([label != other for label in labels], bool)
    if not wanted.any():
        raise InputError(
            f"there are no seeds of a wanted label; name at least one item of a label other than {other!r}"
        )
    if rule == "g-and-t" and wanted.all():
        raise InputError(
            f"rule 'g-and-t' needs seeds labelled {other!r}; add some, or use a rule that needs none: spread"
        )
    result = RULES[rule](store.vectors, [np.unique(store.rows(list(seeds[label]))) for label in labels])

    pool = store.items[store.items["status"] == "embedded"]
    pool = pool[~pool["item"].isin([item for group in seeds.values() for item in group])]
    items = pool["item"].to_numpy(object)
    scores = result.scores[pool["row"].to_numpy()]
    if keep is not None:
        decision = _by_share(scores, items, labels, wanted, keep)
    elif rule == "g-and-t":
        decision = _by_count(scores, labels, wanted, discard_at_least)
    else:
        decision = _by_recall(scores, result, labels, wanted, recall)
    table = pd.DataFrame(
        {
            "item": items,
            "decision": np.where(decision.kept, KEEP, _explored(items, decision.kept, explore, seed)),
            "label": np.array(labels, object)[decision.label],
            "score": scores[np.arange(len(items)), decision.label],
            "reason": decision.reason,
            **{f"score_{label}": scores[:, number] for number, label in enumerate(labels)},
        }
    ).astype({"item": "str", "decision": "str", "label": "str", "reason": "str"})
    best_first = np.lexsort((items, -table["score"].to_numpy(), ~decision.kept))
    table = table.iloc[best_first].reset_index(drop=True)
    share_kept = float(decision.kept.mean()) if len(items) else 0.0
    table.attrs = {"rule": rule, "thresholds": decision.thresholds, "kept": share_kept}
    return table


def _by_recall(scores: Array, result: Scores, labels: list[str], wanted: Array, recall: float) -> _Decision:
    bounds = np.where(wanted, lower_bounds(result.own, recall, wanted, deviation(*moments(result.scores))), np.inf)
    margins = scores - bounds
    kept: Array = np.any(margins >= 0, axis=1)
    best = _best(scores, wanted)
    # an item that is kept is kept for the label whose threshold it passes by most
    best = np.where(kept, margins.argmax(axis=1), best)
    reason = _reasons(scores, best, kept, labels, bounds, f"aim: recall {recall:.0%}")
    return _Decision(
        kept,
        best,
        reason,
        {label: float(bound) for label, bound in zip(labels, bounds, strict=True) if np.isfinite(bound)},
    )


def _by_share(scores: Array, items: Array, labels: list[str], wanted: Array, keep: float) -> _Decision:
    best = _best(scores, wanted)
    score = scores[np.arange(len(scores)), best]
    kept = np.zeros(len(scores), bool)
    kept[np.lexsort((items, -score))[: round(keep * len(scores))]] = True
    bound = float(score[kept].min()) if kept.any() else np.inf
    bounds = np.where(wanted, bound, np.inf)
    reason = _reasons(scores, best, kept, labels, bounds, f"the best {keep:.0%} are kept")
    return _Decision(kept, best, reason, dict.fromkeys(np.array(labels, object)[wanted], bound))


def _by_count(scores: Array, labels: list[str], wanted: Array, share: float) -> _Decision:
    other = int(np.flatnonzero(~wanted)[0])
    counts = trimmed.farther_than_other(scores, other)
    threshold = trimmed.count_threshold(counts, int(wanted.sum()), share)
    kept = counts <= threshold
    reason = np.array(
        [
            f"{count} of {wanted.sum()} labels are farther than {labels[other]}; at most {threshold} are kept"
            for count in range(int(wanted.sum()) + 1)
        ],
        object,
    )
    return _Decision(kept, _best(scores, wanted), reason[counts], {labels[other]: float(threshold)})


def lower_bounds(own: Sequence[Array], recall: float, wanted: Array, pool_deviation: float) -> Array:
    """Return per label the score that a further item of the label exceeds with probability ``recall``.

    Parameters
    ----------
    own : sequence of ndarray
        Per label, its seeds' scores against the label's other seeds.
    recall : float
        The probability aimed at; 1 gives minus infinity.
    wanted : ndarray of bool, shape (labels,)
        Labels to pool the standard deviation over.
    pool_deviation : float
        Standard deviation of the pool's own scores: what a seed's score may vary by before seeds say otherwise.
        It counts as :data:`PRIOR_SEEDS` seeds: two seeds are always equally like each other, which proves nothing.

    Returns
    -------
    ndarray of float64, shape (labels,)

    Raises
    ------
    InputError
        When no wanted label has two seeds.
    """
    several = [scores for scores, use in zip(own, wanted, strict=True) if use and len(scores) > 1]
    if not several:
        raise InputError(
            "one seed per label leaves no way to aim at a recall; "
            "add a second seed to a label, or say which share to keep (keep=0.3)"
        )
    freedom = sum(len(scores) - 1 for scores in several)
    squares = sum(float(((scores - scores.mean()) ** 2).sum()) for scores in several)
    deviation = np.sqrt((squares + PRIOR_SEEDS * pool_deviation**2) / (freedom + PRIOR_SEEDS))
    quantile = stats.t.ppf(1 - recall, freedom + PRIOR_SEEDS)
    common = np.mean([scores.mean() for scores in several])
    # a label with a single seed borrows the mean of the others
    centres = np.array([scores.mean() if len(scores) > 1 else common for scores in own])
    counts = np.array([max(len(scores), 1) for scores in own])
    bounds: Array = centres + (quantile * deviation * np.sqrt(1 + 1 / counts) if deviation or recall == 1 else 0.0)
    return bounds


def _best(scores: Array, wanted: Array) -> Array:
    best: Array = np.where(wanted, scores, -np.inf).argmax(axis=1)
    return best


def _reasons(scores: Array, best: Array, kept: Array, labels: list[str], bounds: Array, aim: str) -> Array:
    score = scores[np.arange(len(scores)), best]
    reasons = [
        f"{value:.3f} for {labels[label]} {'reaches' if keep else 'is below'} {bounds[label]:.3f} ({aim})"
        for value, label, keep in zip(score.tolist(), best.tolist(), kept.tolist(), strict=True)
    ]
    return np.array(reasons, object)


def _explored(items: Array, kept: Array, explore: float, seed: int) -> Array:
    """Return "explore" or "discard" per item; the choice depends on the discarded items, not on their order."""
    decisions = np.full(len(items), DISCARD, object)
    discarded = np.flatnonzero(~kept)
    discarded = discarded[np.argsort(items[discarded])]
    chosen: Any = np.random.default_rng(seed).choice(discarded, round(explore * len(discarded)), replace=False)
    decisions[chosen] = EXPLORE
    return decisions
