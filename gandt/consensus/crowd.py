"""The answers on integer codes: what every consensus method works on, and the two steps that all of them share.

A crowd of n answers is a sparse 0/1 matrix with one row per item and one column per *pair* of a worker and a label
that this worker gave. With it both steps of expectation maximisation are one sparse product each: the scores of the
items are ``matrix @ log_likelihood`` and the expected counts of the pairs are ``matrix.T @ probabilities``. Memory
grows with the answers, not with workers × classes², so millions of workers with one answer each fit as well.
"""

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from gandt.errors import InputError

if TYPE_CHECKING:
    from gandt.consensus.classifier import Voice

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Names = npt.NDArray[np.object_]

# crowd-kit's names of the columns beside ours
_ALIASES = {"item": ("item", "task"), "worker": ("worker", "performer"), "label": ("label",)}
_TELLING = 0.25  # share of the entropy that a classifier must resolve to count as a speaker
_SET_ASIDE = ["row", "item", "worker", "label", "reason"]


@dataclass(frozen=True, eq=False)
class Crowd:
    """Answers on integer codes, at most one per worker and item, sorted by item.

    Attributes
    ----------
    items, workers : object arrays of str
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

    items: Names
    workers: Names
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

    def votes(self) -> Floats:
        """Count the active workers' answers per item and class, shape (items, classes)."""
        picked = np.zeros((len(self.pair_label), len(self.classes)))
        picked[np.arange(len(self.pair_label)), self.pair_label] = self.active[self.pair_worker]
        return np.asarray(self.matrix @ picked)

    def voices(self) -> Floats:
        """How many spoke on each item, the classifier included as far as it tells something, shape (items,)."""
        spoken = row_sum(self.votes())
        return spoken if self.voice is None else spoken + self.voice.speaks * self.voice.weight

    def speakers(self) -> Ints:
        """Count the answers per item, and a classifier that tells something as one more, shape (items,)."""
        spoken = row_sum(self.votes()).astype(np.int32)
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
        votes = self.votes()
        total = row_sum(votes)[:, None]
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
    """

    probabilities: Floats
    log_likelihood: Floats
    log_prior: Floats
    iterations: int = 1
    converged: bool = True


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


def encode(
    answers: pd.DataFrame,
    *,
    categories: Sequence[str] | None = None,
    items: Sequence[str] | None = None,
    gold: Mapping[str, str] | None = None,
    exclude: Collection[str] = (),
    previous: pd.DataFrame | None = None,
    several: bool = False,
) -> Crowd:
    """Put an answers table on integer codes and set aside what can't be used.

    A second answer by the same worker on the same item is set aside: the first in the table's order is kept. So are
    answers without an item, worker or label (an empty text is none), and labels outside ``categories``.

    Parameters
    ----------
    answers : pd.DataFrame
        Columns item, worker, label (crowd-kit's ``task`` is read as ``item``); others are ignored. Values become text.
    categories : sequence of str, optional
        The classes, in order; by default every label that occurs, in text order.
    items : sequence of str, optional
        Everything that was asked; items beyond those in ``answers`` appear as unanswered.
    gold : mapping of item to label, optional
        Items whose label is known. Those that nobody answered are ignored.
    exclude : collection of str
        Workers whose answers weigh nothing.
    previous : pd.DataFrame, optional
        An earlier job's workers table (worker, reliability, reliability_low, reliability_high).
    several : bool
        A worker may give an item several labels: only the same label again is set aside.

    Raises
    ------
    InputError
        When a column is missing, nothing was asked, categories repeat, or a gold label isn't among the categories.
    """
    columns = {name: _column(answers, name) for name in _ALIASES}
    coded = {name: _codes(answers[column]) for name, column in columns.items()}
    item, item_names = coded["item"]
    worker, worker_names = coded["worker"]
    label, label_names = coded["label"]

    gold = {_text(key): _text(value) for key, value in (gold or {}).items()}
    classes = _classes(label_names, categories, gold)
    position = {name: code for code, name in enumerate(classes)}
    label = _translate(label, np.array([position.get(name, -2) for name in label_names], dtype=np.int32))

    if items is not None:
        asked = list(dict.fromkeys(_text(name) for name in items))
        place = {name: code for code, name in enumerate(asked)}
        for name in item_names:
            place.setdefault(name, len(place))
        item = _translate(item, np.array([place[name] for name in item_names], dtype=np.int32))
        item_names = list(place)
    if not item_names:
        raise InputError("there is nothing to consolidate: the table holds no item; check that the job has answers")

    reasons = np.zeros(len(answers), dtype=np.int8)
    reasons[label == -2] = 4
    reasons[label == -1] = 3
    reasons[worker == -1] = 2
    reasons[item == -1] = 1
    usable = np.flatnonzero(reasons == 0).astype(np.int32)
    whose = worker[usable].astype(np.int64)
    if several:
        whose = whose * len(classes) + label[usable]
    again = _repeated(item[usable], whose)
    reasons[usable[again]] = 5
    usable, whose = np.delete(usable, again), np.delete(whose, again)
    # a sparse matrix sorts by item in linear time
    rows = _by_item(usable, item[usable], whose).data
    item, label = item[rows], label[rows]
    kept, worker = _compact(worker[rows], len(worker_names))
    names = np.array(worker_names, dtype=object)[kept]
    pair, pair_worker, pair_label = _pairs(worker, label, len(names), len(classes))

    start = np.zeros(len(item_names) + 1, dtype=np.int64)
    np.cumsum(np.bincount(item, minlength=len(item_names)), out=start[1:])
    shape = (len(item_names), len(pair_worker))
    matrix = sparse.csr_matrix((np.ones(len(rows)), pair, start), shape=shape)

    known = np.full(len(item_names), -1, dtype=np.int32)
    if gold:
        known[:] = [position[gold[name]] if name in gold else -1 for name in item_names]
    left_out = {_text(name) for name in exclude}
    return Crowd(
        items=np.array(item_names, dtype=object),
        workers=names,
        classes=classes,
        item=item,
        worker=worker,
        label=label,
        row=rows,
        pair=pair,
        pair_worker=pair_worker,
        pair_label=pair_label,
        known=known,
        active=~np.isin(names, list(left_out)) if left_out else np.ones(len(names), dtype=bool),
        set_aside=_set_aside(answers, columns, reasons),
        matrix=matrix,
        earned=_earned(names, previous),
        transposed=matrix.T,
    )


def _column(answers: pd.DataFrame, name: str) -> str:
    for alias in _ALIASES[name]:
        if alias in answers.columns:
            return alias
    found = ", ".join(map(str, answers.columns)) or "none"
    raise InputError(f"the answers table lacks the column {name}; it needs item, worker and label, and has {found}")


def _text(value: object) -> str:
    """Write a name as text: whole floats (integers that shared a column with a gap) lose their '.0'."""
    if isinstance(value, (float, np.floating)) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def _codes(column: "pd.Series[Any]") -> tuple[Ints, list[str]]:
    """Codes of a column's values as text (-1 for missing and empty ones) and the texts in order of appearance."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), column.cat.categories
    else:
        codes, values = pd.factorize(column)
    if isinstance(values.dtype, pd.StringDtype) and not (values == "").any():
        return codes.astype(np.int32), values.to_list()
    texts = [_text(value) for value in values]
    order: dict[str, int] = {}
    for text in texts:
        if text:
            order.setdefault(text, len(order))
    table = np.array([order.get(text, -1) for text in texts], dtype=np.int32)
    return _translate(codes, table), list(order)


def _translate(codes: npt.NDArray[Any], table: Ints) -> Ints:
    """Map codes through ``table``, leaving -1 as it is."""
    return np.asarray(np.append(table, np.int32(-1))[codes], dtype=np.int32)


def _classes(found: Sequence[str], categories: Sequence[str] | None, gold: Mapping[str, str]) -> tuple[str, ...]:
    if categories is None:
        return tuple(sorted({*found, *gold.values()}))
    classes = tuple(_text(name) for name in categories)
    if len(set(classes)) < len(classes) or not classes:
        raise InputError(f"the categories must be different and at least one; these are {', '.join(classes) or 'none'}")
    for item, label in gold.items():
        if label not in classes:
            known = ", ".join(classes)
            raise InputError(f"gold item {item} has the label {label!r}, which isn't among the categories {known}")
    return classes


def _by_item(data: Ints, item: Ints, whose: npt.NDArray[np.int64]) -> Any:
    shape = (int(item.max(initial=-1)) + 1, int(whose.max(initial=-1)) + 1)
    return sparse.csr_matrix((data, (item, whose)), shape=shape)


def _repeated(item: Ints, whose: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Find the places where an item and worker occur for the second time or later."""
    counts = _by_item(np.ones(len(item), dtype=np.int32), item, whose).tocoo()
    more = counts.data > 1
    if not more.any():
        return np.zeros(0, dtype=np.intp)
    wide = counts.shape[1]
    twice = np.sort(counts.row[more].astype(np.int64) * wide + counts.col[more])
    key = item.astype(np.int64) * wide + whose
    suspects = np.flatnonzero(twice[np.minimum(np.searchsorted(twice, key), len(twice) - 1)] == key)
    return suspects[pd.Series(key[suspects]).duplicated().to_numpy()]


def _compact(codes: npt.NDArray[Any], size: int) -> tuple[npt.NDArray[np.int64], Ints]:
    """Keep only the codes that occur: those, and ``codes`` renumbered."""
    present = np.zeros(size, dtype=bool)
    present[codes] = True
    kept = np.flatnonzero(present)
    place = np.zeros(size, dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    return kept, place[codes]


def _pairs(worker: Ints, label: Ints, workers: int, classes: int) -> tuple[Ints, Ints, Ints]:
    key = worker.astype(np.int64) * classes + label
    if workers * classes <= 4 * len(key) + 1_000_000:
        kept, pair = _compact(key, workers * classes)
    else:
        kept, inverse = np.unique(key, return_inverse=True)
        pair = inverse.astype(np.int32)
    return pair, (kept // max(classes, 1)).astype(np.int32), (kept % max(classes, 1)).astype(np.int32)


_MEMORY = 0.5  # people change: what an earlier job tells counts half


def _earned(workers: Names, previous: pd.DataFrame | None) -> Floats:
    """Right and wrong pseudo-answers that give a Beta the reliability and interval of an earlier job."""
    earned = np.zeros((len(workers), 2))
    if previous is None or not len(previous):
        return earned
    needed = ["worker", "reliability", "reliability_low", "reliability_high"]
    missing = [name for name in needed if name not in previous.columns]
    if missing:
        raise InputError(f"the earlier workers table lacks the column {missing[0]}; write it with gandt workers --out")
    table = previous.drop_duplicates("worker").set_index("worker")[needed[1:]].astype(float)
    table.index = table.index.map(_text)
    table = table.reindex(workers)
    mean = table["reliability"].clip(1e-3, 1 - 1e-3).to_numpy()
    deviation = (table["reliability_high"] - table["reliability_low"]).to_numpy() / 3.92
    strength = np.maximum(mean * (1 - mean) / np.maximum(deviation, 1e-3) ** 2 - 1, 0.0)
    known = np.isfinite(mean) & np.isfinite(strength)
    earned[known] = (_MEMORY * strength[:, None] * np.stack([mean, 1 - mean], axis=1))[known]
    return earned


_REASONS = ("", "no item", "no worker", "no label", "label outside the categories", "a worker's second answer")


def _set_aside(answers: pd.DataFrame, columns: Mapping[str, str], reasons: npt.NDArray[np.int8]) -> pd.DataFrame:
    rows = np.flatnonzero(reasons)
    table = answers.iloc[rows][[columns[name] for name in ("item", "worker", "label")]]
    table.columns = pd.Index(["item", "worker", "label"])
    table = table.reset_index(drop=True)
    table.insert(0, "row", rows)
    table["reason"] = [_REASONS[code] for code in reasons[rows]]
    return table[_SET_ASIDE]
