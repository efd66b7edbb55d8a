"""What a manifest can be built from: a folder, an S3 prefix, a list, an embedding store, a table, a manifest."""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from gandt import storage, tables, walk
from gandt.arguments import checked
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError
from gandt.images import list_images
from gandt.manifest.lines import addresses, read_lines

_MANIFESTS = (".manifest", ".json")


@checked
def items_of(source: str, *, s3: Any = None, left_out: storage.LeftOut | None = None) -> list[str]:
    """Return the items that ``source`` names, in its order, each once.

    Parameters
    ----------
    source : str
        A local folder or S3 prefix of images (with all below it); a list with one item a line (``.txt``); a table with
        a column ``item`` (candidates: without those to discard; labels: only those to be relabeled or unanswered); an
        embedding store (what is embedded); a manifest (``.manifest``, ``.json``: its items by the names that it brings,
        else by what it shows).
    left_out : LeftOut, optional
        Gets what was left out of a folder or prefix; without it, a folder that can't be read is an error.

    Raises
    ------
    InputError
        When it names no item, or isn't what its name says.
    StorageError
        When it can't be read.
    """
    suffix = PurePosixPath(source.rstrip("/")).suffix.lower()
    if suffix == ".txt":
        items = [line.strip() for line in storage.read_text(source, s3=s3).split("\n") if line.strip()]
    elif suffix in _MANIFESTS:
        items = list(addresses(read_lines(source, s3=s3)))
    elif suffix in tables.FORMATS:
        items = _from_table(tables.read_table(source, tables.ITEMS, s3=s3))
    elif storage.is_s3(source):
        items = list(list_images(source.rstrip("/") + "/", s3=s3, left_out=left_out))
    elif (Path(source) / "store.json").is_file():
        items = _from_table(EmbeddingStore.open(source).items)
    elif Path(source).is_dir():
        items = list(list_images(str(Path(source).absolute()), left_out=left_out))
    else:
        known = ", ".join((".txt", ".manifest", *tables.FORMATS))
        raise walk.unusable(source, f"a folder, an embedding store, an s3:// prefix, or a file ending in {known}")
    items = list(dict.fromkeys(items))
    if not items:
        aside = "".join(f" ({note})" for note in (left_out.notes() if left_out is not None else []))
        raise InputError(
            f"{source} names no item{aside}; give a place with images, or a list or table that isn't empty"
        )
    return items


@checked
def where_of(source: str, *, s3: Any = None) -> dict[str, str]:
    """Return what a manifest shows for those of its items whose names it brings, by name; {} for other sources.

    Raises
    ------
    InputError, StorageError
        As :func:`items_of` does.
    """
    if PurePosixPath(source.rstrip("/")).suffix.lower() not in _MANIFESTS:
        return {}
    return {item: shown for item, shown in addresses(read_lines(source, s3=s3)).items() if item != shown}


def _from_table(table: pd.DataFrame) -> list[str]:
    if "decision" in table.columns:
        table = table[table["decision"] != "discard"]
    elif "status" in table.columns:
        table = table[~table["status"].isin(["confident", "set aside"])]
    return table["item"].astype(str).tolist()


@checked
def extra_of(source: str, columns: Sequence[str], *, s3: Any = None) -> dict[str, dict[str, Any]]:
    """Return further keys for the items of a table, from its columns: item → {column: value}; gaps are left out.

    Raises
    ------
    InputError
        When ``source`` is no table, or lacks a column.
    StorageError
        When it can't be read.
    """
    table = tables.read_table(source, tables.ITEMS, required=columns, s3=s3)
    if not columns:
        return {str(item): {} for item in table["item"]}
    rows = json.loads(table[list(columns)].to_json(orient="records"))
    return {
        str(item): {name: value for name, value in row.items() if value is not None}
        for item, row in zip(table["item"], rows, strict=True)
    }


@checked
def pairs_of(source: str, columns: Sequence[str] = (), *, s3: Any = None) -> pd.DataFrame:
    """Return the pairs of images that a table names: its columns left, right (and ``columns``) as text, each pair once.

    Raises
    ------
    InputError
        When ``source`` is no table, lacks a column, or names no pair.
    StorageError
        When it can't be read.
    """
    table = tables.read_table(source, required=["left", "right", *columns], s3=s3)[["left", "right", *columns]]
    whole = table.dropna().astype(str)
    if len(whole) < len(table) or (whole == "").any(axis=None):
        raise InputError(f"{source} has a row without {', '.join(table.columns)}; fill it in or leave it out")
    if not len(whole):
        raise InputError(f"{source} names no pair; give a table with the columns left and right")
    return whole.drop_duplicates(["left", "right"], ignore_index=True)
