"""Tables on disk: Parquet, CSV or JSON lines by extension, at a local path or an ``s3://`` address.

Every table in gandt is a pandas DataFrame, every command that reads one goes through :func:`read_table`, and the same
table means the same in all three forms. What the columns hold is said in ``columns.py``, what is read as CSV in
``delimited.py``; how the items of two tables meet is in ``gandt/names.py``.
"""

import io
import json
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from gandt import storage, walk
from gandt.errors import InputError
from gandt.tables.columns import (
    ANSWERS,
    CANDIDATES,
    GOLD,
    ITEMS,
    LABELS,
    PREDICTIONS,
    WORKERS,
    Schema,
    check_schema,
    parse_numbers,
    refusal,
    refuse_others,
    typed,
)
from gandt.tables.delimited import decoded, read_delimited, write_delimited

__all__ = [
    "ANSWERS",
    "CANDIDATES",
    "FORMATS",
    "GOLD",
    "ITEMS",
    "LABELS",
    "PREDICTIONS",
    "WORKERS",
    "Schema",
    "check_schema",
    "parse_numbers",
    "read_table",
    "refusal",
    "refuse_others",
    "write_table",
]

FORMATS = (".parquet", ".csv", ".jsonl", ".tsv", ".pq", ".ndjson")
_SAME = {".pq": ".parquet", ".ndjson": ".jsonl"}


def read_table(
    uri: str,
    schema: Schema | None = None,
    *,
    required: Iterable[str] = (),
    codes: Collection[str] = (),
    s3: Any = None,
) -> pd.DataFrame:
    """Read a table, its columns typed by their names (see :mod:`gandt.tables.columns`), others as text.

    CSV may be separated by commas, semicolons or tabs, and be UTF-8 with or without a byte order mark, or UTF-16.

    Parameters
    ----------
    uri : str
        Local path or ``s3://`` address ending in one of :data:`FORMATS`.
    schema : Schema, optional
        What the table must be, such as :data:`LABELS`.
    required : iterable of str
        Columns that must be there beside the schema's.
    codes : collection of str
        Columns of text that repeats, to be read as categories: quicker and smaller.

    Returns
    -------
    DataFrame
        Text as ``str`` with gaps, numbers as float64 or int64, times as datetime64[ns, UTC].

    Raises
    ------
    StorageError
        When the file can't be read.
    InputError
        When it isn't a table of its format, is a table of another kind, lacks a column, or a cell holds what its
        column can't: by row (1 is the first below the header) and column.

    Warns
    -----
    GandtWarning
        When text was trimmed or normalised.
    """
    if not storage.is_s3(uri) and not (Path(uri).is_file() and PurePosixPath(uri).suffix.lower() in FORMATS):
        raise walk.unusable(uri, "a table that ends in .csv, .parquet or .jsonl")
    extension = _format(uri)
    content = storage.read_bytes(uri, s3=s3)
    decimal = "."
    if extension == ".parquet":
        columns = _parquet(content, uri, codes)
    elif extension == ".jsonl":
        columns = _json_lines(decoded(content, uri), uri)
    else:
        columns, decimal = read_delimited(content, uri, codes=codes)
    return typed(columns, uri, schema, required=tuple(required), decimal=decimal)


def write_table(table: pd.DataFrame, uri: str, *, s3: Any = None) -> None:
    """Write ``table`` at ``uri`` atomically, in the format of its extension.

    Raises
    ------
    InputError
        When the extension is none of :data:`FORMATS`.
    StorageError
        When it can't be written.
    """
    extension = _format(uri)
    if extension == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        content = buffer.getvalue()
    elif extension == ".jsonl":
        content = _as_json_lines(table)
    else:
        content = write_delimited(table, "\t" if extension == ".tsv" else ",")
    storage.write_bytes(uri, content, s3=s3)


def _format(uri: str) -> str:
    extension = PurePosixPath(uri).suffix.lower()
    if extension not in FORMATS:
        raise InputError(f"can't tell the table format of {uri}; end its name with .parquet, .csv or .jsonl")
    return _SAME.get(extension, extension)


def _parquet(content: bytes, uri: str, codes: Collection[str]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content), read_dictionary=list(codes))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{uri} isn't a readable parquet table: {str(error).splitlines()[0]}") from error
    names = [str(name) for name in table.column_names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{uri} has two columns {twice!r}; rename or remove one")
    return {name: table.column(place) for place, name in enumerate(names) if not name.startswith("__index_level_")}


def _json_lines(text: str, uri: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would also split at U+2028 inside of a text
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_once)
        except ValueError as error:
            raise InputError(f"line {number} of {uri} isn't a JSON object: {error}") from error
        except RecursionError:
            raise InputError(f"line {number} of {uri} is nested too deeply to be a row of a table") from None
        if not isinstance(row, dict):
            raise InputError(f"line {number} of {uri} isn't a JSON object; write one object a line")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return row


def _as_json_lines(table: pd.DataFrame) -> bytes:
    names = [str(name) for name in table.columns]
    columns = [[_json_value(value) for value in table.iloc[:, place].tolist()] for place in range(len(names))]
    lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in zip(*columns, strict=True)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _json_value(value: Any) -> Any:
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, (list, dict)):
        return value
    if hasattr(value, "tolist"):
        return _json_value(value.tolist())
    if value != value or value is pd.NA:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value if isinstance(value, float) else str(value)
