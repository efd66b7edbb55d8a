"""Many machines, each with its shard of the pool, that decide as one machine would.

What they must agree on is tiny: one vector, three numbers per label, histograms. Every machine writes its share to a
common folder, waits for the others' shares and adds them up (:class:`Exchange`); nobody leads. Sums are exact and
ties are broken by the items' names, so that any number of shards decides alike, to the last bit.
"""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gandt import storage
from gandt.candidates.devices import Array
from gandt.embedding.sources import parse_shard
from gandt.errors import InputError, StorageError

_BINS = 1 << 16
Share = dict[str, Array]


class Alone:
    """One machine that has the whole pool."""

    number, of = 1, 1

    def gather(self, step: str, share: Mapping[str, Array]) -> list[Share]:
        """Return every machine's share, in order: here the one."""
        return [dict(share)]


class Exchange(Alone):
    """A common folder through which the machines of one run tell each other their shares.

    Started again after a sudden death, a machine finds what was written and goes on.

    Parameters
    ----------
    folder : str
        Local (shared by all machines) or ``s3://``; one folder per run.
    shard : str
        ``"i/n"``: which machine this is, of how many.
    settings : mapping
        What all machines must have been started with; JSON.
    wait : float
        Seconds to wait for the others at each step.
    s3 : boto3 S3 client, optional
        By default one made from the environment.

    Raises
    ------
    InputError
        When ``shard`` isn't written so.
    """

    def __init__(
        self, folder: str, shard: str, settings: Mapping[str, Any], *, wait: float = 3600.0, s3: Any = None
    ) -> None:
        self.number, self.of = parse_shard(shard)
        self._folder, self._wait, self._s3 = folder, wait, s3
        self._said = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())

    def gather(self, step: str, share: Mapping[str, Array]) -> list[Share]:
        """Write this machine's share of a step and return all machines' shares, in order.

        Raises
        ------
        InputError
            When another machine was started with other settings or other data.
        StorageError
            When the folder can't be used, or a machine doesn't write in time.
        """
        so_far = np.frombuffer(self._said.digest(), np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **share, so_far=so_far)
        storage.write_bytes(self._address(step, self.number), buffer.getvalue(), s3=self._s3)
        until = time.monotonic() + self._wait
        shares = [self._awaited(step, number, until) for number in range(1, self.of + 1)]
        for number, found in enumerate(shares, 1):
            said = found.pop("so_far", np.empty(0, np.uint8))
            if said.tobytes() != so_far.tobytes():
                raise InputError(
                    f"shard {number}/{self.of} was started with other seeds, settings or data than shard "
                    f"{self.number}/{self.of}; empty {self._folder} and start every shard alike"
                )
        for found in shares:
            for name, values in sorted(found.items()):
                self._said.update(name.encode() + np.ascontiguousarray(values).tobytes())
        return shares

    def _address(self, step: str, number: int) -> str:
        return storage.join(self._folder, f"{step}-{number:05}of{self.of:05}.npz")

    def _awaited(self, step: str, number: int, until: float) -> Share:
        address, pause = self._address(step, number), 0.02
        while True:
            try:
                content = storage.read_bytes(address, s3=self._s3)
                break
            except StorageError as error:
                if not _missing(error):
                    raise
                if time.monotonic() > until:
                    raise StorageError(
                        f"shard {number}/{self.of} hasn't written {address}; start it, then run this command again"
                    ) from None
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as found:
                return {str(name): found[name] for name in found.files}
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{address} isn't what a shard writes ({error}); empty {self._folder} and start again"
            ) from error


def _missing(error: StorageError) -> bool:
    cause = error.__cause__
    return isinstance(cause, FileNotFoundError) or storage.error_code(cause) in ("404", "NoSuchKey")


def as_text(values: Any) -> Array:
    """Return something JSON can say as an array of bytes, for a share."""
    return np.frombuffer(json.dumps(values).encode(), np.uint8)


def from_text(share: Array) -> Any:
    """Return what :func:`as_text` was given."""
    return json.loads(share.tobytes())


def first_of(keys: Array, items: Array, count: int, name: str, exchange: Alone) -> tuple[Array, int]:
    """Choose, over all machines, the ``count`` items with the highest keys; among equal keys, the first by name.

    Parameters
    ----------
    keys : ndarray of uint32, shape (n,)
        This machine's.
    items : ndarray of object, shape (n,)
        Their names.
    count : int
        How many to choose in all, at most as many as there are.
    name : str
        Of this choice, different for each in a run.
    exchange : Alone or Exchange
        The machines.

    Returns
    -------
    tuple of (ndarray of bool, int)
        Which of this machine's are chosen, and the lowest key chosen anywhere.
    """
    chosen = np.zeros(len(keys), bool)
    if count <= 0:
        return chosen, 1 << 32
    upper, left = cut(_gathered(histogram(keys), f"{name}-upper", exchange), count)
    lower, left = cut(_gathered(histogram(keys, upper), f"{name}-lower", exchange), left)
    bound = upper << 16 | lower
    chosen = keys > bound
    tied = np.flatnonzero(keys == bound)
    shares = exchange.gather(f"{name}-tied", {"items": as_text([str(item) for item in items[tied]])})
    taken = set(sorted(str(item) for share in shares for item in from_text(share["items"]))[:left])
    chosen[[place for place in tied if items[place] in taken]] = True
    return chosen, bound


def _gathered(counts: Array, step: str, exchange: Alone) -> Array:
    total: Array = np.sum([share["counts"] for share in exchange.gather(step, {"counts": counts})], axis=0)
    return total


def keys_of_scores(scores: Array) -> Array:
    """Return float32 numbers as unsigned integers of the same order; −0 counts as 0."""
    bits = (np.ascontiguousarray(scores, np.float32) + np.float32(0)).view(np.uint32)
    ordered: Array = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ordered


def score_of_key(key: int) -> float:
    """Return the score that a key stands for; infinity for a key above all."""
    if key >> 32:
        return float("inf")
    bits = np.array([key], np.uint32)
    return float(np.where(bits >> 31, bits & np.uint32(0x7FFFFFFF), ~bits).astype(np.uint32).view(np.float32)[0])


def keys_at_random(names: Iterable[str], seed: int) -> Array:
    """Return a key per name that looks random and depends on the name and ``seed`` alone."""
    keys = bytearray()
    for name in names:
        keys += hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()[:4]
    return np.frombuffer(keys, ">u4").astype(np.uint32)


def histogram(keys: Array, within: int | None = None) -> Array:
    """Count keys (n,) by their upper 16 bits; or, of those with the upper bits ``within``, by their lower 16."""
    chosen = keys >> 16 if within is None else keys[keys >> 16 == within] & np.uint32(_BINS - 1)
    return np.bincount(chosen.astype(np.int64), minlength=_BINS)


def cut(counts: Array, keep: int) -> tuple[int, int]:
    """Return the bin of the key that ranks ``keep`` from the top, and how many of the bin are to be kept."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, keep))
    before = int(from_top[place - 1]) if place else 0
    return len(counts) - 1 - place, keep - before
