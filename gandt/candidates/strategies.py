"""Strategies: which items of the pool to ask about next.

A strategy is a function ``(probabilities, embeddings, n, rng) -> indices``: the classifier's probabilities of the
unlabelled items (None where there is no classifier yet), their vectors, how many are wanted, a random generator; it
returns ``n`` distinct indices, the most wanted first. Where it takes ``labelled=`` it also gets the vectors of what
is labelled already.

A name says which: an uncertainty (:data:`gandt.candidates.uncertainty.UNCERTAINTIES`), a diversity
(:data:`DIVERSITIES`), or one of each, as in ``entropy+k-center``. An uncertainty alone takes the top n; a diversity
alone holds all items equally uncertain. What fits neither is in :data:`OTHERS`. ``default`` is ``margin+design``.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from gandt.arguments import checked
from gandt.candidates.points import kmeans, squared_distances
from gandt.candidates.uncertainty import UNCERTAINTIES, Array, consensus, least_confidence
from gandt.errors import InputError

DEFAULT = "margin+design"
_CLUSTERS = 500  # at most, as in TypiClust's paper, unless more items are wanted
# strategies that compare items with one another look at so many of them at most
LIMIT = 4_000


class Strategy(Protocol):
    """Choose ``n`` of the items."""

    def __call__(self, probabilities: Array | None, embeddings: Array, n: int, rng: np.random.Generator, /) -> Array:
        """Return n distinct indices into ``embeddings``, int64, the most wanted first."""
        ...


class Diversity(Protocol):
    """Choose ``n`` of the items by their uncertainty and by how they lie."""

    def __call__(
        self, uncertainty: Array, embeddings: Array, n: int, rng: np.random.Generator, *, labelled: Array
    ) -> Array:
        """Return n distinct indices, the most wanted first; ``uncertainty`` (items,) is all ones where unknown."""
        ...


DIVERSITIES: dict[str, Diversity] = {}
OTHERS: dict[str, Strategy] = {}


@checked
def strategy(name: str) -> Strategy:
    """Return the strategy of a name such as ``default``, ``random``, ``margin`` or ``entropy+k-center``.

    Raises
    ------
    InputError
        When there is none; the sentence lists the names.
    """
    given = DEFAULT if name == "default" else name
    if given in OTHERS:
        return OTHERS[given]
    first, _, second = given.partition("+")
    if first in DIVERSITIES and not second:
        return partial(_combined, None, DIVERSITIES[first])
    if first in UNCERTAINTIES and (second or "top") in DIVERSITIES:
        return partial(_combined, UNCERTAINTIES[first], DIVERSITIES[second or "top"])
    raise InputError(
        f"there is no strategy {name!r}; take default, {', '.join([*UNCERTAINTIES, *DIVERSITIES, *OTHERS])}, "
        "or an uncertainty with a diversity, as in entropy+k-center"
    )


@checked
def choose(
    how: str | Strategy,
    probabilities: Array | None,
    embeddings: Array,
    n: int,
    rng: np.random.Generator,
    *,
    labelled: Array | None = None,
) -> Array:
    """Choose ``n`` items by a strategy, named or written by the user, and check what it returns.

    Parameters
    ----------
    how : str or Strategy
        A name, or a function ``(probabilities, embeddings, n, rng) -> indices``.
    probabilities : float array, shape (items, classes) or (annotators, items, classes), optional
        None where there is no classifier yet.
    embeddings : float array, shape (items, dim)
        Vectors of the unlabelled items.
    n : int
        How many are wanted.
    rng : numpy.random.Generator
        Source of every random choice.
    labelled : float array, shape (labelled, dim), optional
        Vectors of what is labelled already.

    Returns
    -------
    int64 array, shape (n,)
        Indices of the items, the most wanted first.

    Raises
    ------
    InputError
        When there are fewer than ``n`` items, the strategy is unknown, or it returns no n distinct indices.
    """
    if not 1 <= n <= len(embeddings):
        some = f"{len(embeddings):,} unlabelled item{'s'[: len(embeddings) != 1]}" if len(embeddings) else "no items"
        raise InputError(f"{n:,} items are wanted and the pool has {some}; ask for fewer, or enlarge the pool")
    if embeddings.ndim != 2 or (labelled is not None and np.shape(labelled)[1:] != embeddings.shape[1:]):
        raise InputError(
            f"vectors must be one row per item, all of one length; they have the shapes {embeddings.shape}"
            + (f" and, of the labelled, {np.shape(labelled)}" if labelled is not None else "")
        )
    if probabilities is not None and (probabilities.ndim not in (2, 3) or probabilities.shape[-2] != len(embeddings)):
        some = f"{probabilities.shape[-2]:,} items" if probabilities.ndim > 1 else f"the shape {probabilities.shape}"
        raise InputError(
            f"there are probabilities for {some} and vectors for {len(embeddings):,}; give both for the same items"
        )
    function = strategy(how) if isinstance(how, str) else how
    extra: dict[str, Any] = {"labelled": labelled} if labelled is not None and _takes_labelled(function) else {}
    chosen = np.asarray(function(probabilities, embeddings, n, rng, **extra))
    good = chosen.shape == (n,) and np.issubdtype(chosen.dtype, np.integer)
    if not good or len(np.unique(chosen)) < n or chosen.min() < 0 or chosen.max() >= len(embeddings):
        raise InputError(
            f"the strategy {getattr(function, '__name__', how)!r} must return {n} distinct indices below "
            f"{len(embeddings)}, and returned an array of shape {chosen.shape}"
        )
    return chosen.astype(np.int64)


def _takes_labelled(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return False
    return "labelled" in parameters


def _combined(
    uncertainty: Callable[[Array], Array] | None,
    diversity: Diversity,
    probabilities: Array | None,
    embeddings: Array,
    n: int,
    rng: np.random.Generator,
    *,
    labelled: Array | None = None,
) -> Array:
    known = uncertainty is not None and probabilities is not None
    scores = uncertainty(probabilities) if known else np.ones(len(embeddings))  # type: ignore[misc, arg-type]
    if not known and diversity is top:
        diversity = at_random  # nothing is known yet, and the first n of a pool are no fair choice
    embeddings = np.asarray(embeddings, np.float32)
    labelled = embeddings[:0] if labelled is None else np.asarray(labelled, np.float32)
    return diversity(scores, embeddings, n, rng, labelled=labelled)


# ---------------------------------------------------------------------- diversities


def _diversity(name: str) -> Callable[[Diversity], Diversity]:
    def add(function: Diversity) -> Diversity:
        DIVERSITIES[name] = function
        return function

    return add


@_diversity("top")
def top(uncertainty: Array, embeddings: Array, n: int, rng: np.random.Generator, *, labelled: Array) -> Array:
    """Take the n most uncertain; ties at random."""
    return np.lexsort((rng.random(len(uncertainty)), -uncertainty))[:n]


@_diversity("random")
def at_random(uncertainty: Array, embeddings: Array, n: int, rng: np.random.Generator, *, labelled: Array) -> Array:
    """Draw without replacement, each item in proportion to its uncertainty."""
    weights = np.maximum(uncertainty, 1e-9)
    # the n largest of log(u) / weight are such a draw (Efraimidis and Spirakis, 2006)
    keys = np.log(np.maximum(rng.random(len(weights)), 1e-300)) / weights
    return np.argsort(-keys)[:n]


@_diversity("proximity")
def proximity(uncertainty: Array, embeddings: Array, n: int, rng: np.random.Generator, *, labelled: Array) -> Array:
    """Take ten at a time: the most uncertain, those far from the centre of what is chosen up to 30 % more so."""
    chosen: list[int] = []
    left = np.ones(len(uncertainty), bool)
    scores = uncertainty
    tie = rng.random(len(uncertainty))
    while len(chosen) < n:
        order = np.lexsort((tie, -scores))
        some = order[left[order]][: min(10, n - len(chosen))]
        chosen += some.tolist()
        left[some] = False
        far = np.linalg.norm(embeddings - embeddings[chosen].mean(axis=0), axis=1)
        span = max(float(far.max() - far.min()), 1e-12)
        scores = uncertainty * (1 + 0.3 * (2 * (far - far.min()) / span - 1))
    return np.array(chosen)


@_diversity("cluster")
def cluster(uncertainty: Array, embeddings: Array, n: int, rng: np.random.Generator, *, labelled: Array) -> Array:
    """Take the most uncertain of each of three clusters (k-means), as many as its share of the pool."""
    groups = kmeans(embeddings, min(3, n), rng)
    order = np.lexsort((rng.random(len(uncertainty)), -uncertainty))
    rank = np.empty(len(order))
    sizes = np.bincount(groups)
    for group in np.flatnonzero(sizes):
        members = order[groups[order] == group]
        # the i-th of a cluster comes when i / its size of the pool has been taken: any n has all in proportion
        rank[members] = (np.arange(len(members)) + 0.5) / sizes[group]
    return np.lexsort((-uncertainty, rank))[:n]


@_diversity("k-center")
def k_center(uncertainty: Array, embeddings: Array, n: int, rng: np.random.Generator, *, labelled: Array) -> Array:
    """Take one after another the farthest from all that is labelled or chosen (coreset); distance times uncertainty.

    Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018, greedy.
    """
    squares = (embeddings**2).sum(axis=1)
    nearest = np.full(len(embeddings), np.inf)

    def move(point: Array) -> None:
        np.minimum(nearest, squares + point @ point - 2 * embeddings @ point, out=nearest)

    for start in range(0, len(labelled), 256):
        np.minimum(nearest, squared_distances(embeddings, labelled[start : start + 256]).min(axis=1), out=nearest)
    chosen: list[int] = []
    left = np.ones(len(embeddings), bool)
    for _ in range(n):
        far = np.maximum(nearest, 0) if len(labelled) or chosen else _about_centre(embeddings)
        gain = np.where(left, far * (uncertainty + 1e-9), -1)
        chosen.append(int(gain.argmax()))
        left[chosen[-1]] = False
        move(embeddings[chosen[-1]])
    return np.array(chosen)


@_diversity("typical")
def typical(uncertainty: Array, embeddings: Array, n: int, rng: np.random.Generator, *, labelled: Array) -> Array:
    """Take the most typical item of each large cluster without a label, as TypiClust does; times uncertainty.

    As many clusters as labels there are and will be; typical is what has the smallest mean distance to its 20 nearest
    (Hacohen, Dekel, Weinshall, "Active learning on a budget", ICML 2022).
    """
    some = _sample(uncertainty, n, rng)
    known = labelled[-LIMIT:]
    k = min(len(known) + n, len(known) + len(some), max(_CLUSTERS, n))
    points = np.concatenate([known, embeddings[some]])
    groups = kmeans(points, k, rng)
    covered, mine = groups[: len(known)], groups[len(known) :]
    sizes, done = np.bincount(groups), np.bincount(covered, minlength=groups.max() + 1)
    chosen: list[int] = []
    for group in np.lexsort((-sizes, done)):
        members = np.flatnonzero(mine == group)
        if len(members) and len(chosen) < n:
            near = np.sort(squared_distances(embeddings[some[members]], points[groups == group]), axis=1)[:, :20]
            likeness = 1 / (np.sqrt(near).mean(axis=1) + 1e-6)
            chosen.append(int(some[members[(likeness * (uncertainty[some[members]] + 1e-9)).argmax()]]))
    return _filled(chosen, uncertainty, n, rng)


@_diversity("design")
def design(uncertainty: Array, embeddings: Array, n: int, rng: np.random.Generator, *, labelled: Array) -> Array:
    """Take one after another the item whose label tells most about the items that are uncertain now.

    A Gaussian process over the vectors says how much knowing one item lowers the variance at every other (transductive
    experimental design: Yu, Bi, Tresp, "Active learning via transductive experimental design", ICML 2006); here each
    item's variance counts as much as the classifier is uncertain of it, and a label is the noisier the surer it is.
    With no classifier the choice is of typical items far from each other; later it moves to the borders between
    classes, one choice for each region.
    """
    some = _sample(uncertainty, n, rng)
    known = labelled if len(labelled) <= LIMIT else labelled[rng.choice(len(labelled), LIMIT, replace=False)]
    points = embeddings[some]
    within = squared_distances(points, points)
    width = max(_WIDTH * float(within.mean()), 1e-12)
    covariance = np.exp(-within / width)
    if len(known):
        across = np.exp(-squared_distances(known, points) / width)
        prior = np.exp(-squared_distances(known, known) / width) + _NOISE * np.eye(len(known), dtype=np.float32)
        covariance -= across.T @ np.linalg.solve(prior, across)
    weights = (uncertainty[some] + 1e-6).astype(np.float32)
    # a label that the classifier foretells tells little: to the process it is a noisy one (as in logistic regression)
    noise = _NOISE / (weights + 0.2)
    left = np.ones(len(some), bool)
    chosen = []
    # Σ_i w_i C_ij² for every j, kept up to date: a full product each turn would cost as much again
    gains = weights @ covariance**2
    for _ in range(n):
        variance = np.maximum(np.diag(covariance), 0) + noise
        best = int(np.where(left, gains / variance, -np.inf).argmax())
        left[best] = False
        chosen.append(best)
        column = covariance[:, best] / np.sqrt(variance[best])
        weighted = weights * column
        gains += column**2 * float(weighted @ column) - 2 * column * (weighted @ covariance)
        covariance -= np.outer(column, column)
    return np.asarray(some[chosen])


_WIDTH = 0.5  # of the process, in mean squared distances; 0.35 to 1 did nearly alike on photographs and digits
_NOISE = 0.1  # of a label in `design`, in units of an item's own variance; 0.03 to 0.3 did alike there


# ---------------------------------------------------------------------- strategies of their own


def _other(name: str) -> Callable[[Strategy], Strategy]:
    def add(function: Strategy) -> Strategy:
        OTHERS[name] = function
        return function

    return add


@_other("gaussian")
def gaussian(probabilities: Array | None, embeddings: Array, n: int, rng: np.random.Generator) -> Array:
    """Draw at random, an item the likelier the nearer its probability is to ½: a normal curve of deviation 0.2.

    With more than two classes the probability is that of the likeliest class against the next.
    """
    weights = np.ones(len(embeddings))
    if probabilities is not None:
        two = np.sort(consensus(probabilities), axis=1)[:, -2:]
        share = two[:, 1] / np.maximum(two.sum(axis=1), 1e-12)
        weights = np.exp(-0.5 * ((share - 0.5) / 0.2) ** 2)
    return at_random(weights, embeddings, n, rng, labelled=embeddings[:0])


@_other("balanced")
def balanced(probabilities: Array | None, embeddings: Array, n: int, rng: np.random.Generator) -> Array:
    """Take the most uncertain of each predicted class in turn, so that no class is forgotten."""
    if probabilities is None:
        return rng.permutation(len(embeddings))[:n]
    scores, predicted = least_confidence(probabilities), consensus(probabilities).argmax(axis=1)
    order = np.lexsort((rng.random(len(scores)), -scores))
    turn = np.empty(len(order), np.int64)
    for label in np.unique(predicted):
        members = order[predicted[order] == label]
        turn[members] = np.arange(len(members))
    return np.lexsort((-scores, turn))[:n]


@_other("surest")
def surest(probabilities: Array | None, embeddings: Array, n: int, rng: np.random.Generator) -> Array:
    """Take the items that the classifier is surest of, to confirm them quickly or to find more of a rare class."""
    scores = np.zeros(len(embeddings)) if probabilities is None else -least_confidence(probabilities)
    return top(scores, embeddings, n, rng, labelled=embeddings[:0])


# ---------------------------------------------------------------------- pieces


def _sample(uncertainty: Array, n: int, rng: np.random.Generator) -> Array:
    """Return the indices to compare with one another: all, or of a large pool half by uncertainty, half at random."""
    limit = max(LIMIT, n)
    if len(uncertainty) <= limit:
        return np.arange(len(uncertainty))
    order = np.lexsort((rng.random(len(uncertainty)), -uncertainty))
    rest = rng.choice(order[limit // 2 :], limit - limit // 2, replace=False)
    return np.sort(np.concatenate([order[: limit // 2], rest]))


def _filled(chosen: list[int], uncertainty: Array, n: int, rng: np.random.Generator) -> Array:
    """Return ``chosen``, and where they are too few the most uncertain of the rest."""
    order = np.lexsort((rng.random(len(uncertainty)), -uncertainty))
    taken = set(chosen)
    return np.array([*chosen, *[each for each in order.tolist() if each not in taken][: n - len(chosen)]])


def _about_centre(embeddings: Array) -> Array:
    """Return how near each is to the mean of all: a first centre is best in the middle."""
    far = ((embeddings - embeddings.mean(axis=0)) ** 2).sum(axis=1)
    near: Array = far.max() - far + 1e-6
    return near
