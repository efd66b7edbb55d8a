"""A run's own page: what each round did, the learning curve with its intervals, and why it stopped."""

import math
from html import escape
from pathlib import Path
from typing import Any

from gandt import storage
from gandt.rounds.loop import RunResult

_WIDTH, _HEIGHT, _LEFT, _TOP = 720, 320, 60, 16
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .5rem;text-align:right;border-bottom:1px solid #8884}th:first-child,td:first-child{text-align:left}
td{white-space:nowrap}
svg{width:100%;height:auto}svg text{font:13px system-ui,sans-serif;fill:currentColor}
.grid{stroke:#8884}.span{stroke:#2563eb;stroke-width:2;opacity:.5}.curve{fill:none;stroke:#2563eb;stroke-width:2}
.dot{fill:#2563eb}.target{stroke:#b45309;stroke-dasharray:6 4}.stop{font-weight:600}.wide{overflow-x:auto}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}.curve,.span{stroke:#6ea8fe}.dot{fill:#6ea8fe}}
"""
_COLUMNS = {
    "round": "round",
    "session": "session",
    "asked": "items asked",
    "asked_again": "of these again",
    "answers": "answers so far",
    "labelled": "labelled",
    "confident": "confident",
    "accuracy": "accuracy on gold",
    "auc": "AUC on gold",
    "calibration_error": "calibration error",
    "contradictions": "contradictions",
    "halting": "halting bar",
    "spent": "spent",
}


def write_page(result: RunResult) -> str:
    """Write ``report.html`` into the run's folder and return its path."""
    rounds = result.rounds
    reasons = "".join(
        f"<li{' class=stop' if reason.stop else ''}>{escape(reason.sentence)}{' → stop' if reason.stop else ''}</li>"
        for reason in result.reasons
    )
    head = "".join(f"<th scope=col>{name}</th>" for name in _COLUMNS.values())
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(row, name)}</td>' for name in _COLUMNS)}</tr>" for row in rounds)
    text = (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width'><title>Rounds</title><style>{_STYLE}</style></head><body>"
        f"<h1>Rounds in {escape(Path(result.folder).name)}</h1>"
        f"<h2>What they say</h2><ul>{reasons or '<li>Nothing yet.</li>'}</ul>"
        f"<h2>Accuracy on gold by answers</h2>{_curve(rounds)}"
        f"<h2>Round by round</h2><div class=wide><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
        "<p>Brackets and bars are 95 % intervals. Contradictions: the share of unlabelled items whose predicted class "
        "changed since the round before. Each round's inputs, answers, labels, predictions and model lie in its folder."
        "</p></body></html>"
    )
    path = str(Path(result.folder) / "report.html")
    storage.write_text(path, text, content_type="text/html; charset=utf-8")
    return path


def _cell(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return "–"
    if name in ("accuracy", "auc") and row.get(f"{name}_low") is not None:
        return f"{value:.1%} ({row[f'{name}_low']:.1%} – {row[f'{name}_high']:.1%})"
    if name == "spent":
        return f"{value:,.2f} {escape(str(row['currency']))}"
    return (
        f"{value:.3f}" if isinstance(value, float) else escape(f"{value:,}" if isinstance(value, int) else str(value))
    )


def _curve(rounds: list[dict[str, Any]]) -> str:
    points = [(row["answers"], row["accuracy"], row["accuracy_low"], row["accuracy_high"]) for row in rounds]
    points = [each for each in points if each[1] is not None]
    if not points:
        return "<p>No gold was given, so nobody knows.</p>"
    most = max(each[0] for each in points)
    floor = max(math.floor(10 * min(each[2] for each in points)) / 10, 0.0)

    def x(answers: float) -> float:
        return float(_LEFT + (_WIDTH - _LEFT - 20) * answers / most)

    def y(share: float) -> float:
        return float(_TOP + (_HEIGHT - _TOP - 40) * (1 - (share - floor) / max(1 - floor, 1e-9)))

    parts = []
    for step in range(round(10 * floor), 11):
        at = y(step / 10)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{step * 10}%</text>')
    line = " ".join(f"{x(answers):.1f},{y(share):.1f}" for answers, share, *_ in points)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    for answers, share, low, high in points:
        at = x(answers)
        parts.append(f'<line class="span" x1="{at:.1f}" x2="{at:.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}"/>')
        about = f"{answers:,} answers: {share:.1%} ({low:.1%} to {high:.1%})"
        parts.append(f'<circle class="dot" cx="{at:.1f}" cy="{y(share):.1f}" r="4"><title>{about}</title></circle>')
    bottom = _HEIGHT - 8
    parts.append(f'<text x="{_LEFT}" y="{bottom}">0</text>')
    parts.append(f'<text x="{_WIDTH - 20}" y="{bottom}" text-anchor="end">{most:,} answers</text>')
    title = "Accuracy on gold by answers, with 95 % intervals"
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
