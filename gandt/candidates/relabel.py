"""Another answer here, or a first answer there: one ranking of labelled and unlabelled items.

The idea and the formula are ActiveLab's (H. W. Goh, J. Mueller, "ActiveLab: Active learning with re-labeling by
multiple annotators", 2023): every item has a score, the probability that its current label is right as a weighted mean
of three voices: each worker who answered it, the classifier, and the flat prior 1/K, which stands for the next worker.
An item with two contradicting answers scores below one with two equal ones; an unlabelled item that the classifier is
unsure of scores below both. The lowest scores are asked next.
"""

from typing import Any

import numpy as np
import pandas as pd

from gandt.arguments import checked, require_columns
from gandt.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

ANOTHER, FIRST = "another answer", "first answer"


@checked
def rank_answers(
    answers: pd.DataFrame,
    probabilities: pd.DataFrame,
    labels: pd.DataFrame,
    workers: pd.DataFrame,
    *,
    most: int = 5,
) -> pd.DataFrame:
    """Rank items by how much an answer about them is worth.

    Parameters
    ----------
    answers : DataFrame
        item, worker, label: all answers so far.
    probabilities : DataFrame
        A classifier's: item, and a column per class. Those of answered items must be out of sample.
    labels : DataFrame
        item and label, as :func:`gandt.consolidate` returns them for the answers.
    workers : DataFrame
        worker and reliability, from the same.
    most : int
        Answers per item after which it isn't asked again.

    Returns
    -------
    DataFrame
        item, ask ("another answer" or "first answer"), score (0 to 1), answers (so far), label (the current one, or
        the classifier's); the item to ask first at the top.

    Raises
    ------
    InputError
        When a table lacks a column, or a label is none of the classes.
    """
    for name, table, columns in (
        ("answers", answers, ("item", "worker", "label")),
        ("labels", labels, ("item", "label")),
        ("workers", workers, ("worker", "reliability")),
        ("probabilities", probabilities, ("item",)),
    ):
        require_columns(table, name, *columns)
    classes = [str(name) for name in probabilities.columns if name != "item"]
    if len(classes) < 2:
        raise InputError("ranking needs a classifier's probabilities of two classes; give a column for each")
    answers = answers.dropna(subset=["item", "worker", "label"]).drop_duplicates(["item", "worker", "label"])
    unknown = sorted(set(answers["label"]) - set(classes))
    if unknown:
        raise InputError(f"the label {unknown[0]!r} is none of the classifier's classes {', '.join(classes)}; mend it")
    told = labels.dropna(subset=["label"]).drop_duplicates("item").set_index("item")["label"]
    table = probabilities.drop_duplicates("item").set_index("item")[classes].astype(float)
    values = table.to_numpy()
    numbers = {name: number for number, name in enumerate(classes)}
    current = table.index.to_series().map(told).map(numbers)
    answered = current.notna().to_numpy()
    best = np.where(answered, current.fillna(0).to_numpy(np.int64), values.argmax(axis=1))
    model = values[np.arange(len(values)), best]

    reliability = workers.drop_duplicates("worker").set_index("worker")["reliability"].astype(float)
    shares = np.bincount(best[answered], minlength=len(classes)) / max(answered.sum(), 1)
    base = min(float(shares.max()), 0.99) if answered.any() else 1 / len(classes)
    weight_of_model = _weight(float((values.argmax(axis=1) == best)[answered].mean()) if answered.any() else 0.5, base)
    weight_of = reliability.map(lambda right: _weight(right, base))
    typical = float(weight_of.mean()) if len(weight_of) else 1.0
    right = float(np.clip(reliability.mean() if len(reliability) else 0.8, 1 / len(classes), 0.99))

    row_of = pd.Series(np.arange(len(table)), index=table.index)
    known = answers[answers["item"].isin(table.index)]
    rows = row_of.loc[known["item"]].to_numpy()
    weights = known["worker"].map(weight_of).fillna(typical).to_numpy(float)
    says = np.where(known["label"].map(numbers).to_numpy() == best[rows], right, (1 - right) / (len(classes) - 1))
    size = len(table)
    total = typical / len(classes) + weight_of_model * model + np.bincount(rows, weights * says, size)
    score = total / (typical + weight_of_model + np.bincount(rows, weights, size))
    counts = known.groupby("item")["worker"].nunique().reindex(table.index).fillna(0).to_numpy(np.int64)
    result = pd.DataFrame(
        {
            "item": table.index.to_numpy(),
            "ask": np.where(counts > 0, ANOTHER, FIRST),
            "score": score,
            "answers": counts,
            "label": np.array(classes, object)[best],
        }
    )
    result = result[result["answers"] < most]
    return result.sort_values(["score", "item"], ignore_index=True)


def _weight(right: float, base: float) -> float:
    """Return how much a voice counts: how far its errors stay below those of always saying the commonest class."""
    return float(max(1 - (1 - right) / (1 - base), 1e-3))
