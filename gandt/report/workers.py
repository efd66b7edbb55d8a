"""Pages about workers: for each what his answers say of him, in words and numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from liquid import Environment
from markupsafe import Markup

from gandt import storage, text
from gandt.consensus import Consensus
from gandt.consensus.workers import confusion, copying, evidence, in_words
from gandt.report.charts import worker_intervals

_FOLDER = Path(__file__).parent
_SHOWN = 100  # workers with a page; those beyond are named by number
_WIDE = 12  # classes beyond which a confusion table is too wide, and only the largest errors are told
_STANDS_OUT = 4.0  # deviations


def template(name: str) -> Any:
    """Return one of this folder's templates; what is put in is escaped."""
    return Environment(autoescape=True).from_string((_FOLDER / f"{name}.liquid.html").read_text(encoding="utf-8"))


def style() -> Markup:
    """Return the report's style sheet."""
    return Markup((_FOLDER / "style.liquid.html").read_text(encoding="utf-8"))


def worker_pages(answers: pd.DataFrame, consensus: Consensus, names: Mapping[str, str] | None = None) -> Markup:
    """Write the part of a page that is about workers: copying pairs, and for each worker what stands out.

    Parameters
    ----------
    answers : pd.DataFrame
        The table that was consolidated.
    consensus : Consensus
    names : mapping of str to str, optional
        What workers are called, by id; the id stands beside.

    Raises
    ------
    InputError
        When the consensus is of several labels per item.
    """
    known = names or {}
    table = evidence(answers, consensus)
    table = table.sort_values("evidence", key=lambda text: text == "", kind="stable")
    pairs = copying(consensus)
    narrow = len(consensus.classes) <= _WIDE
    workers = [_page(row, consensus, narrow, known) for row in table.head(_SHOWN).to_dict("records")]
    content = {
        "pairs": [
            {
                **row,
                **{who: _called(row[who], known) for who in ("worker", "other")},
                "expected": f"{row['expected']:.1f}",
                "z": f"{row['z']:.1f}",
            }
            for row in pairs[pairs["z"] > _STANDS_OUT].head(20).to_dict("records")
        ],
        "classes": list(consensus.classes),
        "workers": workers,
        "more": len(table) - len(workers),
    }
    return Markup(template("workers").render(**text.shown(content)))


def write_worker_pages(
    answers: pd.DataFrame, consensus: Consensus, uri: str, *, names: Mapping[str, str] | None = None, s3: Any = None
) -> None:
    """Write a self-contained HTML page about the workers, with their ``names`` by id where these are given.

    Raises
    ------
    InputError
        When the consensus is of several labels per item.
    StorageError
        When it can't be written.
    """
    best = consensus.workers.sort_values("answers", ascending=False, kind="stable").head(_SHOWN)
    best = best.assign(name=[(names or {}).get(worker, "") for worker in best["worker"]])
    body = (
        Markup('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">')
        + Markup('<meta name="viewport" content="width=device-width, initial-scale=1"><title>Workers</title>')
        + style()
        + Markup("</head>\n<body>\n<h1>Workers</h1>\n<p>How often each is right, as gold and agreement show it, ")
        + Markup("with a 95 % interval.</p>\n")
        + Markup(worker_intervals(best, {}))
        + worker_pages(answers, consensus, names)
        + Markup("</body></html>\n")
    )
    storage.write_text(uri, str(body), s3=s3)


def _called(worker: str, names: Mapping[str, str]) -> str:
    return f"{names[worker]} ({worker})" if worker in names else worker


def _page(row: dict[Any, Any], consensus: Consensus, narrow: bool, names: Mapping[str, str]) -> dict[str, Any]:
    counts = confusion(consensus, row["worker"])
    facts = _facts(row, names)
    if not narrow:
        facts.append(("largest errors", _largest(counts)))
    table = [
        {"name": name, "cells": [{"count": f"{cell:.1f}", "right": place == at} for at, cell in enumerate(cells)]}
        for place, (name, cells) in enumerate(zip(counts.index, counts.to_numpy(), strict=True))
    ]
    return {
        "name": _called(row["worker"], names),
        "reliability": f"{row['reliability']:.0%}",
        "low": f"{row['reliability_low']:.0%}",
        "high": f"{row['reliability_high']:.0%}",
        "answers": f"{row['answers']:,}",
        "gold": f", gold {row['gold_right']} of {row['gold_answers']}" if row["gold_answers"] else "",
        "excluded": bool(row["excluded"]),
        "evidence": [Markup(text.sentence(in_words(said, names))) for said in row["evidence"].split("; ") if said],
        "facts": [{"what": what, "value": Markup(text.sentence(value))} for what, value in facts],
        "table": table if narrow else [],
    }


def _facts(row: dict[Any, Any], names: Mapping[str, str]) -> list[tuple[str, str]]:
    share, usual = row["same_label_share"], row["same_label_expected"]
    said = f"{row['same_label']}: {share:.0%} of his answers, where others say it to {usual:.0%}"
    facts = [("the label he gives most beyond others", said)]
    if row["seconds"] == row["seconds"]:
        facts.append(("time", f"{row['seconds']:.1f} s an item, {row['speed']:.1f} × as quick as the crowd's median"))
        said = f"{row['too_fast']:.0%} by the crowd's median, {row['hurried']:.0%} by his own"
        facts.append(("answers in under a quarter of the usual time", said))
    if row["position_p"] == row["position_p"]:
        chance = "less than 0.1 %" if row["position_p"] < 1e-3 else f"{row['position_p']:.1%}"
        facts.append(("labels that follow the place on the page", f"{chance} likely by chance"))
    if isinstance(row["copies"], str):
        said = f"{_called(row['copies'], names)}, {row['copies_z']:+.1f} deviations from what both know"
        facts.append(("agrees most with", said))
    return facts


def _largest(counts: pd.DataFrame) -> str:
    values = counts.to_numpy().copy()
    np.fill_diagonal(values, 0.0)
    top = np.argsort(-values, axis=None, kind="stable")[:8]
    places = [np.unravel_index(place, values.shape) for place in top]
    return ", ".join(
        f"{counts.index[a]} for {counts.columns[b]} × {values[a, b]:.1f}" for a, b in places if values[a, b]
    )
