"""The report's plots as inline SVG: no script, no plotting library, readable in light and dark."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gandt.report.measure import Share
from gandt.text import escaped

WIDTH = 760


def worker_intervals(workers: pd.DataFrame, truth: Mapping[str, float]) -> str:
    """Draw each worker's reliability with its interval, best first.

    Parameters
    ----------
    workers : pd.DataFrame
        worker, answers, reliability, reliability_low, reliability_high, gold_answers, gold_right; optionally
        simulated_as, which is shown beside the name, and name, which is shown instead of the id.
    truth : mapping of str to float
        Each worker's true share of right answers, drawn as a ring; empty where nobody knows.
    """
    rows = workers.sort_values("reliability", ascending=False, kind="stable").to_dict("records")
    step, left, right, top = 26, 190, 190, 8
    height = top + step * len(rows) + 34

    def x(value: float) -> float:
        return left + value * (WIDTH - left - right)

    parts = [_grid([x(value) for value in _FIFTHS], [f"{value:.0%}" for value in _FIFTHS], top, height - 30)]
    for number, row in enumerate(rows):
        y = top + step * number + step / 2
        name, kind = row.get("name") or str(row["worker"]).rpartition(".")[2], row.get("simulated_as")
        shown = f"{name} · {kind}" if isinstance(kind, str) else name
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{escaped(shown)}</text>')
        low, high = x(row["reliability_low"]), x(row["reliability_high"])
        parts.append(f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="dot" cx="{x(row["reliability"]):.1f}" cy="{y}" r="4"/>')
        if row["worker"] in truth:
            parts.append(f'<circle class="true" cx="{x(truth[row["worker"]]):.1f}" cy="{y}" r="7"/>')
        gold = f"gold {row['gold_right']:.0f} of {row['gold_answers']:.0f}" if row["gold_answers"] else "no gold"
        about = f"{row['answers']:.0f} answers, {gold}"
        parts.append(f'<text class="soft" x="{WIDTH - right + 16}" y="{y + 4}">{about}</text>')
    return _svg(height, "Reliability of each worker with its 95 % interval", parts)


def reliability_diagram(confidence: Sequence[float], right: Sequence[bool]) -> str:
    """Draw the share of right labels against their stated confidence, by ranges of confidence.

    Parameters
    ----------
    confidence : sequence of float
        Stated probability of being right, 0 to 1.
    right : sequence of bool
        Whether the label was.
    """
    stated, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=bool)
    group_of = np.digitize(stated, _EDGES)
    groups = [
        group for group in (np.flatnonzero(group_of == number) for number in range(len(_EDGES) + 1)) if len(group)
    ]
    left, top, size = 60, 12, 340

    def x(value: float) -> float:
        return left + value * size

    def y(value: float) -> float:
        return top + (1 - value) * size

    parts = [_grid([x(value) for value in _FIFTHS], [f"{value:.0%}" for value in _FIFTHS], top, top + size)]
    for value in _FIFTHS:
        parts.append(f'<line class="grid" x1="{left}" x2="{left + size}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="soft" x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.0%}</text>')
    parts.append(f'<line class="ideal" x1="{x(0)}" x2="{x(1)}" y1="{y(0)}" y2="{y(1)}"/>')
    for number, group in enumerate(groups):
        share = Share.of(int(hit[group].sum()), len(group))
        assert share.share is not None and share.low is not None and share.high is not None
        at, radius = x(float(stated[group].mean())), 3 + 7 * math.sqrt(len(group) / len(stated))
        parts.append(
            f'<line class="span" x1="{at:.1f}" x2="{at:.1f}" y1="{y(share.low):.1f}" y2="{y(share.high):.1f}"/>'
        )
        parts.append(f'<circle class="dot" cx="{at:.1f}" cy="{y(share.share):.1f}" r="{radius:.1f}"/>')
        about = f"{len(group):,} claim {stated[group].mean():.1%}; right {share}"
        line = top + 22 * (number + 1)
        parts.append(f'<text class="soft" x="{left + size + 24}" y="{line}">{about}</text>')
    parts.append(f'<text x="{left + size / 2}" y="{top + size + 38}" text-anchor="middle">stated confidence</text>')
    middle = top + size / 2
    parts.append(
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">labels that are right</text>'
    )
    return _svg(top + size + 48, "Share of right labels against stated confidence", parts)


_FIFTHS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
# ranges of confidence: finer where most labels are
_EDGES = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995]


def _grid(positions: Sequence[float], names: Sequence[str], top: float, bottom: float) -> str:
    lines = "".join(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>' for x in positions)
    marks = zip(positions, names, strict=True)
    return lines + "".join(
        f'<text class="soft" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{name}</text>' for x, name in marks
    )


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escaped(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
