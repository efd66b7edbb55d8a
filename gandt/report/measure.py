"""A run's numbers from nothing but the files in its folder, so that a report can't say more than they do."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gandt import storage, tables, walk
from gandt.arguments import checked
from gandt.candidates import Recall, estimate_recall
from gandt.errors import InputError


@dataclass(frozen=True)
class Share:
    """A share of ``total`` with its 95 % Wilson interval; all None where ``total`` is 0.

    Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """

    count: int
    total: int
    share: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, count: int, total: int) -> "Share":
        """Return ``count`` of ``total`` with its interval."""
        if not total:
            return cls(count, total, None, None, None)
        from scipy.stats import binomtest

        interval = binomtest(count, total).proportion_ci(method="wilson")
        return cls(count, total, count / total, float(interval.low), float(interval.high))

    def __str__(self) -> str:
        return "unknown" if self.share is None else f"{self.share:.1%} ({self.low:.1%} to {self.high:.1%})"


@dataclass(frozen=True)
class Numbers:
    """What a run did; see :class:`gandt.demo.DemoResult` for the words.

    ``accuracy`` is of the confident labels and ``accuracy_relabel`` of those to relabel; both are None where the truth
    isn't known, and so are ``wanted`` (images whose truth is a wanted label) and ``wanted_kept`` (of these, kept by
    the filter). ``recall`` is the same share, estimated from the answers alone by the random share of the filter's
    discards; None where nothing was explored.
    """

    items: int
    candidates: int
    judgements: int
    judgements_all: int
    confident: int
    relabel: int
    unanswered: int
    accuracy: Share | None
    accuracy_relabel: Share | None
    wanted: int | None
    wanted_kept: int | None
    recall: Recall | None

    def counts(self) -> dict[str, Any]:
        """Return the numbers flat, as ``gandt demo --json`` prints them."""
        right = self.accuracy or Share(0, 0, None, None, None)
        plain = {key: value for key, value in asdict(self).items() if not key.startswith(("accuracy", "recall"))}
        return {**plain, "accuracy": right.share, "accuracy_low": right.low, "accuracy_high": right.high}

    def rows(self) -> list[dict[str, Any]]:
        """Return the numbers as rows for a table of people's words."""
        saved = 1 - self.judgements / self.judgements_all if self.judgements_all else 0.0
        rows = [
            ("images in the pool", f"{self.items:,}"),
            ("shown to workers", f"{self.candidates:,}"),
            ("judgements paid for", f"{self.judgements:,}"),
            ("asking three workers about everything", f"{self.judgements_all:,}"),
            ("judgements saved", f"{saved:.0%}"),
            ("confident labels", f"{self.confident:,}"),
            ("to relabel", f"{self.relabel:,}"),
            ("unanswered", f"{self.unanswered:,}"),
        ]
        if self.accuracy is not None:
            rows.append(("accuracy of the confident labels (95 % interval)", str(self.accuracy)))
        if self.accuracy_relabel is not None and self.accuracy_relabel.total:
            rows.append(("accuracy of those to relabel", str(self.accuracy_relabel)))
        if self.wanted:
            rows.append(("wanted images that the filter kept", f"{self.wanted_kept:,} of {self.wanted:,}"))
        if self.recall is not None:
            estimate = f"{self.recall.recall:.0%} ({self.recall.low:.0%} to {self.recall.high:.0%})"
            rows.append(("the same share, estimated from the answers alone (95 % interval)", estimate))
        return [{"what": what, "value": value} for what, value in rows]


@dataclass(frozen=True)
class RunFiles:
    """The tables of a run's folder; ``truth`` is None where the run knows none."""

    folder: str
    run: dict[str, Any]
    candidates: pd.DataFrame
    answers: pd.DataFrame
    labels: pd.DataFrame
    workers: pd.DataFrame
    gold: pd.DataFrame
    truth: pd.DataFrame | None

    @classmethod
    def read(cls, folder: str) -> "RunFiles":
        """Read the folder that ``gandt demo`` wrote.

        Raises
        ------
        InputError
            When the folder holds no finished run (StorageError: when there is no such folder).
        """
        marker = storage.join(folder, "run.json")
        needed = [
            storage.join(folder, f"{name}.csv") for name in ("candidates", "answers", "labels", "workers", "gold")
        ]
        if not Path(folder).is_dir():
            raise walk.unusable(folder, f"the folder of a run (gandt demo --out {folder} makes one)")
        missing = [path for path in (marker, *needed) if not Path(path).is_file()]
        if missing:
            raise InputError(
                f"{folder} holds no finished run: {Path(missing[0]).name} is missing; run gandt demo --out {folder}"
            )
        candidates, answers, labels, workers, gold = (tables.read_table(path) for path in needed)
        truth = storage.join(folder, "truth.csv")
        return cls(
            folder=folder,
            run=json.loads(storage.read_text(marker)),
            candidates=candidates,
            answers=answers,
            labels=labels,
            workers=workers,
            gold=gold,
            truth=tables.read_table(truth) if Path(truth).is_file() else None,
        )

    def judged(self) -> pd.DataFrame:
        """Return the labels with the truth and whether it was hit; no rows where no truth is known."""
        known = self.truth if self.truth is not None else pd.DataFrame({"image": [], "label": []}, dtype=str)
        table = self.labels.merge(known.rename(columns={"label": "truth"}), on="image")
        return table.assign(right=table["label"] == table["truth"])

    def worker_accuracy(self) -> dict[str, float]:
        """Return each worker's true share of right answers; empty where no truth is known."""
        truth = dict(zip(self.judged()["item"], self.judged()["truth"], strict=True))
        known = self.answers[self.answers["item"].isin(truth.keys())]
        right = known["label"] == known["item"].map(truth)
        return {str(worker): float(share) for worker, share in right.groupby(known["worker"]).mean().items()}


@checked
def measure(folder: str) -> Numbers:
    """Compute a run's numbers from the files in its folder.

    Raises
    ------
    InputError
        When the folder holds no finished run.
    """
    files = RunFiles.read(folder)
    status = files.labels["status"]
    judged = files.judged()
    truth = None if files.truth is None else dict(zip(files.truth["image"], files.truth["label"], strict=True))
    decision = dict(zip(files.candidates["item"], files.candidates["decision"], strict=True))
    labels = {name.removeprefix("score_") for name in map(str, files.candidates) if name.startswith("score_")}
    confident = judged["status"] == "confident"
    return Numbers(
        items=len(files.candidates),
        candidates=len(files.labels),
        judgements=len(files.answers),
        judgements_all=len(files.candidates) * files.run["answers_per_item"],
        confident=int((status == "confident").sum()),
        relabel=int((status == "relabel").sum()),
        unanswered=int((status == "unanswered").sum()),
        accuracy=None if truth is None else Share.of(int(judged.loc[confident, "right"].sum()), int(confident.sum())),
        accuracy_relabel=None if truth is None else _accuracy(judged[judged["status"] == "relabel"]),
        wanted=None if truth is None else sum(label in labels for label in truth.values()),
        wanted_kept=None
        if truth is None
        else sum(label in labels and decision.get(image) == "keep" for image, label in truth.items()),
        recall=_recall(files, labels),
    )


def _recall(files: RunFiles, wanted: set[str]) -> Recall | None:
    given = files.labels.dropna(subset=["label"])
    try:
        return estimate_recall(files.candidates, dict(zip(given["image"], given["label"], strict=True)), wanted)
    except InputError:  # nothing was explored
        return None


def _accuracy(judged: pd.DataFrame) -> Share:
    return Share.of(int(judged["right"].sum()), len(judged))
