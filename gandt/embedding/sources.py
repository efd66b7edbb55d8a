"""Where images come from: listed once, sorted by address, and read one by one.

A source is a folder, an ``s3://`` prefix, a manifest, a list (.txt), a table with a column of addresses, or tar
shards (webdataset), also by pattern (``shards/*.tar``, ``train-{000..099}.tar``). A picture inside a tar is named
``SHARD.tar#MEMBER`` and read by its place in the shard, so that nothing is unpacked.
"""

import glob
import hashlib
import json
import re
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from gandt import storage, tables, walk
from gandt.embedding.blocks import Blocks
from gandt.errors import InputError, StorageError
from gandt.images import EXTENSIONS, BadImageError
from gandt.walk import LeftOut

MAX_BYTES = 256 * 2**20
COLUMNS = ("item", "uri", "source-ref", "s3_uri", "path", "image", "image_path", "file", "filename", "url")
_KINDS = (".txt", ".lst", ".manifest", *tables.FORMATS, ".tar")
_LISTED = EXTENSIONS | {".tar"}
_BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class Listed:
    """An item before it is read.

    Attributes
    ----------
    item : str
        Its address.
    size : int
        In bytes; −1 where it isn't known.
    version : str
        Changes when the content does; empty where that can't be told without reading.
    offset : int
        Where its bytes start in a tar shard; −1 for a file of its own.
    problem : str
        Why it can't even be read, where listing showed that.
    """

    item: str
    size: int
    version: str
    offset: int = -1
    problem: str = ""


def list_source(
    source: str, *, column: str | None = None, s3: Any = None, left_out: LeftOut | None = None
) -> list[Listed]:
    """Return the items of a source, each once, sorted by address (in a tar shard, by place).

    In folders, below S3 prefixes and in tar shards, files with one of the endings of ``gandt.images.EXTENSIONS`` or
    none are listed, but for hidden ones: those with a dot in front of their name, or of a folder's below the source.

    Parameters
    ----------
    source : str
        See the module's text.
    column : str, optional
        Of a table: the column with the addresses; by default the first of ``COLUMNS`` that it has.
    s3 : boto3 S3 client, optional
        By default one made from the environment.
    left_out : LeftOut, optional
        Gets what was left out; without it, a folder that can't be read is an error.

    Raises
    ------
    InputError
        When the source is no known kind or names no image.
    StorageError
        When it can't be listed.
    """
    told = left_out if left_out is not None else LeftOut()
    found = {listed.item: listed for listed in _listed(source, column, s3, told)}
    if told.unreadable and (left_out is None or not found):
        raise StorageError(f"can't list all of {source}: {told.problem()}")
    if not found:
        known, aside = ", ".join(sorted(EXTENSIONS)), "".join(f"; {note}" for note in told.notes())
        raise InputError(
            f"there are no images in {source}; gandt looks for files ending in {known} or in no extension{aside}"
        )
    return sorted(found.values(), key=_place)


def _place(entry: Listed) -> tuple[str, int]:
    """Sort by address; what lies in a tar shard in the shard's own order, so that it is read from front to back."""
    return (entry.item, -1) if entry.offset < 0 else (_shard_of(entry.item), entry.offset)


def _shard_of(item: str) -> str:
    return item.partition(".tar#")[0] + ".tar"


def file_of(item: str) -> str:
    """Return the file or object that holds an item: itself, or its tar shard."""
    return _shard_of(item) if ".tar#" in item else item


def is_list(source: str) -> bool:
    """Tell whether a source's name is that of a list, table, manifest or tar shard."""
    return PurePosixPath(source).suffix.lower() in _KINDS


def _listed(source: str, column: str | None, s3: Any, told: LeftOut) -> Iterator[Listed]:
    extension = PurePosixPath(source).suffix.lower()
    if storage.is_s3(source) and extension not in _KINDS:
        yield from _s3_prefix(source, s3, told)
    elif Path(source).is_dir():
        yield from _folder(source, s3, told)
    elif extension == ".tar":
        for shard in _expanded(source, s3):
            yield from _tar(shard, s3, told)
    elif extension in _KINDS:
        yield from _named(source, extension, column, s3)
    else:
        raise walk.unusable(source, f"a folder, an s3:// prefix, or a file ending in {', '.join(_KINDS)}")


def _folder(source: str, s3: Any, told: LeftOut) -> Iterator[Listed]:
    root = str(Path(source).absolute())
    for path in storage.list_uris(root, left_out=told):
        if told.takes(path, _LISTED, below=root, bare=True):
            if path.lower().endswith(".tar"):
                yield from _tar(path, s3, told)
            else:
                yield _local(path)


def _local(path: str) -> Listed:
    try:
        path.encode()
    except UnicodeEncodeError:
        name = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return Listed(name, -1, "", problem="its name isn't UTF-8; rename the file")
    try:
        facts = Path(path).stat()
    except (OSError, ValueError):
        return Listed(path, -1, "")
    return Listed(path, facts.st_size, f"{facts.st_size}-{facts.st_mtime_ns}")


def _s3_prefix(source: str, s3: Any, told: LeftOut) -> Iterator[Listed]:
    bucket, prefix = storage.split_s3(source)
    with storage.explained("list", source):
        pages = (s3 or storage.default_s3()).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for entry in (entry for page in pages for entry in page.get("Contents", [])):
            uri = f"s3://{bucket}/{entry['Key']}"
            if uri.endswith("/") or not told.takes(entry["Key"], _LISTED, below=prefix, bare=True):
                continue
            if uri.lower().endswith(".tar"):
                yield from _tar(uri, s3, told)
            else:
                yield Listed(uri, entry["Size"], entry["ETag"].strip('"'))


def _named(source: str, extension: str, column: str | None, s3: Any) -> Iterator[Listed]:
    """Yield what a list, manifest or table names; relative paths count from the list's own folder."""
    if extension in (".txt", ".lst"):
        names = [line.strip() for line in storage.read_text(source, s3=s3).split("\n")]
    elif extension == ".manifest":
        names = list(_manifest_names(source, s3))
    else:
        table = tables.read_table(source, s3=s3)
        if column is None and "source" in table.columns and "source-ref" not in table.columns:
            names = list(_manifest_names(source, s3))  # gandt's own grouped form
        else:
            chosen = column or next((name for name in COLUMNS if name in table.columns), None)
            if chosen is None or chosen not in table.columns:
                have = ", ".join(map(str, table.columns))
                raise InputError(
                    f"{source} has no column {column or 'of addresses'}; name one of its columns ({have}) with --column"
                )
            names = [str(name) for name in table[chosen].dropna()]
    for name in names:
        if name:
            yield _addressed(name, source)


def _addressed(name: str, source: str) -> Listed:
    if storage.is_s3(name):
        return Listed(name, -1, "")
    if storage.is_s3(source):
        return Listed(storage.join(source.rpartition("/")[0], name), -1, "")
    path = name.removeprefix("file://")
    return _local(str(Path(source).absolute().parent / path))


def _manifest_names(source: str, s3: Any) -> Iterator[str]:
    for number, line in enumerate(storage.read_text(source, s3=s3).split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if "source-ref" in entry:
                yield str(entry["source-ref"])
            else:  # several items on one line, as a JSON list in a string
                yield from (str(tile["source-ref"]) for tile in json.loads(entry["source"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"line {number} of {source} names no image: {error!r}; it needs source-ref") from error


def _expanded(source: str, s3: Any) -> list[str]:
    """Return the shards that a pattern stands for: ``{000..099}``, and locally ``*`` and ``?``."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", source)
    if found:
        first, last = found.groups()
        if int(last) - int(first) > 1_000_000:
            raise InputError(f"{source} stands for more than a million shards; name fewer")
        numbers = range(int(first), int(last) + 1)
        return [f"{source[: found.start()]}{number:0{len(first)}}{source[found.end() :]}" for number in numbers]
    if storage.is_s3(source) or not glob.has_magic(source):
        return [source]
    shards = sorted(glob.glob(source))  # noqa: PTH207  (a pattern may be absolute)
    if not shards:
        raise InputError(f"no shard matches {source}")
    return shards


def _tar(shard: str, s3: Any, told: LeftOut) -> Iterator[Listed]:
    address = shard if storage.is_s3(shard) else str(Path(shard).absolute())
    with storage.explained("read", shard):
        try:
            if storage.is_s3(shard):
                archive = tarfile.open(fileobj=storage.stream(shard, s3=s3), mode="r|")  # noqa: SIM115  (closed below)
            else:
                archive = tarfile.open(shard, "r:")  # noqa: SIM115
            with archive:
                for member in archive:
                    if member.isreg() and told.takes(member.name, EXTENSIONS, bare=True):
                        version = f"{member.size}-{member.mtime}-{member.chksum}"
                        yield Listed(f"{address}#{member.name}", member.size, version, member.offset_data)
        except tarfile.TarError as error:
            raise InputError(f"{shard} isn't a readable tar file ({error}); shards must be uncompressed") from error


def read(listed: Listed, *, s3: Any = None, blocks: Blocks | None = None) -> bytes:
    """Return an item's content; of a tar shard on S3 by way of ``blocks``, so that neighbours share requests.

    Raises
    ------
    BadImageError
        When this one item can't be read: gone, forbidden, no regular file, too big.
    StorageError
        When reading fails for a reason that isn't the item's.
    """
    if listed.problem:
        raise BadImageError(listed.problem)
    if listed.size > MAX_BYTES:
        raise BadImageError(f"the file has {listed.size:,} bytes, more than the {MAX_BYTES:,} allowed")
    uri = listed.item if listed.offset < 0 else _shard_of(listed.item)
    if storage.is_s3(uri):
        return _read_s3(uri, listed, s3, blocks or Blocks(s3))
    try:
        facts = Path(uri).stat()
        if not stat.S_ISREG(facts.st_mode):
            raise BadImageError("not a regular file")
        if listed.offset >= 0:
            with Path(uri).open("rb") as file:
                file.seek(listed.offset)
                return file.read(listed.size)
        if facts.st_size > MAX_BYTES:
            raise BadImageError(f"the file has {facts.st_size:,} bytes, more than the {MAX_BYTES:,} allowed")
        return Path(uri).read_bytes()
    except FileNotFoundError:
        raise BadImageError("the file is not there") from None
    except (OSError, ValueError) as error:
        raise BadImageError(f"can't be read: {getattr(error, 'strerror', None) or error}") from None


def _read_s3(uri: str, listed: Listed, s3: Any, blocks: Blocks) -> bytes:
    if not listed.size:
        return b""
    try:
        with storage.explained("read", uri):
            if listed.offset >= 0:
                return blocks.read(uri, listed.offset, listed.size)
            content, answer = storage.get(uri, s3=s3, limit=MAX_BYTES)
            if answer["ContentLength"] > MAX_BYTES:
                raise BadImageError(
                    f"the object has {answer['ContentLength']:,} bytes, more than the {MAX_BYTES:,} allowed"
                )
            return content
    except StorageError as error:
        code = storage.error_code(error.__cause__)
        if code in ("404", "NoSuchKey"):
            raise BadImageError("the object is not there") from None
        if code in ("403", "AccessDenied", "InvalidObjectState"):
            raise ForbiddenError(f"can't be read: {code}") from None
        raise


class ForbiddenError(BadImageError):
    """An object that S3 refuses to give; many in a row mean that the right to read has ended."""


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``i/n`` with 1 ≤ i ≤ n.

    Raises
    ------
    InputError
        When it says anything else.
    """
    found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"a shard is written i/n with i from 1 to n, as in 3/16, not {text!r}")
    return int(found[1]), int(found[2])


def part_of(listed: list[Listed], number: int, of: int) -> list[Listed]:
    """Return the shard ``number`` (from 1) of ``of``: a share of the listing with about the same bytes as the others.

    An item's bucket (of 4,096) is a hash of its address, or of its tar shard's on S3; buckets go, biggest first, to
    the shard that has least. So every machine that sees the same listing computes the same shares, and no two shares
    have an item in common.
    """
    names = [_shard_of(entry.item) if _in_remote_tar(entry) else entry.item for entry in listed]
    buckets = np.array([bucket(name) for name in names], np.int64)
    loads = np.bincount(buckets, [max(entry.size, 0) + 1 for entry in listed], _BUCKETS)
    owner, totals = np.zeros(_BUCKETS, np.int64), np.zeros(of)
    for each in np.lexsort((np.arange(_BUCKETS), -loads)):
        owner[each] = int(totals.argmin())
        totals[owner[each]] += loads[each]
    mine = owner[buckets] == number - 1
    return [entry for entry, is_mine in zip(listed, mine, strict=True) if is_mine]


def _in_remote_tar(entry: Listed) -> bool:
    return entry.offset >= 0 and storage.is_s3(entry.item)


def bucket(item: str) -> int:
    """Return an item's bucket, the same on every machine."""
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:4], "big") % _BUCKETS
