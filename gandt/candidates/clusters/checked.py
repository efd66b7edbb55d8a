"""How right the names of clusters are: a sample of what was named, labelled otherwise, and what that says of the rest.

Nobody measures one reader's word by itself, so a named item has no confidence at first. Some of the named, drawn at
random, labelled one by one by somebody who doesn't see the names, give each name its share of right ones.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gandt import tables
from gandt.candidates.clusters.labels import clean
from gandt.errors import InputError
from gandt.names import spelled_as

_PRIOR = 4  # checks that the share over all names counts as, beside a name's own


def draw(labels: pd.DataFrame, count: int, seed: int = 0) -> pd.DataFrame:
    """Draw items for a check.

    Parameters
    ----------
    labels : DataFrame
        As :meth:`gandt.candidates.clusters.naming.Naming.labels` returns it.
    count : int
        How many; at most so many as are named. Of items with the same content one is drawn.
    seed : int

    Returns
    -------
    DataFrame
        item, in random order, and label, empty: the names would lead whoever checks.

    Raises
    ------
    InputError
        When nothing is named yet.
    """
    named = labels.loc[(labels["outcome"] == "named") & labels["carried_from"].isna(), ["item"]]
    if not len(named):
        raise InputError("nothing is named yet, so there is nothing to check; name some clusters first, with --serve")
    return named.sample(min(count, len(named)), random_state=seed).reset_index(drop=True).assign(label=None)


def read_checks(uri: str, labels: pd.DataFrame) -> dict[str, str]:
    """Read the labels that a check gave; rows without a label are passed over.

    Raises
    ------
    InputError
        When the table names an item that isn't in the pool, gives one item two labels, or no label at all.
    """
    table = tables.read_table(uri, tables.GOLD).dropna(subset=["label"])
    found: dict[str, str] = {}
    pool = set(labels["item"])
    for item, label in zip(spelled_as(table["item"], pool), table["label"].astype(str), strict=True):
        if item not in pool:
            raise InputError(f"{uri} checks {item}, which is none of the clusters' items; give the labels of this pool")
        if found.setdefault(item, clean(label)) != clean(label):
            raise InputError(f"{uri} gives {item} two labels, {found[item]!r} and {label!r}; keep one of them")
    if not found:
        raise InputError(f"{uri} holds no label, so it checks nothing; fill in the column label")
    return found


def with_confidence(labels: pd.DataFrame, checks: Mapping[str, str]) -> pd.DataFrame:
    """Put what the checks say into a labels table.

    A name's confidence is its share of right ones among the checked, drawn towards that over all names as if by four
    checks more; that share is the mean of its posterior, (right + 1) / (checked + 2). A checked item with another
    label, and its copies, lose theirs, to be labelled again. The confidence holds as far as what was checked is a
    random draw of what is named.

    Parameters
    ----------
    labels : DataFrame
        As :meth:`gandt.candidates.clusters.naming.Naming.labels` returns it.
    checks : mapping of item to label

    Returns
    -------
    DataFrame
        The same, with ``confidence`` where a label is, and ``checked`` ("right", "wrong", None).
    """
    if not checks:
        return labels.assign(checked=None)
    shown = labels["carried_from"].fillna(labels["item"])
    by_content = {copy: checks[item] for item, copy in zip(labels["item"], shown, strict=True) if item in checks}
    other = shown.map(by_content).astype(object)
    named = labels["outcome"] == "named"
    looked = named & other.notna()
    right = looked & (_folded(other) == _folded(labels["label"]))
    wrong = looked & ~right
    said = np.full(len(labels), None, object)
    said[right], said[wrong] = "right", "wrong"
    table = labels.assign(checked=said)
    once = looked & ~shown[looked].duplicated().reindex(labels.index, fill_value=False)
    if not once.any():
        return table
    overall = (right[once].sum() + 1) / (once.sum() + 2)
    counts = right[once].groupby(labels.loc[once, "label"]).agg(["sum", "count"])
    shares = (counts["sum"] + _PRIOR * overall) / (counts["count"] + _PRIOR)
    table.loc[named, "confidence"] = labels.loc[named, "label"].map(shares).fillna(overall).astype(float)
    table.loc[wrong, ["label", "confidence", "status", "votes"]] = [None, np.nan, "relabel", 0]
    return table


def _folded(labels: "pd.Series[Any]") -> "pd.Series[str]":
    return labels.where(labels.notna(), "").astype(str).str.casefold()
