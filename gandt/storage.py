"""Files by address: a local path or ``s3://bucket/key``, read and written the same way.

Everything above this module takes addresses as strings and passes ``s3`` (a boto3 S3 client) along; where it is
left out, one client for the process is made from the environment, so ``AWS_ENDPOINT_URL_S3`` and profiles work.
Writes are atomic: a reader sees the old content or the new, never half of it.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from gandt.errors import StorageError


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


def s3_client(endpoint_url: str | None = None, **options: Any) -> Any:
    """Make a boto3 S3 client with retries that back off and room for 32 connections.

    Parameters
    ----------
    endpoint_url : str, optional
        Another S3 than AWS's; by default boto3's own rules (``AWS_ENDPOINT_URL_S3``) apply.
    **options
        Passed to ``boto3.client`` (``region_name``, ``aws_access_key_id``, …).
    """
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "adaptive", "max_attempts": 8}, max_pool_connections=32)
    return boto3.client("s3", endpoint_url=endpoint_url, config=config, **options)


@lru_cache(maxsize=1)
def default_s3() -> Any:
    """Return the process's own S3 client, made from the environment on first use."""
    return s3_client()


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
        response = getattr(error, "response", {})
        code = str(response.get("Error", {}).get("Code", ""))
        reason = {
            "404": "there is no such object",
            "NoSuchKey": "there is no such object",
            "NoSuchBucket": "there is no such bucket",
            "403": "access is denied; check the role's rights and the bucket's policy",
            "AccessDenied": "access is denied; check the role's rights and the bucket's policy",
        }.get(code, str(error))
        raise StorageError(f"can't {doing} {uri}: {reason}") from error


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
        bucket, key = split_s3(uri)
        content: bytes = (s3 or default_s3()).get_object(Bucket=bucket, Key=key)["Body"].read()
        return content


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


def write_bytes(uri: str, content: bytes, *, s3: Any = None, content_type: str | None = None) -> None:
    """Write ``content`` at ``uri`` atomically, making local folders as needed.

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
        (s3 or default_s3()).put_object(Bucket=bucket, Key=key, Body=content, **kind)


def write_text(uri: str, content: str, *, s3: Any = None, content_type: str | None = None) -> None:
    """Write ``content`` as UTF-8; see :func:`write_bytes`."""
    write_bytes(uri, content.encode(), s3=s3, content_type=content_type)


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


def list_uris(base: str, *, s3: Any = None) -> Iterator[str]:
    """Yield the address of every file under the folder or S3 prefix ``base``, in sorted order.

    Hidden local files (a leading dot) are left out. Nothing is yielded for an empty or absent place.

    Raises
    ------
    StorageError
        When the place can't be listed.
    """
    with explained("list", base):
        if not is_s3(base):
            for folder, folders, files in os.walk(base, followlinks=True):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(files):
                    if not name.startswith("."):
                        yield str(Path(folder) / name)
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
        write_bytes(join(target, relative), read_bytes(uri, s3=s3), s3=s3)
        count += 1
    return count
