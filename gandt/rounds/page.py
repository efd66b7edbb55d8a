"""A run's own page: how it stands, why it stopped, its curves with their intervals, and what each round did."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gandt import storage
from gandt.rounds.loop import RunResult
from gandt.rounds.stop import EFFICIENT, RANDOM, WASTE
from gandt.text import escaped, html, sentence

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 280, 58, 20, 14, 34
_STYLE = """
:root{color-scheme:light dark;--page:light-dark(#f4f5f7,#12151a);--card:light-dark(#fff,#1b2027);
--ink:light-dark(#1a1f26,#e6e9ee);--soft:light-dark(#59626e,#a3adb9);--line:light-dark(#d0d6dd,#39424e);
--accent:light-dark(#0a5fb4,#6db3f8);--good:light-dark(#1a7f37,#56d364);--fair:light-dark(#b45309,#f0b45a);
--poor:light-dark(#b3261e,#ff9a90)}
*{box-sizing:border-box}body{font:1rem/1.5 system-ui,sans-serif;max-width:78rem;margin:0 auto;
padding:1.25rem clamp(.75rem,3vw,2rem) 3rem;color:var(--ink);background:var(--page)}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.05rem;margin:0 0 .5rem}p{margin:.3rem 0}.soft{color:var(--soft)}
a{color:var(--accent)}.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1rem;
margin:.9rem 0 0;min-width:0}
.two{display:grid;gap:0 .9rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr))}
dl{display:grid;gap:.9rem;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));margin:.9rem 0 0}
dl div{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.6rem .9rem}
dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}
dd small{display:block;font-size:.85rem;font-weight:400;color:var(--soft)}ul{margin:0;padding-left:1.2rem}
li{margin:.25rem 0}.stop{font-weight:600}.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .45rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{white-space:normal;vertical-align:bottom;font-weight:600;line-height:1.25}td small{color:var(--soft)}
tr:last-child td{border:0}th:first-child,td:first-child{text-align:left}
svg{display:block;width:100%;height:auto}svg text{font:13px system-ui,sans-serif;fill:var(--soft)}
.grid{stroke:var(--line)}.span{stroke:var(--accent);stroke-width:2;opacity:.45}
.curve{fill:none;stroke:var(--accent);stroke-width:2.5}.dot{fill:var(--accent)}
.target{stroke:var(--fair);stroke-width:2;stroke-dasharray:7 5}svg text.aim{fill:var(--fair)}
.bar{display:flex;gap:2px;height:1rem;border-radius:.4rem;overflow:hidden;margin:.2rem 0 .4rem}
.bar i{flex:var(--n) 0 0;background:var(--of)}.key{display:flex;flex-wrap:wrap;gap:.1rem 1.2rem;font-size:.9rem}
.key i,.state i{display:inline-block;width:.65rem;height:.65rem;border-radius:50%;background:var(--of);
margin-right:.35rem}
@media(max-width:40rem){svg text{font-size:19px}}
"""
_COLOURS = {EFFICIENT: "good", RANDOM: "fair", WASTE: "poor"}
_COLUMNS = {
    "round": "round",
    "asked": "items asked",
    "asked_again": "of these again",
    "answers": "answers so far",
    "gold_answers": "about gold",
    "spent": "spent",
    "labelled": "labelled",
    "confident": "confident",
    "accuracy": "accuracy on gold",
    "auc": "AUC on gold",
    "calibration_error": "calibration error",
    "contradictions": "contra­dictions",
    "halting": "halting bar",
    "session": "session",
}


def write_page(result: RunResult) -> str:
    """Write ``report.html`` into the run's folder and return its path."""
    rounds = result.rounds
    name = Path(result.folder).name
    said = "".join(
        f"<li{' class=stop' if reason.stop else ''}>{sentence(reason.sentence)}{' → stop' if reason.stop else ''}</li>"
        for reason in result.reasons
    )
    ends = [reason.sentence for reason in result.reasons if reason.stop]
    why = f"Stopped: {sentence(' '.join(ends))}" if ends else "Not stopped yet."
    head = "".join(f"<th scope=col>{title}</th>" for title in _COLUMNS.values())
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(row, key)}</td>' for key in _COLUMNS)}</tr>" for row in rounds)
    target = next((row["target"] for row in reversed(rounds) if row.get("target") is not None), None)
    text = (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'><title>Rounds in {escaped(name)}</title>"
        f"<link rel=icon href='data:,'><style>{_STYLE}</style></head><body>"
        f"<h1>Rounds in {html(name)}</h1><p>{why}</p>"
        f"{_facts(rounds[-1]) if rounds else ''}"
        f"<section class=card><h2>What the rounds say</h2><ul>{said or '<li>Nothing yet.</li>'}</ul></section>"
        f"<div class=two><section class=card><h2>Accuracy on gold, by answers</h2>{_accuracy(rounds, target)}</section>"
        f"<section class=card><h2>Contradictions between models</h2>{_contradictions(rounds)}</section></div>"
        f"{_halting(rounds[-1]) if rounds else ''}"
        "<section class=card><h2>Round by round</h2><div class=wide tabindex=0 role=region aria-label='Round by round'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
        "<p class=soft>Small figures and bars are 95 % intervals. Contradictions: the share of unlabelled items whose "
        f"predicted class changed since the round before.{_files(rounds)}</p></body></html>"
    )
    path = str(Path(result.folder) / "report.html")
    storage.write_text(path, text, content_type="text/html; charset=utf-8")
    return path


def _facts(row: dict[str, Any]) -> str:
    """Return the last round's figures, large."""
    gold = row.get("gold_answers") or 0
    facts = [("labelled", f"{row['labelled']:,}", f"of {row['pool']:,} items; {row['confident']:,} confident")]
    if row.get("accuracy") is not None:
        span = f"{row['accuracy_low']:.1%} to {row['accuracy_high']:.1%}"
        facts.insert(0, ("accuracy on gold", f"{row['accuracy']:.1%}", f"{span}, {row['gold']:,} gold items"))
    if row.get("other"):
        facts.append((row["other"], f"{row['others']:,}", "of the labelled are none of the classes"))
    facts.append(
        ("answers", f"{row['answers']:,}", f"and {gold:,} about gold" if gold else f"in {row['round'] + 1} rounds")
    )
    facts.append(("spent", f"{row['spent']:,.2f} {row['currency']}", f"{row['price_per_answer']:,.3f} an answer"))
    inner = "".join(f"<div><dt>{a}</dt><dd>{escaped(b)}<small>{escaped(c)}</small></dd></div>" for a, b, c in facts)
    return f"<dl>{inner}</dl>"


def _cell(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return "–"
    if name in ("accuracy", "auc"):
        low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
        return f"{value:.1%}" + (f" <small>{low:.1%} – {high:.1%}</small>" if low is not None else "")
    if name == "spent":
        return f"{value:,.2f} {escaped(row['currency'])}"
    if name in ("calibration_error", "contradictions"):
        return f"{value:.1%}"
    if name == "halting":
        return f"<span class=state><i style='--of:var(--{_COLOURS.get(value, 'line')})'></i>{escaped(value)}</span>"
    return escaped(f"{value:,}" if isinstance(value, int) else str(value))


def _files(rounds: list[dict[str, Any]]) -> str:
    if not rounds:
        return ""
    folder = f"round-{rounds[-1]['round']:03}"
    names = ("labels.csv", "workers.csv", "questions.csv", "answers.csv")
    links = ", ".join(f"<a href='{folder}/{name}'>{name}</a>" for name in names)
    return f" Of the last round: {links}; its model and predictions lie beside them."


def _halting(row: dict[str, Any]) -> str:
    """Return the bar of the queue: how far down asking by uncertainty pays."""
    counts = row.get("halting_counts")
    if not counts or not sum(counts):
        return ""
    kinds = list(zip(_COLOURS, counts, strict=True))
    bar = "".join(f"<i style='--n:{count};--of:var(--{_COLOURS[kind]})'></i>" for kind, count in kinds if count)
    key = "".join(
        f"<span><i style='--of:var(--{_COLOURS[kind]})'></i>{kind}: {count:,}</span>" for kind, count in kinds
    )
    label = ", ".join(f"{count:,} {kind}" for kind, count in kinds)
    return (
        "<section class=card><h2>How far down the queue it pays to ask</h2>"
        f"<div class=bar role=img aria-label='{label}'>{bar}</div><div class=key>{key}</div>"
        "<p class=soft>The unlabelled items, most uncertain first.</p></section>"
    )


def _accuracy(rounds: list[dict[str, Any]], target: float | None) -> str:
    points = [(row["answers"], row["accuracy"], row["accuracy_low"], row["accuracy_high"]) for row in rounds]
    points = [each for each in points if each[1] is not None]
    if not points:
        return "<p>No gold was given, so nobody knows.</p>"
    lowest = min([each[2] for each in points] + ([target] if target is not None else []))
    floor = max(math.floor(10 * lowest) / 10, 0.0)
    return _chart(points, floor, 1.0, "Accuracy on gold by answers, with 95 % intervals", target)


def _contradictions(rounds: list[dict[str, Any]]) -> str:
    points = [
        (row["answers"], row["contradictions"], None, None) for row in rounds if row.get("contradictions") is not None
    ]
    if not points:
        return "<p>Known once two models were 20 labels apart.</p>"
    top = max(math.ceil(10 * max(each[1] for each in points)) / 10, 0.1)
    return _chart(points, 0.0, top, "Share of unlabelled items whose predicted class changed, by answers", None)


def _chart(points: Sequence[tuple[Any, ...]], floor: float, top: float, title: str, target: float | None) -> str:
    most = max(each[0] for each in points)

    def x(answers: float) -> float:
        return float(_LEFT + (_WIDTH - _LEFT - _RIGHT) * answers / most)

    def y(share: float) -> float:
        return float(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (share - floor) / max(top - floor, 1e-9)))

    parts = []
    step = 0.1 if top - floor > 0.25 else 0.05
    step = 0.2 if top - floor > 0.65 else step
    for number in range(round((top - floor) / step) + 1):
        at = y(floor + number * step)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        share = f"{100 * (floor + number * step):.0f}%"
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 5:.1f}" text-anchor="end">{share}</text>')
    each = _step(most)
    for answers in range(0, most + 1, each):
        anchor = "end" if answers + each > most and answers else "middle" if answers else "start"
        parts.append(f'<text x="{x(answers):.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{answers:,}</text>')
    if target is not None:
        parts.append(
            f'<line class="target" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(target):.1f}" y2="{y(target):.1f}"/>'
        )
        aim = f'<text class="aim" x="{_LEFT + 6}" y="{y(target) - 6:.1f}">target {target:.0%}</text>'
        parts.append(aim)
    line = " ".join(f"{x(answers):.1f},{y(share):.1f}" for answers, share, *_ in points)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    for answers, share, low, high in points:
        at, about = x(answers), f"{answers:,} answers: {share:.1%}"
        if low is not None:
            parts.append(f'<line class="span" x1="{at:.1f}" x2="{at:.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}"/>')
            about += f" ({low:.1%} to {high:.1%})"
        parts.append(f'<circle class="dot" cx="{at:.1f}" cy="{y(share):.1f}" r="4.5"><title>{about}</title></circle>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


def _step(most: int) -> int:
    """Return a round number of which at most five fit into ``most``."""
    size = 1
    while True:
        for times in (1, 2, 5):
            if most <= 5 * size * times:
                return size * times
        size *= 10
