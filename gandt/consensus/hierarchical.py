"""The default: Dawid-Skene with partial pooling and hard items.

A confusion matrix per worker (Dawid-Skene) wins when workers lean in their own ways and answered a lot; one accuracy
per worker (one-coin) wins when they answered little. Here each row t of worker j's matrix has a Dirichlet prior,
worth ``_ROW`` answers, around what workers of his accuracy do with class t:

    B_j[t, t] = σ(logit a_j + δ_t),   B_j[t, l] = (1 - B_j[t, t]) E[t, l],

where a_j is his accuracy, itself pulled to the crowd's by ``_WORKER`` pseudo-answers, δ_t says how much easier or
harder class t is for everybody (pulled to 0 by ``_CLASS`` pseudo-answers), and E[t, l] is what the crowd takes t for
when it errs. With much data this is Dawid-Skene; with little it is one-coin; with hardly any it is a plain vote.

Besides, an item may be *hard*: there an answer follows the worker's matrix only with probability ``_CLUE``, else it is
drawn from G, one distribution of labels for all. Hard items say less about the workers' agreement than they seem to,
so split votes don't add up to false certainty. The share of hard items is learned.

Where answers are few, the model must not talk itself into a class. Two answers an item don't tell the classes' shares
and the workers' confusions apart: learned together, the shares run away until one class takes everything, or two change
places. So the shares are held to those of the votes, each item counting once, the harder the fewer answers there are:
by ``_ANCHOR`` / n² pseudo-items for each item of n answers. And an item with n answers teaches (n - 1) / n, as one
answer can be compared with none. Nor may the few items that were asked twice, which are those in doubt, speak for all:
an item with a single answer counts as well (``_ALONE``), as an answer of the accuracy that is believed before anything
is known.

People lean to a class, so the votes' shares tell the classes' roughly: in the end they count for three quarters (on the
log scale) where a label is chosen, and for half where it is said how sure it is: no label shall be sure for being given
often.

Partial pooling follows S. Paun et al., "Comparing Bayesian models of annotation", TACL 6 (2018), and the two levels
that Amazon published for Ground Truth; δ is a Rasch model's effect, per class. The constants are priors, fixed once
for all crowds; docs/consensus.md shows how little the result depends on them.
"""

from dataclasses import replace

import numpy as np

from gandt.consensus.crowd import Crowd, Fit, Floats
from gandt.consensus.em import Limits, maximise
from gandt.consensus.shared_errors import find_shared_errors, weighed

_ACCURACY = 0.8  # of workers nothing is known of, worth ``_CROWD`` answers
_CROWD = 10.0
_PRIOR = 5.0  # pseudo-items per class
_ANCHOR = 64.0
_ALONE = 1.0
_ROW = 8.0
_WORKER = 20.0
_CLASS = 500.0
_CONFUSION = 10.0  # pseudo-errors, spread evenly, per row of E
_CLUE = 0.2
_LABEL, _CONFIDENCE = 0.75, 0.5  # powers of the classes' shares in the end
_HARD = (2.0, 18.0)  # pseudo-items that are hard, and not


def hierarchical(crowd: Crowd, limits: Limits) -> Fit:
    """Fit the model by expectation maximisation; workers who err alike count for less. See the module."""
    found = find_shared_errors(crowd)
    if len(found.pairs):
        crowd = weighed(crowd, found.weights)
    classes = len(crowd.classes)
    own = np.arange(len(crowd.pair_label)), crowd.pair_label
    worker, label = crowd.pair_worker, crowd.pair_label
    active = crowd.active[worker].astype(float)
    votes = crowd.start()
    usual = _HARD[0] / sum(_HARD)  # of the items are hard, as far as is known at first
    taught = _teaching(crowd, votes)  # only a classifier's voice changes from turn to turn
    voted = (crowd.answered > 0) & ~crowd.gold
    voted_shares = (votes[voted].sum(axis=0) + 1.0) / (voted.sum() + classes)
    anchor = _ANCHOR * float((1 / crowd.answered[voted] ** 2).sum()) * voted_shares + _PRIOR

    def m_step(states: Floats) -> tuple[Floats, Floats]:
        weight, believed, answers, singles = taught if crowd.voice is None else _teaching(crowd, votes)
        states = states * weight
        probabilities = crowd.by_class(states) + believed
        counts = crowd.counts(probabilities)
        right = crowd.by_worker(counts[own])

        # the crowd: how it confuses classes, its accuracy, and each class's offset on the logit scale
        confusion = np.stack([np.bincount(label, counts[:, t] * active, minlength=classes) for t in range(classes)])
        correct = np.diag(confusion)
        pool = (correct.sum() + _CROWD * _ACCURACY) / (confusion.sum() + _CROWD)
        offset = _logit((correct + _CLASS * pool) / (confusion.sum(axis=1) + _CLASS)) - _logit(pool)
        errors = confusion + _CONFUSION / (classes - 1)
        np.fill_diagonal(errors, 0.0)
        errors /= errors.sum(axis=1, keepdims=True)

        # the workers
        accuracy = (right + _WORKER * pool + crowd.earned[:, 0]) / (answers + _WORKER + crowd.earned.sum(axis=1))
        diagonal = 1 / (1 + np.exp(-_logit(accuracy)[worker, None] - offset))
        base = (1 - diagonal) * errors.T[label]
        base[own] = diagonal[own]
        truth = crowd.by_worker(counts)[worker]
        likelihood = (counts + _ROW * base) / (truth + _ROW)

        # the hard items
        hard = states[:, classes:]
        unsure = hard.sum(axis=1)[:, None] + usual * believed.sum(axis=1)[:, None]
        guesses = np.bincount(label, crowd.counts(unsure)[:, 0] * active, minlength=classes) + 1.0
        guesses /= guesses.sum()
        vague = _CLUE * likelihood + (1 - _CLUE) * guesses[label][:, None]
        supposed = sum(_HARD) + singles
        share = (hard[~crowd.gold].sum() + usual * supposed) / (weight[~crowd.gold].sum() + supposed)
        mass = probabilities[~crowd.gold].sum(axis=0) + anchor
        prior = np.log(mass / mass.sum())
        log_prior = np.concatenate([prior + np.log1p(-share), prior + np.log(share)])
        return np.log(np.hstack([likelihood, vague])), log_prior

    fit = maximise(crowd, m_step, start=np.hstack([votes * (1 - usual), votes * usual]), limits=limits)
    log_prior = _softened(crowd, fit.log_prior, _LABEL)
    probabilities = crowd.by_class(crowd.expect(fit.log_likelihood, log_prior))
    # If an item may be hard, then however many say what most are, the doubt whether they just guess remains, and twenty
    # who agree would never be believed. So confidences know no hard items; calibration.py discounts for dependence.
    plain = _softened(crowd, fit.log_prior, _CONFIDENCE)[..., :classes]
    return replace(
        fit,
        probabilities=probabilities,
        log_prior=log_prior,
        plain=crowd.expect(fit.log_likelihood[:, :classes], plain),
        alike=found.pairs,
    )


def _softened(crowd: Crowd, log_prior: Floats, power: float) -> Floats:
    """Raise the classes' shares to ``power``, except where a classifier speaks; shapes as ``Fit.log_prior``."""
    classes = len(crowd.classes)
    shares = np.logaddexp(log_prior[..., :classes], log_prior[..., classes:])
    softer = power * shares
    softer = softer - np.logaddexp.reduce(softer, axis=-1, keepdims=True) - shares
    if crowd.voice is not None:
        softer = np.where(crowd.voice.speaks[:, None], 0.0, softer)
    return np.asarray(log_prior + np.concatenate([softer, softer], axis=-1))


def _teaching(crowd: Crowd, votes: Floats) -> tuple[Floats, Floats, Floats, float]:
    """Weigh items by what they teach: of n voices n - 1 can be compared with another, of gold items all.

    Returns
    -------
    weight : float array, shape (items, 1)
    believed : float array, shape (items, classes)
        Of items with a single voice: the classes' probabilities before anything is known of anybody, so weighted too.
    answers : float array, shape (workers,)
        Each worker's answers, so weighted.
    singles : float
        The weight of all items with a single voice.
    """
    voices = crowd.voices()
    weight = np.where(crowd.gold, 1.0, np.maximum(voices - 1, 0) / np.maximum(voices, 1))[:, None]
    single = _ALONE * ((voices == 1) & ~crowd.gold)[:, None]
    wrong = (1 - _ACCURACY) / (len(crowd.classes) - 1)
    believed = single * (_ACCURACY * votes + wrong * (1 - votes))
    return weight, believed, crowd.by_worker(crowd.counts(weight + single)[:, 0]), float(single.sum())


def _logit(share: Floats | float) -> Floats:
    share = np.clip(share, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(share) - np.log1p(-share))
