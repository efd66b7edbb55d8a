"""Find the images worth labeling from a few seeds: score the pool against each label, then decide.

A decision never loses an item: every embedded item that isn't a seed comes back exactly once, as "keep", "explore"
(a random share of the discarded, kept so that the filter's recall can be measured) or "discard".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from gandt.arguments import checked
from gandt.candidates import classifier, devices, shards, spread, trimmed  # noqa: F401  (two register their rules)
from gandt.candidates.devices import Array
from gandt.candidates.rules import RULES, STAGES, Scores, deviation, exact_sum, mean_of, moments, score
from gandt.candidates.shards import Alone
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError

KEEP, EXPLORE, DISCARD = "keep", "explore", "discard"
PRIOR_SEEDS = 2


@dataclass(frozen=True)
class _Pool:
    """What is to be decided about: this machine's items that aren't seeds, keys to draw them by, and all machines."""

    items: Array
    draws: Array
    scores: Array
    labels: list[str]
    wanted: Array
    exchange: Alone


@dataclass(frozen=True)
class _Decision:
    """Per item of the pool: kept or not, the label that counts, and the reason; per label its threshold."""

    kept: Array
    label: Array
    reason: Array
    thresholds: dict[str, float]


@checked
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
    device: str = "auto",
    exchange: Alone | None = None,
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
    device : {"auto", "cpu", "cuda"}
        Where the products run; ``auto`` takes a GPU where torch sees one.
    exchange : Exchange, optional
        ``store`` is one shard of the pool, and this is how its machine agrees with the others
        (:mod:`gandt.candidates.shards`); for rules "mean", "nearest" and "g-and-t". The table then has this shard's
        items; those of all shards together are what one machine with the whole pool would return.

    Returns
    -------
    DataFrame
        item, decision ("keep", "explore", "discard"), label, score (for that label), reason, and a column
        ``score_<label>`` per label, with rule "classifier" also ``probability_<label>``; best first. ``attrs`` holds
        rule, thresholds, the pool's size and the share kept.

    Raises
    ------
    InputError
        When a share is out of range, a seed isn't in the store, no label is wanted, one seed per label leaves
        nothing to aim by, rule "g-and-t" gets no seeds of ``other``, or the rule needs the whole pool and gets a
        shard.

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
    exchange = exchange or Alone()
    if exchange.of > 1 and rule not in STAGES:
        raise InputError(
            f"rule {rule!r} needs the whole pool; merge the shards (gandt merge), or use rule mean, nearest or g-and-t"
        )
    kept_apart = {item for group in seeds.values() for item in group}
    if rule in STAGES:
        result, kept_apart = _in_stages(store, rule, {label: seeds[label] for label in labels}, device, exchange)
    else:
        rows = [np.unique(store.rows(list(seeds[label]))) for label in labels]
        result = RULES[rule](store.vectors, rows, device=devices.choose(device))

    table = store.items[store.items["status"] == "embedded"]
    table = table[~table["item"].isin(kept_apart)]
    items = table["item"].to_numpy(object)
    scores = result.scores[table["row"].to_numpy()]
    # by content and file name, not by address: a copy of the pool elsewhere gives the same draw
    drawn_by = (f"{sha}:{item.rsplit('/', 1)[-1]}" for sha, item in zip(table["sha256"], items, strict=True))
    pool = _Pool(items, shards.keys_at_random(drawn_by, seed), scores, labels, wanted, exchange)
    if keep is not None:
        decision = _by_share(pool, keep)
    elif rule == "g-and-t":
        decision = _by_count(pool, discard_at_least)
    else:
        decision = _by_recall(pool, result.own, recall)
    kept, of = _counted(pool, "kept", decision.kept)
    probabilities = {}
    if result.probabilities is not None:
        chances = result.probabilities[table["row"].to_numpy()]
        probabilities = {f"probability_{label}": chances[:, number] for number, label in enumerate(labels)}
    table = pd.DataFrame(
        {
            "item": items,
            "decision": np.where(decision.kept, KEEP, _explored(pool, decision.kept, round(explore * (of - kept)))),
            "label": np.array(labels, object)[decision.label],
            "score": scores[np.arange(len(items)), decision.label],
            "reason": decision.reason,
            **{f"score_{label}": scores[:, number] for number, label in enumerate(labels)},
            **probabilities,
        }
    ).astype({"item": "str", "decision": "str", "label": "str", "reason": "str"})
    best_first = np.lexsort((items, -table["score"].to_numpy(), ~decision.kept))
    table = table.iloc[best_first].reset_index(drop=True)
    table.attrs = {"rule": rule, "thresholds": decision.thresholds, "kept": kept / of if of else 0.0, "pool": of}
    return table


def _in_stages(
    store: EmbeddingStore, rule: str, seeds: Mapping[str, Sequence[str]], device: str, exchange: Alone
) -> tuple[Scores, set[str]]:
    """Return this machine's scores, and all machines' seeds, which aren't to be decided about."""
    items = store.items
    rows = items.loc[items["row"] >= 0, "row"].to_numpy()
    counts = np.bincount(rows, minlength=len(store.vectors))
    named = [(label, place, item) for label, group in seeds.items() for place, item in enumerate(group)]
    if exchange.of == 1:
        store.rows([item for _, _, item in named])  # its sentence says why an item has no vector
    known = items[(items["row"] >= 0) & items["item"].isin([item for _, _, item in named])]
    facts = {item: (sha, row) for item, sha, row in zip(known["item"], known["sha256"], known["row"], strict=True)}
    mine = [[label, place, item, facts[item][0]] for label, place, item in named if item in facts]
    shares = exchange.gather(
        "pool",
        {
            "made": shards.as_text(store.description),
            "count": counts.sum(keepdims=True),
            "sum": exact_sum(store.vectors, counts),
            "seeds": shards.as_text(mine),
            "vectors": store.vectors[np.array([facts[item][1] for *_, item, _ in mine], np.int64)],
        },
    )
    for number, share in enumerate(shares, 1):
        if shards.from_text(share["made"]) != shards.from_text(shares[0]["made"]):
            raise InputError(f"shard {number} was embedded otherwise than shard 1; compare their store.json")
    found: dict[tuple[str, int], tuple[str, str, Array]] = {}
    for share in shares:
        for (label, place, item, sha), vector in zip(shards.from_text(share["seeds"]), share["vectors"], strict=True):
            entry = (item, sha, vector)
            found[label, place] = min(found.get((label, place), entry), entry, key=lambda one: one[0])
    missing = [item for label, place, item in named if (label, place) not in found]
    if missing:
        raise InputError(f"{missing[0]} is in none of the shards; embed it into one of them first: {store.command()}")
    groups = []
    for label in seeds:
        # copies count once, and the order of addition depends on the contents alone
        by_content = {sha: vector for (of, _), (_, sha, vector) in found.items() if of == label}
        groups.append(np.stack([vector for _, vector in sorted(by_content.items(), key=lambda one: one[0])]))
    total, count = (np.sum([share[name] for share in shares], axis=0) for name in ("sum", "count"))
    prepared = STAGES[rule](mean_of(int(count[0]), total), groups)
    scores = Scores(score(store.vectors, prepared, devices.choose(device)), prepared.own)
    return scores, {item for item, _, _ in found.values()}


def _counted(pool: _Pool, step: str, chosen: Array) -> tuple[int, int]:
    """Return how many are chosen, and how many there are, on all machines."""
    shares = pool.exchange.gather(step, {"counts": np.array([chosen.sum(), len(chosen)], np.int64)})
    counts = np.sum([share["counts"] for share in shares], axis=0)
    return int(counts[0]), int(counts[1])


def _by_recall(pool: _Pool, own: Sequence[Array], recall: float) -> _Decision:
    scores = pool.scores
    mine = dict(zip(("count", "sum", "squares"), map(np.asarray, moments(scores)), strict=True))
    shares = pool.exchange.gather("moments", mine)
    count, total, squares = (np.sum([share[name] for share in shares], axis=0) for name in mine)
    bounds = np.where(
        pool.wanted, lower_bounds(own, recall, pool.wanted, deviation(int(count), total, squares)), np.inf
    )
    margins = scores - bounds
    kept: Array = np.any(margins >= 0, axis=1)
    best = _best(scores, pool.wanted)
    # an item that is kept is kept for the label whose threshold it passes by most
    best = np.where(kept, margins.argmax(axis=1), best)
    reason = _reasons(scores, best, kept, pool.labels, bounds, f"aim: recall {recall:.0%}")
    return _Decision(
        kept,
        best,
        reason,
        {label: float(bound) for label, bound in zip(pool.labels, bounds, strict=True) if np.isfinite(bound)},
    )


def _by_share(pool: _Pool, keep: float) -> _Decision:
    best = _best(pool.scores, pool.wanted)
    keys = shards.keys_of_scores(pool.scores[np.arange(len(best)), best])
    _, of = _counted(pool, "items", keys > 0)
    kept, lowest = shards.first_of(keys, pool.items, round(keep * of), "share", pool.exchange)
    bound = shards.score_of_key(lowest)
    bounds = np.where(pool.wanted, bound, np.inf)
    reason = _reasons(pool.scores, best, kept, pool.labels, bounds, f"the best {keep:.0%} are kept")
    return _Decision(kept, best, reason, dict.fromkeys(np.array(pool.labels, object)[pool.wanted], bound))


def _by_count(pool: _Pool, share: float) -> _Decision:
    other, of = int(np.flatnonzero(~pool.wanted)[0]), int(pool.wanted.sum())
    counts = trimmed.farther_than_other(pool.scores, other)
    mine = np.bincount(counts, minlength=of + 1)
    items = np.sum([found["items"] for found in pool.exchange.gather("counts", {"items": mine})], axis=0)
    threshold = trimmed.count_threshold(items, share)
    reason = np.array(
        [
            f"{count} of {of} labels are farther than {pool.labels[other]}; at most {threshold} are kept"
            for count in range(of + 1)
        ],
        object,
    )
    best = _best(pool.scores, pool.wanted)
    return _Decision(counts <= threshold, best, reason[counts], {pool.labels[other]: float(threshold)})


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


def _explored(pool: _Pool, kept: Array, count: int) -> Array:
    """Return "explore", for ``count`` items on all machines, or "discard".

    The choice depends on the discarded items, not on their order.
    """
    decisions = np.full(len(kept), DISCARD, object)
    if count:
        discarded = np.flatnonzero(~kept)
        chosen, _ = shards.first_of(pool.draws[discarded], pool.items[discarded], count, "explore", pool.exchange)
        decisions[discarded[chosen]] = EXPLORE
    return decisions
