"""Big S3 objects in blocks that neighbours share: thousands of pictures in a tar shard for one request each block."""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Any

from gandt import storage

BLOCK = 8 * 2**20
KEPT = 8


class Blocks:
    """Read pieces of S3 objects; whoever needs a block first fetches it, the others wait for it.

    Parameters
    ----------
    s3 : boto3 S3 client, optional
        By default one made from the environment.
    """

    def __init__(self, s3: Any = None) -> None:
        self._s3 = s3
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[str, int], Future[bytes]] = OrderedDict()

    def read(self, uri: str, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on (fewer where the object ends).

        Raises
        ------
        Whatever boto3 raises.
        """
        first, last = offset // BLOCK, (offset + size - 1) // BLOCK
        content = b"".join([self._block(uri, number) for number in range(first, last + 1)])
        start = offset - first * BLOCK
        return content[start : start + size]

    def _block(self, uri: str, number: int) -> bytes:
        with self._lock:
            found = self._blocks.get((uri, number))
            mine = found is None
            future = found or Future()
            self._blocks[uri, number] = future
            self._blocks.move_to_end((uri, number))
            while len(self._blocks) > KEPT:
                self._blocks.popitem(last=False)
        if mine:
            try:
                part = f"bytes={number * BLOCK}-{(number + 1) * BLOCK - 1}"
                future.set_result(storage.get(uri, s3=self._s3, Range=part)[0])
            except BaseException as error:
                with self._lock:
                    self._blocks.pop((uri, number), None)  # to be tried again by the next
                future.set_exception(error)
        return future.result()
