"""What is wrong with a template, before it costs a job."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """To be written."""

    level: str


def check(template: str) -> list[Problem]:
    """To be written."""
    return []
