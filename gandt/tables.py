"""Tables on disk: Parquet, CSV or JSON lines by extension, at a local path or an ``s3://`` address.

Every table in gandt is a pandas DataFrame; every command that reads one goes through :func:`read_table`.
"""

import io
import json
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from gandt import storage
from gandt.errors import InputError

FORMATS = (".parquet", ".csv", ".jsonl")


def _format(uri: str) -> str:
    extension = PurePosixPath(uri).suffix.lower()
    extension = {".ndjson": ".jsonl", ".pq": ".parquet"}.get(extension, extension)
    if extension not in FORMATS:
        raise InputError(f"can't tell the table format of {uri}; end its name with .parquet, .csv or .jsonl")
    return extension


def read_table(uri: str, *, required: Iterable[str] = (), s3: Any = None) -> pd.DataFrame:
    """Read a table; text columns stay text (a label "007" or "NA" is not made into a number or a gap).

    Parameters
    ----------
    uri : str
        Local path or ``s3://`` address ending in .parquet, .csv or .jsonl (.ndjson).
    required : iterable of str
        Columns that must be there.

    Raises
    ------
    StorageError
        When the file can't be read.
    InputError
        When it isn't a table of its format or lacks a required column.
    """
    extension = _format(uri)
    content = storage.read_bytes(uri, s3=s3)
    try:
        if extension == ".parquet":
            table = pd.read_parquet(io.BytesIO(content))
        elif extension == ".csv":
            table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, na_values=[""])
        else:
            lines = content.decode("utf-8-sig").splitlines()
            table = pd.DataFrame([json.loads(line) for line in lines if line.strip()])
    except Exception as error:  # each reader raises its own kinds; all mean that the file is no such table
        raise InputError(f"{uri} isn't a readable {extension[1:]} table: {str(error).splitlines()[0]}") from error
    missing = [name for name in required if name not in table.columns]
    if missing:
        has = ", ".join(map(str, table.columns)) or "none"
        raise InputError(f"{uri} lacks the column{'s'[: len(missing) > 1]} {', '.join(missing)}; it has {has}")
    return table


def write_table(table: pd.DataFrame, uri: str, *, s3: Any = None) -> None:
    """Write ``table`` at ``uri`` atomically, in the format of its extension.

    Raises
    ------
    InputError
        When the extension is none of the three.
    StorageError
        When it can't be written.
    """
    extension = _format(uri)
    if extension == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        content = buffer.getvalue()
    elif extension == ".csv":
        content = table.to_csv(index=False, lineterminator="\n").encode()
    else:
        content = table.to_json(orient="records", lines=True, force_ascii=False, date_format="iso").encode()
    storage.write_bytes(uri, content, s3=s3)
