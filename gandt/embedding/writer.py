"""How parts come into a store: one after another, atomically, by one process at a time."""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gandt import storage
from gandt.embedding.store import COLUMNS, FORMAT, Record, part_names, read_description
from gandt.embedding.vectors import Array
from gandt.errors import InputError, StorageError


class Writer:
    """Append parts to a store's folder; use it as a context manager, which holds the folder's lock.

    Parameters
    ----------
    path : str
        The folder; made when absent.
    description : mapping
        What store.json says; an existing store must say the same.
    prefix : str
        Put before the parts' numbers, so that several machines can write to one folder (``"3of16-"``).

    Raises
    ------
    InputError
        When the store was made otherwise, or another process writes to it.
    StorageError
        When the folder can't be written.
    """

    def __init__(self, path: str, description: Mapping[str, Any], prefix: str = "") -> None:
        self.path, self.prefix = path, prefix
        self.description = {"format": FORMAT, **description}
        if storage.is_s3(path):
            raise InputError(
                f"a store is a local folder, not {path}; embed into a folder, then copy it: aws s3 sync FOLDER {path}"
            )
        with storage.explained("write", path):
            Path(path).mkdir(parents=True, exist_ok=True)
        if (Path(path) / "store.json").exists():
            _same_description(path, read_description(path), self.description)
        elif any(Path(path).glob("items-*.parquet")):
            raise InputError(
                f"{path} holds parts of a store but no store.json; copy the store again or choose another folder"
            )
        else:
            storage.write_text(f"{path}/store.json", json.dumps(self.description, indent=2) + "\n")

    def __enter__(self) -> "Writer":
        self._lock = _locked(self.path, self.prefix)
        self._lock.__enter__()
        ours = re.compile(rf"\.(vectors|items)-{re.escape(self.prefix)}\d+\.\w+\..*\.part")
        for leftover in Path(self.path).iterdir():
            if ours.fullmatch(leftover.name):  # of a run that was killed
                leftover.unlink(missing_ok=True)
        mine = [name for name in part_names(self.path) if name.rpartition("-")[0] == self.prefix.rstrip("-")]
        self._next = 1 + max((int(name.rpartition("-")[2]) for name in mine), default=-1)
        return self

    def __exit__(self, *details: Any) -> None:
        self._lock.__exit__(None, None, None)

    def write(self, records: Sequence[Record], vectors: Array) -> None:
        """Append one part, atomically."""
        self.write_table(pd.DataFrame([vars(record) for record in records], columns=list(COLUMNS)), vectors)

    def write_table(self, items: pd.DataFrame, vectors: Array) -> None:
        """Append one part whose items are rows of a table with a column per field of :class:`Record`."""
        name = f"{self.prefix}{self._next:05}"
        folder = Path(self.path)
        rows = np.ascontiguousarray(vectors, self.description["dtype"]).reshape(-1, self.description["dim"])
        table = items[list(COLUMNS)].astype(COLUMNS)
        buffer = io.BytesIO()
        np.save(buffer, rows)
        with storage.explained("write", f"{self.path} (the finished parts are safe; run the same command again)"):
            with storage.atomic(folder / f"vectors-{name}.npy") as part:
                part.write_bytes(buffer.getbuffer())
            with storage.atomic(folder / f"items-{name}.parquet") as part:
                _write_items(table, part, hashlib.sha256(buffer.getbuffer()).hexdigest())
        self._next += 1


def _write_items(table: pd.DataFrame, path: Path, vectors_sha256: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.Table.from_pandas(table, preserve_index=False)
    content = content.replace_schema_metadata(
        {**(content.schema.metadata or {}), b"vectors_sha256": vectors_sha256.encode()}
    )
    pq.write_table(content, path)


def _same_description(path: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key in ("model", "weights", "precision", "preprocessing", "dim", "dtype"):
        if found.get(key) != wanted.get(key):
            raise InputError(
                f"the store {path} was made with {key} {found.get(key)}, not {wanted.get(key)}; "
                "use the same, or embed into another folder"
            )


@contextmanager
def _locked(path: str, prefix: str) -> Iterator[None]:
    """Hold the folder's lock; the system gives it back whatever ends the process."""
    import fcntl

    with storage.explained("write", path):
        handle = os.open(Path(path) / f".lock-{prefix.rstrip('-') or 'all'}", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is embedding into {path}; wait for it or choose another folder"
            ) from None
        except OSError as error:
            raise StorageError(f"can't lock {path}: {error.strerror}; choose a folder on a local disk") from error
        yield
    finally:
        os.close(handle)
