"""Put the stores of several machines together, and verify a store."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from gandt import storage
from gandt.arguments import checked
from gandt.embedding.gone import compare
from gandt.embedding.sources import list_source
from gandt.embedding.store import EMBEDDED, EmbeddingStore, part_names
from gandt.embedding.writer import Writer
from gandt.errors import GandtError, InputError

_PART = 16_384


@checked
def merge(stores: Sequence[str], out: str, *, source: str | None = None, s3: Any = None) -> EmbeddingStore:
    """Write one store that holds what ``stores`` hold, in an order that depends on the items alone.

    However many shards a pool was embedded in, the merged files are the same, byte for byte. Running it again changes
    nothing. An item that two stores hold counts once; where its content differs, the later store's counts.

    Parameters
    ----------
    stores : sequence of str
        Folders, each a store of the same model.
    out : str
        Folder to write, replaced as a whole once the new one is complete; it may be one of ``stores``.
    source : str, optional
        Verify that every item of this source is there.
    s3 : boto3 S3 client, optional
        For listing ``source``.

    Returns
    -------
    EmbeddingStore

    Raises
    ------
    InputError
        When a store is damaged or was made otherwise than the first, or an item of ``source`` is missing.
    """
    if not stores:
        raise InputError("there is nothing to merge; name at least one store")
    opened = []
    for path in stores:
        problems = check(path)
        if problems:
            raise InputError(f"{path} can't be merged: {problems[0]}")
        opened.append(EmbeddingStore.open(path))
    for other in opened[1:]:
        if other.description != opened[0].description:
            raise InputError(f"{other.path} was made otherwise than {opened[0].path}; compare their store.json")
    records = pd.concat([store.records.assign(store=number) for number, store in enumerate(opened)], ignore_index=True)
    # what one store embedded beats what another set aside
    records = records.sort_values(["item", "status"], ascending=[True, False], kind="stable")
    records = records.drop_duplicates("item", keep="last", ignore_index=True)
    if source is not None:
        held = set(records["item"])
        missing = [entry.item for entry in list_source(source, s3=s3) if entry.item not in held]
        if missing:
            raise InputError(
                f"{len(missing)} items of {source} are in none of the stores, such as {missing[0]}; "
                "embed them (each shard of the same n) and merge again"
            )

    target, building = Path(out), Path(f"{out.rstrip('/')}.merging")
    with storage.explained("write", out):
        shutil.rmtree(building, ignore_errors=True)
        _write(records, opened, building)
        old = Path(f"{out.rstrip('/')}.replaced")
        if target.is_dir():
            if _same_files(target, building):
                shutil.rmtree(building)
                return EmbeddingStore.open(out)
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        building.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    return EmbeddingStore.open(out)


def _write(records: pd.DataFrame, opened: list[EmbeddingStore], building: Path) -> None:
    owner = (records["status"] == EMBEDDED) & ~records["sha256"].where(records["status"] == EMBEDDED).duplicated()
    description = {key: value for key, value in opened[0].description.items() if key != "format"}
    with Writer(str(building), description) as writer:
        for first in range(0, max(len(records), 1), _PART):
            part, owns = records.iloc[first : first + _PART], owner.iloc[first : first + _PART]
            vectors = np.empty((int(owns.sum()), opened[0].dim), opened[0].vectors.dtype)
            place = np.where(owns, owns.cumsum() - 1, -1)
            for number, store in enumerate(opened):
                here = (owns & (part["store"] == number)).to_numpy()
                vectors[place[here]] = store.vectors[part["row"].to_numpy()[here]]
            writer.write_table(part.assign(row=place), vectors)
    (building / ".lock-all").unlink(missing_ok=True)


def _same_files(one: Path, other: Path) -> bool:
    def files(folder: Path) -> list[Path]:
        return sorted(path.relative_to(folder) for path in folder.iterdir() if not path.name.startswith("."))

    return files(one) == files(other) and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in files(one)
    )


@checked
def check(store: str, *, source: str | None = None, column: str | None = None, s3: Any = None) -> list[str]:
    """Return what is wrong with a store, a sentence each; an empty list stands for nothing.

    Every byte of every part is read: vectors against their checksum, for unit length and finite numbers; items
    against the vectors that they point at; and, with ``source``, whether each of its items is in the store, whether all
    of it could be listed, and which items' files are gone (:func:`gandt.embedding.gone.compare`).
    """
    problems: list[str] = []
    try:
        opened = EmbeddingStore.open(store)
        items, vectors = opened.items, opened.vectors
    except GandtError as error:
        return [str(error)]
    for name in part_names(store):
        file = Path(store) / f"vectors-{name}.npy"
        promised = (pq.read_schema(Path(store) / f"items-{name}.parquet").metadata or {}).get(b"vectors_sha256", b"")
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest().encode() != promised:
                problems.append(f"{file} isn't the file that was written: its checksum differs; copy it again")
    tolerance = 1e-3 if vectors.dtype == np.float32 else 1e-2
    for start, block in vectors.chunks():
        lengths = np.linalg.norm(block.astype(np.float32), axis=1)
        bad = ~(np.abs(lengths - 1) < tolerance)  # true for NaN as well
        if bad.any():
            problems.append(
                f"{store}: the vector in row {start + int(np.flatnonzero(bad)[0])} hasn't length 1; embed again"
            )
    beyond = items["row"].to_numpy() >= len(vectors)
    if beyond.any():
        problems.append(
            f"{store}: {items['item'][beyond].iloc[0]} points at a row that isn't there; copy the store again"
        )
    if source is not None:
        try:
            problems += compare(opened, source, column=column, s3=s3).problems(opened, source)
        except GandtError as error:
            problems.append(str(error))
    return problems
