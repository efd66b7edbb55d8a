"""Jobs that a team did with Ground Truth, read from their output into the service's state: ``gandt import``.

List and Describe then show them beside the service's own, and the owner's page has every answer's history. Nothing is
written to the output, and what it doesn't tell comes from DescribeLabelingJob's answer where that is given.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gandt import storage
from gandt.answers.files import Job, Reader, natural
from gandt.errors import InputError
from gandt.service.records import PastJob
from gandt.service.store import Store, open_store

_DESCRIBED = (
    *("LabelingJobName", "LabelAttributeName", "InputConfig", "OutputConfig", "RoleArn", "LabelCategoryConfigS3Uri"),
    *("StoppingConditions", "LabelingJobAlgorithmsConfig", "HumanTaskConfig"),
)
_UNKNOWN = "not-known"


def import_jobs(
    output: str, state: str, *, workteam: str = "imported", described: str | None = None, s3: Any = None
) -> list[dict[str, Any]]:
    """Read one job's output folder, or one of several jobs, into a service's state, running or not.

    Parameters
    ----------
    output : str
        ``<S3OutputPath>/<job>/`` or ``<S3OutputPath>/``, a local copy or an ``s3://`` address.
    state : str
        The service's folder.
    workteam : str
        Where the jobs go whose workteam isn't known; made if need be.
    described : str, optional
        What ``aws sagemaker describe-labeling-job`` printed about the job (a JSON file, or a folder of them).
    s3 : optional
        boto3 S3 client.

    Returns
    -------
    list of dict
        job, status, objects, labeled, answers, imported (False when the name is taken already).

    Raises
    ------
    InputError, StorageError
        When there is no such state, or the output holds no job.
    """
    if not (Path(state) / "gandt.sqlite").exists():
        raise InputError(f"there is no service's state in {state}; run gandt serve first, or give its --state")
    reader = Reader(output.rstrip("/"), s3)
    reader.read()
    jobs = {root: job for root, job in reader.jobs.items() if job.objects}
    if not jobs:
        raise InputError(
            f"{output} holds no job's manifests/output/output.manifest; give a labeling job's output folder"
        )
    known = _read_described(described) if described else {}
    store = open_store(state)
    try:
        return [_import(store, root, job, workteam, known.get(job.name.lower(), {})) for root, job in jobs.items()]
    finally:
        store.close()


def _import(store: Store, root: str, job: Job, workteam: str, described: Mapping[str, Any]) -> dict[str, Any]:
    attribute = described.get("LabelAttributeName") or _attribute(job)
    numbers = {name: number for number, name in enumerate(sorted(job.objects, key=natural))}
    moments = [
        moment
        for name in numbers
        for answer in job.answers(name)
        for moment in (_seconds(answer.accepted), _seconds(answer.submitted))
        if moment is not None
    ]
    objects = [_object(job.objects[name], attribute, job.name) for name in numbers]
    moments += [
        moment
        for line, state, _ in objects
        if state == "labeled" and (moment := _seconds(line[f"{attribute}-metadata"].get("creation-date"))) is not None
    ]
    created = _seconds(described.get("CreationTime")) or min(moments, default=0.0)
    modified = _seconds(described.get("LastModifiedTime")) or max(moments, default=created)
    answers, seen = [], set()
    for name, number in numbers.items():
        for answer in job.answers(name):
            if (number, answer.worker) in seen:
                continue  # the first counts
            seen.add((number, answer.worker))
            ended = _seconds(answer.submitted)
            begun = _seconds(answer.accepted)
            ended = ended if ended is not None else modified
            spent = max(answer.seconds, 0.0) if type(answer.seconds) in (int, float) else 0.0
            answers.append((number, answer.worker, answer.form, begun if begun is not None else ended, ended, spent))
    labeled = sum(state in ("labeled", "given") for _, state, _ in objects)
    status = described.get("LabelingJobStatus") or ("Completed" if labeled == len(objects) else "Stopped")
    if status not in ("Completed", "Failed", "Stopped"):
        status = "Stopped"  # whatever it does there, here it is over
    request = _request(root, job, attribute, workteam, answers, described)
    team = request["HumanTaskConfig"]["WorkteamArn"].rpartition("/")[2]
    if not store.workteams(team):
        made = {"WorkteamName": team, "MemberDefinitions": [], "Description": "of imported labeling jobs"}
        store.put_workteam(made, created)
    past = PastJob(request, status, described.get("FailureReason", ""), created, modified, objects, answers)
    done = store.add_past_job(past)
    return {
        "job": job.name, "status": status, "objects": len(objects), "labeled": labeled, "answers": len(answers),
        "imported": done,
    }  # fmt: skip


def _request(
    root: str, job: Job, attribute: str, workteam: str, answers: list[Any], described: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the job's request, with what isn't known in the most harmless form."""
    per_object: dict[int, int] = {}
    for number, *_ in answers:
        per_object[number] = per_object.get(number, 0) + 1
    guessed = {
        "LabelingJobName": job.name,
        "LabelAttributeName": attribute,
        "InputConfig": {
            "DataSource": {"S3DataSource": {"ManifestS3Uri": storage.join(root, "manifests/output/output.manifest")}}
        },
        "OutputConfig": {"S3OutputPath": root.rpartition("/")[0]},
        "RoleArn": f"arn:aws:iam::000000000000:role/{_UNKNOWN}",
        "HumanTaskConfig": {
            "WorkteamArn": f"arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/{workteam}",
            "UiConfig": {"UiTemplateS3Uri": f"s3://{_UNKNOWN}/{_UNKNOWN}"},
            "TaskTitle": job.name,
            "TaskDescription": "imported",
            "NumberOfHumanWorkersPerDataObject": max(per_object.values(), default=1),
            "TaskTimeLimitInSeconds": 3600,
        },
    }
    return {**guessed, **{name: described[name] for name in _DESCRIBED if name in described}}


def _object(line: dict[str, Any], attribute: str, job: str) -> tuple[dict[str, Any], str, Any]:
    """Return an object's input line, its state, and its label."""
    metadata = line.get(f"{attribute}-metadata")
    if attribute not in line or not isinstance(metadata, dict):
        return line, "unlabeled", None
    told = str(metadata.get("job-name", metadata.get("job_name", job))).removeprefix("labeling-job/")
    human = metadata.get("human-annotated") != "no" and told.lower() == job.lower()
    return line, "labeled" if human else "given", line[attribute]


def _attribute(job: Job) -> str:
    """Return the attribute that most lines carry from this job, else the job's name."""
    counts: dict[str, int] = {}
    for line in job.objects.values():
        for name, value in line.items():
            if not (name.endswith("-metadata") and isinstance(value, dict)):
                continue
            told = str(value.get("job-name", value.get("job_name", ""))).removeprefix("labeling-job/")
            if told.lower() == job.name.lower():
                counts[name.removesuffix("-metadata")] = counts.get(name.removesuffix("-metadata"), 0) + 1
    return max(counts, key=lambda name: counts[name], default=re.sub(r"[^a-zA-Z0-9-]", "-", job.name)[:127])


def _seconds(moment: Any) -> float | None:
    """Return a time of a file, or of an AWS client's output, as seconds since 1970; None where it is none."""
    if type(moment) in (int, float):
        return float(moment)
    try:
        read = datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _read_described(path: str) -> dict[str, Mapping[str, Any]]:
    """Return DescribeLabelingJob's answers by job name in lower case."""
    files = sorted(Path(path).glob("*.json")) if Path(path).is_dir() else [Path(path)]
    found = {}
    for file in files:
        try:
            value = json.loads(storage.read_text(str(file)))
            found[value["LabelingJobName"].lower()] = value
            task = value["HumanTaskConfig"]
            if not (isinstance(task["NumberOfHumanWorkersPerDataObject"], int) and task["TaskTimeLimitInSeconds"] > 0):
                raise TypeError
            task["WorkteamArn"].rpartition("/")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file} isn't what `aws sagemaker describe-labeling-job` prints") from error
    return found
