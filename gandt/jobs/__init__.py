"""Labeling jobs: the CreateLabelingJob request, built and checked before anything is sent."""

from gandt.jobs.request import build_request, check_request

__all__ = ["build_request", "check_request"]
