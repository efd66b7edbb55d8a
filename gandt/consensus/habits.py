"""Workers' habits: a label that one gives oftener than others do, his speed, and labels that follow the place."""

import numpy as np
import pandas as pd
from scipy import stats

from gandt.consensus.crowd import Crowd, Floats, row_sum

_EACH = 5  # answers in a place on the page under which it tells nothing


def same_label(crowd: Crowd) -> pd.DataFrame:
    """Find the label that each worker gives oftener than others do on the same items.

    Returns
    -------
    pd.DataFrame
        same_label, same_label_share, same_label_expected, same_label_z by worker; see gandt.consensus.workers.evidence.
    """
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


def speed(crowd: Crowd, answers: pd.DataFrame, fast: float) -> pd.DataFrame:
    """Compare each worker's times with the crowd's and with his own; a page's time is shared by the items on it.

    Returns
    -------
    pd.DataFrame
        seconds, speed, too_fast, hurried by worker; see gandt.consensus.workers.evidence.
    """
    names = ["seconds", "speed", "too_fast", "hurried"]
    empty = pd.DataFrame(np.nan, index=crowd.workers, columns=names)
    if "seconds" not in answers.columns:
        return empty
    times = pd.to_numeric(answers["seconds"], errors="coerce")
    page = _page(answers)
    if page:
        times = times / answers.groupby(page, observed=True)["worker"].transform("size")
    seconds = times.to_numpy(dtype=float)[crowd.row]
    known = np.isfinite(seconds) & (seconds >= 0)
    if not known.any():
        return empty
    seconds, worker = seconds[known], crowd.worker[known]
    middle = float(np.median(seconds))
    own = pd.Series(seconds).groupby(worker).median().reindex(range(len(crowd.workers))).to_numpy()
    table = pd.DataFrame({"too_fast": seconds < fast * middle, "hurried": seconds < fast * own[worker]})
    shares = table.groupby(worker).mean().reindex(range(len(crowd.workers))).set_index(crowd.workers)
    return shares.assign(seconds=own, speed=middle / np.maximum(own, 1e-9))[names]


def position(crowd: Crowd, answers: pd.DataFrame) -> pd.DataFrame:
    """Test whether a worker's labels depend on the item's place on the page otherwise than through what is in it.

    Items may lie on a page in an order that tells of their class (the likeliest first). So for each label, whether he
    gave it is regressed on the share of the others who gave it to the same item, with the places as instruments; what
    is left must not depend on the place (Sargan's test of over-identifying restrictions, Econometrica 26, 1958). The
    share is a noisy reading of the truth, which an ordinary regression would take for an effect of the place.

    Returns
    -------
    pd.DataFrame
        position_p by worker: of all labels the least, times their number (Bonferroni).
    """
    place = None
    page = _page(answers)
    if "position" in answers.columns:
        place = pd.to_numeric(answers["position"], errors="coerce")
    elif page:
        place = answers.groupby(page, observed=True).cumcount()
    result = np.full(len(crowd.workers), np.nan)
    if place is not None and place.nunique() > 1:
        where = place.to_numpy(dtype=float)[crowd.row]
        counted = crowd.active[crowd.worker].astype(float)
        others = row_sum(crowd.votes)[crowd.item] - counted
        usable = np.flatnonzero(np.isfinite(where) & (others > 0))
        usable = usable[np.argsort(crowd.worker[usable], kind="stable")]
        for rows in np.split(usable, np.flatnonzero(np.diff(crowd.worker[usable])) + 1):
            if len(rows) < 3 * _EACH:
                continue
            found = []
            for code in np.unique(crowd.label[rows]):
                said = (crowd.label[rows] == code).astype(float)
                share = (crowd.votes[crowd.item[rows], code] - counted[rows] * said) / others[rows]
                found.append(_sargan(said, share, where[rows]))
            if np.isfinite(found).any():
                result[crowd.worker[rows[0]]] = min(1.0, np.nanmin(found) * np.isfinite(found).sum())
    return pd.DataFrame({"position_p": result}, index=crowd.workers)


def _page(answers: pd.DataFrame) -> list[str]:
    """Columns that tell one worker's page from every other; none where the pages aren't known."""
    if not {"worker", "data_object"} <= set(answers.columns):
        return []
    return [name for name in ("job", "data_object", "worker") if name in answers.columns]


def _sargan(said: Floats, share: Floats, where: Floats) -> float:
    """Tell how likely ``said`` is, by chance, to depend so much on ``where``, given ``share``; NaN with few answers."""
    _, group, size = np.unique(where, return_inverse=True, return_counts=True)
    kept = size[group] >= _EACH
    said, share = said[kept], share[kept]
    _, group, size = np.unique(group[kept], return_inverse=True, return_counts=True)
    if len(size) < 3 or min(said.sum(), len(said) - said.sum()) < _EACH:
        return float("nan")
    mean_said, mean_share = np.bincount(group, said) / size, np.bincount(group, share) / size
    away = mean_share - share.mean()
    slope = float(size @ (away * (mean_said - said.mean())) / max(float(size @ away**2), 1e-12))
    slope = min(max(slope, 0.0), 2.0)  # nobody sees the opposite of what is there
    left = said - said.mean() - slope * (share - share.mean())
    effect = np.bincount(group, left) / size
    return float(stats.chi2.sf(size @ effect**2 / max(float(left.var()), 1e-12), len(size) - 2))
