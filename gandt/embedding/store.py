"""The embedding store: a folder of parts that only grows.

A part is two files with one name: ``vectors-00007.npy`` (L2-normalised rows) and ``items-00007.parquet`` (item,
sha256, width, height, status, reason, row, version). The items file is written last and atomically: a part without
it doesn't exist yet. Nothing is ever rewritten, so a store can be read while it grows, copied to S3 and back as
plain files, and killed at any moment. ``store.json`` says which model and preprocessing made it.

An item's row points into its own part; −1 there means "set aside", or that an item with the same content (sha256)
owns the vector. The later of two records of an item counts.
"""

import hashlib
import io
import json
import mmap
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gandt import storage
from gandt.errors import InputError, StorageError

Array = np.ndarray[Any, np.dtype[Any]]

FORMAT = 1
EMBEDDED, SET_ASIDE = "embedded", "set aside"

_COLUMNS = {
    "item": "str",
    "sha256": "str",
    "width": "int32",
    "height": "int32",
    "status": "str",
    "reason": "str",
    "row": "int64",
    "version": "str",
}


@dataclass(frozen=True)
class Record:
    """What a store knows of an item; ``row`` is the vector's in the item's own part, or −1."""

    item: str
    sha256: str
    width: int
    height: int
    status: str
    reason: str
    row: int
    version: str


class Vectors:
    """The vectors of all parts as one array (n, dim), memory-mapped: rows are read from disk when asked for."""

    def __init__(self, arrays: Sequence[Array], dim: int, dtype: str) -> None:
        self._arrays = list(arrays)
        self._ends = np.cumsum([len(array) for array in self._arrays], dtype=np.int64)
        self.shape = (int(self._ends[-1]) if self._arrays else 0, dim)
        self.dtype = np.dtype(dtype)
        self.ndim = 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Array:
        if isinstance(key, (int, np.integer)):
            vector: Array = self._take(np.asarray([range(len(self))[key]]))[0]
            return vector
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self._slice(start, max(stop, start))
            return self._take(np.arange(start, stop, step))
        rows = np.asarray(key)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        rows = rows.astype(np.int64)
        if rows.size and (rows.min() < -len(self) or rows.max() >= len(self)):
            raise IndexError(f"row {rows.max()} is beyond the {len(self)} vectors")
        return self._take(np.where(rows < 0, rows + len(self), rows))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        whole = self._slice(0, len(self))
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def chunks(self, rows: int = 4096) -> Iterator[tuple[int, Array]]:
        """Yield (first row, block of up to ``rows`` rows) over the whole, without copying."""
        start = 0
        for array in self._arrays:
            for first in range(0, len(array), rows):
                yield start + first, array[first : first + rows]
                _release(array)
            start += len(array)

    def _slice(self, start: int, stop: int) -> Array:
        pieces = []
        for end, array in zip(self._ends, self._arrays, strict=True):
            begin = int(end) - len(array)
            if start < end and stop > begin:
                pieces.append(array[max(start - begin, 0) : min(stop, int(end)) - begin])
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty((0, self.shape[1]), self.dtype)

    def _take(self, rows: Array) -> Array:
        result = np.empty((len(rows), self.shape[1]), self.dtype)
        parts = np.searchsorted(self._ends, rows, side="right")
        for part in np.unique(parts):
            here = parts == part
            array = self._arrays[part]
            result[here] = array[rows[here] - (int(self._ends[part]) - len(array))]
            _release(array)
        return result


def _release(array: Array) -> None:
    """Give a mapped file's pages back, so that a pass over a store needs no more memory than a part has.

    They stay in the system's cache, and a view that is used again finds them there.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)


class EmbeddingStore:
    """A folder of vectors; see the module's text for its files.

    Attributes
    ----------
    path : str
        The folder.
    description : dict
        The content of store.json: model, weights (their SHA-256), precision, preprocessing, dim, dtype, format.
    items : DataFrame
        item, sha256, width, height, status ("embedded" or "set aside"), reason, row (int64, −1 without a vector).
    vectors : Vectors
        (n, dim), rows of length 1, memory-mapped.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.description = _read_description(path)
        self.dim = int(self.description["dim"])
        self._names = part_names(path)
        self.run: Any = None

    @classmethod
    def open(cls, path: str) -> "EmbeddingStore":
        """Open a store for reading, as it is now (parts written later are not seen).

        Raises
        ------
        InputError
            When the folder holds no store, or a damaged one.
        """
        return cls(path)

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors of all parts, by row."""
        return Vectors([self._mapped(name) for name in self._names], self.dim, self.description["dtype"])

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row per item."""
        return self.records.drop(columns="version")

    @cached_property
    def records(self) -> pd.DataFrame:
        """As ``items``, and ``version``, by which a changed file is noticed (local: size and time; S3: ETag)."""
        tables, start = [], 0
        for name in self._names:
            table = _read_items(self.path, name)
            table["row"] = table["row"].where(table["row"] < 0, table["row"] + start)
            start += len(self._mapped(name))
            tables.append(table)
        if not tables:
            return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _COLUMNS.items()})
        whole = pd.concat(tables, ignore_index=True)
        owners = whole[whole["row"] >= 0].drop_duplicates("sha256").set_index("sha256")["row"]
        whole = whole.drop_duplicates("item", keep="last", ignore_index=True)
        linked = (whole["row"] < 0) & (whole["status"] == EMBEDDED)
        whole.loc[linked, "row"] = whole.loc[linked, "sha256"].map(owners).fillna(-1).astype("int64")
        lost = whole[linked & (whole["row"] < 0)]
        if len(lost):
            raise InputError(
                f"the store {self.path} lacks the vector of {lost['item'].iloc[0]}; a part is missing: copy it again"
            )
        return whole

    @cached_property
    def _row_of(self) -> pd.Series:
        return self.items.set_index("item")["row"]

    def names(self, items: Iterable[str]) -> list[str]:
        """Return items as the store names them: a relative local path becomes the absolute one, the rest stays."""
        known = self._row_of.index
        return [item if item in known or storage.is_s3(item) else str(Path(item).absolute()) for item in items]

    def rows(self, items: Sequence[str]) -> Array:
        """Return the row of each item's vector.

        Parameters
        ----------
        items : sequence of str
            Items; local ones may be relative paths.

        Returns
        -------
        ndarray of int64, shape (len(items),)

        Raises
        ------
        InputError
            When an item isn't in the store, or was set aside; the sentence names it.
        """
        found: pd.Series[Any] = self._row_of.reindex(self.names(items))
        if found.isna().any():
            item = items[int(np.flatnonzero(found.isna())[0])]
            raise InputError(f"{item} is not in the store {self.path}; embed it first: gandt embed SOURCE {self.path}")
        rows: Array = found.to_numpy(np.int64)
        if (rows < 0).any():
            item = items[int(np.flatnonzero(rows < 0)[0])]
            reason = str(self.items.set_index("item").at[self.names([item])[0], "reason"])
            raise InputError(f"{item} has no vector in the store {self.path}: it was set aside ({reason})")
        return rows

    def _mapped(self, name: str) -> Array:
        path = Path(self.path) / f"vectors-{name}.npy"
        try:
            # an empty file can't be mapped
            array: Array = np.load(path, mmap_mode="r" if path.stat().st_size > 256 else None, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"the store {self.path} is damaged: {path.name} can't be read ({error}); copy it again"
            ) from error
        if array.ndim != 2 or array.shape[1] != self.dim or array.dtype != self.description["dtype"]:
            raise InputError(
                f"the store {self.path} is damaged: {path.name} is {array.shape} {array.dtype}, "
                f"but store.json says dim {self.dim} {self.description['dtype']}; copy it again"
            )
        return array


def fingerprint(store: EmbeddingStore) -> str:
    """Return one hash of all that a store says: equal for two stores with the same items and bit-identical vectors.

    It doesn't depend on how the store is cut into parts, nor on the order in which items came.
    """
    whole = hashlib.sha256(json.dumps(store.description, sort_keys=True).encode())
    records = store.items.sort_values("item", ignore_index=True)
    for first in range(0, len(records), 4096):
        some = records.iloc[first : first + 4096]
        whole.update(some.drop(columns="row").to_csv(index=False).encode())
        whole.update(store.vectors[some.loc[some["row"] >= 0, "row"].to_numpy()].tobytes())
    return whole.hexdigest()


def part_names(path: str) -> list[str]:
    """Return the names of the finished parts, in order."""
    return sorted(file.name[6:-8] for file in Path(path).glob("items-*.parquet"))


def _read_description(path: str) -> dict[str, Any]:
    file = Path(path) / "store.json"
    if not file.is_file():
        raise InputError(f"{path} holds no embedding store (no store.json); make one: gandt embed SOURCE {path}")
    try:
        description: dict[str, Any] = json.loads(file.read_text("utf-8"))
        if description["format"] > FORMAT:
            raise InputError(
                f"the store {path} was made by a newer gandt (format {description['format']}); update gandt"
            )
        int(description["dim"]), np.dtype(description["dtype"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the store {path} is damaged: store.json can't be used ({error!r}); embed into a new folder"
        ) from error
    return description


def _read_items(path: str, name: str) -> pd.DataFrame:
    file = Path(path) / f"items-{name}.parquet"
    try:
        table = pd.read_parquet(file)
        return table[list(_COLUMNS)].astype(_COLUMNS)
    except Exception as error:  # pyarrow raises many kinds
        raise InputError(f"the store {path} is damaged: {file.name} can't be read ({error}); copy it again") from error


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
            _same_description(path, _read_description(path), self.description)
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
        self.write_table(pd.DataFrame([vars(record) for record in records], columns=list(_COLUMNS)), vectors)

    def write_table(self, items: pd.DataFrame, vectors: Array) -> None:
        """Append one part whose items are rows of a table with a column per field of :class:`Record`."""
        name = f"{self.prefix}{self._next:05}"
        folder = Path(self.path)
        rows = np.ascontiguousarray(vectors, self.description["dtype"]).reshape(-1, self.description["dim"])
        table = items[list(_COLUMNS)].astype(_COLUMNS)
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
