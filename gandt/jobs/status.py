"""A labeling job as it stands, read from what DescribeLabelingJob and ListLabelingJobs say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gandt import storage

ENDED = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class JobStatus:
    """A labeling job as it stands.

    Attributes
    ----------
    name, arn, status, workteam, manifest, output : str
        ``output`` is the job's own folder, for ``gandt answers``; ``status`` is one of SageMaker's.
    total, labeled, human, machine, failed, unlabeled : int
        Data objects; ``labeled`` counts those too that had their label before.
    created, modified : datetime
    reason : str
        Why the job failed; empty where it didn't.
    failures : tuple of (str, str)
        Data objects that failed, with the reason each; only gandt serve tells, and the first hundred.
    answers, answers_wanted, workers, objects_short, workers_lacking : int or None
        Answers so far and in the end; workers in the workteam; objects that wait for more workers than it has, and how
        many more they want, at most. None at SageMaker, whose API doesn't tell.
    shortage : str
        The same as a sentence; empty where there are workers enough, or nobody knows.
    """

    name: str
    arn: str
    status: str
    workteam: str
    manifest: str
    output: str
    total: int
    labeled: int
    human: int
    machine: int
    failed: int
    unlabeled: int
    created: datetime
    modified: datetime
    reason: str = ""
    failures: tuple[tuple[str, str], ...] = ()
    answers: int | None = None
    answers_wanted: int | None = None
    workers: int | None = None
    objects_short: int | None = None
    workers_lacking: int | None = None
    shortage: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in ENDED

    @property
    def share(self) -> float:
        """Share of the objects that are done, labeled or failed; 0 before they are counted."""
        return (self.labeled + self.failed) / self.total if self.total else 0.0

    def bar(self, width: int = 30) -> str:
        """Return a progress bar of text: ``[#########·····] 60% (600 of 1,000)``.

        Of a job that goes on and whose answers are known, it counts these: ``9% (12 of 138 answers, 0 of 46 pages
        closed)``.
        """
        share, closed = self.share, f"{self.labeled + self.failed:,} of {self.total:,}"
        if self.answers is not None and self.answers_wanted and not self.ended:
            share = self.answers / self.answers_wanted
            closed = f"{self.answers:,} of {self.answers_wanted:,} answers, {closed} pages closed"
        full = int(width * share)
        return f"[{'#' * full}{'·' * (width - full)}] {share:.0%} ({closed})"

    def line(self) -> str:
        """Return one line about it: ``animals-1: InProgress [#########·····] 60% (600 of 1,000)``."""
        return f"{self.name}: {self.status} {self.bar() if self.total else ''}".rstrip()

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        names = [name for name in self.__dataclass_fields__ if name != "failures"]
        failures = [{"data_object": number, "reason": reason} for number, reason in self.failures]
        return {**{name: getattr(self, name) for name in names}, "share": self.share, "failures": failures}


def read_status(found: Mapping[str, Any]) -> JobStatus:
    """Read a description, or an entry of a list, which says less."""
    counts = found.get("LabelCounters", {})
    own = found.get("Answers", {})  # gandt serve's
    labeled, failed = counts.get("TotalLabeled", 0), counts.get("FailedNonRetryableError", 0)
    unlabeled = counts.get("Unlabeled", 0)
    manifest = found.get("InputConfig", {}).get("DataSource", {}).get("S3DataSource", {}).get("ManifestS3Uri", "")
    written = found.get("LabelingJobOutput", {}).get("OutputDatasetS3Uri", "")
    output = written.removesuffix("/manifests/output/output.manifest") if written else ""
    if not output and "OutputConfig" in found:
        output = storage.join(found["OutputConfig"]["S3OutputPath"], found["LabelingJobName"])
    return JobStatus(
        name=found["LabelingJobName"],
        arn=found["LabelingJobArn"],
        status=found["LabelingJobStatus"],
        workteam=found.get("WorkteamArn") or found.get("HumanTaskConfig", {}).get("WorkteamArn", ""),
        manifest=manifest,
        output=output,
        total=labeled + failed + unlabeled,
        labeled=labeled,
        human=counts.get("HumanLabeled", 0),
        machine=counts.get("MachineLabeled", 0),
        failed=failed,
        unlabeled=unlabeled,
        created=_moment(found["CreationTime"]),
        modified=_moment(found["LastModifiedTime"]),
        reason=found.get("FailureReason", ""),
        failures=tuple((str(each["DataObject"]), str(each["Reason"])) for each in found.get("FailedObjects", ())),
        answers=own.get("Given"),
        answers_wanted=own.get("Wanted"),
        workers=own.get("Workers"),
        objects_short=own.get("ObjectsShort"),
        workers_lacking=own.get("WorkersLacking"),
        shortage=own.get("Shortage", ""),
    )


def shortage(short: int, lacking: int, workers: int, per_object: int) -> str:
    """Say that a job can't end with the workers there are; "" where it can.

    Parameters
    ----------
    short, lacking : int
        Open objects that want more workers than can still answer them, and how many more, at most.
    workers, per_object : int
        Workers in the workteam; answers that an object wants.
    """
    if not short and workers >= per_object:
        return ""
    more = lacking if short else per_object - workers
    people = f"{more:,} more worker{'s'[: more != 1]}"
    wait = f"{short:,} page{'s wait' if short != 1 else ' waits'}" if short else "every page waits"
    has = f"the workteam has {workers:,}" if workers < per_object else "the others had them already, or left them"
    answers = f"each wants {per_object} answer{'s'[: per_object != 1]}"
    return f"{wait} for {'up to ' if short > 1 and workers >= per_object else ''}{people}: {answers}, and {has}"


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromtimestamp(float(value), UTC)
    return moment.astimezone(UTC)
