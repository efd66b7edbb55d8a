"""How good a classifier is on held-out gold, each figure with its 95 % interval."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gandt.report.measure import Share
from gandt.rounds.head import Model

Array = np.ndarray[Any, np.dtype[Any]]

_DRAWS = 200


def measure_head(model: Model, points: Array, labels: list[str], *, seed: int = 0) -> dict[str, Any]:
    """Return accuracy, balanced accuracy, AUC, log loss and calibration error on gold.

    Parameters
    ----------
    model : Model
    points : float array, shape (gold, dim)
    labels : list of str
        Their true labels, all of them classes of the model.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        gold (count), accuracy with accuracy_low and accuracy_high (Wilson), balanced_accuracy and auc (mean over
        classes of one against the rest; None where gold has one class) with _low and _high (bootstrap, 200 draws),
        log_loss, calibration_error (10 bins). All None without gold.
    """
    names = ["accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "balanced_accuracy_low"]
    names += ["balanced_accuracy_high", "auc", "auc_low", "auc_high", "log_loss", "calibration_error"]
    if not labels:
        return {"gold": 0, **dict.fromkeys(names)}
    found = model.probabilities(points)
    truth = np.array([model.classes.index(label) for label in labels])
    right = found.argmax(axis=1) == truth
    share = Share.of(int(right.sum()), len(right))
    confidence = found.max(axis=1)
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    rng = np.random.default_rng(seed)
    draws = [rng.integers(len(truth), size=len(truth)) for _ in range(_DRAWS)]
    return {
        "gold": len(labels),
        "accuracy": share.share,
        "accuracy_low": share.low,
        "accuracy_high": share.high,
        **_with_interval("balanced_accuracy", lambda rows: _balanced(found[rows], truth[rows]), draws),
        **_with_interval("auc", lambda rows: _auc(found[rows], truth[rows]), draws),
        "log_loss": float(-np.log(np.maximum(found[np.arange(len(truth)), truth], 1e-12)).mean()),
        "calibration_error": float(sum(gaps)),
    }


def _with_interval(name: str, measure: Callable[[Array], float | None], draws: list[Array]) -> dict[str, Any]:
    value = measure(np.arange(len(draws[0])))
    values = [each for each in map(measure, draws) if each is not None] if value is not None else []
    low, high = (float(each) for each in np.quantile(values, [0.025, 0.975])) if values else (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _balanced(found: Array, truth: Array) -> float:
    predicted = found.argmax(axis=1)
    return float(np.mean([(predicted[truth == k] == k).mean() for k in np.unique(truth)]))


def _auc(found: Array, truth: Array) -> float | None:
    """Return the mean over classes of the chance that an item of the class scores above one of another."""
    from scipy.stats import rankdata

    areas = []
    for k in np.unique(truth):
        own = truth == k
        if own.all():
            return None
        ranks = rankdata(found[:, k])
        areas.append((ranks[own].sum() - own.sum() * (own.sum() + 1) / 2) / (own.sum() * (~own).sum()))
    return float(np.mean(areas))
