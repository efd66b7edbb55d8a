"""What all of SageMaker's operations share: errors, ARNs, lists that come in pages."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gandt.service.labeling import LabelingService
from gandt.service.store import Job

ACCOUNT = "000000000000"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:"
_PAGE = 10  # a list's MaxResults where the request has none


class ApiError(Exception):
    """An error as AWS sends it: a code that clients know, and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Operations:
    """Operations of SageMaker's, as methods with a leading underscore that take and return the protocol's objects.

    Parameters
    ----------
    service : LabelingService
        Whose jobs and workteams they are about.
    grant : callable
        Makes an address for the browser out of an ``s3://`` one, for RenderUiTemplate.
    """

    def __init__(self, service: LabelingService, grant: Callable[[str], str]) -> None:
        self._service, self._grant = service, grant

    def _keep_tags(self, arn: str, request: Mapping[str, Any]) -> None:
        """Keep the tags that a thing was created with."""
        if "Tags" in request:
            self._service.store.put_record("tags", arn, request["Tags"], self._service.clock())


def job_arn(name: str) -> str:
    """Return a labeling job's ARN, whose name is in lower case."""
    return f"{ARN}labeling-job/{name.lower()}"


def team_arn(name: str) -> str:
    """Return a workteam's ARN."""
    return f"{ARN}workteam/private-crowd/{name}"


def reference(job: Job) -> str:
    """Return a JobReferenceCode: sixteen digits that stay the job's own."""
    return str(int(hashlib.sha256(job.name.lower().encode()).hexdigest(), 16))[:16]


def sort(rows: list[Any], key: Callable[[Any], Any], request: Mapping[str, Any]) -> None:
    """Put rows in the request's order."""
    rows.sort(key=key, reverse=request.get("SortOrder", "Descending") == "Descending")


def page(rows: Sequence[Any], request: Mapping[str, Any]) -> tuple[Sequence[Any], dict[str, str]]:
    """Return one page of a list, and the answer's ``NextToken`` if there are more.

    Raises
    ------
    ApiError
        When the request's token is none of ours.
    """
    token = request.get("NextToken", "0")
    if not token.isdecimal() or len(token) > 9:
        raise ApiError("ValidationException", "NextToken is none that a list has given")
    start, end = int(token), int(token) + request.get("MaxResults", _PAGE)
    return rows[start:end], ({"NextToken": str(end)} if end < len(rows) else {})


def created_within(created: float, request: Mapping[str, Any]) -> bool:
    """Tell whether a time is within a request's CreationTimeAfter and -Before."""
    after, before = request.get("CreationTimeAfter", 0), request.get("CreationTimeBefore", float("inf"))
    return bool(after <= created <= before)
