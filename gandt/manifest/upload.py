"""Send images to S3: in parallel, and never the same content twice.

An object's key is the SHA-256 of what is sent, so a second run finds what is there already, an interrupted one goes
on where it stopped, and neither a folder's name (often the answer!) nor a hostile file name reaches a worker.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePath
from typing import Any

from gandt import storage
from gandt.progress import track

CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".svg": "image/svg+xml",
}


def upload_images(items: Sequence[str], base: str, *, s3: Any = None, workers: int = 32) -> dict[str, str]:
    """Upload local files under ``base`` and return where each item lies.

    Parameters
    ----------
    items : sequence of str
        Local paths. Items that are ``s3://`` addresses already stay where they are.
    base : str
        S3 prefix to send to.
    s3 : optional
        A boto3 S3 client.
    workers : int
        Files on their way at once.

    Returns
    -------
    dict of str to str
        Item → ``s3://`` address; items of the same content share one.

    Raises
    ------
    StorageError
        When a file can't be read or sent.
    """
    s3 = s3 or storage.default_s3()

    there = set(storage.list_uris(base.rstrip("/") + "/", s3=s3))

    def send(item: str) -> str:
        if storage.is_s3(item):
            return item
        content = storage.read_bytes(item)
        suffix = PurePath(item).suffix.lower()
        uri = storage.join(base, hashlib.sha256(content).hexdigest() + suffix)
        if uri not in there:
            storage.write_bytes(uri, content, s3=s3, content_type=CONTENT_TYPES.get(suffix))
            there.add(uri)
        return uri

    unique = list(dict.fromkeys(items))
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(unique, track(pool.map(send, unique), "uploading", len(unique)), strict=True))
