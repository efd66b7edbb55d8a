"""Folders of images: names that nothing else has, copies or links, and an interrupted export taken up again.

While a folder is being written it holds :data:`MARKER`, which says what belongs into it. The next run of the same
export completes such a folder; any other folder that isn't empty is refused.
"""

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from gandt import storage
from gandt.errors import InputError, StorageError
from gandt.export.rows import Labelled
from gandt.images import EXTENSIONS, BadImageError, opened
from gandt.progress import track

MARKER = ".gandt-export.json"
_PART = re.compile(r"\..+\.[0-9a-f]{32}\.part")  # what a killed process leaves of storage.atomic
_GONE = ("404", "NoSuchKey", "NoSuchBucket", "NotFound")


class Names:
    """Gives names inside a folder that no other file there has, on any file system."""

    def __init__(self, *taken: str) -> None:
        self._taken = {_key(name) for name in taken}
        self._numbers: dict[str, int] = {}  # the last that each name got, so that a million equal ones are quick

    def free(self, folder: str, name: str, suffix: str = "", *, alone: bool = False) -> str:
        """Return ``folder`` + ``name`` + ``suffix``, numbered where taken; ``alone``: whatever the suffix."""
        asked = _key(f"{folder}{name}" + ("" if alone else suffix))
        number, key = self._numbers.get(asked, 1), asked
        numbered = name
        while key in self._taken:
            number += 1
            numbered = f"{name}-{number}"
            key = _key(f"{folder}{numbered}" + ("" if alone else suffix))
        self._numbers[asked] = number
        self._taken.add(key)
        return f"{folder}{numbered}{suffix}"


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def safe(name: str) -> str:
    """Return a name that is one plain part of a path on any system, and short enough for all."""
    plain = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "_", name).encode("utf-8", "replace")[:160].decode("utf-8", "ignore")
    return plain.strip(" .") or "_"


def placed(
    items: Iterable[Labelled], folder: Callable[[Labelled], str], names: Names, *, alone: bool = False
) -> dict[str, Labelled]:
    """Return a name for each item's file: in the folder that ``folder`` says (with its slash), after the item's own."""
    found = {}
    for each in items:
        path = PurePosixPath(each.item)
        suffix = f".{safe(path.suffix[1:])[:20]}" if path.suffix else ""
        found[names.free(folder(each), safe(path.stem), suffix, alone=alone)] = each
    return found


def must_be_images(items: Iterable[Labelled], form: str, endings: Iterable[str] = EXTENSIONS) -> None:
    """Refuse what the form's readers would pass over in silence: files whose names don't end as images' do.

    Raises
    ------
    InputError
        Naming the first.
    """
    for each in items:
        ending = PurePosixPath(each.item).suffix.lower()
        if ending not in endings:
            raise InputError(
                f"{each.item} ends in {ending or 'nothing'}, and readers of {form} pass over such files; rename or "
                "convert it, or take another form"
            )


def missing(items: Iterable[Labelled], *, s3: Any = None) -> list[str]:
    """Return the items that there is no file for.

    Raises
    ------
    StorageError
        When S3 can't be asked.
    """
    addresses = [each.item for each in items]
    far = [address for address in addresses if storage.is_s3(address)]

    def gone(address: str) -> bool:
        bucket, key = storage.split_s3(address)
        try:
            with storage.explained("read", address):
                storage.patiently(lambda: client.head_object(Bucket=bucket, Key=key))
        except StorageError as error:
            if storage.error_code(error.__cause__) in _GONE:
                return True
            raise
        return False

    absent = set()
    if far:
        client = s3 or storage.default_s3()
        with ThreadPoolExecutor(32) as pool:
            looked = track(pool.map(gone, far), "looking for the files", len(far))
            absent = {address for address, is_gone in zip(far, looked, strict=True) if is_gone}
    return [
        address
        for address in addresses
        if address in absent or (not storage.is_s3(address) and not Path(address).is_file())
    ]


class Sizes:
    """Widths and heights of images as they are shown, in pixels.

    Parameters
    ----------
    known : mapping of str to (int, int)
        By item; an embedding store knows them. Sizes below 1 are none.
    s3
        boto3 S3 client, for images that must be opened.
    """

    def __init__(self, known: Mapping[str, tuple[int, int]], s3: Any = None) -> None:
        self._known = {item: size for item, size in known.items() if min(size) > 0}
        self._s3 = s3

    def known(self, item: Labelled) -> tuple[int, int] | None:
        """Return an image's size without opening it: from its own labels, or the store."""
        return item.size or self._known.get(item.item)

    def of(self, item: Labelled) -> tuple[int, int]:
        """Return an image's size; where it isn't known the image is opened.

        Raises
        ------
        InputError
            When it is no image.
        StorageError
            When it can't be read.
        """
        found = self.known(item)
        if found is None:
            try:
                with opened(storage.read_bytes(item.item, s3=self._s3)) as picture:
                    found = picture.size
                    if picture.getexif().get(0x0112, 1) >= 5:  # it lies on its side
                        found = found[::-1]
            except BadImageError as error:
                raise InputError(f"the size of {item.item} isn't known, for it is no image: {error}") from None
            self._known[item.item] = found
        return found


def write_folder(
    out: str, files: Mapping[str, str], texts: Mapping[str, bytes], *, link: bool = False, s3: Any = None
) -> None:
    """Write a folder of files, or complete one whose writing was interrupted.

    Parameters
    ----------
    out : str
        A new or empty local folder, or one that this function left unfinished.
    files : mapping of str to str
        The files' names below ``out`` → the addresses that they are copied from.
    texts : mapping of str to bytes
        Further files and their content.
    link : bool
        Hard-link local files instead of copying them.
    s3 : optional
        A boto3 S3 client.

    Raises
    ------
    InputError
        When ``out`` is in S3, or holds anything else.
    StorageError
        When a file can't be read or written; what is there stays, and the next run goes on from it.
    """
    if storage.is_s3(out):
        raise InputError(f"folders of files are written locally, not at {out}; write them, then copy: aws s3 sync")
    folder = Path(out)
    done = _taken_up(folder, files, texts, link)
    storage.write_text(str(folder / MARKER), json.dumps({"link": link, "texts": sorted(texts), "files": dict(files)}))
    for name, address in track(files.items(), "copying", len(files)):
        if name not in done:
            _put(address, folder / name, link, s3)
    for name, content in texts.items():
        storage.write_bytes(str(folder / name), content)
    with storage.explained("finish", out):
        (folder / MARKER).unlink()


def _taken_up(folder: Path, files: Mapping[str, str], texts: Mapping[str, bytes], link: bool) -> set[str]:
    """Return which files an interrupted run has already put into the folder; empty for a new one."""
    with storage.explained("read", str(folder)):
        if not folder.exists():
            return set()
        if folder.is_dir():
            for part in folder.glob(f".{MARKER}.*.part"):  # killed while it wrote the very first file
                part.unlink()
            if not any(folder.iterdir()):
                return set()
        try:
            begun = json.loads((folder / MARKER).read_text(encoding="utf-8"))
            before = dict(begun["files"]), set(begun["texts"]), begun["link"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{folder} isn't a new or empty folder; choose another, so that nothing in it is overwritten"
            ) from None
        done = set()
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_dir() or name == MARKER or (name in texts and name in before[1]):
                continue
            if _PART.fullmatch(path.name):
                path.unlink()
            elif name in files and before[0].get(name) == files[name] and before[2] == link:
                done.add(name)
            else:
                raise InputError(
                    f"{folder} holds an unfinished export of something else (there is {name}); finish it by its own "
                    "command, or remove the folder"
                )
    return done


def _put(item: str, target: Path, link: bool, s3: Any) -> None:
    with storage.explained("write", str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        if link and not storage.is_s3(item):
            os.link(item, target)
            return
    storage.write_bytes(str(target), storage.read_bytes(item, s3=s3))
