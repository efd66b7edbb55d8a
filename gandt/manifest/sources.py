"""What a manifest can be built from: a folder, an S3 prefix, a list, an embedding store, a table."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from gandt import storage, tables
from gandt.errors import InputError

IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")


def items_of(source: str, *, s3: Any = None) -> list[str]:
    """Return the items that ``source`` names, in its order, each once.

    Parameters
    ----------
    source : str
        A local folder or S3 prefix of images (recursively); a list, one item a line (``.txt``); a table with a column
        ``item`` (candidates: rows decided ``discard`` are left out; labels: only rows to be relabeled or unanswered);
        an embedding store (what is embedded); a manifest (``.manifest``: what its lines show).

    Raises
    ------
    InputError
        When it names no item.
    StorageError
        When it can't be read.
    """
    suffix = PurePosixPath(source.rstrip("/")).suffix.lower()
    if suffix == ".txt":
        items = [line.strip() for line in storage.read_text(source, s3=s3).splitlines() if line.strip()]
    elif suffix in (".manifest", ".json"):
        lines = [json.loads(line) for line in storage.read_text(source, s3=s3).splitlines() if line.strip()]
        items = [line["source-ref"] for line in lines if isinstance(line.get("source-ref"), str)]
    elif suffix in (*tables.FORMATS, ".pq", ".ndjson"):
        items = _from_table(tables.read_table(source, required=["item"], s3=s3))
    elif not storage.is_s3(source) and (Path(source) / "items.parquet").is_file():
        items = _from_table(tables.read_table(str(Path(source) / "items.parquet"), required=["item"]))
    else:
        items = [
            uri for uri in storage.list_uris(_folder(source), s3=s3) if PurePosixPath(uri).suffix.lower() in IMAGES
        ]
        if not storage.is_s3(source):
            items = [str(Path(uri).absolute()) for uri in items]
    items = list(dict.fromkeys(items))
    if not items:
        raise InputError(
            f"{source} names no item; give a folder or prefix with images, a list, a table with items, or an embedding store"
        )
    return items


def _folder(source: str) -> str:
    if storage.is_s3(source):
        return source.rstrip("/") + "/"
    if not Path(source).is_dir():
        raise InputError(
            f"{source} is no folder, and its name doesn't end in .txt, .parquet, .csv, .jsonl or .manifest; give one of these"
        )
    return source


def _from_table(table: pd.DataFrame) -> list[str]:
    if "decision" in table.columns:
        table = table[table["decision"] != "discard"]
    elif "status" in table.columns:
        table = table[~table["status"].isin(["confident", "set aside"])]
    return table["item"].astype(str).tolist()
