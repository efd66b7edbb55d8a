"""How g-and-t, the tool that gandt began as, decided: by a count; without its defect.

The threshold is the largest count of labels farther than the seeds of "Other" that still discards a given share of
the pool; g-and-t returned nothing at all where no count did, here nothing is discarded then. Its scores are rule
"g-and-t" in :mod:`gandt.candidates.rules`.
"""

from typing import Any

import numpy as np

from gandt.candidates.devices import Array


def farther_than_other(scores: Array, other: int) -> Any:
    """Return per item how many labels are farther away than the label number ``other``."""
    return (scores < scores[:, [other]]).sum(axis=1)


def count_threshold(items: Array, share: float) -> int:
    """Return the largest x for which at least ``share`` of the items have more than x; the largest count if none is.

    Parameters
    ----------
    items : ndarray of int, shape (labels + 1,)
        How many items have 0, 1, … labels farther than "Other".
    share : float
        Of the items, to be discarded.
    """
    whole = max(int(np.sum(items)), 1)
    for x in range(len(items) - 1, -1, -1):
        if items[x + 1 :].sum() / whole >= share and np.sum(items):
            return x
    return len(items) - 1
