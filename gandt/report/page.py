"""The report: one self-contained HTML page with pictures, plots and a sentence about each."""

import base64
import io
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from gandt import storage, text
from gandt.arguments import checked
from gandt.consensus import consolidate
from gandt.errors import StorageError
from gandt.report.charts import reliability_diagram, worker_intervals
from gandt.report.measure import RunFiles, measure
from gandt.report.workers import style, template, worker_pages

THUMBNAIL = 112  # pixels of the longer side
PAGE_IMAGE = 320
CERTAIN_PER_LABEL = 12
DISPUTED = 24
FILES = (
    ("labels.csv", "item, label, confidence, status, votes, workers, method: one row per image shown to workers"),
    ("relabel.csv", "the images that are still in doubt; the list to ask about next"),
    ("answers.csv", "every worker's answer, with its times"),
    ("workers.csv", "reliability and gold results of every worker"),
    ("candidates.csv", "what the seed filter kept, explored and discarded, with its scores, best first"),
    ("gold.csv", "the items whose label was known, mixed in to measure workers"),
    ("set-aside.csv", "images that could not be read, and why"),
    ("store/", "the embedding store"),
    ("s3/", "manifests, template and each job's S3 tree, as Ground Truth lays it out"),
    ("pages/", "pages as workers saw them"),
    ("truth.csv", "the truth, where it is known; only this report reads it"),
)


@checked
def write_report(folder: str) -> str:
    """Write ``report.html`` into a run's folder and return its path.

    Raises
    ------
    InputError
        When the folder holds no finished run.
    """
    files = RunFiles.read(folder)
    path = storage.join(folder, "report.html")
    storage.write_text(path, template("report").render(**text.shown(_content(files))))
    return path


def _content(files: RunFiles) -> dict[str, Any]:
    numbers = measure(files.folder)
    judged = files.judged()
    saved = 1 - numbers.judgements / numbers.judgements_all if numbers.judgements_all else 0.0
    known = not judged.empty
    return {
        "style": style(),
        "run": files.run,
        "numbers": {
            **{name: _cell(value) for name, value in numbers.counts().items() if isinstance(value, int)},
            **{name: value for name, value in numbers.counts().items() if not isinstance(value, int)},
            "accuracy_text": str(numbers.accuracy) if numbers.accuracy else "",
            "recall": f"{numbers.recall.recall:.0%}" if numbers.recall else "",
            "recall_low": f"{numbers.recall.low:.0%}" if numbers.recall else "",
        },
        "saved": f"{saved:.0%}",
        "shown": f"{numbers.candidates / numbers.items:.0%}" if numbers.items else "0%",
        "stages": [_stage(stage) for stage in files.run.get("stages", [])],
        "pages": _pages(Path(files.folder) / "pages"),
        "certain": _certain(files, judged),
        "wrong": _pictures(
            judged[(judged["status"] == "confident") & ~judged["right"].astype(bool)].head(DISPUTED), files, judged
        ),
        "disputed": _pictures(_doubtful(files.labels).head(DISPUTED), files, judged),
        "workers": Markup(worker_intervals(files.workers, files.worker_accuracy())) if len(files.workers) else "",
        **_consensus(files),
        "diagram": Markup(reliability_diagram(judged["confidence"].fillna(0).tolist(), judged["right"].tolist()))
        if known
        else "",
        "known": known,
        "files": [{"name": name, "about": about} for name, about in FILES if (Path(files.folder) / name).exists()],
    }


def _consensus(files: RunFiles) -> dict[str, Any]:
    """Consolidate the answers again for what they say about the workers and about their own confidences."""
    if files.answers.empty:
        return {"worker_pages": Markup(""), "promise": "", "alike": ""}
    gold = dict(zip(files.gold["item"], files.gold["label"], strict=True))
    found = consolidate(files.answers, gold=gold)
    return {
        "worker_pages": worker_pages(files.answers, found),
        "promise": found.promise_in_words,
        "alike": Markup(text.sentence(found.alike_in_words)),
    }


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    rows = stage["rows"]
    return {
        "title": stage["title"],
        "columns": list(rows[0]) if rows else [],
        "rows": [[_cell(value) for value in row.values()] for row in rows],
    }


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


def _pages(folder: Path) -> list[dict[str, Any]]:
    """Return the saved pages; each is shown in a frame of its own, where no script runs."""
    files = sorted(folder.glob("*.html"))
    return [{"name": path.stem, "html": Markup(escape(path.read_text(encoding="utf-8")))} for path in files]


def _certain(files: RunFiles, judged: pd.DataFrame) -> list[dict[str, Any]]:
    confident = files.labels[files.labels["status"] == "confident"]
    strips = []
    for label, group in confident.groupby("label"):
        best = group.sort_values("confidence", ascending=False, kind="stable").head(CERTAIN_PER_LABEL)
        strips.append({"label": label, "count": len(group), "pictures": _pictures(best, files, judged)})
    return strips


def _doubtful(labels: pd.DataFrame) -> pd.DataFrame:
    return labels[labels["status"] != "confident"].sort_values("confidence", na_position="first", kind="stable")


def _pictures(rows: pd.DataFrame, files: RunFiles, judged: pd.DataFrame) -> list[dict[str, Any]]:
    truth = dict(zip(judged["item"], judged["truth"], strict=True))
    votes = files.answers[files.answers["item"].isin(set(rows["item"]))].groupby("item")["label"].value_counts()
    pictures = []
    for row in rows.to_dict("records"):
        item = row["item"]
        given = votes.loc[item] if item in votes.index.get_level_values(0) else pd.Series(dtype=int)
        pictures.append(
            {
                "image": thumbnail(row["image"]),
                "label": row["label"] if isinstance(row["label"], str) else "no answer",
                "confidence": _confidence(row["confidence"]),
                "votes": Markup(", ".join(f"{text.html(label)} × {count}" for label, count in given.items())),
                "truth": truth.get(item),
                "wrong": item in truth and truth[item] != row["label"],
            }
        )
    return pictures


def _confidence(value: float) -> str:
    """Return a confidence in words; rounding never makes it a certainty."""
    if value != value:
        return ""
    return "over 99%" if value > 0.99 else f"{value:.0%}"


def thumbnail(image: str, size: int = THUMBNAIL) -> str:
    """Return a small copy of ``image`` as a data URI; empty when the file is gone or no longer readable."""
    from gandt.images import opened, upright

    try:
        with opened(storage.read_bytes(image)) as file:
            file.draft("RGB", (2 * size, 2 * size))
            picture = upright(file)
            picture.thumbnail((size, size))
    except (OSError, StorageError, ValueError):
        return ""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@checked
def standalone(html: str, image_of: Callable[[str], str | None]) -> str:
    """Return a rendered page without its scripts and with its images inside, so that it needs no network.

    ``image_of`` gives the local path behind the URL of an image, or None to leave that image as it is.
    """

    def inside(match: re.Match[str]) -> str:
        path = image_of(unescape(match[2]))
        return f"{match[1]}{thumbnail(path, PAGE_IMAGE)}{match[3]}" if path else match[0]

    without_scripts = re.sub(r"<script\b.*?</script>", "", html, flags=re.DOTALL | re.IGNORECASE)
    return re.sub(r'(<img\b[^>]*?\ssrc=")([^"]*)(")', inside, without_scripts)
