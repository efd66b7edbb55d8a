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

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in ENDED

    @property
    def share(self) -> float:
        """Share of the objects that are done, labeled or failed; 0 before they are counted."""
        return (self.labeled + self.failed) / self.total if self.total else 0.0

    def bar(self, width: int = 30) -> str:
        """Return a progress bar of text: ``[#########·····] 60% (600 of 1,000)``."""
        full = int(width * self.share)
        return (
            f"[{'#' * full}{'·' * (width - full)}] {self.share:.0%} ({self.labeled + self.failed:,} of {self.total:,})"
        )

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
    )


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromtimestamp(float(value), UTC)
    return moment.astimezone(UTC)
