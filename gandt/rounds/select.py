"""What to ask next: a store, the labels so far, and a strategy."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gandt.arguments import checked, require_columns
from gandt.candidates.carry import representatives
from gandt.candidates.points import Points, squared_distances
from gandt.candidates.relabel import rank_answers
from gandt.candidates.seeds import read_seeds
from gandt.candidates.strategies import Strategy, choose
from gandt.candidates.uncertainty import margin
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError
from gandt.names import refuse_several, spelled_as
from gandt.progress import Meter
from gandt.rounds.head import Model, learn
from gandt.tables import FORMATS, LABELS, check_schema, read_table

Array = np.ndarray[Any, np.dtype[Any]]

# of a larger pool a strategy sees the half of so many that is most uncertain, and as many at random
SHORTLIST = 20_000
_CHUNK = 50_000


@checked
def select(
    store: EmbeddingStore,
    labels: Mapping[str, str],
    n: int,
    *,
    strategy: str | Strategy = "default",
    classifier: str = "logistic",
    options: Mapping[str, Any] | None = None,
    model: Model | None = None,
    learned: bool = True,
    points: Points | None = None,
    duplicates: pd.DataFrame | None = None,
    leave_out: Collection[str] = (),
    neighbours: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Choose the ``n`` items of a store to ask about next.

    Parameters
    ----------
    store : EmbeddingStore
        The pool and its vectors.
    labels : mapping of item to label
        What is labelled; it isn't asked again, nor are its duplicates. Empty at the very start.
    n : int
        How many items.
    strategy : str or Strategy
        See :mod:`gandt.candidates.strategies`.
    classifier, options
        See :func:`gandt.rounds.head.make_classifier`.
    model : Model, optional
        One that has learned already; by default it learns from ``labels``.
    learned : bool
        False never learns a classifier; strategies then look at the vectors alone.
    points : Points, optional
        The store's, where they are made already.
    duplicates : DataFrame, optional
        Near duplicates, as :func:`gandt.candidates.find_duplicates` returns them: one of each group is asked. Exact
        ones are found anyhow.
    leave_out : collection of str
        Items that are never asked, such as gold.
    neighbours : int
        With 4, the strategy chooses a fifth of the ``n``, and the nearest unlabelled items of these make up the rest.
    seed : int
        Of every random choice.

    Returns
    -------
    DataFrame
        rank (from 1), item, label (the classifier's, None without one), probability, uncertainty (margin, 0 to 1).

    Raises
    ------
    InputError
        When there are fewer than ``n`` items left, a label's item isn't in the store, only one class is labelled, or
        an option can't be used.
    """
    names = dict(zip(labels, store.names(labels), strict=True))
    known = {names[item]: str(label) for item, label in labels.items()}
    rows_of_labels = store.rows(list(known))
    stands_for = representatives(store, duplicates)
    done = {stands_for.get(item, item) for item in known}
    out = {stands_for.get(item, item) for item in store.names(leave_out)}
    pool = stands_for[stands_for == stands_for.index].index
    items = pool[~pool.isin(list(done | out))].to_numpy(object)
    if n < 1:
        raise InputError(f"{n:,} items are wanted; ask for one or more")
    if n > len(items):
        left = f"{len(items):,} item{'s are' if len(items) != 1 else ' is'} left to ask (duplicates count once)"
        raise InputError(f"{n:,} items are wanted and {left}; ask for fewer, or enlarge the pool")
    points = points or Points(store)
    labelled = points.take(rows_of_labels)
    if model is None and known and learned:
        model = learn(labelled, list(known.values()), classifier=classifier, options=options, seed=seed)
    rng = np.random.default_rng(seed)
    rows = store.rows(items.tolist())
    probabilities = None if model is None else predict(model, points, rows)
    shown = _shortlist(probabilities, len(items), n, rng)
    some = None if probabilities is None else probabilities[shown]
    first = -(-n // (neighbours + 1))
    chosen = shown[choose(strategy, some, points.take(rows[shown]), first, rng, labelled=labelled)]
    if first < n:
        chosen = _with_neighbours(chosen, points, rows, n)
    table = pd.DataFrame({"rank": np.arange(1, n + 1), "item": items[chosen].astype(str)})
    if model is None or probabilities is None:
        return table.assign(label=pd.Series([None] * n, dtype=object), probability=np.nan, uncertainty=np.nan)
    found = probabilities[chosen]
    return table.assign(
        label=np.array(model.classes, object)[found.argmax(axis=1)],
        probability=found.max(axis=1),
        uncertainty=margin(found),
    )


@checked
def select_answers(
    store: EmbeddingStore,
    answers: pd.DataFrame,
    n: int,
    *,
    classes: Sequence[str] | None = None,
    classifier: str = "logistic",
    options: Mapping[str, Any] | None = None,
    most: int = 5,
    leave_out: Collection[str] = (),
    seed: int = 0,
) -> pd.DataFrame:
    """Choose the ``n`` answers to buy next: another about a doubtful item, or a first about a new one.

    Parameters
    ----------
    answers : DataFrame
        item, worker, label: all so far.
    classes : sequence of str, optional
        Every label; by default those that occur.
    most : int
        Answers per item after which it isn't asked again.
    store, n, classifier, options, leave_out, seed
        As in :func:`select`.

    Returns
    -------
    DataFrame
        As :func:`gandt.candidates.relabel.rank_answers` returns it, with ``rank``; the first ``n`` rows.

    Raises
    ------
    InputError
        As :func:`select` does.
    """
    from gandt.consensus import consolidate

    require_columns(answers, "answers", "item", "worker", "label")
    answers = answers.assign(item=store.names(answers["item"].astype(str)))
    consensus = consolidate(answers, categories=classes)
    labels = consensus.labels.dropna(subset=["label"])
    points = Points(store)
    rows = store.rows(labels["item"].tolist())
    weights = labels["confidence"].to_numpy(float)
    model = learn(
        points.take(rows),
        labels["label"].tolist(),
        classes=classes,
        classifier=classifier,
        options=options,
        weights=weights,
        seed=seed,
    )
    stands_for = representatives(store)
    done = {stands_for.get(item, item) for item in labels["item"]}
    pool = stands_for[stands_for == stands_for.index].index
    items = pool[~pool.isin(list(done | set(store.names(leave_out))))].tolist()
    pieces = [
        pd.DataFrame(model.out_of_sample, columns=list(model.classes)).assign(item=labels["item"].tolist()),
        pd.DataFrame(predict(model, points, store.rows(items)), columns=list(model.classes)).assign(item=items),
    ]
    told = pd.concat(pieces, ignore_index=True)
    given = pd.unique(answers["label"].dropna().astype(str))
    never = [label for label in given if label not in told.columns]  # said by some, but the label of no item
    told = told.assign(**dict.fromkeys(never, 0.0))
    ranked = rank_answers(answers, told, labels, consensus.workers, most=most)
    if len(ranked) < n:
        raise InputError(f"{n:,} answers are wanted and {len(ranked):,} items are left to ask; ask for fewer")
    ranked.insert(0, "rank", np.arange(1, len(ranked) + 1))
    return ranked.head(n)


def predict(model: Model, points: Points, rows: Array) -> Array:
    """Return calibrated probabilities (rows, classes) of rows of a store, by parts."""
    found = np.empty((len(rows), len(model.classes)), np.float32)
    with Meter("predicting", len(rows)) as meter:
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            found[start : start + len(part)] = model.probabilities(points.take(part))
            meter.step(len(part))
    return found


def _with_neighbours(chosen: Array, points: Points, rows: Array, n: int) -> Array:
    """Return ``n`` of the items: the chosen, then the nearest of each, then the second nearest, and so on."""
    centres, count = points.take(rows[chosen]), min(n, len(rows) - 1)
    best = np.empty((len(chosen), 0)), np.empty((len(chosen), 0), np.int64)
    for start in range(0, len(rows), _CHUNK):
        part = np.arange(start, min(start + _CHUNK, len(rows)))
        far = squared_distances(centres, points.take(rows[part]))
        far[part[None, :] == chosen[:, None]] = np.inf
        far, ids = np.hstack([best[0], far]), np.hstack([best[1], np.broadcast_to(part, far.shape)])
        order = np.argsort(far, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(far, order, axis=1), np.take_along_axis(ids, order, axis=1)
    return np.array(list(dict.fromkeys([*chosen.tolist(), *best[1].T.ravel().tolist()]))[:n], np.int64)


def _shortlist(probabilities: Array | None, count: int, n: int, rng: np.random.Generator) -> Array:
    limit = max(SHORTLIST, 2 * n)
    if count <= limit:
        return np.arange(count)
    if probabilities is None:
        return np.sort(rng.choice(count, limit, replace=False))
    order = np.argsort(-margin(probabilities), kind="stable")
    rest = rng.choice(order[limit // 2 :], limit - limit // 2, replace=False)
    return np.sort(np.concatenate([order[: limit // 2], rest]))


def read_known(sources: Sequence[str], store: EmbeddingStore, *, s3: Any = None) -> dict[str, str]:
    """Return labels by item, as the store names it, from tables or whatever else seeds can be read from.

    Parameters
    ----------
    sources : sequence of str
        See :func:`gandt.candidates.seeds.read_seeds`. Rows of a table without a label are passed over; a table's
        items may also be names that are no files, such as a table's own keys.

    Raises
    ------
    InputError
        When a source names no labels, an item isn't in the store, or one item has two labels.
    """
    found: dict[str, str] = {}
    known = set(store.items["item"])
    for source in sources:
        pairs: list[tuple[str, str]] | None = None
        if source.lower().endswith(FORMATS):
            table = read_table(source, s3=s3)
            if {"item", "label"} <= set(table.columns):
                check_schema(table, LABELS, source)
                rows = table.dropna(subset=["label"])
                rows["item"] = spelled_as(rows["item"], known)
                pairs = list(zip(rows["item"], rows["label"], strict=True))
                strangers = rows.loc[~rows["item"].isin(known), "item"]
                if len(strangers) and store.description["model"] == "given":
                    raise InputError(
                        f"{source} labels {strangers.iloc[0]!r}, which is none of the {len(known):,} items of "
                        f"{store.path}, such as {store.items['item'].iloc[0]!r}; mend its name, or leave it out"
                    )
                if len(strangers):
                    pairs = None  # relative paths, or files to be found by their content
        if pairs is None:
            seeds = read_seeds([source], store, s3=s3)
            pairs = [(item, label) for label, items in seeds.items() for item in items]
        for item, label in pairs:
            refuse_several(item, label, source)
            if found.setdefault(item, label) != label:
                raise InputError(f"{item} has two labels, {found[item]!r} and {label!r}; keep one of them")
    store.rows(list(found))
    return found
