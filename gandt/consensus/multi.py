"""Several labels per item: binary relevance, one yes-or-no question per class.

A worker who answered an item answered every class: yes to those he chose, no to the others; choosing "none of these"
is an answer too, no to them all. Each class is consolidated on its own by the method, so a worker may be good at dogs
and bad at cats. An item's label is the set of classes that are more likely than not; its confidence is the product of
the classes' confidences.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gandt.consensus.calibration import CORRELATION
from gandt.consensus.classifier import Voice
from gandt.consensus.consolidate import METHODS, Consensus, solve, status, warn_unless_converged
from gandt.consensus.crowd import Bools, Crowd, Fit, Floats
from gandt.consensus.em import Limits
from gandt.consensus.encode import encode
from gandt.errors import InputError

_ANSWERS = ("no", "yes")


def consolidate_sets(
    answers: pd.DataFrame,
    *,
    none: str | None = None,
    method: str = "auto",
    categories: Sequence[str] | None = None,
    items: Sequence[str] | None = None,
    gold: Mapping[str, Sequence[str]] | None = None,
    target: float = 0.95,
    min_answers: int = 2,
    correlation: float | None = None,
    classifier: pd.DataFrame | None = None,
    iterations: int = 500,
    tolerance: float = 1e-4,
    **given: Any,
) -> Consensus:
    """Turn answers of several labels each into one set of labels per item.

    Parameters
    ----------
    answers : pd.DataFrame
        item (or task), worker, label; one row for each label that a worker chose, and one for ``none``.
    none : str, optional
        The label that says "none of the categories".
    gold : mapping of item to a sequence of labels, optional
        Empty, or ``[none]``, where none is right.
    classifier : pd.DataFrame, optional
        item, and per class a column with its probability on its own (they need not sum to 1).
    **given
        exclude and previous, as for :func:`gandt.consolidate`, which explains the other parameters.

    Returns
    -------
    Consensus
        ``labels.label`` is a JSON list of the chosen classes in the categories' order (``[none]``, or ``[]`` where no
        name for it was given); ``votes`` are the workers who chose just that set; ``probabilities`` hold each class's
        own probability, so rows don't sum to 1.

    Raises
    ------
    InputError
        As for :func:`gandt.consolidate`; and when every answer was ``none`` and no categories are given.
    """
    if method not in METHODS:
        raise InputError(f"there is no consensus method {method!r}; choose one of {', '.join(METHODS)}")
    if not 0 < target <= 1:
        raise InputError(f"the target accuracy must lie above 0 and at most at 1; it is {target}")
    asked = list(dict.fromkeys([*(categories or ()), *([none] if none else [])])) if categories else None
    flat = encode(answers, categories=asked, items=items, several=True)
    classes = [name for name in flat.classes if name != none]
    for name in sorted({label for labels in (gold or {}).values() for label in labels} - {*classes, none}):
        raise InputError(f"a gold item has the label {name!r}, which isn't among the categories {', '.join(classes)}")
    if not classes:
        raise InputError("no category is left beside none; name the categories")
    chosen, item, worker = _sets(flat, classes)

    limits = Limits(iterations, tolerance)
    parts: list[tuple[Crowd, Fit]] = []
    columns, correlations = [], []
    base = pd.DataFrame(
        {
            "item": _coded(item, flat.items),
            "worker": _coded(worker, flat.workers),
        }
    )
    for place, name in enumerate(classes):
        table = base.assign(label=_coded(chosen[:, place], _ANSWERS))
        known = {key: _ANSWERS[name in labels] for key, labels in (gold or {}).items()}
        crowd = encode(table, categories=_ANSWERS, items=list(flat.items), gold=known, **given)
        if classifier is not None:
            if name not in classifier.columns:
                raise InputError(f"the classifier's table lacks the column {name!r}")
            own = classifier[["item"]].assign(no=1 - classifier[name].astype(float), yes=classifier[name])
            crowd = replace(crowd, voice=Voice(crowd, own))
        fit, probabilities, rho = solve(crowd, method, limits, correlation)
        parts.append((crowd, fit))
        columns.append(probabilities[:, 1])
        correlations.append(rho)
    warn_unless_converged([fit for _, fit in parts], method)

    kept = ~parts[0][0].gold
    relevance = np.stack(columns, axis=1)
    labels = _labels(relevance, chosen, item, classes, none)
    labels.insert(0, "item", flat.items)
    certain = (labels["confidence"] >= target) & (parts[0][0].speakers() >= min_answers)
    labels.insert(3, "status", status(labels["workers"].to_numpy(), certain.to_numpy()))
    labels["method"] = method
    return Consensus(
        labels=labels[kept].reset_index(drop=True),
        probabilities=relevance[kept],
        classes=tuple(classes),
        method=method,
        iterations=max(fit.iterations for _, fit in parts),
        converged=all(fit.converged for _, fit in parts),
        set_aside=flat.set_aside,
        correlation=float(np.mean(correlations)) if correlations else CORRELATION,
        parts=tuple(parts),
    )


def _sets(flat: Crowd, classes: Sequence[str]) -> tuple[Bools, Any, Any]:
    """Gather each worker's labels on an item: chosen (answers, classes), item and worker codes (answers,)."""
    key = flat.item.astype(np.int64) * max(len(flat.workers), 1) + flat.worker
    distinct, place = np.unique(key, return_inverse=True)
    chosen = np.zeros((len(distinct), len(classes)), dtype=bool)
    column = np.array([classes.index(name) if name in classes else -1 for name in flat.classes], dtype=np.int64)
    wanted = column[flat.label] >= 0
    chosen[place[wanted], column[flat.label[wanted]]] = True
    return chosen, distinct // max(len(flat.workers), 1), distinct % max(len(flat.workers), 1)


def _coded(codes: Any, names: Any) -> pd.Categorical:
    return pd.Categorical.from_codes(codes.astype(np.int64), pd.Index(list(names)))


def _labels(relevance: Floats, chosen: Bools, item: Any, classes: Sequence[str], none: str | None) -> pd.DataFrame:
    sets = relevance > 0.5
    workers = np.bincount(item, minlength=len(relevance))
    same = (chosen == sets[item]).all(axis=1)
    answered = workers > 0
    names = np.array([_text(row, classes, none) for row in sets], dtype=object)
    names[~answered] = None
    return pd.DataFrame(
        {
            "label": names,
            "confidence": np.where(answered, np.maximum(relevance, 1 - relevance).prod(axis=1), np.nan),
            "votes": np.bincount(item[same], minlength=len(relevance)),
            "workers": workers,
        }
    )


def _text(row: Bools, classes: Sequence[str], none: str | None) -> str:
    names = [name for name, wanted in zip(classes, row, strict=True) if wanted]
    return json.dumps(names or ([none] if none else []), ensure_ascii=False)
