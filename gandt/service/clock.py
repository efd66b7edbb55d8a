"""The service's clock: seconds since 1970 that never go back while it runs."""

import threading
import time
from collections.abc import Callable


class SteadyClock:
    """Follows the machine's clock forward; when that is set back, it goes on by the monotonic clock from where it was.

    So an answer is never submitted before its page was handed out, and a time limit ends when its seconds have passed.
    After a machine's clock was set back, the service is ahead of it until it is restarted, or overtaken.

    Parameters
    ----------
    wall, monotonic : callable
        The machine's clocks, in seconds; the second stands still while the machine sleeps, the first does not.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._lock = threading.Lock()
        self._now, self._at = wall(), monotonic()

    def __call__(self) -> float:
        """Return the time."""
        with self._lock:
            at = self._monotonic()
            self._now, self._at = max(self._wall(), self._now + at - self._at), at
            return self._now
