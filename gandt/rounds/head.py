"""The classifier on frozen vectors: which one, learned with balanced classes, its probabilities calibrated."""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from gandt.errors import InputError, extra

Array = np.ndarray[Any, np.dtype[Any]]

FOLDS = 5
# 1 / penalty of the logistic regression, for points of length 1; 10 to 100 did alike on photographs
_STRENGTH = 30.0
_LEAST = 1e-4
_SMALL = 5_000_000


@dataclass(frozen=True)
class Model:
    """A classifier that has learned, and how far to trust it.

    Attributes
    ----------
    classes : tuple of str
    estimator : Any
        The fitted classifier, with scikit-learn's ``predict_proba``; it knows the classes by their numbers.
    sharpness : float
        Power to which probabilities are raised, learned from predictions for labelled items that it had not seen.
    out_of_sample : float64 array, shape (labelled, classes)
        Calibrated probabilities of the items it learned from, each by a model that never saw it.
    """

    classes: tuple[str, ...]
    estimator: Any
    sharpness: float
    out_of_sample: Array

    def probabilities(self, points: Array) -> Array:
        """Return calibrated probabilities (items, classes) of points (items, dim)."""
        return _sharpened(_predict(self.estimator, points, len(self.classes)), self.sharpness)


def learn(
    points: Array,
    labels: Sequence[str],
    *,
    classes: Sequence[str] | None = None,
    classifier: str = "logistic",
    options: Mapping[str, Any] | None = None,
    balance: bool = True,
    weights: Array | None = None,
    seed: int = 0,
) -> Model:
    """Learn a classifier from labelled points.

    Parameters
    ----------
    points : float array, shape (labelled, dim)
        As :class:`gandt.candidates.points.Points` gives them.
    labels : sequence of str
        One label each.
    classes : sequence of str, optional
        Every label there is; by default those that occur. One without examples gets next to no probability.
    classifier : str
        See :func:`make_classifier`.
    options : mapping, optional
        The classifier's own parameters.
    balance : bool
        Let every class weigh the same, where the classifier can.
    weights : float array, shape (labelled,), optional
        How much each example counts, such as its label's confidence, where the classifier can.
    seed : int
        Of folds and classifier.

    Raises
    ------
    InputError
        When fewer than two classes have labels, or the classifier can't be used.
    MissingExtraError
        When its package isn't installed.
    """
    present = sorted(set(labels))
    if len(present) < 2:
        only = f"only {present[0]!r} has" if present else "none has"
        raise InputError(f"a classifier needs labels of two classes, and {only}; label some items of another class")
    names = tuple(classes) if classes is not None else tuple(present)
    unknown = sorted(set(present) - set(names))
    if unknown:
        raise InputError(f"the label {unknown[0]!r} is none of the classes {', '.join(names)}; add it, or mend it")
    number = {name: index for index, name in enumerate(names)}
    targets = np.array([number[label] for label in labels])
    shares = np.ones(len(targets)) if weights is None else np.asarray(weights, float)

    def fit(rows: Array) -> Any:
        estimator = make_classifier(classifier, options, seed=seed)
        return _fit(estimator, points[rows], targets[rows], shares[rows], balance, classifier)

    folds = _folds(targets, seed)
    held_out = np.full((len(targets), len(names)), 1 / len(names))
    for fold in range(folds.max() + 1):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(np.unique(targets[train])) > 1:
            held_out[test] = _predict(fit(train), points[test], len(names))
    sharpness = _calibrate(held_out, targets)
    return Model(names, fit(np.arange(len(targets))), sharpness, _sharpened(held_out, sharpness))


def make_classifier(name: str, options: Mapping[str, Any] | None = None, *, seed: int = 0) -> Any:
    """Make a classifier that hasn't learned yet.

    Parameters
    ----------
    name : str
        ``logistic``, ``torch`` (a small network; needs the extra ``gpu``), or any classifier of scikit-learn by its
        full name, such as ``sklearn.ensemble.RandomForestClassifier``. Nothing outside scikit-learn is imported.
    options : mapping, optional
        Its parameters.
    seed : int
        Its ``random_state``, where it has one.

    Raises
    ------
    InputError
        When there is no such classifier, an option is none of its own, or it gives no probabilities.
    """
    given = dict(options or {})
    with extra("local", "a classifier on the embeddings"):
        import sklearn.base
        import sklearn.linear_model
    if name == "torch":
        from gandt.rounds.network import Network

        kind: Any = Network
    elif name == "logistic":
        kind = sklearn.linear_model.LogisticRegression
        given = {"C": _STRENGTH, "max_iter": 1000, **given}
    else:
        kind = _named(name)
        if not (inspect.isclass(kind) and issubclass(kind, sklearn.base.ClassifierMixin)):
            raise InputError(f"{name} is no classifier; take for instance sklearn.ensemble.RandomForestClassifier")
    known = inspect.signature(kind).parameters
    if "random_state" in known:
        given.setdefault("random_state", seed)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"the classifier {name} has no option {unknown[0]!r}; it has {', '.join(known)}")
    try:
        estimator = kind(**given)
    except TypeError as error:
        raise InputError(f"the classifier {name} can't be made: {error}; give what it needs as options") from error
    if not hasattr(estimator, "predict_proba"):
        raise InputError(
            f"the classifier {name} gives no probabilities; take one that has predict_proba, such as logistic or "
            "sklearn.ensemble.RandomForestClassifier"
        )
    return estimator


def _named(name: str) -> Any:
    """Return the object behind a dotted name within scikit-learn, by public parts only."""
    parts = name.split(".")
    if len(parts) < 3 or parts[0] != "sklearn" or not all(part.isidentifier() and part[0] != "_" for part in parts):
        raise InputError(
            f"there is no classifier {name!r}; take logistic, torch, or one of scikit-learn by its full name, "
            "such as sklearn.ensemble.RandomForestClassifier"
        )
    try:
        return getattr(importlib.import_module(".".join(parts[:-1])), parts[-1])
    except (ImportError, AttributeError) as error:
        raise InputError(f"scikit-learn has no {name}; check its name") from error


def _fit(estimator: Any, points: Array, targets: Array, shares: Array, balance: bool, name: str) -> Any:
    if balance:
        counts = np.bincount(targets)
        shares = shares * len(targets) / (np.count_nonzero(counts) * counts[targets])
    takes = "sample_weight" in inspect.signature(estimator.fit).parameters
    from threadpoolctl import threadpool_limits  # scikit-learn needs it itself

    # small problems are solved in many tiny steps, in which threads mostly wait for each other
    limits = threadpool_limits(1) if points.size < _SMALL else nullcontext()
    try:
        with limits:
            return estimator.fit(points, targets, sample_weight=shares) if takes else estimator.fit(points, targets)
    except (ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the classifier {name} can't learn from these labels: {reason}") from error


def _predict(estimator: Any, points: Array, classes: int) -> Array:
    """Return the classifier's probabilities in all classes' columns, none of them 0."""
    found = np.zeros((len(points), classes))
    if len(points):
        found[:, np.asarray(estimator.classes_, int)] = estimator.predict_proba(points)
    found = np.maximum(np.nan_to_num(found), _LEAST)
    result: Array = found / found.sum(axis=1, keepdims=True)
    return result


def _folds(targets: Array, seed: int) -> Array:
    """Return the fold of each example; the classes are spread evenly over the folds."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(targets)), targets))
    folds = np.empty(len(targets), np.int64)
    folds[order] = np.arange(len(targets)) % min(FOLDS, len(targets))
    return folds


def _calibrate(held_out: Array, targets: Array) -> float:
    """Return the power that makes probabilities foretell the labels best (temperature scaling), near 1 with few."""
    logs = np.log(held_out)
    rows = np.arange(len(targets))

    def loss(log_power: float) -> float:
        scores = np.exp(log_power) * logs
        scores = scores - scores.max(axis=1, keepdims=True)
        hit = scores[rows, targets] - np.log(np.exp(scores).sum(axis=1))
        return float(-hit.sum() + 4 * log_power**2)

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-2.5, 1.5), method="bounded").x))


def _sharpened(probabilities: Array, power: float) -> Array:
    raised = probabilities**power
    result: Array = raised / raised.sum(axis=1, keepdims=True)
    return result
