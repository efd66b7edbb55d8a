"""Duplicates asked once: one item of each group is asked, and its label carried over to the others."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from gandt.arguments import checked, require_columns
from gandt.embedding import EmbeddingStore

CARRIED = "carried"


@checked
def representatives(store: EmbeddingStore, groups: pd.DataFrame | None = None) -> pd.Series:
    """Return for each embedded item the one that is asked in its stead (mostly itself), as a Series by item.

    Parameters
    ----------
    store : EmbeddingStore
        Items with the same bytes share a vector here; the first by name stands for them.
    groups : DataFrame, optional
        group, item, kind, as :func:`gandt.candidates.find_duplicates` returns them: near duplicates, too.

    Raises
    ------
    InputError
        When ``groups`` lacks a column.
    """
    items = store.items[store.items["status"] == "embedded"].sort_values("item")
    first = items.groupby("row")["item"].transform("first")
    found = pd.Series(first.to_numpy(object), index=items["item"].to_numpy(object))
    if groups is not None and len(groups):
        require_columns(groups, "duplicates", "group", "item", "kind")
        heads = groups[groups["kind"] == "representative"].set_index("group")["item"]
        by_item = pd.Series(groups["group"].map(heads).to_numpy(object), index=groups["item"].to_numpy(object))
        found = found.map(by_item).fillna(found)
    return found


@checked
def carry_labels(labels: pd.DataFrame, stands_for: pd.Series, *, only: Collection[str] | None = None) -> pd.DataFrame:
    """Return the labels and, for each duplicate without one, a row with its representative's.

    Parameters
    ----------
    labels : DataFrame
        item, label, and any further columns, which are carried over as they are; ``method`` becomes "carried".
    stands_for : Series
        By item, as :func:`representatives` returns it.
    only : collection of str, optional
        Carry over to these items alone.

    Returns
    -------
    DataFrame
        The columns of ``labels``, and ``carried_from``: the item whose label it is, empty for one of its own.
    """
    own = labels.assign(carried_from="")
    if "label" not in own.columns or not len(own):
        return own
    known = own.dropna(subset=["label"]).drop_duplicates("item")
    group = known["item"].map(stands_for).fillna(known["item"])
    # whoever of a group is labelled speaks for it: the representative where it can, else the first
    order = np.lexsort((known["item"].to_numpy(str), (group != known["item"]).to_numpy()))
    speakers = pd.Series(np.arange(len(known))[order], index=group.to_numpy(object)[order])
    speakers = speakers[~speakers.index.duplicated()]
    others = stands_for[~stands_for.index.isin(known["item"])]
    if only is not None:
        others = others[others.index.isin(list(only))]
    others = others[others.isin(speakers.index)]
    carried = known.iloc[speakers.loc[others].to_numpy()].copy()
    carried["carried_from"] = carried["item"].to_numpy()
    carried["item"] = others.index.to_numpy()
    if "method" in carried.columns:
        carried["method"] = CARRIED
    unlabelled = own[~own["item"].isin(carried["item"])]
    return pd.concat([unlabelled, carried], ignore_index=True)
