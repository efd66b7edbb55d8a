"""One process at a time works on a run."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gandt import storage
from gandt.errors import InputError


@contextmanager
def alone(folder: str) -> Iterator[None]:
    """Hold the run's lock: two processes on one run would ask everything twice.

    Raises
    ------
    InputError
        When another process has it.
    """
    with storage.explained("write", folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        handle = (Path(folder) / ".lock").open("w")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another gandt run works in {folder}; wait for it, or choose another folder") from error
        for part in Path(folder).rglob(f".*.{'[0-9a-f]' * 32}.part"):  # of files that a killed process was writing
            part.unlink(missing_ok=True)
        yield
