"""Progress on stderr, for anything that takes more than two seconds."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from gandt.text import on_screen

Thing = TypeVar("Thing")

_QUIET_SECONDS = 2.0
_EVERY, _STILL = 10.0, 600.0  # seconds between lines of a Ticker that changed, and of one that didn't


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


class Ticker:
    """Say on stderr how something stands that others move, such as a labeling job, each time it is looked at.

    On a terminal one line is redrawn. Elsewhere a line is printed at once, then where it has changed and ten seconds
    have passed, and every ten minutes where it hasn't, so that a log shows that somebody still waits.

    Parameters
    ----------
    clock : callable
        Seconds, of any origin.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._terminal = clock, sys.stderr.isatty()
        self._last: tuple[float, str] | None = None

    def show(self, text: str, *, final: bool = False) -> None:
        """Take how it stands now; what is ``final`` is said at once."""
        now = self._clock()
        if self._terminal:
            print(f"\r\033[K{on_screen(text, sys.stderr)}", end="", file=sys.stderr, flush=True)
            self._last = now, text
            return
        since = now - self._last[0] if self._last else float("inf")
        same = self._last is not None and text == self._last[1]
        if (not same and (final or since >= _EVERY)) or since >= _STILL:
            print(on_screen(text, sys.stderr), file=sys.stderr, flush=True)
            self._last = now, text

    def end(self) -> None:
        """Leave the terminal's line as it is; what comes next begins a new one."""
        if self._terminal and self._last:
            print(file=sys.stderr)
        self._last = None if self._terminal else self._last


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
