"""Answers and vectors in, labels out: consensus and classifier teach each other, turn by turn.

Where workers gave one or two answers an item, what the items look like tells the most. So a classifier learns from the
labels so far and joins the crowd as one more, calibrated voice (:mod:`gandt.consensus.classifier`); the labels that
come out are better, and so is what the classifier learns from them in the next turn.

Nothing confirms itself directly: each item is predicted by a model that didn't learn from its label. Every turn uses
the same folds. Measured (docs/consensus.md), a new split each turn makes no difference, nor does it help to weigh
examples by their confidence, or to keep an item's answers out of all earlier turns of the model that predicts it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gandt.arguments import checked
from gandt.consensus.classifier import out_of_sample
from gandt.consensus.consolidate import Consensus, consolidate
from gandt.consensus.crowd import Floats
from gandt.errors import InputError, extra
from gandt.names import as_text


@checked
def consolidate_with_vectors(
    answers: pd.DataFrame,
    items: Sequence[str],
    vectors: npt.NDArray[np.floating],
    *,
    turns: int = 3,
    folds: int = 5,
    seed: int = 0,
    method: str = "auto",
    **options: Any,
) -> Consensus:
    """Consolidate answers with a classifier that learns from them, on the items' vectors.

    Parameters
    ----------
    answers : pd.DataFrame
        As :func:`consolidate` takes them. Items without a vector count as they would there.
    items : sequence of str
        The items that the rows of ``vectors`` belong to. Those that nobody answered appear as "unanswered".
    vectors : float array, shape (items, dim)
        Embeddings; only their direction counts.
    turns : int
        How often the classifier learns and the answers are consolidated again; 0 leaves it at the answers alone.
    folds, seed
        Of the classifier's cross-validation; see :func:`out_of_sample`.
    method : str
        One that hears a classifier: auto, one-coin, dawid-skene or ground-truth.
    options
        Of :func:`consolidate`, such as categories, gold (from which the classifier learns too) and target.

    Returns
    -------
    Consensus
        Of the last turn; of the answers alone while fewer than two classes have labels.

    Raises
    ------
    InputError
        When items repeat, don't match ``vectors``, or vectors hold gaps; and as :func:`consolidate` does.
    MissingExtraError
        When scikit-learn isn't installed.
    """
    names = [as_text(item) for item in items]
    points = _checked(names, vectors)
    if turns < 0 or folds < 2:
        raise InputError(f"there must be 0 turns or more, and at least 2 folds; they are {turns} and {folds}")
    if options.get("classifier") is not None:
        raise InputError("with vectors the classifier is learned here; leave out the table of its probabilities")
    options = {**options, "classifier": None, "method": method}
    gold = {as_text(item): as_text(label) for item, label in (options.get("gold") or {}).items()}
    found = consolidate(answers, items=names, **options)
    with extra("local", "a classifier on the embeddings"):
        from threadpoolctl import threadpool_limits  # scikit-learn needs it itself
    for _ in range(turns):
        given = found.labels.dropna(subset=["label"])
        known = dict(zip(given["item"], given["label"], strict=True)) | gold
        labels = [known.get(name) for name in names]
        if len(set(labels) - {None}) < 2:
            break
        told, classes = out_of_sample(points, labels, classes=found.classes, folds=folds, seed=seed)
        options["classifier"] = pd.DataFrame(told, columns=list(classes)).assign(item=names)
        with threadpool_limits(1):  # to calibrate a voice takes many tiny steps, in which threads wait for each other
            found = consolidate(answers, items=names, **options)
    return found


def _checked(names: list[str], vectors: npt.NDArray[np.floating]) -> Floats:
    points = np.asarray(vectors, dtype=np.float64)
    if points.ndim != 2 or len(points) != len(names) or not points.shape[1]:
        raise InputError(f"there must be one row of vectors per item; {len(names)} items, shape {points.shape}")
    if len(set(names)) < len(names):
        raise InputError("an item has several vectors; name each item once")
    if not np.isfinite(points).all():
        raise InputError("vectors hold values that aren't finite; leave out the items that have none")
    return points
