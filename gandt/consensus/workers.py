"""What the answers say about each worker: evidence, not verdicts.

``evidence`` makes one row per worker; every finding that stands out is also put in words, in the column ``evidence``.
Nobody is excluded here: :func:`to_exclude` only names workers by a rule that the user sets, for
``consolidate(..., exclude=...)``; leave the names out again and their answers count again.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gandt.arguments import checked, require_columns
from gandt.consensus.consolidate import Consensus
from gandt.consensus.copying import FEW, copying, others
from gandt.consensus.crowd import Crowd
from gandt.consensus.habits import position, same_label, speed
from gandt.errors import InputError

__all__ = ["confusion", "copying", "evidence", "in_words", "named", "to_exclude"]

_ALIKE = "agrees with {} beyond what both know"
_SURE = 4.0  # standard deviations; by chance one honest worker in 30,000


@checked
def evidence(answers: pd.DataFrame, consensus: Consensus, *, fast: float = 0.25, seed: int = 0) -> pd.DataFrame:
    """Put together what speaks for and against each worker.

    Parameters
    ----------
    answers : pd.DataFrame
        The table that was consolidated; seconds, data_object and position are used where they are there.
    consensus : Consensus
    fast : float
        An answer is too fast to have looked when it took less than this share of the median.
    seed : int
        Of the sample of items whose answers are compared for copying, where there are too many.

    Returns
    -------
    pd.DataFrame
        The columns of ``Consensus.workers``, and

        * same_label, same_label_share, same_label_expected, same_label_z: the label that the worker gives more often
          than others do on the same items, how often, how often they do, and by how many standard deviations;
        * seconds (median of an item; the items of a page share its time), speed (crowd's median by his), too_fast
          (share of his answers, by the crowd's median), hurried (by his own median), NaN without times;
        * position_p: how likely labels that depend so much on the place on the page are by chance, given what the
          others say of the items; NaN without pages;
        * copies, copies_z: the worker with whom he agrees most beyond expectation, and by how many deviations; a gap
          where he agrees with nobody so;
        * evidence: what stands out, in words; empty for most.

    Raises
    ------
    InputError
        When the consensus is of several labels per item.
    """
    if len(consensus.parts) > 1:
        raise InputError("evidence about workers is for one label per item; consolidate each label on its own for it")
    crowd = consensus.crowd
    table = consensus.workers.set_index("worker")
    columns = [same_label(crowd), speed(crowd, answers, fast), position(crowd, answers)]
    columns.append(_copies(crowd, copying(consensus, seed=seed)))
    table = pd.concat([table, *[column.reindex(table.index) for column in columns]], axis=1)
    table["evidence"] = _words(table, len(consensus.classes))
    return table.reset_index()


@checked
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
    truth = others(consensus, own)
    counts = np.stack([truth[crowd.label[own] == code].sum(axis=0) for code in range(len(crowd.classes))], axis=1)
    return pd.DataFrame(counts, index=list(crowd.classes), columns=list(crowd.classes))


@checked
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
    require_columns(workers, "workers", "worker", column)
    return [str(name) for name in workers.loc[workers[column] < below, "worker"]]


def named(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return a table about workers (:func:`evidence`, :func:`copying`) with their names beside the ids.

    Parameters
    ----------
    table : pd.DataFrame
        ``worker``; ``other`` and ``evidence`` where there are.
    names : mapping of str to str
        What workers are called, by id; "" for those it lacks.

    Returns
    -------
    pd.DataFrame
        The table with ``name`` (and ``other_name``), and names in the words of ``evidence``.
    """
    columns: dict[str, Any] = {}
    for column, values in table.items():
        told: Any = values
        if column == "evidence":
            told = [in_words(words, names) for words in values]
        columns[str(column)] = told
        if column in ("worker", "other"):
            columns["name" if column == "worker" else "other_name"] = [names.get(who, "") for who in values]
    return pd.DataFrame(columns, index=table.index)


def in_words(words: str, names: Mapping[str, str]) -> str:
    """Return a row's evidence with the name of the worker whom it tells by id, where that is known."""
    for worker in names:
        words = words.replace(_ALIKE.format(worker), _ALIKE.format(names[worker]))
    return words


def _copies(crowd: Crowd, pairs: pd.DataFrame) -> pd.DataFrame:
    pairs = pairs[pairs["z"] > 0]
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
        if row["answers"] >= FEW:
            if row["same_label_z"] > _SURE and row["same_label_share"] > 1.5 * row["same_label_expected"]:
                share, usual = row["same_label_share"], row["same_label_expected"]
                found.append(f"says {row['same_label']} to {share:.0%} of the items where others do to {usual:.0%}")
            if row["too_fast"] > 0.5:
                found.append(f"{row['too_fast']:.0%} of the answers too fast to have looked")
            if row["position_p"] < 1e-6:
                found.append("labels depend on the place on the page")
            if row["copies_z"] > copying_z:
                found.append(_ALIKE.format(row["copies"]))
        words.append("; ".join(found))
    return words
