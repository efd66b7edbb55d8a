"""Where the products of the rules run: numpy on a CPU, torch on a GPU.

Both offer the same few operations on blocks of rows, so that a rule is written once.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_GROUPS = 32


class Device:
    """numpy on a CPU. What ``put`` returns is understood by the other methods and by ``@``, ``-=`` and ``*=``."""

    def put(self, rows: Array) -> Any:
        """Bring rows to the device, float32."""
        return np.ascontiguousarray(rows, np.float32)

    def get(self, block: Any) -> Array:
        """Bring a block back."""
        found: Array = block
        return found

    def inverse_root(self, numbers: Any) -> Any:
        """Return ``1 / √numbers``; numbers below 1e-12 count as that."""
        return 1 / np.sqrt(np.maximum(numbers, 1e-12))

    def largest(self, block: Any) -> Any:
        """Return each row's maximum."""
        return block.max(axis=1)

    def middle(self, block: Any, cut: int) -> Any:
        """Return each row's mean without its ``cut`` lowest and ``cut`` highest."""
        if cut:
            count = block.shape[1]
            block = np.partition(block, (cut, count - cut - 1), axis=1)[:, cut : count - cut]
        return block.mean(axis=1)

    def nearest(self, similar: Any, count: int, own: int | None = None) -> tuple[Array, Array]:
        """Return the columns of each row's ``count`` largest numbers, and these; row i's column ``own + i`` is out."""
        if own is not None:
            similar[np.arange(len(similar)), own + np.arange(len(similar))] = -np.inf
        width = similar.shape[1] // _GROUPS
        if width < 2 * count:
            return _largest_of(similar, np.broadcast_to(np.arange(similar.shape[1]), similar.shape), count)
        # The largest lie in the groups of columns with the largest maxima; a maximum is far cheaper than an order.
        heads = similar[:, : width * _GROUPS].reshape(len(similar), _GROUPS, width).max(axis=1)
        groups = np.argpartition(heads, -count, axis=1)[:, -count:]
        members = (groups[:, None, :] + width * np.arange(_GROUPS)[:, None]).reshape(len(similar), -1)
        rest = np.broadcast_to(np.arange(width * _GROUPS, similar.shape[1]), (len(similar), similar.shape[1] % _GROUPS))
        members = np.concatenate([members, rest], axis=1)
        return _largest_of(np.take_along_axis(similar, members, axis=1), members, count)

    def reaching(self, similar: Any, bound: float) -> tuple[Array, Array, Array]:
        """Return rows, columns and values of the numbers that reach ``bound``."""
        rows, columns = np.nonzero(similar >= bound)
        return rows, columns, similar[rows, columns]


def _largest_of(values: Array, columns: Array, count: int) -> tuple[Array, Array]:
    place = np.argpartition(values, -count, axis=1)[:, -count:]
    return np.take_along_axis(columns, place, axis=1), np.take_along_axis(values, place, axis=1)


class Torch(Device):
    """torch, in full float32 (no TF32); rows travel in the store's own dtype, through pinned memory to a GPU.

    Parameters
    ----------
    place : str
        ``cuda``, or ``cpu`` for tests.
    """

    def __init__(self, place: str) -> None:
        import torch

        self._torch, self._place = torch, place

    def put(self, rows: Array) -> Any:
        """Bring rows to the device, float32."""
        on_gpu = self._place == "cuda"
        dtype = self._torch.float16 if rows.dtype == np.float16 else self._torch.float32
        buffer = self._torch.empty(rows.shape, dtype=dtype, pin_memory=on_gpu)
        buffer.numpy()[...] = rows
        return buffer.to(self._place, non_blocking=True).float()

    def get(self, block: Any) -> Array:
        """Bring a block back."""
        found: Array = block.cpu().numpy()
        return found

    def inverse_root(self, numbers: Any) -> Any:
        """Return ``1 / √numbers``; numbers below 1e-12 count as that."""
        return numbers.clamp_min(1e-12).rsqrt()

    def largest(self, block: Any) -> Any:
        """Return each row's maximum."""
        return block.amax(dim=1)

    def middle(self, block: Any, cut: int) -> Any:
        """Return each row's mean without its ``cut`` lowest and ``cut`` highest."""
        if cut:
            block = block.sort(dim=1).values[:, cut : block.shape[1] - cut]
        return block.mean(dim=1)

    def nearest(self, similar: Any, count: int, own: int | None = None) -> tuple[Array, Array]:
        """Return the columns of each row's ``count`` largest numbers, and these; row i's column ``own + i`` is out."""
        if own is not None:
            similar.diagonal(own).fill_(float("-inf"))
        values, columns = similar.topk(count, dim=1)
        return self.get(columns), self.get(values)

    def reaching(self, similar: Any, bound: float) -> tuple[Array, Array, Array]:
        """Return rows, columns and values of the numbers that reach ``bound``."""
        rows, columns = (similar >= bound).nonzero(as_tuple=True)
        return self.get(rows), self.get(columns), self.get(similar[rows, columns])


CPU = Device()


def choose(device: str) -> Device:
    """Return the device named ``auto`` (a GPU where torch sees one), ``cpu`` or ``cuda``.

    Raises
    ------
    InputError
        When there is no such device, or torch sees no GPU.
    """
    from gandt.embedding.models import DEVICES
    from gandt.embedding.runtimes import use_cuda
    from gandt.errors import InputError

    if device not in DEVICES:
        raise InputError(f"there is no device {device!r}; choose from {', '.join(DEVICES)}")
    return Torch("cuda") if use_cuda(device) else CPU
