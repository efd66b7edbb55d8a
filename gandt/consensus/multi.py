"""Several labels per item: binary relevance, one yes-or-no question per class.

A worker who answered an item answered every class: yes to those he chose, no to the others; choosing "none of these"
is an answer too, no to them all. Each class is consolidated on its own by the method, so a worker may be good at dogs
and bad at cats. Each class has a probability and a status of its own. An item's label is the set of classes that are
more likely than not; it is confident when each of its classes is, yes or no, and its confidence is the probability that
the whole set is right.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gandt.arguments import checked
from gandt.consensus.calibration import discount, promise
from gandt.consensus.classifier import Voice, read_probabilities
from gandt.consensus.consolidate import (
    METHODS,
    Consensus,
    Solved,
    named,
    solve,
    status,
    to_calibrate,
    warn_unless_converged,
)
from gandt.consensus.crowd import Bools, Crowd, Floats
from gandt.consensus.em import Limits
from gandt.consensus.encode import Name, encode
from gandt.errors import InputError

_ANSWERS = ("no", "yes")


@checked
def consolidate_sets(
    answers: pd.DataFrame,
    *,
    none: str | None = None,
    method: str = "auto",
    categories: Sequence[Name] | None = None,
    items: Sequence[Name] | None = None,
    gold: Mapping[Any, Sequence[str]] | None = None,
    target: float = 0.95,
    min_answers: int = 2,
    dependence: float | None = None,
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
        name for it was given); ``votes`` are the workers who chose just that set; ``confidence_map`` is a JSON object
        of each class's own probability, as Ground Truth's ``confidence-map``; ``by_class`` has each class's status;
        ``probabilities`` hold each class's own probability, so rows don't sum to 1.

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
    crowds: list[Crowd] = []
    solved: list[Solved] = []
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
            told = read_probabilities(classifier, [name])[name]
            own = pd.DataFrame({"item": told.index, "no": 1 - told.to_numpy(), "yes": told.to_numpy()})
            crowd = replace(crowd, voice=Voice(crowd, own))
        solved.append(solve(crowd, method, limits, dependence, target, min_answers))
        crowds.append(crowd)
    warn_unless_converged([one.fit for one in solved], method)

    kept = ~crowds[0].gold
    rho = float(np.mean([one.dependence for one in solved]))
    relevance = np.stack([one.probabilities[:, 1] for one in solved], axis=1)
    raw = np.stack([to_calibrate(one.fit)[:, 1] for one in solved], axis=1)
    sets = np.stack([one.fit.probabilities[:, 1] for one in solved], axis=1) > 0.5
    labels = _labels(sets, _confidence(sets, raw, crowds[0].answered, rho), chosen, item, classes, none)
    labels.insert(0, "item", flat.items)
    stated = np.where(sets, relevance, 1 - relevance)
    sure = (stated >= target) & (crowds[0].speakers() >= min_answers)[:, None]
    labels.insert(3, "status", status(labels["workers"].to_numpy(), np.asarray(sure.all(axis=1))))
    labels["method"] = method
    labels["confidence_map"] = _maps(relevance, classes, labels["workers"].to_numpy() > 0)
    promises = [one.promise for one in solved if one.promise is not None]
    return Consensus(
        labels=labels[kept].reset_index(drop=True),
        probabilities=relevance[kept],
        classes=tuple(classes),
        method=method,
        iterations=max(one.fit.iterations for one in solved),
        converged=all(one.fit.converged for one in solved),
        set_aside=flat.set_aside,
        dependence=rho,
        promise=promise(target, *(sum(kind) for kind in zip(*((p.items, p.right) for p in promises), strict=True)))
        if promises
        else None,
        parts=tuple((crowd, one.fit) for crowd, one in zip(crowds, solved, strict=True)),
        by_class=_by_class(labels[kept], sets[kept], stated[kept], sure[kept], classes),
    )


def _by_class(labels: pd.DataFrame, sets: Bools, stated: Floats, sure: Bools, classes: Sequence[str]) -> pd.DataFrame:
    """List each item's categories on their own, in the categories' order."""
    count = len(classes)
    workers = np.repeat(labels["workers"].to_numpy(), count)
    return pd.DataFrame(
        {
            "item": np.repeat(labels["item"].to_numpy(), count),
            "category": np.tile(np.array(classes, dtype=object), len(labels)),
            "label": named(_ANSWERS, np.where(workers > 0, sets.ravel().astype(np.int64), -1)),
            "confidence": np.where(workers > 0, stated.ravel(), np.nan),
            "status": status(workers, sure.ravel()),
        }
    )


def _maps(relevance: Floats, classes: Sequence[str], answered: Bools) -> list[str | None]:
    """Write each item's probabilities by class as JSON, as Ground Truth does its confidence-map."""
    return [
        json.dumps({name: round(float(p), 4) for name, p in zip(classes, row, strict=True)}, ensure_ascii=False)
        if known
        else None
        for row, known in zip(relevance, answered, strict=True)
    ]


def _confidence(sets: Bools, raw: Floats, answered: Floats, dependence: float) -> Floats:
    """Return the probability that the whole set is right, shape (items,): the classes' product, discounted once.

    The classes' own confidences are each discounted for errors that workers share on an item; multiplying those would
    discount the same errors once for each class.
    """
    right = np.clip(np.where(sets, raw, 1 - raw), 1e-12, 1.0).prod(axis=1)
    both = np.stack([right, np.maximum(1 - right, 1e-12)], axis=1)
    return discount(both, answered, dependence)[:, 0]


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


def _labels(
    sets: Bools, confidence: Floats, chosen: Bools, item: Any, classes: Sequence[str], none: str | None
) -> pd.DataFrame:
    workers = np.bincount(item, minlength=len(sets))
    same = (chosen == sets[item]).all(axis=1)
    answered = workers > 0
    names = np.array([_text(row, classes, none) for row in sets], dtype=object)
    names[~answered] = None
    return pd.DataFrame(
        {
            "label": names,
            "confidence": np.where(answered, confidence, np.nan),
            "votes": np.bincount(item[same], minlength=len(sets)),
            "workers": workers,
        }
    )


def _text(row: Bools, classes: Sequence[str], none: str | None) -> str:
    names = [name for name, wanted in zip(classes, row, strict=True) if wanted]
    return json.dumps(names or ([none] if none else []), ensure_ascii=False)
