"""Progress on stderr, for anything that takes more than two seconds."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from gandt.text import on_screen

Thing = TypeVar("Thing")

_QUIET_SECONDS = 2.0


class Meter:
    """Count steps and show rate and time left on stderr, once two seconds have passed.

    On a terminal one line is redrawn ten times a second; elsewhere a line is printed every ten seconds.
    Use it as a context manager and call :meth:`step`.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what, self.total, self.done = on_screen(what, sys.stderr), total, 0
        self._start = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._next = self._start + _QUIET_SECONDS
        self._shown = False

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._terminal:
            self._show()
            print(file=sys.stderr)

    def step(self, count: int = 1) -> None:
        """Count ``count`` more steps."""
        self.done += count
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (0.1 if self._terminal else 10.0)
            self._show()

    def _show(self) -> None:
        self._shown = True
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = self.done / seconds
        text = f"{self.what}: {self.done:,}"
        if self.total:
            left = max(self.total - self.done, 0) / rate if rate else float("inf")
            text += f" of {self.total:,} ({self.done / self.total:.0%}), {rate:,.1f}/s, {_clock(left)} left"
        else:
            text += f", {rate:,.1f}/s"
        print(
            f"\r\033[K{text}" if self._terminal else text,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )


def track(things: Iterable[Thing], what: str, total: int | None = None) -> Iterator[Thing]:
    """Yield ``things`` while a :class:`Meter` counts them."""
    if total is None and isinstance(things, Sized):
        total = len(things)
    with Meter(what, total) as meter:
        for thing in things:
            yield thing
            meter.step()


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
