"""A walk through a local folder: it ends, comes into each folder once, and keeps account of what it leaves out.

Names that begin with a dot are hidden: they are neither listed nor looked into. A link to a file is a file. A link to a
folder is followed, unless that folder holds the link itself (a loop) or has been walked already under another name;
folders are told apart by device and inode, so that bind mounts count as well. Folders reached without links come
first: a file is called by its own place, whatever links lead there.
"""

import heapq
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from gandt.errors import GandtError, InputError, StorageError

_SHOWN = 5


@dataclass
class LeftOut:
    """What a listing came by and left out.

    Attributes
    ----------
    kinds : Counter of str
        Files of kinds that weren't looked for, by ending (``""``: without one).
    hidden : int
        Names that begin with a dot; a hidden folder counts once.
    again : list of str
        Folders (mostly links) that lead to what is listed under another name, or back up: not followed.
    unreadable : dict of str to str
        Folders that can't be listed → reason. What lies in them is missing.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    again: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    def takes(self, name: str, endings: frozenset[str], *, below: str = "", bare: bool = False) -> bool:
        """Tell whether a file is of a kind looked for; otherwise count it.

        Parameters
        ----------
        name : str
            The file's path or key.
        endings : frozenset of str
            In lower case, with the dot.
        below : str
            The folder, or the prefix of keys, that is listed; what it names itself may be hidden.
        bare : bool
            Names without an ending are looked for, too.
        """
        if _hidden(name.removeprefix(below), midway=below[-1:] not in ("", "/")):
            self.hidden += 1
            return False
        ending = PurePosixPath(name).suffix.lower()
        if ending in endings or (bare and not ending):
            return True
        self.kinds[ending] += 1
        return False

    def notes(self) -> list[str]:
        """Return a sentence for each sort of thing that was left out; none where nothing was."""
        said = []
        if self.kinds:
            count = self.kinds.total()
            most = [f"{number:,} {ending or 'without an ending'}" for ending, number in self.kinds.most_common(_SHOWN)]
            rest = ["…"] * (len(self.kinds) > _SHOWN)
            said.append(f"left out: {count:,} file{'s'[: count != 1]} of other kinds ({', '.join([*most, *rest])})")
        if self.hidden:
            said.append(f"left out: {self.hidden:,} hidden name{'s'[: self.hidden != 1]} (with a dot in front)")
        if self.again:
            count = len(self.again)
            said.append(f"not followed: {count:,} folder{'s'[: count != 1]} listed already, such as {self.again[0]}")
        said += [
            f"can't be read: the folder {folder} ({reason}); what lies in it is missing"
            for folder, reason in self.unreadable.items()
        ]
        return said

    def problem(self) -> str:
        """Return the sentence of an error, where a folder couldn't be read; else nothing."""
        if not self.unreadable:
            return ""
        folder, reason = next(iter(self.unreadable.items()))
        count = len(self.unreadable)
        what = "a folder" if count == 1 else f"{count:,} folders"
        return (
            f"{what} can't be read, {'' if count == 1 else 'such as '}{folder} ({reason}), so its files are missing; "
            "give yourself the right to read it, or move it away, and run the same again"
        )

    def facts(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "other_kinds": dict(self.kinds.most_common()),
            "hidden": self.hidden,
            "not_followed": self.again,
            "unreadable": self.unreadable,
        }


def _hidden(rest: str, *, midway: bool) -> bool:
    """Tell whether a part of a path has a dot in front; its first part may have begun before (``midway``)."""
    parts = rest.split("/")[midway:]
    return any(part.startswith(".") and part not in (".", "..") for part in parts)


def unusable(path: str, wanted: str) -> GandtError:
    """Return the error for a local path that is not there, or is of a kind that can't be used.

    Parameters
    ----------
    path : str
        What the user gave.
    wanted : str
        What would do, as in ``"a folder or a table"``.
    """
    if not os.path.lexists(path):
        return StorageError(f"can't read {path}: there is no such file or folder; {wanted} is wanted")
    kind = "a folder" if Path(path).is_dir() else "a file"
    return InputError(f"{path} is {kind} of a kind that can't be used here; {wanted} is wanted")


def files(base: str, left_out: LeftOut | None = None) -> Iterator[str]:
    """Yield every file below a local folder once, in sorted order: a folder's files, then its folders.

    Parameters
    ----------
    base : str
        The folder. Nothing is yielded where there is none.
    left_out : LeftOut, optional
        Gets what was left out. Without it, a folder that can't be read is an error.

    Raises
    ------
    StorageError
        When a folder can't be read and ``left_out`` isn't given.
    """
    found = _Walk(base, left_out).found
    waiting = [base] if base in found else []
    while waiting:
        folder = waiting.pop()
        names, folders = found.pop(folder)
        for name in sorted(names):
            yield str(Path(folder) / name)
        waiting += sorted(folders, key=os.path.basename, reverse=True)


class _Walk:
    """What lies in each folder: ``found`` holds the names of its files, and the paths of its folders."""

    def __init__(self, base: str, left_out: LeftOut | None) -> None:
        self.found: dict[str, tuple[list[str], list[str]]] = {}
        self._left_out, self._base = left_out, base
        self._seen: set[tuple[int, int] | str] = set()
        self._links: list[tuple[int, str, str, str]] = []  # how many links deep, the link, its folder, its real place
        self._top = os.path.realpath(base)
        self._walk(base, self._top, 0)
        while self._links:
            depth, link, folder, place = heapq.heappop(self._links)
            target = os.path.realpath(link)
            if any(f"{inner}/".startswith(f"{target.rstrip('/')}/") for inner in (place, self._top)):
                self._again(link)
            elif self._walk(link, target, depth):
                self.found[folder][1].append(link)

    def _walk(self, start: str, real: str, depth: int) -> bool:
        """Look into a folder and all below it that isn't behind a link; say whether there was something new."""
        waiting = [(start, real, "")]
        new = False
        while waiting:
            folder, place, parent = waiting.pop()
            entries = self._entries(folder, place)
            if entries is None:
                continue
            new = True
            names: list[str] = []
            self.found[folder] = (names, [])
            if parent:
                self.found[parent][1].append(folder)
            folders = []
            for entry in entries:
                if entry.name.startswith("."):
                    if self._left_out is not None:
                        self._left_out.hidden += 1
                elif not _is_folder(entry):
                    names.append(entry.name)
                elif entry.is_symlink():
                    heapq.heappush(self._links, (depth + 1, str(Path(folder) / entry.name), folder, place))
                else:
                    folders.append((str(Path(folder) / entry.name), f"{place}/{entry.name}", folder))
            waiting += sorted(folders, reverse=True)
        return new

    def _entries(self, folder: str, place: str) -> "list[os.DirEntry[str]] | None":
        """Return what lies in a folder; nothing where it was looked into before, is gone, or can't be read."""
        try:
            facts = Path(folder).stat()
            key = (facts.st_dev, facts.st_ino) if facts.st_ino else place  # some network disks know no inodes
            if key in self._seen:
                self._again(folder)
                return None
            with os.scandir(folder) as content:
                entries = list(content)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            reason = error.strerror or str(error)
            if self._left_out is None:
                raise StorageError(f"can't list {folder}: {reason}") from error
            self._left_out.unreadable[folder] = reason
            return None
        self._seen.add(key)
        return entries

    def _again(self, folder: str) -> None:
        if self._left_out is not None:
            self._left_out.again.append(folder)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or one that leads where nothing may be seen: a file that can't be read
        return False
