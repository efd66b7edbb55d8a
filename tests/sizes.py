"""A pytest plugin, for ``make sizes``: measures which tests ``make quick`` leaves out, and writes their names."""

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

MOST = 0.5  # seconds of a core, for all parameters of a test together
MEDIUM = Path(__file__).parent / "medium.txt"
_spent: Counter[str] = Counter()


def function_of(item: pytest.Item) -> str:
    """Return a test's name without its parameters."""
    return item.nodeid.partition("[")[0]


def _cpu() -> float:
    """Seconds of a core that this process and its ended children took."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    before = _cpu()
    try:
        return (yield)
    finally:
        _spent[function_of(item)] += _cpu() - before


def pytest_sessionfinish(exitstatus: int) -> None:
    if exitstatus == 0:
        names = sorted(name for name, seconds in _spent.items() if seconds > MOST)
        MEDIUM.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
