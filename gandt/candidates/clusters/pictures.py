"""Small copies of a pool's images, made when they are asked for."""

import io
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

from gandt import storage
from gandt.embedding.sources import Listed, list_source, read
from gandt.errors import StorageError
from gandt.images import opened, upright

SIZES = {"small": 256, "large": 1600}  # pixels of the longer side
_KEPT = 64_000_000  # bytes of copies in memory


class Pictures:
    """Copies of images as JPEG, the last 64 MB of them kept.

    A browser never gets the file itself: what is no picture can't be shown, so no hostile file is passed on.
    """

    def __init__(self, items: list[str], s3: Any = None) -> None:
        self._items, self._s3 = items, s3
        self._kept: OrderedDict[tuple[int, str], bytes] = OrderedDict()
        self._size, self._lock = 0, Lock()
        self._shards: dict[str, dict[str, Listed]] = {}

    def get(self, point: int, size: str) -> bytes:
        """Return the JPEG of a point's image.

        Raises
        ------
        StorageError
            When the file can't be read.
        BadImageError
            When it is no picture.
        """
        key = (point, size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        copy = _copy(self._content(self._items[point]), SIZES[size])
        with self._lock:
            if key not in self._kept:
                self._kept[key] = copy
                self._size += len(copy)
            while self._size > _KEPT:
                self._size -= len(self._kept.popitem(last=False)[1])
        return copy

    def _content(self, item: str) -> bytes:
        """Read an item: a file, an object of S3, or a member of a tar shard."""
        shard, mark, _ = item.partition(".tar#")
        if mark:
            if shard not in self._shards:
                self._shards[shard] = {listed.item: listed for listed in list_source(f"{shard}.tar", s3=self._s3)}
            if item not in self._shards[shard]:
                raise StorageError(f"can't read {item}: the shard holds it no more")
            return read(self._shards[shard][item], s3=self._s3)
        if not storage.is_s3(item) and not Path(item).is_file():
            raise StorageError(f"can't read {item}: there is no such file")
        return storage.read_bytes(item, s3=self._s3)


def _copy(content: bytes, side: int) -> bytes:
    with opened(content) as image:
        image.draft("RGB", (side, side))
        picture = upright(image)
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
