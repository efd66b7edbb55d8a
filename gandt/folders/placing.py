"""Putting files into folders so that every change can be taken back, and nothing of the user's is lost.

What is done is written to a journal first. Files are only ever added (as hard links or copies) or moved; what a step
clears away goes to ``.gandt/trash``, and only what gandt put there itself and nobody changed since.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gandt import storage
from gandt.candidates.clusters.journal import append_lines, read_journal
from gandt.errors import InputError
from gandt.images import list_images


class Ledger:
    """What was put where in a labels folder.

    Parameters
    ----------
    base : Path
        The labels folder; its ``.gandt`` holds journal and trash.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._path = base / ".gandt" / "journal.jsonl"

    def events(self) -> list[dict[str, Any]]:
        """Return what was done and not undone, the oldest first."""
        done: list[dict[str, Any]] = []
        for event in read_journal(self._path):
            if event["do"] == "undo":
                done = [each for each in done if each["number"] != event["of"]]
            else:
                done.append(event)
        return done

    def number(self) -> int:
        """Return the number of the next change."""
        return len(read_journal(self._path)) + 1

    def mine(self) -> dict[str, str]:
        """Return the files that gandt put into the folders and that are still there as they were: path → sha256."""
        found: dict[str, dict[str, str]] = {}
        for event in self.events():
            for source, _ in event["moved"]:
                found.pop(source, None)
            found |= {place["path"]: place for place in event["placed"]}
        return {path: place["sha256"] for path, place in found.items() if self._same(place)}

    def change(
        self,
        do: str,
        *,
        placed: Iterable[dict[str, str]] = (),
        moved: Iterable[tuple[str, str]] = (),
        copy: bool = False,
    ) -> dict[str, Any]:
        """Move files, then add files, and remember both.

        Parameters
        ----------
        do : str
            The verb.
        placed : iterable of dict
            path (below the base), of (the file to link or copy), sha256.
        moved : iterable of (str, str)
            From where to where, below the base.
        copy : bool
            Copy instead of linking.
        """
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        event: dict[str, Any] = {
            "do": do,
            "number": self.number(),
            "at": moment,
            "moved": [list(pair) for pair in moved],
        }
        event["placed"] = list(placed)
        self._write(event)
        for source, target in event["moved"]:
            self._move(source, target)
        for place in event["placed"]:
            _add(Path(place["of"]), self._base / place["path"], copy)
        return event

    def undo(self) -> tuple[dict[str, Any], int]:
        """Take the last change back; return it, and how many files were left alone because they changed since.

        Raises
        ------
        InputError
            When there is nothing to undo.
        """
        done = self.events()
        if not done:
            raise InputError(f"there is nothing to undo in {self._base}")
        last, number = done[-1], self.number()
        away = [place["path"] for place in last["placed"] if self._same(place)]
        gone = len(last["placed"]) - len(away)
        moves = [(path, f".gandt/trash/{number}/{path}") for path in away]
        moves += [(target, source) for source, target in reversed(last["moved"])]
        self._write({"do": "undo", "number": number, "of": last["number"], "moved": [list(pair) for pair in moves]})
        for source, target in moves:
            gone += not self._move(source, target)
        return last, gone

    def _write(self, event: dict[str, Any]) -> None:
        with storage.explained("write", str(self._path)):
            self._path.parent.mkdir(exist_ok=True)
        append_lines(self._path, [event])

    def _same(self, place: dict[str, str]) -> bool:
        """Tell whether a file that was put somewhere is still there, unchanged."""
        file, source = self._base / place["path"], Path(place["of"])
        if not file.is_file():
            return False
        linked = source.is_file() and file.samefile(source)  # then there is nothing to compare
        return linked or hash_of(file) == place["sha256"]

    def _move(self, source: str, target: str) -> bool:
        """Move a file; not if it is gone or its new place is taken."""
        old, new = self._base / source, self._base / target
        if not old.is_file() or new.exists():
            return False
        with storage.explained("move", str(old)):
            new.parent.mkdir(parents=True, exist_ok=True)
            old.rename(new)
        return True


def images_in(folder: Path, left_out: storage.LeftOut | None = None) -> list[Path]:
    """Return the images in a folder and all below it, sorted; ``left_out`` as in :func:`gandt.images.list_images`."""
    return [Path(path) for path in list_images(str(folder), left_out=left_out)]


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file's content; empty where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def free_name(folder: Path, name: str, taken: set[Path]) -> Path:
    """Return a path in ``folder`` that nothing has: ``name``, or ``name`` with a number before its ending."""
    path, number = folder / name, 1
    while path in taken or path.exists() or path.is_symlink():
        number += 1
        path = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
    taken.add(path)
    return path


def _add(source: Path, target: Path, copy: bool) -> None:
    with storage.explained("write", str(target)):
        target.parent.mkdir(exist_ok=True)
        if not copy:
            try:
                os.link(source.resolve(), target)
                return
            except OSError:  # another file system, or one without links
                pass
        with storage.atomic(target) as part:
            shutil.copyfile(source, part)
