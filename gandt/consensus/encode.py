"""From an answers table to integer codes; what can't be used is set aside with a reason, nothing is lost."""

import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from gandt.categories import tidy
from gandt.consensus.crowd import Bools, Crowd, Floats, Ints
from gandt.errors import GandtWarning, InputError
from gandt.names import as_text, spelled_as

# what names an item, a worker or a label; a number becomes its text
Name = str | float
# crowd-kit's names of the columns beside ours
_ALIASES = {"item": ("item", "task"), "worker": ("worker", "performer"), "label": ("label",)}
_UNSEEN = re.compile("[\u200b-\u200d\u2060\ufeff]")  # zero-width characters
_SET_ASIDE = ["row", "item", "worker", "label", "reason"]
_COMPARISONS = 20  # comparisons per answer, beyond which looking for repeated answers by hashing is quicker


def encode(
    answers: pd.DataFrame,
    *,
    categories: Sequence[Name] | None = None,
    items: Sequence[Name] | None = None,
    gold: Mapping[Any, Name] | None = None,
    exclude: Collection[Name] = (),
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
    coded = {name: _codes(answers[column], name != "item") for name, column in columns.items()}
    item, item_names = coded["item"]
    worker, worker_names = coded["worker"]
    label, label_names = coded["label"]

    known_items = [as_text(key) for key in gold or {}]
    truth = dict(zip(spelled_as(known_items, item_names), map(_label, (gold or {}).values()), strict=True))
    classes = _classes(list(label_names), categories, truth)
    _say_look_alikes(list(label_names), item_names, set(truth.values()))
    position = {name: code for code, name in enumerate(classes)}
    label = _translate(label, np.array([position.get(name, -2) for name in label_names], dtype=np.int32))

    if items is not None:
        spelled = spelled_as([as_text(name) for name in items], item_names)
        asked = pd.Index(list(dict.fromkeys(spelled)), dtype=item_names.dtype)
        item_names, found = asked.append(item_names.difference(asked, sort=False)), item_names
        item = _translate(item, item_names.get_indexer(found).astype(np.int32))
    if not len(item_names):
        raise InputError("there is nothing to consolidate: the table holds no item; check that the job has answers")

    reasons = _reasons(item, worker, label)
    rows = _by_item(item, np.flatnonzero(reasons == 0).astype(np.int32))
    whose = worker[rows] if not several else worker[rows].astype(np.int64) * len(classes) + label[rows]
    again = _repeated(item[rows], whose)
    if again.any():
        reasons[rows[again]] = 5
        rows = rows[~again]
    item, label = item[rows], label[rows]
    kept, worker = _compact(worker[rows], len(worker_names))
    names = worker_names[kept]
    pair, pair_worker, pair_label = _pairs(worker, label, len(names), len(classes))

    start = np.zeros(len(item_names) + 1, dtype=np.int32)
    np.cumsum(np.bincount(item, minlength=len(item_names)), out=start[1:])
    shape = (len(item_names), len(pair_worker))
    matrix = sparse.csr_matrix((np.ones(len(rows)), pair, start), shape=shape)

    known = np.full(len(item_names), -1, dtype=np.int32)
    if truth:
        known[:] = [position[truth[name]] if name in truth else -1 for name in item_names]
    left_out = [_label(name) for name in exclude]
    return Crowd(
        items=item_names,
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
        active=~names.isin(left_out) if left_out else np.ones(len(names), dtype=bool),
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


def _label(value: object) -> str:
    return tidy(as_text(value))


def _codes(column: "pd.Series[Any]", normal: bool) -> tuple[Ints, "pd.Index[Any]"]:
    """Codes of a column's values as text (-1 for missing and empty ones) and the texts in order of appearance.

    With ``normal`` texts that differ in blanks around them or in their Unicode form are one.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), column.cat.categories
    else:
        codes, values = pd.factorize(column)
    as_it_is = isinstance(values.dtype, pd.StringDtype) and not (values == "").any()
    if as_it_is and not (normal and any(tidy(text) != text for text in values)):
        return codes.astype(np.int32, copy=False), pd.Index(values)
    texts = [_label(value) if normal else as_text(value) for value in values]
    order: dict[str, int] = {}
    for text in texts:
        if text:
            order.setdefault(text, len(order))
    table = np.array([order.get(text, -1) for text in texts], dtype=np.int32)
    return _translate(codes, table), pd.Index(list(order), dtype="str")


def _translate(codes: npt.NDArray[Any], table: Ints) -> Ints:
    """Map codes through ``table``, leaving -1 as it is."""
    return np.asarray(np.append(table, np.int32(-1))[codes], dtype=np.int32)


def _say_look_alikes(labels: Sequence[str], items: Iterable[str], known: Collection[str]) -> None:
    """Warn of what may be one label, or one item, in two spellings, and of gold that no worker's label meets."""
    if known and labels and not set(known) & set(labels):
        warnings.warn(
            f"no label of the gold, such as {min(known)!r}, is one that a worker gave, such as {labels[0]!r}; if they "
            "are the same, spell them alike",
            GandtWarning,
            stacklevel=4,
        )
    for what, names, form in (
        ("labels", labels, lambda text: " ".join(_UNSEEN.sub("", text).split()).casefold()),
        ("items", [name for name in items if not name.isascii()], tidy),
    ):
        seen: dict[str, str] = {}
        pairs = [(other, name) for name in names if (other := seen.setdefault(form(name), name)) != name]
        if pairs:
            one, other = pairs[0]
            more = f", as {len(pairs) - 1:,} more pairs do" if len(pairs) > 1 else ""
            warnings.warn(
                f"the {what} {one!a} and {other!a} differ only in what is hardly seen{more}; they count as two",
                GandtWarning,
                stacklevel=4,
            )


def _classes(found: Sequence[str], categories: Sequence[Name] | None, gold: Mapping[str, str]) -> tuple[str, ...]:
    if categories is None:
        return tuple(sorted({*found, *gold.values()}))
    classes = tuple(_label(name) for name in categories)
    if len(set(classes)) < len(classes) or not classes:
        raise InputError(f"the categories must be different and at least one; these are {', '.join(classes) or 'none'}")
    for item, label in gold.items():
        if label not in classes:
            known = ", ".join(classes)
            raise InputError(f"gold item {item} has the label {label!r}, which isn't among the categories {known}")
    return classes


def _reasons(item: Ints, worker: Ints, label: Ints) -> npt.NDArray[np.int8]:
    """Say for each row why it can't be used, as a place in ``_REASONS``; 0 where it can."""
    reasons = np.zeros(len(item), dtype=np.int8)
    if min(item.min(initial=0), worker.min(initial=0), label.min(initial=0)) < 0:
        reasons[label == -2] = 4
        reasons[label == -1] = 3
        reasons[worker == -1] = 2
        reasons[item == -1] = 1
    return reasons


def _by_item(item: Ints, rows: Ints) -> Ints:
    """Sort ``rows`` by their item, keeping their order within each; a sparse matrix does it in linear time."""
    size = int(item.max(initial=-1)) + 1
    order = sparse.csr_matrix((rows, (item[rows], np.arange(len(rows), dtype=np.int32))), shape=(size, len(rows)))
    return np.asarray(order.data, dtype=np.int32)


def _repeated(item: Ints, whose: npt.NDArray[Any]) -> Bools:
    """Find, in rows sorted by item, those whose ``whose`` occurred before on the same item."""
    again = np.zeros(len(item), dtype=bool)
    each = np.bincount(item) if len(item) else np.zeros(0, dtype=np.int64)
    if (each * (each - 1) // 2).sum() > _COMPARISONS * len(item):
        return pd.DataFrame({"item": item, "whose": whose}).duplicated().to_numpy(dtype=bool)
    rows = np.arange(len(item))
    for step in range(1, int(each.max(initial=0))):
        # each row is compared with the one so many places on, for as long as that one has the same item
        rows = rows[: np.searchsorted(rows, len(item) - step)]
        rows = rows[item[rows] == item[rows + step]]
        again[rows[whose[rows] == whose[rows + step]] + step] = True
    return again


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


def _earned(workers: "pd.Index[Any]", previous: pd.DataFrame | None) -> Floats:
    """Right and wrong pseudo-answers that give a Beta the reliability and interval of an earlier job."""
    earned = np.zeros((len(workers), 2))
    if previous is None or not len(previous):
        return earned
    needed = ["worker", "reliability", "reliability_low", "reliability_high"]
    missing = [name for name in needed if name not in previous.columns]
    if missing:
        raise InputError(f"the earlier workers table lacks the column {missing[0]}; write it with gandt workers --out")
    table = previous.drop_duplicates("worker").set_index("worker")[needed[1:]].astype(float)
    table.index = table.index.map(as_text)
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
    table = answers[[columns[name] for name in ("item", "worker", "label")]]
    table = table.iloc[rows] if len(rows) else table.iloc[:0]  # taking no row of a long table takes long
    table.columns = pd.Index(["item", "worker", "label"])
    table = table.reset_index(drop=True)
    table.insert(0, "row", rows)
    table["reason"] = [_REASONS[code] for code in reasons[rows]]
    return table[_SET_ASIDE]
