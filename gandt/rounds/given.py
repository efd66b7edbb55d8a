"""Vectors that the user brings, of anything: rows of a table, sounds, texts. They become an embedding store."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gandt import storage
from gandt.arguments import checked
from gandt.embedding import EmbeddingStore
from gandt.embedding.store import EMBEDDED, Record
from gandt.embedding.writer import Writer
from gandt.errors import GandtWarning, InputError, extra

Array = np.ndarray[Any, np.dtype[Any]]

MODEL = "given"
# a constant coordinate of this many times the vectors' size: at length 1, all still know how long they were
_CONSTANT = 4.0
# a number with a sign of money or per cent, or in groups of thousands
_SIGNS = r"^[\s$€£¥+-]*\d[\d.,'\s]*[\s$€£¥%]*$"


@checked
def store_vectors(items: Sequence[str], vectors: Array, path: str) -> EmbeddingStore:
    """Write vectors as a new embedding store.

    Parameters
    ----------
    items : sequence of str
        One name each: an address, a row's key.
    vectors : float array, shape (items, dim)
        Of any scale. Stores hold vectors of length 1, so each gets one more coordinate, a constant, before its length
        becomes 1; distances keep their proportions to a few per cent.
    path : str
        A new folder.

    Raises
    ------
    InputError
        When items repeat, vectors aren't finite, shapes don't fit, or the folder holds a store already.
    """
    names = [str(item) for item in items]
    rows = np.asarray(vectors, np.float32)
    if rows.ndim != 2 or len(rows) != len(names) or not len(names) or not rows.shape[1]:
        raise InputError(f"vectors of the shape {np.shape(vectors)} don't fit {len(names)} items; give one row an item")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the item {twice!r} occurs twice; give each item once")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise InputError(f"the vector of {names[bad[0]]!r} has a gap or an infinite number; fill it, or leave it out")
    if (Path(path) / "store.json").exists():
        raise InputError(f"{path} holds a store already; choose a new folder")
    rows = rows - rows.mean(axis=0)
    size = max(float(np.sqrt((rows**2).sum(axis=1).mean())), 1e-12)
    rows = np.hstack([rows / size, np.full((len(rows), 1), _CONSTANT, np.float32)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    hashes = [hashlib.sha256(name.encode() + row.tobytes()).hexdigest() for name, row in zip(names, rows, strict=True)]
    whole = hashlib.sha256("".join(hashes).encode()).hexdigest()
    description = {"model": MODEL, "weights": whole, "precision": "fp32", "preprocessing": {}, "dim": rows.shape[1]}
    with Writer(path, {**description, "dtype": "float32", "licence": "the user's"}) as writer:
        records = [
            Record(name, sha, 0, 0, EMBEDDED, "", number, "1")
            for number, (name, sha) in enumerate(zip(names, hashes, strict=True))
        ]
        writer.write(records, rows)
    return EmbeddingStore.open(path)


@checked
def read_vectors(uri: str, *, item: str = "item", skip: Sequence[str] = (), s3: Any = None) -> tuple[list[str], Array]:
    """Read vectors from a table, or from an .npy file beside which ``.items.csv`` names the rows.

    Parameters
    ----------
    uri : str
        A table (.parquet, .csv, .jsonl): every column but ``item`` and ``skip`` becomes numbers. Or ``vectors.npy``
        with a table ``vectors.items.csv`` that has the column ``item``, in the same order.
    item : str
        The column that names the rows; where there is none, rows are called ``row 0``, ``row 1``, …
    skip : sequence of str
        Columns that aren't features, such as the label.

    Returns
    -------
    items : list of str
    vectors : float32 array, shape (rows, dim)

    Raises
    ------
    InputError
        When the file holds no vectors.
    """
    from gandt.tables import ITEMS, Schema, read_table

    if uri.endswith(".npy"):
        names = read_table(uri.removesuffix(".npy") + ".items.csv", ITEMS, s3=s3)["item"].tolist()
        import io

        try:
            rows = np.load(io.BytesIO(storage.read_bytes(uri, s3=s3)), allow_pickle=False)
        except ValueError as error:
            raise InputError(f"{uri} isn't a readable .npy file: {error}") from error
        return names, np.asarray(rows, np.float32)
    table = read_table(uri, Schema("vectors", (), features=True, texts=(item, *skip)), s3=s3)
    if item in table.columns and table[item].isna().any():
        row = int(table[item].isna().to_numpy().argmax()) + 1
        raise InputError(f"row {row} of {uri} has no {item}; fill it in, or name another column with --item")
    names = table[item].astype(str).tolist() if item in table.columns else [f"row {row}" for row in range(len(table))]
    return names, table_vectors(table.drop(columns=[name for name in (item, *skip) if name in table.columns]))


@checked
def table_vectors(table: pd.DataFrame) -> Array:
    """Turn columns of any kind into vectors by scikit-learn's preprocessing.

    Numbers are standardised, their gaps filled by the median; a column of words becomes a 0/1 column per word (the
    commonest 30). Text that is different in every row tells nothing this way: embed it yourself and bring the vectors.

    Parameters
    ----------
    table : DataFrame
        Features only.

    Returns
    -------
    float32 array, shape (rows, dim)

    Raises
    ------
    InputError
        When no column is left that can be used, or a column of numbers has a cell that is none.
    MissingExtraError
        When scikit-learn isn't installed.
    """
    with extra("local", "vectors from a table"):
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler
    columns = {str(name): _numbers(table[name]) for name in table.columns}
    numeric = [name for name, values in columns.items() if values is not None and not np.isnan(values).all()]
    words = [name for name, values in columns.items() if values is None and table[name].nunique() <= len(table) / 2]
    left = [name for name in columns if name not in numeric and name not in words]
    if left and (numeric or words):
        told = f"{', '.join(left[:5])}{', …' if len(left) > 5 else ''}"
        warnings.warn(
            f"left out, since they are empty or different text in nearly every row: {told}", GandtWarning, stacklevel=2
        )
    if not len(table) or not (numeric or words):
        raise InputError("the table has no column of numbers or of repeating words; name its columns, or bring vectors")
    frame = pd.DataFrame(
        {
            **{name: columns[name] for name in numeric},
            **{name: table[name].fillna("").astype(str) for name in words},
        }
    )
    transform = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            ("words", OneHotEncoder(max_categories=30, sparse_output=False, handle_unknown="ignore"), words),
        ]
    )
    return np.asarray(transform.fit_transform(frame), np.float32)


def _numbers(column: "pd.Series[Any]") -> Array | None:
    """Return a column as float64, or None where it is one of words."""
    from gandt.tables import parse_numbers, refusal

    numbers: Array = parse_numbers(column)
    bad = np.flatnonzero(np.isinf(numbers))
    if not len(bad):
        return numbers
    signs = column.iloc[bad].astype(str).str.match(_SIGNS)
    if len(bad) and signs.mean() > 0.5:  # 6 %, $2, 7 876
        row = int(bad[int(signs.to_numpy().argmax())])
        raise refusal("the table", str(column.name), row, column.iloc[row], "is no number")
    if np.isfinite(numbers).sum() > len(bad):  # a column of numbers with something else in it
        row = int(bad[0])
        raise refusal("the table", str(column.name), row, column.iloc[row], "is no number")
    return None
