"""How AWS is reached: sessions and clients with retries, and what their errors mean.

boto3 reads the environment (``AWS_PROFILE``, ``AWS_ENDPOINT_URL_S3``, …) and ``~/.aws/config``; what these don't say is
an :class:`Access`. Every client retries throttling and lost connections, with growing pauses and jitter.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from gandt.errors import StorageError


@dataclass(frozen=True)
class Access:
    """How AWS is reached, as far as the environment and ``~/.aws/config`` don't say it; all may be left out.

    Attributes
    ----------
    profile, region : str, optional
        Instead of ``AWS_PROFILE`` and ``AWS_REGION``.
    s3_endpoint : str, optional
        Another S3 than AWS's, instead of ``AWS_ENDPOINT_URL_S3``.
    requester_pays : bool
        Accept to pay for requests to buckets whose owner wants that (``x-amz-request-payer``).
    kms_key : str, optional
        KMS key (id, ARN or alias) that encrypts all that is written; else each bucket's own default applies.
    """

    profile: str | None = None
    region: str | None = None
    s3_endpoint: str | None = None
    requester_pays: bool = False
    kms_key: str | None = None


_access = Access()


def use(access: Access) -> None:
    """Reach AWS in this way from now on, wherever no client is given."""
    global _access
    _access = access
    default_s3.cache_clear()


def access() -> Access:
    """Return what :func:`use` was told last."""
    return _access


def session(access: Access | None = None) -> Any:
    """Return a boto3 session for ``access``, by default for what :func:`use` was told.

    Raises
    ------
    StorageError
        When there is no such profile.
    """
    import boto3
    from botocore.exceptions import ProfileNotFound
    from botocore.session import get_session

    wanted = access or _access
    core = get_session()
    try:
        core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
        # boto3 itself looks at AWS_DEFAULT_REGION only, unlike the AWS CLI and AWS's other SDKs
        region = wanted.region or os.environ.get("AWS_REGION")
        made = boto3.Session(botocore_session=core, profile_name=wanted.profile, region_name=region)
        core.get_scoped_config()
        core.register("before-parse", _whole)
        return made
    except ProfileNotFound as error:
        raise StorageError(
            f"there is no AWS profile {wanted.profile or os.environ.get('AWS_PROFILE')!r}; "
            "`aws configure list-profiles` names those of this machine"
        ) from error


def _whole(response_dict: dict[str, Any], operation_model: Any, **_: Any) -> None:
    """Refuse an answer of which a part is missing; botocore takes JSON that is cut short for an empty answer."""
    from botocore.exceptions import ConnectionClosedError

    body, headers = response_dict["body"], response_dict["headers"]
    told = headers.get("content-length", "")
    if not isinstance(body, bytes) or operation_model.http.get("method") == "HEAD" or not told.isdigit():
        return  # a stream, which is checked as it is read, or nothing to compare with
    if response_dict["status_code"] == 200 and len(body) < int(told):
        service = operation_model.service_model.service_name
        raise ConnectionClosedError(endpoint_url=f"{service} ({len(body)} of {told} bytes came)")


@lru_cache(maxsize=1)
def _loader(path: str | None) -> Any:
    """Read the models of AWS's services once: SageMaker's takes half a second."""
    from botocore.loaders import create_loader

    return create_loader(path)


def is_near(endpoint: str | None) -> bool:
    """Tell whether an address is one of this machine (loopback)."""
    return urlsplit(endpoint or "").hostname in ("127.0.0.1", "localhost", "::1")


def near_options(made: Any, endpoint: str | None) -> dict[str, str]:
    """Return region and keys for a service on this machine, which looks at neither, as far as a session has none."""
    if not is_near(endpoint):
        return {}
    options = {} if made.region_name else {"region_name": "us-east-1"}
    if made.get_credentials() is None:
        options |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return options


def client_config(**options: Any) -> Any:
    """Return botocore's settings for any client of gandt's: eight retries, with pauses that grow, and jitter.

    Not the adaptive mode: after one 503 it lets a client with 32 connections wait for seconds before each request.
    """
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": 8}
    return Config(**{"retries": retries, "connect_timeout": 15, "tcp_keepalive": True, **options})


def s3_client(endpoint_url: str | None = None, *, access: Access | None = None, **options: Any) -> Any:
    """Make a boto3 S3 client with retries that back off and room for 32 connections.

    Parameters
    ----------
    endpoint_url : str, optional
        Another S3 than AWS's; by default that of ``access``, else boto3's own rules (``AWS_ENDPOINT_URL_S3``).
    access : Access, optional
        By default what :func:`use` was told.
    **options
        Passed to ``boto3.Session.client`` (``region_name``, ``aws_access_key_id``, …).

    Raises
    ------
    StorageError
        When there is no such profile.
    """
    wanted = access or _access
    made, config = session(wanted), client_config(max_pool_connections=32)
    endpoint = endpoint_url or wanted.s3_endpoint
    near = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    client = made.client("s3", endpoint_url=endpoint, config=config, **(near_options(made, near) | options))
    added = {"RequestPayer": "requester"} if wanted.requester_pays else {}
    if wanted.kms_key:
        added |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": wanted.kms_key}
    if added:

        def add(params: dict[str, Any], model: Any, **_: Any) -> None:
            members = model.input_shape.members
            kept = "SSECustomerAlgorithm" in params or params.get("ServerSideEncryption", "aws:kms") != "aws:kms"
            for name, value in added.items():
                if name in members and not (kept and name != "RequestPayer"):
                    params.setdefault(name, value)

        client.meta.events.register("before-parameter-build.s3", add)
    return client


@lru_cache(maxsize=1)
def default_s3() -> Any:
    """Return the process's own S3 client, made on first use from the environment and what :func:`use` was told."""
    return s3_client()


_DENIED = "access is denied; check the role's rights, the bucket's policy, and --requester-pays if its owner wants that"
_EXPIRED = "the credentials have expired; renew them and run the same command again"
_BUSY = "it asks for fewer requests, after all retries; run the same command again later, what is done stays done"
CHANGED = "the object was changed while it was being read; run the same command again"
_REASONS = {
    "404": "there is no such object",
    "NoSuchKey": "there is no such object",
    "NoSuchBucket": "there is no such bucket",
    "403": _DENIED,
    "AccessDenied": _DENIED,
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired"), _EXPIRED),
    **dict.fromkeys(("503", "SlowDown", "ServiceUnavailable", "ThrottlingException"), _BUSY),
    **dict.fromkeys(("301", "PermanentRedirect"), "the bucket is in another region; name it with --region"),
    "InvalidObjectState": "the object is archived; restore it first",
    "412": CHANGED,
    "PreconditionFailed": CHANGED,
}


def error_code(error: BaseException | None) -> str:
    """Return AWS's code in an error that boto3 raised (such as ``AccessDenied``), empty where it has none."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def reason(error: BaseException) -> str:
    """Say what an error that boto3 raised means, and what mends it."""
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return "no AWS credentials were found; name a profile with --profile or AWS_PROFILE, or run `aws configure`"
    text = str(error)
    page = text.lower().find("<!doctype html")  # of a server that isn't AWS's
    return _REASONS.get(error_code(error), text if page < 0 else text[:page].rstrip(" :\n"))
