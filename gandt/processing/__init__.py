"""Embedding on a fleet: the program inside the container, and how it is submitted to SageMaker."""

from gandt.processing.fleet import Member, Work, work

__all__ = ["Member", "Work", "work"]
