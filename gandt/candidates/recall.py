"""How much of the wanted a filter kept, measured from the answers about the items it marked "explore"."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from gandt.arguments import checked, require_columns
from gandt.errors import InputError


@dataclass(frozen=True)
class Recall:
    """The share of the wanted items that a filter kept.

    Attributes
    ----------
    recall, low, high : float
        Estimate and interval.
    kept_wanted : float
        Wanted items among the kept (estimated where not all are labelled).
    missed : float
        Estimate of the wanted items among the discarded.
    explored, explored_wanted : int
        Labelled items that were drawn at random from the discarded, and the wanted among them.
    """

    recall: float
    low: float
    high: float
    kept_wanted: float
    missed: float
    explored: int
    explored_wanted: int


@checked
def estimate_recall(
    candidates: pd.DataFrame, labels: Mapping[str, str], wanted: Collection[str], *, confidence: float = 0.95
) -> Recall:
    """Estimate a filter's recall from labels of the kept and of the explored items.

    The explored are a random sample of all discarded items, so that the share of wanted items among them carries
    over; its interval is Clopper and Pearson's, exact for any sample size. Where only some of the kept items are
    labelled, they are taken for a random sample too, and both intervals are made wider so that they hold together.

    Parameters
    ----------
    candidates : DataFrame
        item and decision, as :func:`filter_by_similarity` returns them.
    labels : mapping of str to str
        Label by item, for as many as there are.
    wanted : collection of str
        The labels that the filter looked for.
    confidence : float
        Of the interval.

    Returns
    -------
    Recall

    Raises
    ------
    InputError
        When no explored item is labelled though some were discarded, or none of the kept; or a column is missing.
    """
    require_columns(candidates, "candidates", "item", "decision")
    decision = candidates["decision"]
    found = candidates["item"].map(dict(labels))
    is_wanted, labelled = found.isin(list(wanted)), found.notna()
    kept, discarded, explored = decision == "keep", decision != "keep", decision == "explore"
    kept_all, kept_seen, kept_hits = int(kept.sum()), int((kept & labelled).sum()), int((kept & is_wanted).sum())
    out_all, out_seen, out_hits = (
        int(discarded.sum()),
        int((explored & labelled).sum()),
        int((explored & is_wanted).sum()),
    )
    if (out_all and not out_seen) or (kept_all and not kept_seen):
        which = "explored" if out_all and not out_seen else "kept"
        raise InputError(
            f"none of the {which} items is labelled; label them first (gandt filter --explore 0.05 marks some)"
        )
    guesses = (kept_seen < kept_all) + (out_seen < out_all)
    level = 1 - (1 - confidence) / max(guesses, 1)
    low_kept, high_kept = _share(kept_hits, kept_seen, kept_all, level)
    low_out, high_out = _share(out_hits, out_seen, out_all, level)
    kept_wanted = kept_all * kept_hits / kept_seen if kept_seen else 0.0
    missed = out_all * out_hits / out_seen if out_seen else 0.0
    return Recall(
        _ratio(kept_wanted, missed),
        _ratio(low_kept * kept_all, high_out * out_all),
        _ratio(high_kept * kept_all, low_out * out_all),
        kept_wanted,
        missed,
        out_seen,
        out_hits,
    )


def _share(hits: int, seen: int, whole: int, confidence: float) -> tuple[float, float]:
    """Return Clopper and Pearson's interval for a share of ``whole``, of which ``seen`` were looked at."""
    if seen == whole:
        return (hits / seen,) * 2 if seen else (0.0, 0.0)
    tail = (1 - confidence) / 2
    low = float(stats.beta.ppf(tail, hits, seen - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, seen - hits)) if hits < seen else 1.0
    return low, high


def _ratio(kept: float, missed: float) -> float:
    return kept / (kept + missed) if kept + missed else 1.0
