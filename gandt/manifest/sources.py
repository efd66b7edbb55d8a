"""What a manifest can be built from: a folder, an S3 prefix, a list, an embedding store, a table, a manifest."""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from gandt import storage, tables
from gandt.arguments import checked
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError
from gandt.images import EXTENSIONS
from gandt.manifest.lines import line_items, read_lines

_TABLES = (*tables.FORMATS, ".pq", ".ndjson")


@checked
def items_of(source: str, *, s3: Any = None) -> list[str]:
    """Return the items that ``source`` names, in its order, each once.

    Parameters
    ----------
    source : str
        A local folder or S3 prefix of images (with all below it); a list with one item a line (``.txt``); a table with
        a column ``item`` (candidates: without those to discard; labels: only those to be relabeled or unanswered); an
        embedding store (what is embedded); a manifest (``.manifest``, ``.json``: what its lines show).

    Raises
    ------
    InputError
        When it names no item, or isn't what its name says.
    StorageError
        When it can't be read.
    """
    suffix = PurePosixPath(source.rstrip("/")).suffix.lower()
    if suffix == ".txt":
        items = [line.strip() for line in storage.read_text(source, s3=s3).splitlines() if line.strip()]
    elif suffix in (".manifest", ".json"):
        items = [item for line in read_lines(source, s3=s3) for item in line_items(line)]
    elif suffix in _TABLES:
        items = _from_table(tables.read_table(source, required=["item"], s3=s3))
    elif storage.is_s3(source):
        items = _images(source.rstrip("/") + "/", s3)
    elif (Path(source) / "store.json").is_file():
        items = _from_table(EmbeddingStore.open(source).items)
    elif Path(source).is_dir():
        items = _images(str(Path(source).absolute()), None)
    else:
        known = ", ".join((".txt", ".manifest", *tables.FORMATS))
        raise InputError(f"{source} is no folder, and its name ends in none of {known}; give one of these")
    items = list(dict.fromkeys(items))
    if not items:
        raise InputError(f"{source} names no item; give a place with images, or a list or table that isn't empty")
    return items


def _images(base: str, s3: Any) -> list[str]:
    return [uri for uri in storage.list_uris(base, s3=s3) if PurePosixPath(uri).suffix.lower() in EXTENSIONS]


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
    table = tables.read_table(source, required=["item", *columns], s3=s3)
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
