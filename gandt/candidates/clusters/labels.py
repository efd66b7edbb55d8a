"""The names that a reader gives, and the table of labels that they make."""

import unicodedata

import numpy as np
import pandas as pd

from gandt.candidates.clusters.space import Array
from gandt.errors import InputError

OPEN, NAMED, STRUCK, BACK, DELETED = range(5)
OUTCOMES = ("open", "named", "struck", "back", "deleted")
NAME_LENGTH = 200
_STATUS = ("unanswered", "confident", "relabel", "relabel", "set aside")


def labels_table(
    items: Array, shown: Array, method: str, outcome: Array, label: Array, cluster: Array, by: Array, at: Array
) -> pd.DataFrame:
    """Return the labels table, see :meth:`gandt.candidates.clusters.naming.Naming.labels`; all arrays (items,)."""
    named = outcome == NAMED
    where = pd.Series(_or_none(cluster, cluster == ""))
    return pd.DataFrame(
        {
            "item": items,
            "label": _or_none(label, ~named),
            "confidence": np.full(len(items), np.nan),
            "status": np.array(_STATUS, object)[outcome],
            "votes": named.astype(np.int64),
            "workers": named.astype(np.int64),
            "method": f"clusters/{method}",
            # of the cut in which the cluster was, which its name begins with; none for what was sorted by name
            "k": where.map(_cut_of).astype("Int64"),
            "cluster": where,
            "named_by": _or_none(by, outcome == OPEN),
            "named_at": _or_none(at, outcome == OPEN),
            "struck": outcome == STRUCK,
            "outcome": np.array(OUTCOMES, object)[outcome],
            "carried_from": _or_none(shown, shown == items),
        }
    )


def clean(label: str) -> str:
    """Return a label with spaces and invisible characters put in order.

    Raises
    ------
    InputError
        When nothing is left of it, or it is too long.
    """
    visible = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in label)
    text = unicodedata.normalize("NFC", " ".join(visible.split()))
    if not text:
        raise InputError("a cluster's name is empty; type one, or send the cluster back")
    if len(text) > NAME_LENGTH:
        raise InputError(f"a cluster's name has {len(text)} characters; {NAME_LENGTH} are the most")
    return text


def _cut_of(name: str | None) -> int | None:
    head = name.split(".")[0] if isinstance(name, str) else ""
    return int(head) if head.isdigit() else None


def _or_none(values: Array, gaps: Array) -> Array:
    filled = values.astype(object)
    filled[gaps] = None
    return filled
