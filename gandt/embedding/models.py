"""The models by name. Adding one is a small file that registers a loader; see docs/embedding.md.

A model is loaded from a name such as ``lite0`` or, where a prefix names a family, ``onnx:FILE``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gandt.errors import InputError
from gandt.images import Preprocessing

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Features = np.ndarray[Any, np.dtype[np.float32]]

PRECISIONS = ("fp32", "int8", "bf16")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Model:
    """A network ready to run.

    Parameters
    ----------
    name : str
        As the user gave it.
    dim : int
        Numbers per vector.
    preprocessing : Preprocessing
        What the network was trained with.
    licence : str
        Of the weights; printed when they are loaded.
    weights : str
        SHA-256 of the weights, so that a store never mixes two.
    precision : str
        ``fp32``, ``int8`` or ``bf16``.
    run : callable
        Maps uint8 pixels (n, size, size, 3), RGB, to float32 features (n, dim), before L2 normalisation.
    batch : int
        Images to give to ``run`` at once.
    threads : int
        Calls of ``run`` that pay at the same time; 0 stands for one per core.
    """

    name: str
    dim: int
    preprocessing: Preprocessing
    licence: str
    weights: str
    precision: str
    run: Callable[[Pixels], Features]
    batch: int = 1
    threads: int = 0


Loader = Callable[[str, str, str], Model]

_LOADERS: dict[str, Loader] = {}


def register(*names: str) -> Callable[[Loader], Loader]:
    """Register a loader ``(name, precision, device) -> Model``; a name ending in ``:`` is a family's prefix."""

    def add(loader: Loader) -> Loader:
        _LOADERS.update(dict.fromkeys(names, loader))
        return loader

    return add


def load(name: str, *, precision: str = "fp32", device: str = "auto") -> Model:
    """Load the model ``name``.

    Parameters
    ----------
    name : str
        ``lite0``, ``lite1``, ``lite2``, or a registered family's prefix and what it wants.
    precision : {"fp32", "int8", "bf16"}
        Arithmetic.
    device : {"auto", "cpu", "cuda"}
        ``auto`` takes a GPU where torch sees one.

    Raises
    ------
    InputError
        When no such model, precision or device is known.
    MissingExtra
        When the model needs a package that isn't installed.
    """
    for given, known, what in ((precision, PRECISIONS, "precision"), (device, DEVICES, "device")):
        if given not in known:
            raise InputError(f"there is no {what} {given!r}; choose from {', '.join(known)}")
    if not is_known(name):
        raise InputError(f"there is no model {name!r}; choose from {', '.join(known_models())}")
    return _LOADERS[_prefix(name)](name, precision, device)


def is_known(name: str) -> bool:
    """Say whether :func:`load` has a loader for this name."""
    return _prefix(name) in known_models()


def _prefix(name: str) -> str:
    return name.partition(":")[0] + ":" if ":" in name else name


def known_models() -> list[str]:
    """Return the registered names and prefixes."""
    import gandt.embedding.families  # noqa: F401  (registers the loaders)

    return sorted(_LOADERS)


def hash_of(content: bytes) -> str:
    """Return the SHA-256 of a weights file's content, in hex."""
    return hashlib.sha256(content).hexdigest()


def normalised(features: Features) -> Features:
    """Return the rows divided by their length (a row of zeros stays)."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    result: Features = (features / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result
