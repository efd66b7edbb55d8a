"""Labeling jobs: the request, built and checked before it is sent; then create, look, wait and stop.

SageMaker and ``gandt serve`` speak the same protocol, so that one client is enough: :func:`connect`.
"""

from typing import TYPE_CHECKING, Any

from gandt.jobs.client import connect, create, describe, list_jobs, portal, s3_of, stop, wait
from gandt.jobs.request import build_request, check_request, read_settings
from gandt.jobs.status import JobStatus

if TYPE_CHECKING:
    from gandt.jobs.inputs import Prepared, prepare

__all__ = [
    "JobStatus",
    "Prepared",
    "build_request",
    "check_request",
    "connect",
    "create",
    "describe",
    "list_jobs",
    "portal",
    "prepare",
    "read_settings",
    "s3_of",
    "stop",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name in ("Prepared", "prepare"):  # they bring pandas, which nobody needs to look at a job
        from gandt.jobs import inputs

        return getattr(inputs, name)
    raise AttributeError(f"module 'gandt.jobs' has no attribute {name!r}")
