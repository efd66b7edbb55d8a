"""The content of a PUT: written to a file as it comes, and held against what the client says of it."""

import base64
import hashlib
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import IO

from gandt.service.objects.folder import Content, ObjectFolder, synced

MOST = 5 * 2**30  # bytes of one PUT, as in S3
_LINE = 8_192


class S3Error(Exception):
    """An error as S3 sends it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


async def receive(
    folder: ObjectFolder, body: AsyncIterator[bytes], headers: Mapping[str, str]
) -> tuple[Content, dict[str, str]]:
    """Write a body to a new file of the folder.

    Returns
    -------
    content : Content
        What was written, synced, named by no index yet.
    checksums : dict of str to str
        Those of the client's that were checked, as headers to give back.

    Raises
    ------
    S3Error
        When the body isn't what its length, MD5, CRC-32, SHA-1 or SHA-256 say.
    """
    path = folder.new_file()
    md5, sha1, sha256, crc, size = hashlib.md5(usedforsecurity=False), hashlib.sha1(), hashlib.sha256(), 0, 0
    said = dict(headers)
    pieces = _unchunked(body, said) if "aws-chunked" in headers.get("content-encoding", "") else body
    try:
        with path.open("wb") as file:
            async for piece in pieces:
                size += len(piece)
                if size > MOST:
                    raise S3Error(400, "EntityTooLarge", "the content is larger than 5 GiB")
                md5.update(piece)
                if "x-amz-checksum-crc32" in said or "x-amz-trailer" in said:
                    crc = zlib.crc32(piece, crc)
                if "x-amz-checksum-sha1" in said:
                    sha1.update(piece)
                if "x-amz-checksum-sha256" in said:
                    sha256.update(piece)
                file.write(piece)
            synced(file)
        wanted = said.get("x-amz-decoded-content-length", said.get("content-length", str(size)))
        if wanted != str(size):
            raise S3Error(400, "IncompleteBody", f"the body has {size} bytes, not the {wanted} that were announced")
        if said.get("content-md5", _base64(md5.digest())) != _base64(md5.digest()):
            raise S3Error(400, "BadDigest", "the content's MD5 isn't the one that was sent")
        ours = {"crc32": crc.to_bytes(4, "big"), "sha1": sha1.digest(), "sha256": sha256.digest()}
        checked = {}
        for name, digest in ours.items():
            header = f"x-amz-checksum-{name}"
            if header in said:
                if said[header] != _base64(digest):
                    raise S3Error(400, "BadDigest", f"the content's {name} isn't the one that was sent")
                checked[header] = said[header]
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Content(path.name, size, md5.hexdigest()), checked


async def _unchunked(body: AsyncIterator[bytes], said: dict[str, str]) -> AsyncIterator[bytes]:
    """Yield the content of an ``aws-chunked`` body; the checksums that trail it go into ``said``."""
    source = body.__aiter__()
    buffer = b""

    async def more() -> bytes:
        try:
            return await source.__anext__()
        except StopAsyncIteration:
            raise S3Error(400, "IncompleteBody", "the body ends within a chunk") from None

    async def line() -> bytes:
        nonlocal buffer
        while b"\r\n" not in buffer:
            if len(buffer) > _LINE:
                raise S3Error(400, "InvalidChunkSizeError", "a chunk's head is too long")
            buffer += await more()
        found, _, buffer = buffer.partition(b"\r\n")
        return found

    while True:
        try:
            left = int((await line()).partition(b";")[0], 16)
        except ValueError:
            raise S3Error(400, "InvalidChunkSizeError", "a chunk has no size") from None
        if left <= 0:
            break
        while left:
            if not buffer:
                buffer = await more()
            piece, buffer = buffer[:left], buffer[left:]
            left -= len(piece)
            yield piece
        await line()
    while trailer := await line():
        name, _, value = trailer.decode("latin-1").partition(":")
        if name.lower().startswith("x-amz-checksum-crc32") and name.lower() != "x-amz-checksum-crc32":
            continue  # CRC-32C, which Python can't count
        said[name.lower()] = value.strip()


def join(folder: ObjectFolder, parts: list[Content]) -> Content:
    """Return one content of several parts', with the ETag that S3 gives such objects."""
    path = folder.new_file()
    with path.open("wb") as file:
        for part in parts:
            _copy(folder, part.file, file, 0, part.size)
        synced(file)
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False).hexdigest()
    return Content(path.name, sum(part.size for part in parts), f"{digest}-{len(parts)}")


def copied(folder: ObjectFolder, source: str, start: int, size: int) -> Content:
    """Return a content that is a part of another's file."""
    path = folder.new_file()
    with path.open("wb") as file:
        digest = _copy(folder, source, file, start, size)
        synced(file)
    return Content(path.name, size, digest)


def _copy(folder: ObjectFolder, source: str, file: IO[bytes], start: int, size: int) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    with folder.path(source).open("rb") as content:
        content.seek(start)
        while size > 0:
            piece = content.read(min(size, 1 << 20))
            if not piece:
                break
            size -= len(piece)
            md5.update(piece)
            file.write(piece)
    return md5.hexdigest()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
