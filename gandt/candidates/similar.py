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

from gandt.candidates.rules import RULES, Scores
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

KEEP, EXPLORE, DISCARD = "keep", "explore", "discard"


@dataclass(frozen=True)
class Threshold:
    """Where a label's scores are cut, and why, in words."""

    value: float
    why: str


def filter_by_similarity(
    store: EmbeddingStore,
    seeds: Mapping[str, Sequence[str]],
    *,
    rule: str = "mean",
    recall: float = 0.95,
    keep: float | None = None,
    explore: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Decide for every item of the pool whether it resembles the seeds enough to be labeled.

    Parameters
    ----------
    store : EmbeddingStore
        The pool, seeds included.
    seeds : mapping of str to sequence of str
        Items by label; an item may stand under several labels.
    rule : str
        How an item is scored against a label's seeds; see :mod:`gandt.candidates.rules`.
    recall : float
        Aim: the share of the wanted items that should be kept. Each label's threshold is a lower prediction bound
        from its seeds' own scores, each scored against the *other* seeds of its label: ``mean − t · sd · √(1 + 1/n)``
        with the standard deviation pooled over labels and Student's t. It holds if the seeds are a random draw of
        the wanted items and their scores are about normal; with few seeds the bound is wide and the recall reached
        varies by several points between draws. Measure it: ``explore`` and :func:`estimate_recall`.
    keep : float, optional
        Keep this share of the pool, the best, instead of aiming at a recall.
    explore : float
        Share of the discarded to mark "explore", at random.
    seed : int
        Of that random choice.

    Returns
    -------
    DataFrame
        item, decision ("keep", "explore", "discard"), label (the most similar), score, reason, and a column
        ``score_<label>`` per label; best first. ``attrs`` holds rule, thresholds and the share kept.

    Raises
    ------
    InputError
        When a share is out of range, a seed isn't in the store, or one seed per label leaves nothing to aim by.
    """
    for name, share in (("recall", recall), ("keep", keep), ("explore", explore)):
        if share is not None and not 0 <= share <= 1:
            raise InputError(f"{name} is a share between 0 and 1, not {share}")
    if rule not in RULES:
        raise InputError(f"there is no rule {rule!r}; choose from {', '.join(RULES)}")
    labels, rows = _seed_rows(store, seeds)
    pool = store.items[store.items["status"] == "embedded"]
    pool = pool[~pool["item"].isin([item for group in seeds.values() for item in group])]
    result = RULES[rule](store.vectors, rows)
    scores = result.scores[pool["row"].to_numpy()]
    best = scores.argmax(axis=1)
    score = scores[np.arange(len(scores)), best]
    table = pd.DataFrame(
        {"item": pool["item"].to_numpy(), "decision": DISCARD, "label": np.array(labels, object)[best], "score": score}
    )

    if keep is not None:
        order = np.lexsort((table["item"], -score))
        kept = np.zeros(len(table), bool)
        kept[order[: round(keep * len(table))]] = True
        thresholds: dict[str, float] = {}
        reason = np.where(kept, f"among the {keep:.0%} most similar", f"not among the {keep:.0%} most similar")
    else:
        bounds = _bounds(result, recall, labels)
        above = scores >= np.array([bound.value for bound in bounds])
        kept = above.any(axis=1)
        thresholds = {label: bound.value for label, bound in zip(labels, bounds, strict=True)}
        # the label that an item is kept for is the one it is farthest above its threshold for
        margin = scores - np.array([bound.value for bound in bounds])
        best = np.where(kept, margin.argmax(axis=1), best)
        table["label"] = np.array(labels, object)[best]
        table["score"] = scores[np.arange(len(scores)), best]
        reason = np.array(
            [_reason(score, labels[i], bounds[i], k) for score, i, k in zip(table["score"], best, kept, strict=True)],
            object,
        )
    table.loc[kept, "decision"] = KEEP
    discarded = np.sort(table.loc[~kept, "item"].to_numpy(object))
    chosen = np.random.default_rng(seed).choice(discarded, round(explore * len(discarded)), replace=False)
    table.loc[table["item"].isin(chosen), "decision"] = EXPLORE
    table["reason"] = reason
    for number, label in enumerate(labels):
        table[f"score_{label}"] = scores[:, number]
    table = table.sort_values(["score", "item"], ascending=[False, True], ignore_index=True)
    table.attrs = {"rule": rule, "thresholds": thresholds, "kept": float(kept.mean()) if len(kept) else 0.0}
    return table


def _reason(score: float, label: str, bound: Threshold, kept: bool) -> str:
    sign = "≥" if kept else "<"
    return f"similarity to {label} {score:.3f} {sign} {bound.value:.3f} ({bound.why})"


def _seed_rows(store: EmbeddingStore, seeds: Mapping[str, Sequence[str]]) -> tuple[list[str], list[Array]]:
    labels = [label for label, items in seeds.items() if len(items)]
    if not labels:
        raise InputError("no seeds were given; name at least one labelled item")
    return labels, [store.rows(sorted(set(seeds[label]))) for label in labels]


def _bounds(result: Scores, recall: float, labels: list[str]) -> list[Threshold]:
    """Return each label's lower prediction bound for the score of a wanted item."""
    own = result.own
    several = [scores for scores in own if len(scores) > 1]
    if not several:
        raise InputError(
            "one seed per label leaves no way to aim at a recall; "
            "add a second seed to a label, or say which share to keep (keep=0.3)"
        )
    freedom = sum(len(scores) - 1 for scores in several)
    deviation = float(np.sqrt(sum(((scores - scores.mean()) ** 2).sum() for scores in several) / freedom))
    quantile = float(stats.t.ppf(1 - recall, freedom))
    common = float(np.mean([scores.mean() for scores in several]))
    bounds = []
    for scores in own:
        alone = len(scores) < 2
        centre, count = (common, 1) if alone else (float(scores.mean()), len(scores))
        value = centre + quantile * deviation * np.sqrt(1 + 1 / count)
        why = f"aim {recall:.0%}, from {len(scores)} seed{'s'[: len(scores) != 1]}"
        bounds.append(Threshold(float(value), why))
    return bounds
