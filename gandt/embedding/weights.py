"""Read a file of torch's weights without torch: the legacy format of 2016-2020 and the zip format that replaced it.

Both hold a pickle of the state dict whose tensors point at raw storages. The unpickler below builds an ordered
dict of arrays and nothing else, so that a hostile file can't run code.
"""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from gandt.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


class _Storage:
    """A tensor's raw numbers; filled after the pickle has been read."""

    def __init__(self, dtype: str, count: int) -> None:
        self.dtype, self.count = np.dtype(dtype), count
        self.numbers: Array = np.empty(0, self.dtype)


class _Tensor:
    """A view into a storage, as torch's ``_rebuild_tensor_v2`` describes it."""

    def __init__(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> None:
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride

    def array(self) -> Array:
        numbers = self.storage.numbers
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        whole = all(size > 0 for size in self.shape)
        if whole and not 0 <= self.offset <= last < len(numbers):
            raise ValueError("a tensor reaches beyond its storage")
        strides = [step * numbers.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides).copy()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, count = pid[:5]
        if kind != "storage" or (len(pid) > 5 and pid[5] is not None):
            raise pickle.UnpicklingError("it holds a storage of a kind that isn't supported")
        return self.storages.setdefault(key, _Storage(_DTYPES[dtype], count))


def read_state_dict(content: bytes, name: str) -> dict[str, Array]:
    """Return a torch state dict as arrays by name.

    Parameters
    ----------
    content : bytes
        The file's content.
    name : str
        What the error calls it.

    Returns
    -------
    dict of str to ndarray
        Arrays with the dtypes and shapes that torch saved.

    Raises
    ------
    InputError
        When it isn't a plain state dict: another format, a whole pickled model, or cut off.
    """
    try:
        found = _from_zip(content) if content[:2] == b"PK" else _from_legacy(content)
        return {str(key): tensor.array() for key, tensor in found.items() if isinstance(tensor, _Tensor)}
    except Exception as error:  # a broken pickle raises nearly anything
        raise InputError(f"{name} isn't a state dict saved by torch: {error}") from error


def _from_legacy(content: bytes) -> dict[str, Any]:
    file = io.BytesIO(content)
    if _Unpickler(file).load() != _LEGACY_MAGIC:
        raise ValueError("its first bytes are not torch's")
    for _ in ("protocol", "system"):
        _Unpickler(file).load()
    unpickler = _Unpickler(file)
    found: dict[str, Any] = unpickler.load()
    for key in _Unpickler(file).load():
        storage = unpickler.storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        _fill(storage, file.read(count * storage.dtype.itemsize))
    return found


def _from_zip(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pickled = next(entry for entry in archive.namelist() if entry.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        unpickler = _Unpickler(io.BytesIO(archive.read(pickled)))
        found: dict[str, Any] = unpickler.load()
        read: Callable[[str], bytes] = archive.read
        for key, storage in unpickler.storages.items():
            _fill(storage, read(f"{folder}data/{key}"))
    return found


def _fill(storage: _Storage, raw: bytes) -> None:
    storage.numbers = np.frombuffer(raw, storage.dtype)
    if len(storage.numbers) < storage.count:
        raise ValueError("it is cut off")
