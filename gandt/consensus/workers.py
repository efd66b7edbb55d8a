"""What the answers say about each worker: evidence, not verdicts.

``evidence`` makes one row per worker; every finding that stands out is also put in words, in the column ``evidence``.
Nobody is excluded here: :func:`to_exclude` only names workers by a rule that the user sets, for
``consolidate(..., exclude=...)``; leave the names out again and their answers count again.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from gandt.consensus.calibration import discount
from gandt.consensus.consolidate import Consensus
from gandt.consensus.crowd import Crowd, Floats, row_sum, softmax
from gandt.errors import InputError

Rows = npt.NDArray[np.integer[Any]]

_SURE = 4.0  # standard deviations; by chance one honest worker in 30,000
_FEW = 10  # answers under which nothing but the reliability is judged
_PAIRS = 20_000_000  # pairs of answers that are compared at most; beyond it, a sample of the items


def evidence(answers: pd.DataFrame, consensus: Consensus, *, fast: float = 0.25, seed: int = 0) -> pd.DataFrame:
    """Put together what speaks for and against each worker.

    Parameters
    ----------
    answers : pd.DataFrame
        The table that was consolidated; seconds, data_object and position are used where they are there.
    consensus : Consensus
    fast : float
        An answer is too fast to have looked when it took less than this share of the crowd's median.
    seed : int
        Of the sample of items whose answers are compared for copying, where there are too many.

    Returns
    -------
    pd.DataFrame
        The columns of ``Consensus.workers``, and

        * same_label, same_label_share, same_label_expected, same_label_z: the label that the worker gives more often
          than others do on the same items, how often, how often they do, and by how many standard deviations;
        * seconds (median), speed (crowd's median by his), too_fast (share of his answers), NaN without times;
        * position_p: how likely labels that depend so much on the place on the page are by chance, given what the
          others say of the items; NaN without pages;
        * copies, copies_z: the worker with whom he agrees most beyond expectation, and by how many deviations;
        * evidence: what stands out, in words; empty for most.
    """
    crowd = consensus.crowd
    table = consensus.workers.set_index("worker")
    columns = [_same_label(crowd), _speed(crowd, answers, fast), _position(crowd, answers)]
    columns.append(_copies(crowd, copying(consensus, seed=seed)))
    table = pd.concat([table, *[column.reindex(table.index) for column in columns]], axis=1)
    table["evidence"] = _words(table, len(consensus.classes))
    return table.reset_index()


def confusion(consensus: Consensus, worker: str) -> pd.DataFrame:
    """Estimate how often ``worker`` gives each label, by true class; the others' answers tell the truth.

    Returns
    -------
    pd.DataFrame
        Rows (true class) and columns (label) are the classes; values are numbers of answers, summing to his answers.

    Raises
    ------
    InputError
        When there is no such worker.
    """
    crowd = consensus.crowd
    found = np.flatnonzero(crowd.workers == worker)
    if not len(found):
        raise InputError(f"there is no worker {worker!r} among the {len(crowd.workers)} who answered")
    own = np.flatnonzero(crowd.worker == found[0])
    truth = _others(consensus, own)
    counts = np.stack([truth[crowd.label[own] == code].sum(axis=0) for code in range(len(crowd.classes))], axis=1)
    return pd.DataFrame(counts, index=list(crowd.classes), columns=list(crowd.classes))


def to_exclude(workers: pd.DataFrame, below: float, *, sure: bool = True) -> list[str]:
    """Name the workers whom a threshold on reliability would exclude.

    Parameters
    ----------
    workers : pd.DataFrame
        ``Consensus.workers`` or :func:`evidence`.
    below : float
        Workers under this reliability are named (g-and-t's rule took 0.8).
    sure : bool
        Name only those whose whole interval lies under it, so that nobody is excluded for a few unlucky answers.
    """
    column = "reliability_high" if sure else "reliability"
    return [str(name) for name in workers.loc[workers[column] < below, "worker"]]


def copying(consensus: Consensus, *, least: int = _FEW, seed: int = 0) -> pd.DataFrame:
    """Find pairs of workers who agree more on the items they share than their reliability explains.

    The chance that b gives a's label on an item is r_b p + (1 - r_b) (1 - p) / (K - 1), with p the probability of
    that label by everyone but b, and r_b his reliability; so good workers may agree, and copiers of mistakes stand out.

    Returns
    -------
    pd.DataFrame
        worker, other, items (shared), agreed, expected, z; the most surprising pair first. Pairs that share fewer than
        ``least`` items are left out.
    """
    crowd = consensus.crowd
    first, second = _answer_pairs(crowd, seed)
    if not len(first):
        return pd.DataFrame(columns=["worker", "other", "items", "agreed", "expected", "z"])
    workers, classes = len(crowd.workers), len(crowd.classes)
    key = crowd.worker[first].astype(np.int64) * workers + crowd.worker[second]
    pairs, group = np.unique(key, return_inverse=True)
    shared = np.bincount(group)
    enough = shared[group] >= least
    first, second, group = first[enough], second[enough], group[enough]
    table = consensus.workers.set_index("worker")
    reliability = table.loc[list(crowd.workers), "reliability"].to_numpy()

    chance = np.zeros(len(first))
    for mine, his in ((first, second), (second, first)):
        for begin in range(0, len(mine), 1_000_000):
            part = slice(begin, begin + 1_000_000)
            others = _others(consensus, mine[part])
            p = others[np.arange(len(others)), crowd.label[his[part]]]
            skill = reliability[crowd.worker[mine[part]]]
            chance[part] += 0.5 * (skill * p + (1 - skill) * (1 - p) / (classes - 1))
    agreed = np.bincount(group, crowd.label[first] == crowd.label[second], minlength=len(pairs))
    expected = np.bincount(group, chance, minlength=len(pairs))
    spread = np.sqrt(np.bincount(group, chance * (1 - chance), minlength=len(pairs)) + 0.25)
    kept = shared >= least
    result = pd.DataFrame(
        {
            "worker": crowd.workers[pairs[kept] // workers],
            "other": crowd.workers[pairs[kept] % workers],
            "items": shared[kept],
            "agreed": agreed[kept].astype(np.int64),
            "expected": expected[kept],
            "z": ((agreed - expected) / spread)[kept],
        }
    )
    return result.sort_values(["z", "worker"], ascending=[False, True], ignore_index=True)


def _others(consensus: Consensus, rows: Rows) -> Floats:
    """Class probabilities of the items of these answers, each by everyone but the one who gave it."""
    crowd, fit = consensus.crowd, consensus.fit
    item = crowd.item[rows]
    log_likelihood = np.where(crowd.active[crowd.pair_worker, None], fit.log_likelihood, 0.0)
    distinct, place = np.unique(item, return_inverse=True)
    prior = fit.log_prior if fit.log_prior.ndim == 1 else fit.log_prior[distinct]
    scores = (np.asarray(crowd.matrix[distinct] @ log_likelihood) + prior)[place]
    found = crowd.by_class(softmax(scores - log_likelihood[crowd.pair[rows]]))
    found = discount(found, crowd.voices()[item] - 1, consensus.correlation)
    known = crowd.known[item]
    gold = known >= 0
    found[gold] = np.eye(len(crowd.classes))[known[gold]]
    return found


def _answer_pairs(crowd: Crowd, seed: int) -> tuple[Rows, Rows]:
    """All pairs of answers on the same item, the lower worker first; of a sample of the items where there are many."""
    start = crowd.matrix.indptr
    answers = np.diff(start).astype(np.int64)
    wanted = np.flatnonzero(answers > 1)
    work = answers * (answers - 1) // 2
    if work[wanted].sum() > _PAIRS:
        wanted = np.random.default_rng(seed).permutation(wanted)
        wanted = wanted[np.cumsum(work[wanted]) <= _PAIRS]
    firsts, seconds = [], []
    for size in np.unique(answers[wanted]):
        left, right = np.triu_indices(size, 1)
        begin = start[wanted[answers[wanted] == size]][:, None]
        firsts.append((begin + left).ravel())
        seconds.append((begin + right).ravel())
    if not firsts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    swap = crowd.worker[first] > crowd.worker[second]
    return np.where(swap, second, first), np.where(swap, first, second)


def _same_label(crowd: Crowd) -> pd.DataFrame:
    votes = crowd.votes
    classes, workers = len(crowd.classes), len(crowd.workers)
    overall = votes.sum(axis=0) / max(votes.sum(), 1)
    given = np.zeros((workers, classes))
    np.add.at(given, (crowd.worker, crowd.label), 1)
    expected = np.zeros((workers, classes))
    for code in range(classes):
        # the others' share of this label on the same item, with the whole job's share worth one more answer
        counted = crowd.active[crowd.worker].astype(float)
        others = votes[crowd.item, code] - counted * (crowd.label == code)
        share = (others + overall[code]) / (row_sum(votes)[crowd.item] - counted + 1)
        expected[:, code] = np.bincount(crowd.worker, share, minlength=workers)
    answers = np.bincount(crowd.worker, minlength=workers)
    rate = expected / answers[:, None]
    z = (given - expected) / np.sqrt(answers[:, None] * rate * (1 - rate) + 0.25)
    top, rows = np.argmax(z, axis=1), np.arange(workers)
    return pd.DataFrame(
        {
            "same_label": np.array(crowd.classes, dtype=object)[top],
            "same_label_share": given[rows, top] / answers,
            "same_label_expected": rate[rows, top],
            "same_label_z": z[rows, top],
        },
        index=crowd.workers,
    )


def _speed(crowd: Crowd, answers: pd.DataFrame, fast: float) -> pd.DataFrame:
    empty = pd.DataFrame({"seconds": np.nan, "speed": np.nan, "too_fast": np.nan}, index=crowd.workers)
    if "seconds" not in answers.columns:
        return empty
    seconds = pd.to_numeric(answers["seconds"], errors="coerce").to_numpy(dtype=float)[crowd.row]
    known = np.isfinite(seconds) & (seconds >= 0)
    if not known.any():
        return empty
    middle = float(np.median(seconds[known]))
    by_worker = pd.DataFrame({"seconds": seconds, "too_fast": seconds < fast * middle})[known].groupby(
        crowd.worker[known]
    )
    own = by_worker["seconds"].median().reindex(range(len(crowd.workers))).to_numpy()
    quick = by_worker["too_fast"].mean().reindex(range(len(crowd.workers))).to_numpy()
    speed = middle / np.maximum(own, 1e-9)
    return pd.DataFrame({"seconds": own, "speed": speed, "too_fast": quick}, index=crowd.workers)


def _position(crowd: Crowd, answers: pd.DataFrame) -> pd.DataFrame:
    """Test whether a worker's labels depend on the item's place on the page otherwise than through what is in it.

    Items may lie on a page in an order that tells of their class (the likeliest first). So for each label, whether he
    gave it is regressed on the share of the others who gave it to the same item, with the places as instruments; what
    is left must not depend on the place (Sargan's test of over-identifying restrictions, Econometrica 26, 1958). The
    share is a noisy reading of the truth, which an ordinary regression would take for an effect of the place.
    """
    place = None
    if "position" in answers.columns:
        place = pd.to_numeric(answers["position"], errors="coerce")
    elif "data_object" in answers.columns and "worker" in answers.columns:
        place = answers.groupby(["worker", "data_object"], observed=True).cumcount()
    result = np.full(len(crowd.workers), np.nan)
    if place is not None and place.nunique() > 1:
        where = place.to_numpy(dtype=float)[crowd.row]
        votes = crowd.votes
        counted = crowd.active[crowd.worker].astype(float)
        others = row_sum(votes)[crowd.item] - counted
        for worker in range(len(crowd.workers)):
            rows = np.flatnonzero((crowd.worker == worker) & np.isfinite(where) & (others > 0))
            found = []
            for code in np.unique(crowd.label[rows]):
                said = (crowd.label[rows] == code).astype(float)
                share = (votes[crowd.item[rows], code] - counted[rows] * said) / others[rows]
                found.append(_sargan(said, share, where[rows]))
            if found and np.isfinite(found).any():
                result[worker] = min(1.0, np.nanmin(found) * np.isfinite(found).sum())
    return pd.DataFrame({"position_p": result}, index=crowd.workers)


def _sargan(said: Floats, share: Floats, where: Floats) -> float:
    """Tell how likely ``said`` is, by chance, to depend so much on ``where``, given ``share``; NaN with few answers."""
    _, group, size = np.unique(where, return_inverse=True, return_counts=True)
    kept = size[group] >= 5
    said, share = said[kept], share[kept]
    _, group, size = np.unique(group[kept], return_inverse=True, return_counts=True)
    if len(size) < 3 or min(said.sum(), len(said) - said.sum()) < 5:
        return float("nan")
    mean_said, mean_share = np.bincount(group, said) / size, np.bincount(group, share) / size
    away = mean_share - share.mean()
    slope = float(size @ (away * (mean_said - said.mean())) / max(float(size @ away**2), 1e-12))
    slope = min(max(slope, 0.0), 2.0)  # nobody sees the opposite of what is there
    left = said - said.mean() - slope * (share - share.mean())
    effect = np.bincount(group, left) / size
    return float(stats.chi2.sf(size @ effect**2 / max(float(left.var()), 1e-12), len(size) - 2))


def _copies(crowd: Crowd, pairs: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([pairs, pairs.rename(columns={"worker": "other", "other": "worker"})])
    top = both.sort_values("z", ascending=False, kind="stable").drop_duplicates("worker").set_index("worker")
    top = top.rename(columns={"other": "copies", "z": "copies_z"})[["copies", "copies_z"]]
    return top.reindex(crowd.workers)


def _words(table: pd.DataFrame, classes: int) -> list[str]:
    """Say what stands out of a row, most telling first."""
    crowd = float(table.loc[~table["excluded"], "reliability"].median())
    threshold = len(table) * max(len(table) - 1, 1) / 2
    copying_z = max(_SURE, float(stats.norm.isf(0.01 / max(threshold, 1))))
    words = []
    for row in table.to_dict("records"):
        found = []
        gold, right = int(row["gold_answers"]), int(row["gold_right"])
        if gold and stats.binom.cdf(right, gold, crowd) < 0.01:
            found.append(f"only {right} of {gold} gold items right")
        if row["reliability_high"] < crowd and row["reliability_low"] < 1 / classes + 0.1:
            found.append("no better than chance")
        if row["answers"] >= _FEW:
            if row["same_label_z"] > _SURE and row["same_label_share"] > 1.5 * row["same_label_expected"]:
                share, usual = row["same_label_share"], row["same_label_expected"]
                found.append(f"says {row['same_label']} to {share:.0%} of the items where others do to {usual:.0%}")
            if row["too_fast"] > 0.5:
                found.append(f"{row['too_fast']:.0%} of the answers too fast to have looked")
            if row["position_p"] < 1e-6:
                found.append("labels depend on the place on the page")
            if row["copies_z"] > copying_z:
                found.append(f"agrees with {row['copies']} beyond what both know")
        words.append("; ".join(found))
    return words
