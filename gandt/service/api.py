"""SageMaker's labeling operations over its JSON protocol, for boto3 and the AWS CLI as they are.

A call is a ``POST /`` whose header ``X-Amz-Target`` is ``SageMaker.<Operation>`` and whose body is the request.
Requests are held against botocore's own model. Times are seconds since 1970, as that protocol has them.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gandt import storage, templates
from gandt.errors import ContractError, GandtError
from gandt.jobs.request import model_problems, sagemaker_model
from gandt.service.labeling import LabelingService
from gandt.service.outputs import JobFolder
from gandt.service.store import Job, Workteam

PREFIX = "SageMaker."
_ARN = "arn:aws:sagemaker:us-east-1:000000000000:"
_PAGE = 10  # a list's MaxResults where the request has none
_STATUSES = ("Initializing", "InProgress", "Completed", "Failed", "Stopping", "Stopped")


class ApiError(Exception):
    """An error as AWS sends it: a code that clients know, and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SageMakerApi:
    """Answers calls for a :class:`LabelingService`.

    Parameters
    ----------
    service : LabelingService
        Whose jobs and workteams they are about.
    grant : callable
        Makes an address for the browser out of an ``s3://`` one, for RenderUiTemplate.
    """

    def __init__(self, service: LabelingService, grant: Callable[[str], str]) -> None:
        self._service, self._grant = service, grant

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
        return {"LabelingJobArn": _job_arn(request["LabelingJobName"])}

    def _DescribeLabelingJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        job = self._job(request)
        echoed = (
            *("LabelAttributeName", "InputConfig", "OutputConfig", "RoleArn", "LabelCategoryConfigS3Uri"),
            *("StoppingConditions", "HumanTaskConfig", "Tags"),
        )
        described = {
            **{name: job.request[name] for name in echoed if name in job.request},
            **self._summary(job),
            "JobReferenceCode": _reference(job),
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
        _sort(jobs, keys[request.get("SortBy", "CreationTime")], request)
        page, more = _page(jobs, request)
        return {"LabelingJobSummaryList": [self._summary(job) for job in page], **more}

    def _ListLabelingJobsForWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        team = self._team(request["WorkteamArn"].rpartition("/")[2], "ResourceNotFound")
        part = request.get("JobReferenceCodeContains", "")
        jobs = [job for job in self._service.store.jobs(team.name) if _wanted(job, request) and part in _reference(job)]
        _sort(jobs, lambda job: job.created, request)
        page, more = _page(jobs, request)
        return {"LabelingJobSummaryList": [self._work(job) for job in page], **more}

    def _StopLabelingJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        job = self._job(request)
        if not self._service.stop(job.name) and job.status != "Stopping":
            raise ApiError("ValidationException", f"labeling job {job.name} is {job.status}; only a running job stops")
        return {}

    def _RenderUiTemplate(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if "UiTemplate" not in request:
            raise ApiError("ValidationException", "HumanTaskUiArn isn't there yet; give UiTemplate")
        try:
            task_input = json.loads(request["Task"]["Input"])
        except (ValueError, RecursionError) as error:
            raise ApiError("ValidationException", f"Task.Input isn't JSON: {error}") from error
        if not isinstance(task_input, dict):
            raise ApiError("ValidationException", "Task.Input isn't a JSON object")
        try:
            content = templates.render(request["UiTemplate"]["Content"], task_input, grant=self._grant)
        except ContractError as error:
            return {"RenderedContent": "", "Errors": [{"Code": "RenderingError", "Message": str(error)}]}
        return {"RenderedContent": content, "Errors": []}

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
            "LabelingJobArn": _job_arn(job.name),
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

    def _work(self, job: Job) -> dict[str, Any]:
        states = self._service.store.states(job.name)
        task = job.request["HumanTaskConfig"]
        return {
            "LabelingJobName": job.name,
            "JobReferenceCode": _reference(job),
            "WorkRequesterAccountId": "000000000000",
            "CreationTime": job.created,
            "LabelCounters": {
                "HumanLabeled": states.get("labeled", 0),
                "PendingHuman": sum(states.get(state, 0) for state in ("waiting", "drawn", "open", "answered")),
                "Total": sum(states.values()),
            },
            "NumberOfHumanWorkersPerDataObject": task["NumberOfHumanWorkersPerDataObject"],
        }

    # ------------------------------------------------------------------ workteams

    def _CreateWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if not self._service.store.put_workteam(request, self._service.clock()):
            raise ApiError("ResourceInUse", f"there is a workteam {request['WorkteamName']} already")
        return {"WorkteamArn": _team_arn(request["WorkteamName"])}

    def _DescribeWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"Workteam": _described(self._team(request["WorkteamName"]))}

    def _UpdateWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        team = self._team(request["WorkteamName"])
        self._service.store.change_workteam(
            {**team.request, **request, "WorkteamName": team.name}, self._service.clock()
        )
        return {"Workteam": _described(self._team(team.name))}

    def _ListWorkteams(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        part = request.get("NameContains", "").lower()
        teams = [team for team in self._service.store.workteams() if part in team.name.lower()]
        by_name = request.get("SortBy", "CreateDate") == "Name"
        _sort(teams, lambda team: team.name.lower() if by_name else team.created, request)
        page, more = _page(teams, request)
        return {"Workteams": [_described(team) for team in page], **more}

    def _DeleteWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        team = self._team(request["WorkteamName"])
        if any(not job.ended for job in self._service.store.jobs(team.name)):
            raise ApiError(
                "ValidationException", f"workteam {team.name} has labeling jobs in progress; stop them first"
            )
        return {"Success": self._service.store.delete_workteam(team.name)}

    def _team(self, name: str, code: str = "ValidationException") -> Workteam:
        teams = self._service.store.workteams(name)
        if not teams:
            raise ApiError(code, f"there is no workteam {name}")
        return teams[0]


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


def _described(team: Workteam) -> dict[str, Any]:
    kept = (
        "WorkteamName",
        "MemberDefinitions",
        "Description",
        "NotificationConfiguration",
        "WorkerAccessConfiguration",
    )
    return {
        **{name: team.request[name] for name in kept if name in team.request},
        "WorkteamArn": _team_arn(team.name),
        "CreateDate": team.created,
        "LastUpdatedDate": team.modified,
    }


def _job_arn(name: str) -> str:
    return f"{_ARN}labeling-job/{name.lower()}"


def _team_arn(name: str) -> str:
    return f"{_ARN}workteam/private-crowd/{name}"


def _reference(job: Job) -> str:
    """Return a JobReferenceCode: sixteen digits that stay the job's own."""
    return str(int(hashlib.sha256(job.name.lower().encode()).hexdigest(), 16))[:16]


def _wanted(job: Job, request: Mapping[str, Any]) -> bool:
    return (
        request.get("NameContains", "").lower() in job.name.lower()
        and request.get("StatusEquals", job.status) == job.status
        and job.created >= request.get("CreationTimeAfter", 0)
        and job.created <= request.get("CreationTimeBefore", float("inf"))
        and job.modified >= request.get("LastModifiedTimeAfter", 0)
        and job.modified <= request.get("LastModifiedTimeBefore", float("inf"))
    )


def _sort(rows: list[Any], key: Callable[[Any], Any], request: Mapping[str, Any]) -> None:
    rows.sort(key=key, reverse=request.get("SortOrder", "Descending") == "Descending")


def _page(rows: Sequence[Any], request: Mapping[str, Any]) -> tuple[Sequence[Any], dict[str, str]]:
    token = request.get("NextToken", "0")
    if not token.isdecimal() or len(token) > 9:
        raise ApiError("ValidationException", "NextToken is none that a list has given")
    start, end = int(token), int(token) + request.get("MaxResults", _PAGE)
    return rows[start:end], ({"NextToken": str(end)} if end < len(rows) else {})


def operations() -> list[str]:
    """Return the names of the operations that there are."""
    known = sagemaker_model().operation_names
    return sorted(name[1:] for name in vars(SageMakerApi) if name[1:] in known)
