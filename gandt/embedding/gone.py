"""What a store holds of files that are there no more: found, said, and taken out.

Taking out adds a part, as everything that happens to a store does: a record of each item with the status "gone", after
which the store doesn't show it. So it can be killed at any moment; and a file that comes back is embedded again.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from gandt import storage
from gandt.arguments import checked
from gandt.embedding import sources
from gandt.embedding.sources import Listed, list_source
from gandt.embedding.store import GONE, EmbeddingStore, Record, part_names
from gandt.embedding.writer import Writer
from gandt.errors import InputError
from gandt.walk import LeftOut

_PART = 16_384
_SHOWN = 20


@dataclass(frozen=True)
class Difference:
    """A store beside the source that it was made from.

    Attributes
    ----------
    missing : list of str
        Items of the source that the store lacks.
    gone : list of str
        Items of the store that the source had, and has no more.
    left_out : LeftOut
        What listing the source left out.
    """

    missing: list[str]
    gone: list[str]
    left_out: LeftOut

    def problems(self, store: EmbeddingStore, source: str) -> list[str]:
        """Return what is wrong, a sentence each."""
        said = [self.left_out.problem()] if self.left_out.unreadable else []
        if self.missing:
            said.append(
                f"{store.path} lacks {len(self.missing)} items of {source}, such as {self.missing[0]}; "
                f"embed: {store.command()}"
            )
        if self.gone:
            named = ", ".join([*self.gone[:_SHOWN], *["…"] * (len(self.gone) > _SHOWN)])
            what = "1 item whose file is" if len(self.gone) == 1 else f"{len(self.gone):,} items whose files are"
            said.append(f"{store.path} holds {what} gone ({named}); take out what is gone: {store.command()} --prune")
        return said


@checked
def compare(store: EmbeddingStore, source: str, *, column: str | None = None, s3: Any = None) -> Difference:
    """Compare a store with its source.

    Of a folder, prefix or tar shards, what lies below it in the store and isn't listed is gone. A list says nothing
    about the items that it doesn't name, so for a list each item of the store is looked for where it lies: local
    files one by one, objects by listing the prefix that they have in common. What lies in a folder that can't be read
    isn't gone.

    Parameters
    ----------
    store : EmbeddingStore
        The store.
    source : str
        As for :func:`gandt.embed`.
    column : str, optional
        Of a table: the column with the addresses.
    s3 : boto3 S3 client, optional
        By default one made from the environment.

    Raises
    ------
    InputError, StorageError
        When the source can't be listed, or names no image.
    """
    left_out = LeftOut()
    listed = list_source(source, column=column, s3=s3, left_out=left_out)
    there = {entry.item for entry in listed}
    held = store.items["item"].tolist()
    known = set(held)
    rest = [item for item in held if item not in there and not _below(item, left_out.unreadable)]
    missing = [entry.item for entry in listed if entry.item not in known]
    return Difference(missing, sorted(_gone(rest, source, listed, s3)), left_out)


@checked
def prune(store: str, source: str, *, column: str | None = None, s3: Any = None) -> tuple[EmbeddingStore, list[str]]:
    """Take the items out of a store whose files are gone; return the store, opened again, and their names.

    Nothing is rewritten: a part is added that says so (see the module's text). The vectors stay in the files, and in
    the mean of the pool, until :func:`gandt.embedding.merge` writes the store anew.

    Parameters
    ----------
    store : str
        The store's folder.
    source, column, s3
        See :func:`compare`.

    Raises
    ------
    InputError
        When the source names no image, the store holds parts of several shards, or another process writes to it.
    StorageError
        When the source can't be listed or the store can't be written.
    """
    if any("-" in name for name in part_names(store)):  # they have no order, so that a later record couldn't count
        raise InputError(f"{store} holds parts of several shards; put them together first: gandt merge {store} {store}")
    description = {key: value for key, value in EmbeddingStore.open(store).description.items() if key != "format"}
    with Writer(store, description) as writer:  # its lock: nobody adds an item between looking and taking out
        opened = EmbeddingStore.open(store)
        gone = compare(opened, source, column=column, s3=s3).gone
        for first in range(0, len(gone), _PART):
            records = [Record(item, "", 0, 0, GONE, "the file is gone", -1, "") for item in gone[first : first + _PART]]
            writer.write(records, np.empty((0, opened.dim), np.float32))
    return EmbeddingStore.open(store), gone


@checked
def vanished(items: Iterable[str]) -> list[str]:
    """Return the local items whose file, or tar shard, is not there; S3 isn't asked, nor about names that are no path.

    Examples
    --------
    >>> vanished(["/nowhere/at/all.jpg", "row 7", "s3://bucket/a.jpg"])
    ['/nowhere/at/all.jpg']
    """
    absent: dict[str, bool] = {}
    found = []
    for item in items:
        if item.startswith("/"):
            path = sources.file_of(item)
            if path not in absent:
                absent[path] = _absent(path)
            if absent[path]:
                found.append(item)
    return found


def _absent(path: str) -> bool:
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # it can't be told
        return False
    return False


@checked
def vanished_note(items: Iterable[str], what: str) -> str:
    """Return the sentence that says how many items' files are gone; nothing where none is."""
    gone = vanished(items)
    if not gone:
        return ""
    one = len(gone) == 1
    return (
        f"{len(gone):,} of {what}: the file{' is' if one else 's are'} gone, such as {gone[0]} "
        "(seen from this machine); gandt embed SOURCE STORE --prune takes what is gone out of the store"
    )


def _gone(items: list[str], source: str, listed: list[Listed], s3: Any) -> list[str]:
    """Return which of a store's items that aren't listed were of the source."""
    if PurePosixPath(source).suffix.lower() == ".tar" and not Path(source).is_dir():
        shards = {sources.file_of(entry.item) for entry in listed}
        members = [item for item in items if sources.file_of(item) != item]
        return [item for item in members if sources.file_of(item) in shards or vanished([item])]
    if storage.is_s3(source) and not sources.is_list(source):
        return [item for item in items if item.startswith(source)]
    if Path(source).is_dir():
        return [item for item in items if _below(item, [str(Path(source).absolute())])]
    buckets: dict[str, set[str]] = {}
    for item in items:
        if storage.is_s3(item):
            buckets.setdefault(storage.split_s3(item)[0], set()).add(sources.file_of(item))
    for files in buckets.values():
        prefix = os.path.commonprefix(list(files))  # noqa: RUF071  (keys are no paths)
        files.difference_update(storage.list_uris(prefix, s3=s3))
    missing = set().union(*buckets.values())
    return [*vanished(items), *(item for item in items if sources.file_of(item) in missing)]


def _below(item: str, folders: Iterable[str]) -> bool:
    return any(item.startswith(folder.rstrip("/") + "/") for folder in folders)
