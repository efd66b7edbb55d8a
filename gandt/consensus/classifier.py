"""A classifier's probabilities as one more voice, calibrated.

The idea is CROWDLAB's (H. W. Goh, U. Tkachenko, J. Mueller, "CROWDLAB: Supervised learning to infer consensus labels
and quality scores for data with multiple annotators", 2022): a model on the items' features knows something of items
that few workers saw. Here it is the items' prior within the model itself, as in V. C. Raykar et al., "Learning from
crowds", JMLR 11 (2010), but with the classifier fixed and only its calibration learned along:

    p(class k of item i) ∝ p_ik^β exp(b_k).

A classifier that is too sure gets β < 1, a useless one β ≈ 0, and b corrects its class shares. The probabilities must
be out of sample: of a model that never saw the item, e.g. by cross-validation (:func:`out_of_sample`).
"""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize

from gandt.arguments import checked
from gandt.consensus.crowd import Crowd, Floats
from gandt.errors import InputError, extra
from gandt.names import as_text

_LEAST = 1e-6
# of the logistic regression, on rows of length 1: 1 learns better from noisy labels, 10 from clean ones; see
# benchmarks/classifier.py and docs/consensus.md
_C = 3.0
_SMALL = 5_000_000  # numbers in the vectors, under which one thread is quicker


class Voice:
    """The classifier's probabilities of a crowd's items, and their calibration so far.

    Attributes
    ----------
    speaks : bool array, shape (items,)
        For which items there are probabilities.
    sharpness : float
        β.
    weight : float
        How much of a voice it is: the share of the classes' entropy that it resolves, from 0 (tells nothing) to 1.
    """

    def __init__(self, crowd: Crowd, probabilities: pd.DataFrame) -> None:
        """Match ``probabilities`` (a column item, and one per class) with the crowd's items.

        Raises
        ------
        InputError
            When a class lacks its column, or values aren't probabilities.
        """
        table = read_probabilities(probabilities, crowd.classes)
        values = table.reindex(crowd.items).to_numpy(dtype=float)
        self.speaks = crowd.items.isin(table.index)
        spoken = values[self.speaks]
        if not np.isfinite(spoken).all() or (spoken < 0).any() or (spoken.sum(axis=1) <= 0).any():
            raise InputError("the classifier's table holds values that aren't probabilities: each must be 0 or more")
        spoken = spoken / spoken.sum(axis=1, keepdims=True)
        self._logs = np.log(np.maximum(spoken, _LEAST))
        self.sharpness = 1.0
        self._bias = np.zeros(len(crowd.classes))
        self._weigh()

    def calibrate(self, probabilities: Floats) -> None:
        """Move β and b to where the calibrated voice foretells ``probabilities``, shape (items, classes), best."""
        target = probabilities[self.speaks]
        if not len(target):
            return

        def loss(parameters: Floats) -> tuple[float, Floats]:
            log_p = _log_softmax(parameters[0] * self._logs + parameters[1:])
            gap = np.exp(log_p) - target
            # a little ridge towards β = 1, b = 0 keeps separable cases finite
            ridge = parameters - np.concatenate([[1.0], np.zeros(len(parameters) - 1)])
            gradient = np.concatenate([[(gap * self._logs).sum()], gap.sum(axis=0)]) + ridge
            return float(-(target * log_p).sum() + 0.5 * (ridge**2).sum()), gradient

        start = np.concatenate([[self.sharpness], self._bias])
        bounds = [(0.0, 5.0)] + [(-10.0, 10.0)] * len(self._bias)
        found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 20}).x
        self.sharpness, self._bias = float(found[0]), found[1:]
        self._weigh()

    def _weigh(self) -> None:
        calibrated = self._calibrated()
        shares = np.exp(calibrated)
        mean = shares.mean(axis=0) if len(shares) else np.ones(1)
        possible = -float((mean * np.log(np.maximum(mean, _LEAST))).sum())
        left = -float((shares * calibrated).sum()) / max(len(shares), 1)
        self.weight = min(max(1 - left / possible, 0.0), 1.0) if possible > _LEAST else 0.0

    @property
    def probabilities(self) -> Floats:
        """The calibrated probabilities, shape (items, classes); even where it doesn't speak."""
        classes = len(self._bias)
        told = np.full((len(self.speaks), classes), 1 / classes)
        told[self.speaks] = np.exp(self._calibrated())
        return told

    def _calibrated(self) -> Floats:
        """Return logs of the calibrated probabilities where it speaks, shape (spoken items, classes)."""
        return _log_softmax(self.sharpness * self._logs + self._bias)

    def log_prior(self, log_prior: Floats) -> Floats:
        """Give each item its prior, shape (items, states): the voice where it speaks, else ``log_prior`` (states,)."""
        classes = len(self._bias)
        prior = np.tile(log_prior, (len(self.speaks), 1))
        sets = np.logaddexp.reduce(log_prior.reshape(-1, classes), axis=1)
        calibrated = self._calibrated()
        prior[self.speaks] = np.hstack([calibrated + share for share in sets])
        return prior


def read_probabilities(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return a classifier's probabilities as numbers, one row per item (its index), one column per class.

    Parameters
    ----------
    table : pd.DataFrame
        item, and a column per class; other columns are ignored.
    classes : sequence of str

    Raises
    ------
    InputError
        When a column is missing, or a value isn't a number; the sentence names the item and the column.
    """
    for name in ("item", *classes):
        if name not in table.columns:
            raise InputError(
                f"the classifier's table lacks the column {name!r}; it needs item and one column per class"
            )
    table = table[["item", *classes]].drop_duplicates()
    again = table["item"].duplicated()
    if again.any():
        raise InputError(f"the classifier's table has two rows of the item {table['item'][again].iloc[0]!r}; keep one")
    table = table.set_index("item")[list(classes)]
    table.index = table.index.map(as_text)
    found: dict[str, pd.Series[float]] = {}
    for name in classes:
        numbers = pd.to_numeric(table[name], errors="coerce")
        bad = np.flatnonzero(numbers.isna().to_numpy())
        if len(bad):
            given = "nothing" if pd.isna(table[name].iloc[bad[0]]) else repr(table[name].iloc[bad[0]])
            raise InputError(
                f"the classifier's table says {given} for the item {table.index[bad[0]]!r} in the column {name!r}; "
                "a probability is a number from 0 to 1, such as 0.7"
            )
        found[name] = numbers.astype(float)
    return pd.DataFrame(found)


@checked
def out_of_sample(
    vectors: npt.NDArray[np.floating],
    labels: Sequence[str | None],
    *,
    classes: Sequence[str] = (),
    folds: int = 5,
    seed: int = 0,
) -> tuple[Floats, tuple[str, ...]]:
    """Predict each item's class by a logistic regression that never saw it.

    Parameters
    ----------
    vectors : float array, shape (items, dim)
        Embeddings; only the direction of a row counts, its length doesn't.
    labels : sequence of str or None
        The labels to learn from, e.g. a first consensus; items without one are predicted by all folds' mean.
    classes : sequence of str
        Classes to predict besides those that occur. One without examples gets a little probability, as it may exist.
    folds : int
        The items of a fold are predicted by a model of all the others.
    seed : int
        Of the split into folds; it doesn't depend on the labels.

    Returns
    -------
    probabilities : float64 array, shape (items, classes)
    classes : tuple of str
        In text order.

    Raises
    ------
    MissingExtra
        When scikit-learn isn't installed.
    InputError
        When fewer than two classes have labels, or vectors and labels don't match.
    """
    with extra("local", "a classifier on the embeddings"):
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # scikit-learn needs it itself
    if vectors.ndim != 2 or len(vectors) != len(labels):
        raise InputError(f"there must be one row of vectors per label; {len(labels)} labels, shape {vectors.shape}")
    known = np.array([label is not None and label == label for label in labels])
    names = np.array([str(label) for label in labels], dtype=object)
    if len(set(names[known])) < 2:
        raise InputError("a classifier needs labels of at least two classes; label more items first")
    classes = tuple(sorted({*names[known], *classes}))
    vectors = _unit(vectors)
    fold = np.random.default_rng(seed).integers(folds, size=len(names))
    probabilities = np.zeros((len(names), len(classes)))
    for turn in range(folds):
        train = known & (fold != turn)
        present = sorted(set(names[train]))
        wanted = ~known | (fold == turn)
        if not wanted.any():
            continue
        if len(present) < 2:
            probabilities[wanted] += 1 / len(classes)
            continue
        # small problems are solved in many tiny steps, in which threads mostly wait for each other
        with threadpool_limits(1) if vectors.size < _SMALL else nullcontext():
            model = LogisticRegression(C=_C, max_iter=1000).fit(vectors[train], names[train].astype(str))
        columns = [classes.index(name) for name in present]
        # by the rule of succession, what no example shows isn't impossible
        unseen = 1 / (int(train.sum()) + len(classes))
        told = np.full((int(wanted.sum()), len(classes)), unseen)
        told[:, columns] = model.predict_proba(vectors[wanted]) * (1 - unseen * (len(classes) - len(columns)))
        probabilities[wanted] += told
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, classes


def _unit(vectors: npt.NDArray[np.floating]) -> Floats:
    """Scale each row to length 1; rows of zeros stay as they are."""
    rows = np.asarray(vectors, dtype=np.float64)
    # by the largest entry first, so that squares neither overflow nor vanish
    rows = rows / _or_one(np.abs(rows).max(axis=1, keepdims=True, initial=0.0))
    return np.asarray(rows / _or_one(np.linalg.norm(rows, axis=1, keepdims=True)))


def _or_one(lengths: Floats) -> Floats:
    return np.where(lengths > 0, lengths, 1.0)


def _log_softmax(scores: Floats) -> Floats:
    top = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(top - np.log(np.exp(top).sum(axis=1, keepdims=True)))
