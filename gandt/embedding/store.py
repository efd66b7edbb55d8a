"""The embedding store: a folder of parts that only grows.

A part is two files with one name: ``vectors-00007.npy`` (L2-normalised rows) and ``items-00007.parquet`` (item,
sha256, width, height, status, reason, row, version). The items file is written last and atomically: a part without
it doesn't exist yet. Nothing is ever rewritten, so a store can be read while it grows, copied to S3 and back as
plain files, and killed at any moment. ``store.json`` says which model and preprocessing made it.

An item's row points into its own part; −1 there means "set aside", or that an item with the same content (sha256)
owns the vector. The later of two records of an item counts; one with the status "gone" takes the item out
(:mod:`gandt.embedding.gone`).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gandt import storage, walk
from gandt.arguments import checked
from gandt.embedding.vectors import Array, Vectors
from gandt.errors import InputError
from gandt.names import spelled_as

FORMAT = 1
EMBEDDED, SET_ASIDE, GONE = "embedded", "set aside", "gone"

COLUMNS = {
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

    @checked
    def __init__(self, path: str) -> None:
        self.path = path
        self.description = read_description(path)
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
        StorageError
            When there is no such folder.
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
            return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
        whole = pd.concat(tables, ignore_index=True)
        del tables, table  # of millions of items they weigh something
        latest = ~whole["item"].duplicated(keep="last") & (whole["status"] != GONE)
        linked = latest & (whole["row"] < 0) & (whole["status"] == EMBEDDED)
        if linked.any():
            shared = whole[(whole["row"] >= 0) & whole["sha256"].isin(whole.loc[linked, "sha256"])]
            owners = shared.drop_duplicates("sha256").set_index("sha256")["row"]
            whole.loc[linked, "row"] = whole.loc[linked, "sha256"].map(owners).fillna(-1).astype("int64")
        lost = whole[linked & (whole["row"] < 0)]
        if len(lost):
            raise InputError(
                f"the store {self.path} lacks the vector of {lost['item'].iloc[0]}; a part is missing: copy it again"
            )
        return whole if latest.all() else whole[latest].reset_index(drop=True)

    @checked
    def joined(self, other: "EmbeddingStore") -> "EmbeddingStore":
        """Return this store with the items of ``other`` added, in memory: no file changes.

        Raises
        ------
        InputError
            When the two were made by different models, or otherwise.
        """
        if other.description != self.description:
            raise InputError(f"{other.path} was made otherwise than {self.path}; compare their store.json")
        both = copy(self)
        both.__dict__.pop("items", None)
        more = other.records.copy()
        more["row"] = more["row"].where(more["row"] < 0, more["row"] + len(self.vectors))
        whole = pd.concat([self.records, more], ignore_index=True)
        both.__dict__["records"] = whole.drop_duplicates("item", keep="last", ignore_index=True)
        both.__dict__["vectors"] = self.vectors.joined(other.vectors)
        return both

    def command(self) -> str:
        """Return the command that adds items to this store."""
        asked = {name: self.description.get(name) for name in ("model", "precision", "dtype")}
        usual = {"model": "lite0", "precision": "fp32", "dtype": "float32"}
        options = "".join(f" --{name} {value}" for name, value in asked.items() if value not in (usual[name], None))
        return f"gandt embed SOURCE {self.path}{options}"

    @checked
    def names(self, items: Iterable[str]) -> list[str]:
        """Return items as the store names them: by absolute paths, and in its Unicode form; strangers stay."""
        given = list(items)
        if self.items["item"].isin(given).sum() == len(set(given)):
            return given
        known = frozenset(self.items["item"])
        spelled = spelled_as(given, known)
        whole = [item if item in known or storage.is_s3(item) else str(Path(item).absolute()) for item in spelled]
        return spelled_as(whole, known)

    @checked
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
        names = self.names(items)
        here = self.items[self.items["item"].isin(names)]
        row_of = dict(zip(here["item"], here["row"], strict=True))
        missing = next((item for item, name in zip(items, names, strict=True) if name not in row_of), None)
        if missing is not None:
            raise InputError(f"{missing} is not in the store {self.path}; embed it first: {self.command()}")
        rows: Array = np.array([row_of[name] for name in names], np.int64)
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


@checked
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


def read_description(path: str) -> dict[str, Any]:
    """Return the content of store.json."""
    if storage.is_s3(path):
        raise InputError(f"a store is read from a local folder, not {path}; copy it first: aws s3 sync {path} FOLDER")
    file = Path(path) / "store.json"
    if not Path(path).is_dir():
        raise walk.unusable(path, f"an embedding store's folder (make one: gandt embed SOURCE {path})")
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
        return table[list(COLUMNS)].astype(COLUMNS)
    except Exception as error:  # pyarrow raises many kinds
        raise InputError(f"the store {path} is damaged: {file.name} can't be read ({error}); copy it again") from error
