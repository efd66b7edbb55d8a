"""The vectors of a store, as one array over the files of its parts."""

import mmap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


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

    def joined(self, other: "Vectors") -> "Vectors":
        """Return these and, behind them, the rows of ``other``."""
        return Vectors([*self._arrays, *other._arrays], self.shape[1], self.dtype.str)

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
