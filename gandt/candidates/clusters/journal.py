"""A journal: a file of decisions that is only ever appended to."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gandt import storage
from gandt.errors import InputError


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal; a last line that was cut off when the machine stopped never happened.

    Raises
    ------
    InputError
        When another line can't be read.
    """
    if not path.is_file():
        return []
    content = Path(path).read_bytes()
    events = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            event = json.loads(line)
            if not isinstance(event["do"], str):
                raise ValueError("no decision")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"line {number} of {path} is damaged ({error}); move the file away to begin anew"
            ) from error
        events.append(event)
    return events


def append_lines(path: Path, events: list[dict[str, Any]]) -> None:
    """Append to a journal; when this returns, the lines are on disk."""
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events).encode()
    with storage.explained("write", str(path)), path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read() != b"\n":  # a sudden stop left a part of a line: it goes
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def alone(folder: str) -> Iterator[None]:
    """Hold the folder's lock: two pages on one journal would not know of each other's decisions.

    Raises
    ------
    InputError
        When another process holds it.
    """
    with (Path(folder) / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another gandt cluster works in {folder}; end it, or give another --out") from error
        yield
