"""Labeling jobs at SageMaker or at a ``gandt serve``: create, look, wait, stop. Nothing about a job is kept here.

Every function takes ``sagemaker``, a boto3 client as :func:`connect` makes it; the same calls go to either place.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from gandt import storage
from gandt.arguments import checked
from gandt.errors import ContractError, InputError, ServiceError
from gandt.jobs.request import check_request, refuse_public
from gandt.jobs.status import JobStatus, read_status

CLOSED = (
    "Ground Truth takes no new customers since 30 July 2026, and this account isn't one of the old; run the same job "
    "on gandt serve (gandt job create --endpoint http://127.0.0.1:8250)"
)
# codes after which the same call may succeed later, when all of boto3's own retries are spent
_PASSING = (
    *("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"),
    *("ServiceUnavailable", "ServiceUnavailableException", "InternalFailure", "InternalServerError", "500", "502"),
    *("503", "504", "RequestTimeout", "RequestTimeoutException"),
)
# a person must renew the credentials; waiting goes on meanwhile
_EXPIRED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
)
# what DescribeLabelingJob may show though the request left it to the service
_DEFAULTED = ("HumanTaskConfig.TaskAvailabilityLifetimeInSeconds", "HumanTaskConfig.MaxConcurrentTaskCount")


@checked
def connect(endpoint: str | None = None, *, access: storage.Access | None = None) -> Any:
    """Make a boto3 client of SageMaker, or of the ``gandt serve`` at ``endpoint``.

    A service on this machine (loopback) needs no credentials and no region: it doesn't look at either.

    Raises
    ------
    InputError
        When the endpoint isn't an http address, or no region is known.
    StorageError
        When there is no such profile.
    """
    session = storage.session(access)
    options: dict[str, Any] = {}
    if endpoint:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"the endpoint {endpoint!r} is no address; write it as http://127.0.0.1:8250")
        options = {"endpoint_url": endpoint, **storage.near_options(session, endpoint)}
    elif session.region_name is None:
        raise InputError("no AWS region is known; give --region, set AWS_REGION, or give --endpoint for gandt serve")
    # who mistypes an address of his own machine shall not wait for nine attempts to fail
    fewer = {"retries": {"mode": "standard", "total_max_attempts": 3}} if storage.is_near(endpoint) else {}
    return session.client("sagemaker", config=storage.client_config(**fewer), **options)


@checked
def s3_of(endpoint: str) -> str | None:
    """Ask a ``gandt serve`` on this machine for the endpoint of its S3; None for AWS's own, or without an answer."""
    if not storage.is_near(endpoint):
        return None  # what is embedded there can't be reached from here
    try:
        with urlopen(f"{endpoint.rstrip('/')}/s3", timeout=5) as answer:
            found = json.loads(answer.read(10_000))["endpoint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found) if found and storage.is_near(str(found)) else None


@contextmanager
def asked(doing: str) -> Iterator[None]:
    """Turn what boto3 raises inside the block into a :class:`ServiceError`: one sentence that begins with ``doing``."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("botocore", "boto3")):
            raise
        raise ServiceError(f"can't {doing}: {why(error)}") from error


def why(error: BaseException) -> str:
    """Say what an error of SageMaker means, and what mends it."""
    code, text = storage.error_code(error), str(error)
    if is_closed(error):
        return CLOSED
    if type(error).__name__ == "EndpointConnectionError":
        return f"{text}; is the address right, and does gandt serve run?"
    if code in ("AccessDeniedException", "AccessDenied"):
        return f"{_message(error)}; gandt doctor names the rights that are needed"
    if code == "ResourceLimitExceeded":
        return f"{_message(error)}; end other jobs, or ask AWS Support for more"
    return _message(error) if code in ("ValidationException", "ResourceNotFound") else storage.reason(error)


def is_closed(error: BaseException) -> bool:
    """Tell whether AWS refuses because the account is a new customer of Ground Truth."""
    return "new customer" in _message(error).lower()


def _message(error: BaseException) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Message", "")) if isinstance(response, dict) else str(error)


def _describe(name: str, sagemaker: Any) -> dict[str, Any] | None:
    """Return what DescribeLabelingJob says, None when there is no such job; other errors are boto3's."""
    import json

    def keep(response_dict: Mapping[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
        # members of gandt serve's own, which botocore's model doesn't know and so would drop
        try:
            content = json.loads(response_dict["body"])
            customized_response_dict["FailedObjects"] = content.get("FailedObjects", [])
            customized_response_dict["Answers"] = content.get("Answers", {})
        except (ValueError, AttributeError, KeyError):
            return

    event = "before-parse.sagemaker.DescribeLabelingJob"
    sagemaker.meta.events.register(event, keep, unique_id="gandt-failed-objects")
    try:
        found: dict[str, Any] = sagemaker.describe_labeling_job(LabelingJobName=name)
        return found
    except sagemaker.exceptions.ClientError as error:
        missing = storage.error_code(error) == "ResourceNotFound" or (
            storage.error_code(error) == "ValidationException" and "not found" in str(error).lower()
        )
        if missing:
            return None
        raise


@checked
def describe(name: str, *, sagemaker: Any = None) -> JobStatus:
    """Say how a labeling job stands.

    Raises
    ------
    InputError
        When there is no such job.
    ServiceError
        When SageMaker refuses or can't be reached.
    """
    with asked(f"look at labeling job {name}"):
        found = _describe(name, sagemaker or connect())
    if found is None:
        raise _absent(name)
    return read_status(found)


def _absent(name: str) -> InputError:
    return InputError(
        f"there is no labeling job {name!r} in this account and region; gandt job list names those there are"
    )


@checked
def create(request: Mapping[str, Any], *, sagemaker: Any = None) -> tuple[JobStatus, bool]:
    """Create a labeling job, once: the same request again finds the job that it made.

    Returns
    -------
    status : JobStatus
    made : bool
        False when the job was there already.

    Raises
    ------
    ContractError
        When the request breaks the contract, asks for the public workforce, or another job has its name.
    ServiceError
        When SageMaker refuses or can't be reached.
    """
    refuse_public(request)
    check_request(request)
    client, name = sagemaker or connect(), request["LabelingJobName"]
    with asked(f"create labeling job {name}"):
        found, made = _describe(name, client), False
        if found is None:
            try:
                client.create_labeling_job(**request)
                made = True
            except client.exceptions.ResourceInUse:  # another process was quicker, or an answer got lost on its way
                pass
            found = _describe(name, client)
    if found is None:
        raise ServiceError(
            f"labeling job {name} was created and can't be found; look again with gandt job status {name}"
        )
    unlike = [] if made else [*differences(request, found)]
    if unlike:
        raise ContractError(
            f"there is a labeling job {found['LabelingJobName']} already, and its request is another: "
            f"{'; '.join(unlike)}; choose another name (names are compared without case, and never free again)"
        )
    return read_status(found), made


def differences(request: Mapping[str, Any], found: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield where a job's description isn't what the request asks for, a few words for each member."""
    members = (
        *("LabelAttributeName", "InputConfig", "OutputConfig", "RoleArn", "LabelCategoryConfigS3Uri"),
        *("StoppingConditions", "LabelingJobAlgorithmsConfig", "HumanTaskConfig", "Tags"),
    )
    for name in members if not path else sorted({*request, *found}):
        place = f"{path}.{name}" if path else name
        wanted, has = request.get(name), found.get(name)
        if isinstance(wanted, Mapping) or isinstance(has, Mapping):
            yield from differences(wanted or {}, has or {}, place)
        elif _plain(wanted) != _plain(has) and not (wanted is None and place in _DEFAULTED):
            yield f"{place} is {_short(has)}, not {_short(wanted)}"


def _plain(value: Any) -> Any:
    if isinstance(value, list):  # the order of tags, keywords and classifiers means nothing
        tags = [each for each in value if not (isinstance(each, dict) and str(each.get("Key", "")).startswith("aws:"))]
        return sorted(map(repr, tags))
    if isinstance(value, str):
        return value.rstrip("/")
    return [] if value is None else value


def _short(value: Any) -> str:
    text = "absent" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


@checked
def portal(workteam: str, *, endpoint: str | None = None, sagemaker: Any = None) -> str:
    """Return the address at which a workteam's people answer: of gandt serve, or of SageMaker's worker portal.

    Parameters
    ----------
    workteam : str
        Name or ARN.
    endpoint : str, optional
        Of the gandt serve that has the job.

    Raises
    ------
    ServiceError
        When SageMaker refuses (``sagemaker:DescribeWorkteam``), can't be reached, or knows no such team.
    """
    if endpoint:
        return endpoint
    with asked(f"look at the workteam {workteam}"):
        team = (sagemaker or connect()).describe_workteam(WorkteamName=workteam.rpartition("/")[2])["Workteam"]
    return f"https://{team['SubDomain']}" if team.get("SubDomain") else ""


@checked
def list_jobs(
    *, status: str | None = None, name_contains: str | None = None, limit: int = 100, sagemaker: Any = None
) -> list[JobStatus]:
    """Return labeling jobs, the newest first.

    Raises
    ------
    ServiceError
        When SageMaker refuses or can't be reached.
    """
    wanted: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": min(limit, 100)}
    if status:
        wanted["StatusEquals"] = status
    if name_contains:
        wanted["NameContains"] = name_contains
    jobs: list[JobStatus] = []
    client = sagemaker or connect()
    with asked("list labeling jobs"):
        while len(jobs) < limit:
            page = client.list_labeling_jobs(**wanted)
            jobs += [read_status(each) for each in page["LabelingJobSummaryList"]]
            if not page.get("NextToken"):
                break
            wanted["NextToken"] = page["NextToken"]
    return jobs[:limit]


@checked
def stop(name: str, *, sagemaker: Any = None) -> JobStatus:
    """Stop a labeling job; what was answered is kept and consolidated. One that has ended or is stopping stays so.

    Raises
    ------
    InputError
        When there is no such job.
    ServiceError
        When SageMaker refuses or can't be reached.
    """
    client = sagemaker or connect()
    status = describe(name, sagemaker=client)
    if status.ended or status.status == "Stopping":
        return status
    with asked(f"stop labeling job {name}"):
        try:
            client.stop_labeling_job(LabelingJobName=name)
        except client.exceptions.ClientError:
            status = describe(name, sagemaker=client)  # it may have ended in this moment
            if status.ended or status.status == "Stopping":
                return status
            raise
    return describe(name, sagemaker=client)


@checked
def wait(
    name: str,
    *,
    connect: Callable[[], Any] = connect,
    poll: float = 20.0,
    timeout: float | None = None,
    shown: Callable[[JobStatus], None] = lambda status: None,
    said: Callable[[str], None] = lambda sentence: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> JobStatus:
    """Wait until a labeling job has ended; all there is to know is asked anew each time.

    Throttling, lost connections, a service that restarts, a laptop that slept and credentials that expire make it wait
    longer, with growing pauses and a new client (which reads renewed credentials); only what waiting can't mend ends
    it. Interrupted, the same call goes on.

    Parameters
    ----------
    connect : callable
        Makes the client, again after each failure.
    poll : float
        Longest pause between two looks, in seconds; the first are shorter, and all are jittered by a quarter.
    timeout : float, optional
        Seconds on the wall clock, so that those in which the machine slept count too.
    shown, said : callable
        Get each status, and what goes wrong meanwhile.

    Raises
    ------
    InputError
        When there is no such job.
    ServiceError
        When SageMaker refuses for good, or ``timeout`` is over.
    """
    began, pause, client, failed = clock(), min(1.0, poll), None, 0
    while True:
        status = None
        try:
            client = client or connect()
            found = _describe(name, client)
            if found is None:
                raise _absent(name)
            status, failed = read_status(found), 0
            shown(status)
            if status.ended:
                return status
        except Exception as error:
            if not _passes(error):
                with asked(f"wait for labeling job {name}"):
                    raise
            client, failed = None, failed + 1
            if failed in (1, 5) or failed % 50 == 0:
                said(f"still waiting for {name}, though the last look failed: {why(error)}")
        if timeout is not None and clock() - began >= timeout:
            how = f"it is {status.status}, {status.bar()}" if status else "the last look failed"
            raise ServiceError(f"labeling job {name} hasn't ended in {timeout:,.0f} s ({how}); wait again to go on")
        sleep(pause * random.uniform(0.75, 1.25))
        pause = min(poll if not failed else max(poll, 60.0), pause * 1.5)


def _passes(error: Exception) -> bool:
    """Tell whether an error is one that waiting, or a person meanwhile, mends."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    code = storage.error_code(error)
    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code in (*_PASSING, *_EXPIRED) or status >= 500 or status == 429
    lost = (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.TokenRetrievalError)
    expired = (exceptions.SSOTokenLoadError, exceptions.UnauthorizedSSOTokenError, exceptions.CredentialRetrievalError)
    return isinstance(error, (*lost, *expired, ResponseParserError))
