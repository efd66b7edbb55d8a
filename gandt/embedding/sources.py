"""Where images come from: listed once, in sorted order, and read one by one."""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gandt import storage
from gandt.errors import InputError, StorageError
from gandt.images import EXTENSIONS, BadImageError

MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Listed:
    """An item before it is read: its address, its size in bytes (−1: not known) and what tells a change."""

    item: str
    size: int
    version: str


def list_source(source: str, *, s3: Any = None) -> list[Listed]:
    """Return the items of a source, sorted.

    Raises
    ------
    InputError
        When the source is no known kind or holds no image.
    StorageError
        When it can't be listed.
    """
    if storage.is_s3(source):
        found = list(_s3_prefix(source, s3))
    elif Path(source).is_dir():
        found = list(_folder(source))
    else:
        raise StorageError(f"can't read {source}: there is no such file or folder")
    if not found:
        raise InputError(
            f"there are no images in {source}; gandt looks for {', '.join(sorted(EXTENSIONS)[:6])} and others"
        )
    return sorted(found, key=lambda listed: listed.item)


def _folder(source: str) -> Iterator[Listed]:
    for path in storage.list_uris(str(Path(source).absolute())):
        if _wanted(path):
            yield local(path)


def local(path: str) -> Listed:
    """Return the listing of a local file, without failing when it isn't there."""
    try:
        facts = Path(path).stat()
    except OSError:
        return Listed(path, -1, "")
    return Listed(path, facts.st_size, f"{facts.st_size}-{facts.st_mtime_ns}")


def _s3_prefix(source: str, s3: Any) -> Iterator[Listed]:
    bucket, prefix = storage.split_s3(source)
    with storage.explained("list", source):
        pages = (s3 or storage.default_s3()).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                if _wanted(entry["Key"]) and not entry["Key"].endswith("/"):
                    yield Listed(f"s3://{bucket}/{entry['Key']}", entry["Size"], entry["ETag"].strip('"'))


def _wanted(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in EXTENSIONS | {""}


def read(listed: Listed, *, s3: Any = None) -> bytes:
    """Return an item's content.

    Raises
    ------
    BadImageError
        When this one item can't be read: gone, forbidden, no regular file, too big.
    StorageError
        When reading fails for a reason that isn't the item's.
    """
    if listed.size > MAX_BYTES:
        raise BadImageError(f"the file has {listed.size:,} bytes, more than the {MAX_BYTES:,} allowed")
    if storage.is_s3(listed.item):
        return _read_s3(listed.item, s3)
    try:
        facts = Path(listed.item).stat()
        if not stat.S_ISREG(facts.st_mode):
            raise BadImageError("not a regular file")
        if facts.st_size > MAX_BYTES:
            raise BadImageError(f"the file has {facts.st_size:,} bytes, more than the {MAX_BYTES:,} allowed")
        return Path(listed.item).read_bytes()
    except FileNotFoundError:
        raise BadImageError("the file is not there") from None
    except OSError as error:
        raise BadImageError(f"can't be read: {error.strerror}") from None


def _read_s3(uri: str, s3: Any) -> bytes:
    bucket, key = storage.split_s3(uri)
    try:
        with storage.explained("read", uri):
            content: bytes = (s3 or storage.default_s3()).get_object(Bucket=bucket, Key=key)["Body"].read()
            return content
    except StorageError as error:
        code = str(getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", ""))
        if code in ("404", "NoSuchKey"):
            raise BadImageError("the object is not there") from None
        if code in ("403", "AccessDenied", "InvalidObjectState"):
            raise BadImageError(f"can't be read: {code}") from None
        raise


def unique(listed: Iterable[Listed]) -> list[Listed]:
    """Return each item once, the first mention counting."""
    return list({entry.item: entry for entry in reversed(list(listed))}.values())
