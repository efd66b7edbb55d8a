"""Labeling jobs: the request, built and checked before it is sent; then create, look, wait and stop.

SageMaker and ``gandt serve`` speak the same protocol, so that one client is enough: :func:`connect`.
"""

from gandt.jobs.client import JobStatus, connect, create, describe, list_jobs, stop, wait
from gandt.jobs.prepare import Prepared, prepare
from gandt.jobs.request import build_request, check_request, read_settings

__all__ = [
    "JobStatus",
    "Prepared",
    "build_request",
    "check_request",
    "connect",
    "create",
    "describe",
    "list_jobs",
    "prepare",
    "read_settings",
    "stop",
    "wait",
]
