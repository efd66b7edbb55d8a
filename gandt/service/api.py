"""SageMaker's labeling operations over its JSON protocol, for boto3 and the AWS CLI as they are.

A call is a ``POST /`` whose header ``X-Amz-Target`` is ``SageMaker.<Operation>`` and whose body is the request.
Requests are held against botocore's own model. Times are seconds since 1970, as that protocol has them.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html
"""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from gandt import storage
from gandt.errors import GandtError
from gandt.jobs.request import model_problems, sagemaker_model
from gandt.service.api_base import ACCOUNT, ApiError, created_within, job_arn, page, reference, sort
from gandt.service.api_people import People
from gandt.service.api_tags import Tags
from gandt.service.api_templates import Templates
from gandt.service.outputs import JobFolder
from gandt.service.progress import standing
from gandt.service.store import Job

PREFIX = "SageMaker."
_log = logging.getLogger(__name__)
_STATUSES = ("Initializing", "InProgress", "Completed", "Failed", "Stopping", "Stopped")


class SageMakerApi(People, Templates, Tags):
    """Answers calls for a :class:`LabelingService`; here are the operations on labeling jobs."""

    def answer(self, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Return status and body of the response to one call."""
        try:
            return 200, self._call(target.removeprefix(PREFIX), body)
        except ApiError as error:
            return 400, {"__type": error.code, "message": str(error)}
        except GandtError as error:
            return 400, {"__type": "ValidationException", "message": str(error)}

    def _call(self, operation: str, body: bytes) -> dict[str, Any]:
        method = getattr(self, "_" + operation, None) if operation.isalpha() and operation[:1].isupper() else None
        if method is None:
            raise ApiError("UnknownOperationException", f"there is no operation {operation[:100]!r} in this service")
        try:
            request = checked_json(body)
        except (ValueError, RecursionError) as error:
            raise ApiError("SerializationException", f"the body isn't JSON: {error}") from error
        if not isinstance(request, dict):
            raise ApiError("SerializationException", "the body isn't a JSON object")
        if operation != "CreateLabelingJob":  # whose problems are named by the service
            problems = model_problems(request, operation)
            if problems:
                raise ApiError("ValidationException", "; ".join(problems))
        answer: dict[str, Any] = method(request)
        return answer

    # ------------------------------------------------------------------ labeling jobs

    def _CreateLabelingJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (AWS's name)
        if not self._service.create(request):
            name = request["LabelingJobName"]
            raise ApiError("ResourceInUse", f"there is a labeling job {name} already; names are compared without case")
        arn = job_arn(request["LabelingJobName"])
        self._keep_tags(arn, request)
        stands = standing(self._service.store, self._job(request))
        if stands.shortage:  # the response has no place for it
            _log.warning("labeling job %s: %s", request["LabelingJobName"], stands.shortage)
        return {"LabelingJobArn": arn}

    def _DescribeLabelingJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        job = self._job(request)
        echoed = (
            *("LabelAttributeName", "InputConfig", "OutputConfig", "RoleArn", "LabelCategoryConfigS3Uri"),
            *("StoppingConditions", "HumanTaskConfig"),
        )
        described = {
            **{name: job.request[name] for name in echoed if name in job.request},
            **self._summary(job),
            "Tags": self._ListTags({"ResourceArn": job_arn(job.name)})["Tags"],
            "JobReferenceCode": reference(job),
            # our own, too: counters beside the contract's, which count objects alone
            "Answers": self._answers(job),
            # our own: SageMaker never says why an object failed, and clients pass over members they don't know
            "FailedObjects": [
                {"DataObject": number, "Reason": reason[:1000]}
                for number, reason in [*self._service.store.results(job.name)[1].items()][:100]
            ],
        }
        for name in ("WorkteamArn", "PreHumanTaskLambdaArn", "AnnotationConsolidationLambdaArn"):
            described.pop(name, None)
        return described

    def _ListLabelingJobs(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        jobs = [job for job in self._service.store.jobs() if _wanted(job, request)]
        keys: dict[str, Callable[[Job], Any]] = {
            "Name": lambda job: job.name.lower(),
            "CreationTime": lambda job: job.created,
            "Status": lambda job: _STATUSES.index(job.status),
        }
        sort(jobs, keys[request.get("SortBy", "CreationTime")], request)
        rows, more = page(jobs, request)
        return {"LabelingJobSummaryList": [self._summary(job) for job in rows], **more}

    def _ListLabelingJobsForWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        team = self._team(request["WorkteamArn"].rpartition("/")[2], "ResourceNotFound")
        part = request.get("JobReferenceCodeContains", "")
        jobs = [job for job in self._service.store.jobs(team.name) if _wanted(job, request) and part in reference(job)]
        sort(jobs, lambda job: job.created, request)
        rows, more = page(jobs, request)
        return {"LabelingJobSummaryList": [self._work(job) for job in rows], **more}

    def _StopLabelingJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        job = self._job(request)
        if not self._service.stop(job.name) and job.status != "Stopping":
            raise ApiError("ValidationException", f"labeling job {job.name} is {job.status}; only a running job stops")
        return {}

    def _job(self, request: Mapping[str, Any]) -> Job:
        job = self._service.store.job(request["LabelingJobName"])
        if job is None:
            raise ApiError("ResourceNotFound", f"there is no labeling job {request['LabelingJobName']}")
        return job

    def _summary(self, job: Job) -> dict[str, Any]:
        states = self._service.store.states(job.name)
        task = job.request["HumanTaskConfig"]
        human, failed = states.get("labeled", 0), states.get("failed", 0)
        labeled = human + states.get("given", 0)
        folder = JobFolder(storage.join(job.request["OutputConfig"]["S3OutputPath"], job.name), None)
        summary = {
            "LabelingJobName": job.name,
            "LabelingJobArn": job_arn(job.name),
            "CreationTime": job.created,
            "LastModifiedTime": job.modified,
            "LabelingJobStatus": job.status,
            "LabelCounters": {
                "TotalLabeled": labeled,
                "HumanLabeled": human,
                "MachineLabeled": 0,
                "FailedNonRetryableError": failed,
                "Unlabeled": sum(states.values()) - labeled - failed,
            },
            "WorkteamArn": task["WorkteamArn"],
            "InputConfig": job.request["InputConfig"],
            "LabelingJobOutput": {"OutputDatasetS3Uri": folder.output_manifest},
        }
        if "PreHumanTaskLambdaArn" in task:
            summary["PreHumanTaskLambdaArn"] = task["PreHumanTaskLambdaArn"]
        summary.update(task.get("AnnotationConsolidationConfig", {}))
        if job.reason:
            summary["FailureReason"] = job.reason
        return summary

    def _answers(self, job: Job) -> dict[str, Any]:
        stands = standing(self._service.store, job)
        return {
            "Given": stands.answers,
            "Wanted": stands.wanted,
            "Workers": stands.workers,
            "ObjectsShort": stands.short,
            "WorkersLacking": stands.lacking,
            "Shortage": stands.shortage,
        }

    def _work(self, job: Job) -> dict[str, Any]:
        states = self._service.store.states(job.name)
        task = job.request["HumanTaskConfig"]
        return {
            "LabelingJobName": job.name,
            "JobReferenceCode": reference(job),
            "WorkRequesterAccountId": ACCOUNT,
            "CreationTime": job.created,
            "LabelCounters": {
                "HumanLabeled": states.get("labeled", 0),
                "PendingHuman": sum(states.get(state, 0) for state in ("waiting", "drawn", "open", "answered")),
                "Total": sum(states.values()),
            },
            "NumberOfHumanWorkersPerDataObject": task["NumberOfHumanWorkersPerDataObject"],
        }


def checked_json(body: bytes) -> Any:
    """Return the value of a body that will be written again as JSON in UTF-8; an empty body is an empty object.

    Raises
    ------
    ValueError, RecursionError
        When it isn't JSON, or can't be written again: infinite numbers, halves of surrogate pairs, endless nesting.
    """
    value = json.loads(body or b"{}")
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def _wanted(job: Job, request: Mapping[str, Any]) -> bool:
    return (
        request.get("NameContains", "").lower() in job.name.lower()
        and request.get("StatusEquals", job.status) == job.status
        and created_within(job.created, request)
        and job.modified >= request.get("LastModifiedTimeAfter", 0)
        and job.modified <= request.get("LastModifiedTimeBefore", float("inf"))
    )


def operations() -> list[str]:
    """Return the names of the operations that there are."""
    known = sagemaker_model().operation_names
    return sorted(name[1:] for name in dir(SageMakerApi) if name[1:] in known)
