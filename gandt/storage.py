"""Files by address: a local path or ``s3://bucket/key``, read and written the same way.

Everything above this module takes addresses as strings and passes ``s3`` (a boto3 S3 client) along; where it is
left out, it is the process's own (gandt/aws.py). Writes are atomic: a reader sees the old content or the new, never
half of it.

botocore retries, sends a CRC32 with all that is written and checks it on what is read. What it leaves to its callers is
here: a connection that breaks while the content is coming (:func:`get`, :func:`stream`).
"""

import io
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gandt import walk
from gandt.aws import (
    CHANGED,
    Access,
    access,
    client_config,
    default_s3,
    error_code,
    is_near,
    near_options,
    reason,
    s3_client,
    session,
    use,
)
from gandt.errors import StorageError
from gandt.walk import LeftOut

# this is the one door to AWS for the rooms above: what gandt/aws.py has is here too
__all__ = [
    "MULTIPART",
    "Access",
    "LeftOut",
    "access",
    "atomic",
    "client_config",
    "copy_tree",
    "default_s3",
    "error_code",
    "explained",
    "get",
    "is_near",
    "is_s3",
    "join",
    "list_uris",
    "near_options",
    "patiently",
    "read_bytes",
    "read_text",
    "reason",
    "s3_client",
    "session",
    "split_s3",
    "stream",
    "use",
    "write_bytes",
    "write_text",
]


def is_s3(uri: str) -> bool:
    """Tell whether ``uri`` is an ``s3://`` address."""
    return uri.startswith("s3://")


def split_s3(uri: str) -> tuple[str, str]:
    """Split ``s3://bucket/key`` into bucket and key (the key may be empty).

    Raises
    ------
    StorageError
        When ``uri`` isn't an S3 address or names no bucket.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not is_s3(uri) or not bucket:
        raise StorageError(f"{uri!r} is not an S3 address; write it as s3://bucket/key")
    return bucket, key


def join(base: str, *parts: str) -> str:
    """Join a local path or S3 address with further parts, by single slashes."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


# Above this, content travels in parts, each with a checksum and retries of its own (S3 takes 5 GB at most in one).
MULTIPART = 64 * 2**20
_ATTEMPTS = 6  # of reading a body whose connection breaks
_BUSY = ("503", "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded")
_PAUSE = 0.5  # seconds before the second attempt, twice as long before each further one, times a random factor


@contextmanager
def explained(doing: str, uri: str) -> Iterator[None]:
    """Turn what boto3 and the operating system raise inside the block into one sentence about ``uri``."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"can't {doing} {uri}: {error.strerror or error}") from error
    except Exception as error:
        if not type(error).__module__.startswith(("botocore", "boto3", "s3transfer")):
            raise
        raise StorageError(f"can't {doing} {uri}: {reason(error)}") from error


def get(uri: str, *, s3: Any = None, limit: int | None = None, **options: Any) -> tuple[bytes, dict[str, Any]]:
    """Read an object of S3 whole, again from its start when the connection breaks on the way.

    Parameters
    ----------
    uri : str
        Its address.
    s3 : optional
        A boto3 S3 client.
    limit : int, optional
        Most bytes to read; of a larger object no byte is read.
    **options
        Of ``GetObject``, such as ``Range``.

    Returns
    -------
    content : bytes
        Empty when the object is larger than ``limit``.
    response : dict
        What ``GetObject`` says of it (``ContentLength``, ``ETag``, …).

    Raises
    ------
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        To be met by :func:`explained`.
    """
    bucket, key = split_s3(uri)
    client, attempt = s3 or default_s3(), 1
    while True:
        found = patiently(lambda: client.get_object(Bucket=bucket, Key=key, **options))
        body = found["Body"]
        try:  # not `with`: that would give the bare stream, without botocore's check of the CRC32
            if limit is not None and found["ContentLength"] > limit:
                return b"", found
            content: bytes = body.read()
            return content, found
        except _broken():
            if attempt == _ATTEMPTS:
                raise
        finally:
            body.close()
        _pause(attempt)
        attempt += 1


def patiently(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Call S3 again when it still asks for fewer requests after boto3's retries, of which a storm allows a few only.

    Raises
    ------
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        What the last attempt raised, or at once what isn't about too many requests.
    """
    from botocore.exceptions import ClientError

    for attempt in range(1, _ATTEMPTS):
        try:
            return call()
        except ClientError as error:
            if error_code(error) not in _BUSY:
                raise
        _pause(attempt + 3)
    return call()


def _broken() -> tuple[type[Exception], ...]:
    """Return what boto3 raises when a body doesn't come whole, or not as it was sent."""
    from botocore import exceptions

    return (exceptions.HTTPClientError, exceptions.IncompleteReadError, exceptions.FlexibleChecksumError)


def _pause(attempt: int) -> None:
    time.sleep(random.random() * min(20.0, _PAUSE * 2 ** (attempt - 1)))


class _Stream(io.RawIOBase):
    """An object's content as it comes; once a byte is handed out, what follows is of the same version or an error."""

    def __init__(self, uri: str, s3: Any) -> None:
        super().__init__()
        self._bucket, self._key = split_s3(uri)
        self._s3, self._place, self._version = s3, 0, ""
        self._body: Any = None  # should opening fail, the garbage collector still closes this
        self._body = self._open()

    def _open(self) -> Any:
        same = {"Range": f"bytes={self._place}-", "IfMatch": self._version} if self._place else {}
        found = patiently(lambda: self._s3.get_object(Bucket=self._bucket, Key=self._key, **same))
        if self._place:  # not every store that speaks S3 heeds both of what was asked
            same_place = found.get("ContentRange", "").startswith(f"bytes {self._place}-")
            if found["ETag"] != self._version or not same_place:
                found["Body"].close()
                why = CHANGED if same_place else "its connection broke, and the store gives no part of an object"
                raise StorageError(f"can't read s3://{self._bucket}/{self._key}: {why}")
        self._version = found["ETag"]
        return found["Body"]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        attempt = 1
        while True:
            try:
                content = self._body.read(len(buffer))
            except _broken() as error:
                # a checksum is compared at the end, when the reader has it all: then there is nothing to go on with
                if attempt == _ATTEMPTS or type(error).__name__ == "FlexibleChecksumError":
                    raise
                self._body.close()
                _pause(attempt)
                self._body = self._open()
                attempt += 1
                continue
            buffer[: len(content)] = content
            self._place += len(content)
            return len(content)

    def close(self) -> None:
        if not self.closed and self._body is not None:
            self._body.close()
        super().close()


def stream(uri: str, *, s3: Any = None) -> io.BufferedReader:
    """Open an object of S3 for reading as it comes, in little memory; a broken connection goes on where it was.

    Raises
    ------
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        To be met by :func:`explained`, here and while reading.
    StorageError
        While reading on after a break, from a store that answers with another version or from another byte than asked.
    """
    return io.BufferedReader(_Stream(uri, s3 or default_s3()), 1 << 20)


def read_bytes(uri: str, *, s3: Any = None) -> bytes:
    """Return the whole content at ``uri``.

    Raises
    ------
    StorageError
        When it is not there or can't be read.
    """
    with explained("read", uri):
        if not is_s3(uri):
            return Path(uri).read_bytes()
        return get(uri, s3=s3)[0]


def read_text(uri: str, *, s3: Any = None) -> str:
    """Return the content at ``uri`` as UTF-8 text, without a byte-order mark.

    Raises
    ------
    StorageError
        When it can't be read or isn't UTF-8.
    """
    try:
        return read_bytes(uri, s3=s3).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StorageError(
            f"can't read {uri} as text: byte {error.start} isn't UTF-8; save the file as UTF-8"
        ) from error


def write_bytes(
    uri: str, content: bytes, *, s3: Any = None, content_type: str | None = None, kms_key: str | None = None
) -> None:
    """Write ``content`` at ``uri`` atomically, making local folders as needed; in S3 encrypted by ``kms_key``, if any.

    Raises
    ------
    StorageError
        When it can't be written.
    """
    with explained("write", uri):
        if not is_s3(uri):
            path = Path(uri)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as part:
                part.write_bytes(content)
            return
        bucket, key = split_s3(uri)
        kind = {"ContentType": content_type} if content_type else {}
        if kms_key:
            kind |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}
        if len(content) > MULTIPART:
            _send(s3 or default_s3(), io.BytesIO(content), bucket, key, kind)
        else:
            client = s3 or default_s3()
            patiently(lambda: client.put_object(Bucket=bucket, Key=key, Body=content, **kind))


def _send(s3: Any, file: Any, bucket: str, key: str, extra: dict[str, str]) -> None:
    """Upload in parts; nobody sees the object before the last one is there, and a failure leaves none behind."""
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(multipart_threshold=MULTIPART, multipart_chunksize=MULTIPART // 4)
    s3.upload_fileobj(file, bucket, key, ExtraArgs=extra, Config=config)


def write_text(
    uri: str, content: str, *, s3: Any = None, content_type: str | None = None, kms_key: str | None = None
) -> None:
    """Write ``content`` as UTF-8; see :func:`write_bytes`."""
    write_bytes(uri, content.encode(), s3=s3, content_type=content_type, kms_key=kms_key)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on leaving without an error it replaces ``path``, durably.

    The temporary file is synced to disk before it takes the place, and removed after an error.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:  # the file is made inside, so that an interruption at any moment finds its way to `finally`
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def list_uris(base: str, *, s3: Any = None, left_out: LeftOut | None = None) -> Iterator[str]:
    """Yield the address of every file under the folder or S3 prefix ``base``, each once, in sorted order.

    Hidden local files (a leading dot) are left out; which links are followed is said in gandt/walk.py. Nothing is
    yielded for an empty or absent place.

    Parameters
    ----------
    base : str
        A local folder or an ``s3://`` prefix.
    s3 : optional
        A boto3 S3 client.
    left_out : LeftOut, optional
        Gets what a local walk left out, folders that can't be read among it; without it, such a folder is an error.

    Raises
    ------
    StorageError
        When the place can't be listed.
    """
    with explained("list", base):
        if not is_s3(base):
            yield from walk.files(base, left_out)
            return
        bucket, prefix = split_s3(base)
        pages = (s3 or default_s3()).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/"):
                    yield f"s3://{bucket}/{entry['Key']}"


def copy_tree(source: str, target: str, *, s3: Any = None) -> int:
    """Copy every file under ``source`` to the same place under ``target``; return how many.

    Raises
    ------
    StorageError
        When a file can't be read or written, or a key would leave ``target`` (hostile ``..``).
    """
    count = 0
    root = source.rstrip("/") + "/"
    for uri in list_uris(root, s3=s3):
        relative = uri.removeprefix(root)
        if ".." in relative.split("/"):
            raise StorageError(f"can't copy {uri}: its key climbs out of the folder with '..'; rename the object")
        _copy(uri, join(target, relative), s3)
        count += 1
    return count


def _copy(source: str, target: str, s3: Any) -> None:
    """Copy one file; what is large never stands in memory whole."""
    if is_s3(source) == is_s3(target):
        write_bytes(target, read_bytes(source, s3=s3), s3=s3)
    elif is_s3(target):
        with explained("write", target), Path(source).open("rb") as file:
            _send(s3 or default_s3(), file, *split_s3(target), {})
    else:
        with explained("read", source), stream(source, s3=s3) as content:
            path = Path(target)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as part, part.open("wb") as file:
                while chunk := content.read(1 << 20):
                    file.write(chunk)
