"""What the columns of gandt's tables hold, and which columns make which table.

A column means the same in every table: ``confidence`` is a share wherever it stands. Columns that aren't listed here
are text. Text is trimmed and normalised (:func:`gandt.categories.tidy`), and an empty one is a gap; names of items are
trimmed only, since a file system may tell apart what Unicode takes for the same.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gandt.categories import tidy
from gandt.errors import GandtWarning, InputError
from gandt.names import as_text
from gandt.tables.delimited import NUMBER

_ITEM_NAMES = ("item", "image", "carried_from", "left", "right", "source-ref", "uri")
_TIMES = ("accepted_at", "submitted_at")
_SHARES = ("confidence", "probability", "reliability", "reliability_low", "reliability_high")
_COUNTS = ("width", "height", "votes", "workers", "answers", "gold_answers", "gold_right")
_NUMBERS = ("score", "similarity", "uncertainty", "rank", "round")
_NUMBER_PREFIXES = {"score_": "number", "probability_": "share"}  # of a label each
_SECONDS = ("seconds",)
_TEXTS = ("worker", "label", "decision", "status", "method", "job", "data_object")
_WORKERS = ("performer", "workerid", "worker_id", "annotator", "annotator_id", "rater")  # others' words for worker
_ALIASES = {"task": "item", "performer": "worker"}  # crowd-kit's


@dataclass(frozen=True)
class Schema:
    """A kind of table.

    Attributes
    ----------
    name : str
        In the plural, for messages.
    needs : tuple of str
        Columns that must be there.
    filled : tuple of str
        Of those, the columns that have no gap.
    refuses : tuple of str
        Columns by which a table is known to be another kind; see :func:`kind`.
    features : bool
        Whether all columns but ``texts`` are numbers, where the whole column is, whatever their names.
    texts : tuple of str
        With ``features``: the columns that are text.
    """

    name: str
    needs: tuple[str, ...]
    filled: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    features: bool = False
    texts: tuple[str, ...] = ("item",)


# answers without an item, a worker or a label are set aside by the consensus, which counts them
ANSWERS = Schema("answers", ("item", "worker", "label"), refuses=("workers",))
_NO_LABELS = ("answers", "candidates", "labels of each category")
LABELS = Schema("labels", ("item", "label"), ("item",), refuses=_NO_LABELS)
GOLD = Schema("known labels", ("item", "label"), ("item",), refuses=_NO_LABELS)
ITEMS = Schema("items", ("item",), ("item",))
CANDIDATES = Schema("candidates", ("item", "decision"), ("item", "decision"))
WORKERS = Schema("workers", ("worker", "reliability", "reliability_low", "reliability_high"), ("worker",))
PREDICTIONS = Schema("predictions", ("item",), ("item",), refuses=("answers", "candidates"), features=True)

_KNOWN_BY = (
    ("candidates", {"item", "decision"}),
    ("labels of each category", {"item", "category", "label", "confidence", "status"}),
    ("workers", {"worker", "reliability"}),
    ("answers", {"item", "worker", "label"}),
    ("labels", {"item", "label"}),
    ("items", {"item"}),
)


def kind(columns: Sequence[str]) -> str | None:
    """Say what a table is by its columns: candidates, workers, answers, labels, items, or None for none of these."""
    names = {_ALIASES.get(name, name) for name in columns}
    if "status" not in names and any(name.lower() in _WORKERS for name in names):
        names.add("worker")
    return next((name for name, needed in _KNOWN_BY if needed <= names), None)


def refuse_others(columns: Iterable[str], schema: Schema, what: str) -> None:
    """Refuse a table that is known by its columns to be of another kind.

    Raises
    ------
    InputError
        Saying what it is.
    """
    found = kind(list(map(str, columns)))
    if found == "answers" and found in schema.refuses:
        raise InputError(f"{what} holds answers, one a worker; make labels of them first: gandt consensus")
    if found == "candidates" and found in schema.refuses:
        raise InputError(
            f"{what} holds candidates, with a filter's guess for a label; have them labelled first: gandt manifest "
            "build"
        )
    if found in schema.refuses:
        raise InputError(f"{what} holds {found}, not {schema.name}; give {schema.name}")


def typed(
    columns: dict[str, Any], uri: str, schema: Schema | None, *, required: Sequence[str] = (), decimal: str = "."
) -> pd.DataFrame:
    """Check columns and turn each into its type.

    Parameters
    ----------
    columns : dict of str to pyarrow.ChunkedArray or list
        As the file has them.
    uri : str
        For messages.
    schema : Schema, optional
    required : sequence of str
    decimal : str
        The decimal sign of numbers that are text.

    Raises
    ------
    InputError
        See :func:`gandt.tables.read_table`.
    """
    if schema is None or not schema.features:
        columns = _by_known_names(columns, uri)
    if schema is ANSWERS:
        renamed = {alias: name for alias, name in _ALIASES.items() if name not in columns}
        columns = {renamed.get(name, name): column for name, column in columns.items()}
    if not columns and uri.endswith((".jsonl", ".ndjson")):  # no row, so no key of one
        columns = {name: [] for name in (*(schema.needs if schema else ()), *required)}
    _check_columns(list(columns), schema, uri, required)
    changed: dict[str, str] = {}
    read: dict[str, Any] = {}
    for name, column in columns.items():
        holds = _holds(name, schema)
        if holds in ("text", "item"):
            read[name] = _text(column, name, holds == "text", changed)
        elif holds == "time":
            read[name] = _times(column, name, uri)
        else:
            read[name] = _numbers(column, name, uri, holds, decimal)
    table = pd.DataFrame(read)
    _check_filled(table, schema, uri)
    if "label" in table.columns and (schema is None or not schema.features):
        _no_printed_lists(table["label"], uri)
    for name, example in changed.items():
        warnings.warn(f"{uri}: the column {name} was read without blanks around its texts and in one Unicode form "
                      f"(such as {example!r})", GandtWarning, stacklevel=3)  # fmt: skip
    return table


def check_schema(table: pd.DataFrame, schema: Schema, uri: str) -> None:
    """Refuse a table, read without one, that isn't of a schema.

    Raises
    ------
    InputError
        When it lacks a column, is of another kind, or has a gap where there may be none.
    """
    _check_columns(list(map(str, table.columns)), schema, uri, ())
    _check_filled(table, schema, uri)


def _check_columns(columns: Sequence[str], schema: Schema | None, uri: str, required: Sequence[str]) -> None:
    missing = [name for name in (*(schema.needs if schema else ()), *required) if name not in columns]
    if missing:
        has = ", ".join(columns) or "none"
        raise InputError(f"{uri} lacks the column{'s'[: len(missing) > 1]} {', '.join(missing)}; it has {has}")
    if schema:
        refuse_others(columns, schema, uri)


def _check_filled(table: pd.DataFrame, schema: Schema | None, uri: str) -> None:
    for name in schema.filled if schema else ():
        gaps = np.flatnonzero(table[name].isna())
        if len(gaps):
            raise InputError(f"row {gaps[0] + 1} of {uri} has no {name}; fill it in, or remove the row")


def _by_known_names(columns: dict[str, Any], uri: str) -> dict[str, Any]:
    """Return the columns, those that a person wrote with capitals under the names that they have here."""
    listed = (_ITEM_NAMES, _TIMES, _SHARES, _COUNTS, _NUMBERS, _SECONDS, _TEXTS)
    known = {name for names in listed for name in names}
    found: dict[str, Any] = {}
    for name, column in columns.items():
        meant = name.strip().lower()
        meant = meant if meant in known else name
        if meant in found:
            raise InputError(f"{uri} has two columns {meant!r}, but for capitals; rename or remove one")
        found[meant] = column
    return found


def _no_printed_lists(labels: "pd.Series[Any]", uri: str) -> None:
    """Refuse lists as Python prints them, which are no JSON and would be taken for one label."""
    like = np.flatnonzero(labels.astype(object).map(lambda text: isinstance(text, str) and text.startswith("['")))
    if len(like):
        mend = '; write several labels as ["cat", "dog"]'
        raise refusal(uri, "label", int(like[0]), labels.iloc[like[0]], "is a list as Python prints it", mend)


def _holds(name: str, schema: Schema | None) -> str:
    if schema and schema.features:
        return "item" if name in schema.texts else "feature"
    for names, holds in ((_ITEM_NAMES, "item"), (_TIMES, "time"), (_SHARES, "share"), (_COUNTS, "count")):
        if name in names:
            return holds
    prefix = next((prefix for prefix in _NUMBER_PREFIXES if name.startswith(prefix)), None)
    if name in _SECONDS:
        return "seconds"
    if name in _NUMBERS or prefix:
        return _NUMBER_PREFIXES[prefix] if prefix else "number"
    return "text"


# ---------------------------------------------------------------- text


def _cell(value: Any) -> str | None:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    return str(value) if isinstance(value, float) else as_text(value)  # 1.0 as other writers put it into CSV


def _text(column: Any, name: str, normal: bool, changed: dict[str, str]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, list):
        column = pa.chunked_array([pa.array([_cell(value) for value in column], pa.string())])
    if pa.types.is_dictionary(column.type):
        return _coded_text(column, name, normal, changed)
    kind_ = column.type
    if pa.types.is_integer(kind_):
        column = column.cast(pa.string())
    elif pa.types.is_temporal(kind_):  # days without a time are written without one
        values = column.to_pandas()
        column = pa.chunked_array([pa.array(values.astype(str).where(values.notna(), None), pa.string())])
    elif not (pa.types.is_string(kind_) or pa.types.is_large_string(kind_) or pa.types.is_string_view(kind_)):
        column = pa.chunked_array([pa.array([_cell(value) for value in column.to_pylist()], pa.string())])
    column = column.cast(pa.string())
    cleaned = pc.utf8_trim_whitespace(column)
    if normal and not pc.all(pc.string_is_ascii(cleaned)).as_py():
        cleaned = pc.utf8_normalize(cleaned, "NFC")
    other = pc.fill_null(pc.not_equal(column, cleaned), False)
    if pc.any(other).as_py():
        changed[name] = column.filter(other)[0].as_py()
    empty = pc.fill_null(pc.equal(cleaned, ""), False)
    if pc.any(empty).as_py():
        cleaned = pc.if_else(empty, pa.scalar(None, pa.string()), cleaned)
    return cleaned.to_pandas().astype("str")


def _coded_text(column: Any, name: str, normal: bool, changed: dict[str, str]) -> Any:
    coded = column.to_pandas()
    texts = [_cell(value) or "" for value in coded.cat.categories]
    cleaned = [tidy(text) if normal else text.strip() for text in texts]
    for text, new in zip(texts, cleaned, strict=True):
        if text != new:
            changed.setdefault(name, text)
    kept = list(dict.fromkeys(text for text in cleaned if text))
    place = {text: code for code, text in enumerate(kept)}
    codes = np.append(np.array([place.get(text, -1) for text in cleaned], np.int32), np.int32(-1))
    return pd.Series(pd.Categorical.from_codes(codes[coded.cat.codes], pd.Index(kept, dtype="str")))


# ---------------------------------------------------------------- numbers and times


def _numbers(column: Any, name: str, uri: str, holds: str, decimal: str) -> Any:
    import pyarrow as pa

    values: Any
    if isinstance(column, list):
        values = pd.Series(column, dtype=object)
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type):
        values = column.to_pandas().astype("float64") if pa.types.is_null(column.type) else column.to_pandas()
    else:
        values = column.to_pandas().astype(object)
    numbers = parse_numbers(values, decimal)
    bad = np.flatnonzero(np.isinf(numbers))
    if holds == "feature":
        return _text(column, name, True, {}) if len(bad) else numbers
    if len(bad):
        raise refusal(uri, name, int(bad[0]), values.iloc[bad[0]], "is no number")
    if holds == "number":
        return _whole(numbers) if name in ("rank", "round") else numbers
    known = ~np.isnan(numbers)
    if holds == "seconds":
        below = known & (numbers < 0)
        if below.any():
            numbers[below] = np.nan
            warnings.warn(f"{uri}: {below.sum():,} times below 0 seconds were read as gaps; a clock was set back",
                          GandtWarning, stacklevel=4)  # fmt: skip
        return numbers
    if holds == "share":
        bad = np.flatnonzero(known & ((numbers < 0) | (numbers > 1)))
        what = "lies outside 0 to 1"
    else:
        bad = np.flatnonzero(known & ((numbers < 0) | (numbers != np.floor(numbers))))
        what = "is no count"
    if len(bad):
        raise refusal(uri, name, int(bad[0]), values.iloc[bad[0]], what)
    return _whole(numbers) if holds == "count" else numbers


def _whole(numbers: Any) -> Any:
    """Return int64 where there is no gap and all are whole."""
    whole = not np.isnan(numbers).any() and (numbers == np.floor(numbers)).all()
    return numbers.astype(np.int64) if whole else numbers


def parse_numbers(values: "pd.Series[Any]", decimal: str = ".") -> Any:
    """Return numbers as float64; gaps (and the texts NaN, in any case) are NaN, what is no finite number is infinite.

    Parameters
    ----------
    values : Series
        Numbers or texts.
    decimal : str
        With "," the text ``0,97`` is a number, beside ``0.97``.
    """
    if values.dtype.kind in "iuf":
        return values.to_numpy(np.float64, copy=True)
    texts = values.map(_cell).astype("str").str.strip()
    texts = texts.where(~texts.str.lower().isin(["nan", ""]))
    if decimal == ",":
        if texts.str.match(r"^[+-]?\d+,\d", na=False).any():  # beside commas, points may part thousands
            texts = texts.mask(texts.str.match(r"^[+-]?\d{1,3}(\.\d{3})+$", na=False), "ambiguous")
        texts = texts.str.replace(r"^([+-]?\d+),(\d+)((?:[eE][+-]?\d+)?)$", r"\1.\2\3", regex=True)
    is_bool = values.map(lambda value: isinstance(value, (bool, np.bool_))).to_numpy(bool)
    right = texts.str.match(NUMBER, na=False).to_numpy(bool) & ~is_bool
    numbers = np.where(texts.isna().to_numpy(bool), np.nan, np.inf)
    numbers[right] = [float(text) for text in texts[right]]
    return numbers


def _times(column: Any, name: str, uri: str) -> Any:
    values = pd.Series(column, dtype=object) if isinstance(column, list) else column.to_pandas()
    if values.dtype.kind != "M" and not isinstance(values.dtype, pd.DatetimeTZDtype):
        texts = values.map(_cell).astype("str").str.strip()
        texts = texts.where(~texts.str.lower().isin(["nat", ""]))
        moments = pd.to_datetime(texts.astype(object), utc=True, format="ISO8601", errors="coerce")
        bad = np.flatnonzero(texts.notna() & moments.isna())
        if len(bad):
            raise refusal(uri, name, int(bad[0]), texts.iloc[bad[0]], "is no time of ISO 8601")
        values = moments
    moments = pd.to_datetime(values, utc=True)
    first, last = pd.Timestamp.min.ceil("s"), pd.Timestamp.max.floor("s")
    bad = np.flatnonzero((moments < first.tz_localize("UTC")) | (moments > last.tz_localize("UTC")))
    if len(bad):
        raise refusal(uri, name, int(bad[0]), str(moments.iloc[bad[0]]), f"lies outside {first.year} to {last.year}")
    return moments.astype("datetime64[ns, UTC]")


def refusal(uri: str, column: str, row: int, value: Any, what: str, mend: str = "") -> InputError:
    """Return the error for a cell that its column can't hold; ``row`` counts from 0."""
    told = repr(value)[:60]
    if not mend:
        number = "%" in told or "," in told
        mend = "; write 0.7 for 70 %, with a point" if number else "; mend it, or leave it empty"
    return InputError(f"row {row + 1} of {uri}, column {column}: {told} {what}{mend}")
