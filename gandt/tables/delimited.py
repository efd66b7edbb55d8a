"""CSV as it is met: three delimiters, decimal commas, byte order marks, ragged rows, and cells that a spreadsheet runs.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, and is no number, is written with an
apostrophe before it, so that a spreadsheet shows it and doesn't run it (https://owasp.org/www-community/attacks/
CSV_Injection); reading takes that apostrophe off again. A cell that by itself begins with apostrophes before such a
character gets one more, so every text comes back as it was.
"""

import codecs
import csv
import re
from collections.abc import Collection, Iterator
from typing import Any

import pandas as pd

from gandt.errors import InputError

_BIG = 2**20
_DELIMITERS = (",", ";", "\t")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_RUN = "^'*[=+\\-@\\t\\r]"  # what a spreadsheet would run, with the apostrophes that it may have already
_RUN_READ = "^'+[=+\\-@\\t\\r]"
NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"


def decoded(content: bytes, uri: str) -> str:
    """Return a text file's content, whatever of UTF-8 and UTF-16 it is written in.

    Raises
    ------
    InputError
        When it is neither.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and content[1:2] == b"\0" != content[:1]:
        encoding = "utf-16-le"
    elif encoding == "utf-8" and content[:1] == b"\0" != content[1:2]:
        encoding = "utf-16-be"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{uri} is neither UTF-8 nor UTF-16 (line {line}, byte 0x{content[error.start]:02x}); save it as UTF-8"
        ) from error


def read_delimited(content: bytes, uri: str, *, codes: Collection[str] = ()) -> tuple[dict[str, Any], str]:
    """Read CSV into columns of text, and say which sign its decimals have.

    The delimiter is the one that splits the header into the most columns. In a table that is separated by semicolons
    or tabs, as spreadsheets write them where the comma is the decimal sign, ``0,97`` is a number.

    Parameters
    ----------
    content : bytes
    uri : str
        For messages.
    codes : collection of str
        Columns to be read as dictionaries.

    Returns
    -------
    columns : dict of str to pyarrow.ChunkedArray of string
    decimal : str
        "," where a decimal comma is a decimal sign, else ".".

    Raises
    ------
    InputError
        When the header is missing, doubled or nameless, or a row hasn't as many cells as the header.
    """
    text = decoded(content, uri)
    delimiter, text = _delimiter(text)
    header = next(csv.reader(_lines(text), delimiter=delimiter), None)
    if header is None:
        raise InputError(f"{uri} is empty; a table begins with the names of its columns")
    names = [name.strip() for name in header]
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(f"{uri} has two columns {name!r}; rename or remove one")
    unique = [name or f"\0{place}" for place, name in enumerate(names)]
    # arrow takes a quotation mark that nothing closes for a text up to the end of the file, or up to the next one
    odd = text.count('"') % 2 or re.search(rf'[^"\r\n{delimiter}]"[^"\r\n{delimiter}]', text)
    found = None if odd else _quickly(text, unique, delimiter, codes)
    columns = _slowly(text, unique, delimiter, uri) if found is None else found
    for place, name in enumerate(unique):
        if not names[place] and not _is_index(columns.pop(name)):
            raise InputError(f"column {place + 1} of {uri} has no name; name it in the header, or remove it")
    return {name: _unquoted(column) for name, column in columns.items()}, "." if delimiter == "," else ","


def write_delimited(table: pd.DataFrame, delimiter: str = ",") -> bytes:
    """Write CSV in UTF-8: times as ISO 8601, numbers so that they read back to the last bit, no cell that is run."""
    columns: list[Any] = []
    return_inside = False
    for place in range(table.shape[1]):
        column = table.iloc[:, place]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(object)
        if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
            column = column.map(lambda moment: moment.isoformat(), na_action="ignore")
        elif column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            texts = column.map(_plain, na_action="ignore").astype("str")
            run = texts.str.match(_RUN, na=False) & ~texts.str.match(NUMBER, na=False)
            column = texts.where(~run, "'" + texts)
            return_inside |= bool(texts.str.contains("\r", regex=False, na=False).any())
        columns.append(column)
    plain = pd.concat(columns, axis=1) if columns else table
    plain.columns = table.columns
    # a lone carriage return ends a line for some readers, but pandas quotes for line feeds only
    text = plain.to_csv(
        index=False,
        lineterminator="\n",
        sep=delimiter,
        quoting=csv.QUOTE_NONNUMERIC if return_inside else csv.QUOTE_MINIMAL,
    )
    return str(text).encode()


def _plain(value: Any) -> str:
    """Return a text without half characters, which no file can hold."""
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _delimiter(text: str) -> tuple[str, str]:
    """Return the delimiter, and the text without a line that names it (``sep=;``)."""
    text = text.lstrip("\r\n")
    if text[:4].lower() == "sep=" and text[5:7].lstrip("\r").startswith("\n"):
        return text[4], text[text.index("\n") + 1 :]
    split = {}
    for delimiter in _DELIMITERS:
        try:
            split[delimiter] = len(next(csv.reader(_lines(text), delimiter=delimiter), []))
        except csv.Error:
            split[delimiter] = 0
    return max(_DELIMITERS, key=lambda delimiter: split[delimiter]), text


def _lines(text: str) -> Iterator[str]:
    """Yield lines with their ends, without a copy of the whole."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _quickly(text: str, names: list[str], delimiter: str, codes: Collection[str]) -> dict[str, Any] | None:
    """Read by arrow; None where a row hasn't as many cells as the header."""
    import pyarrow as pa
    import pyarrow.csv

    kinds = {name: pa.dictionary(pa.int32(), pa.string()) if name in codes else pa.string() for name in names}
    convert = pyarrow.csv.ConvertOptions(column_types=kinds, null_values=[""], strings_can_be_null=True)
    # only quoted text can hold a line break, and looking out for one keeps arrow to a single thread
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values='"' in text)
    # threads pay for big files only, and one that still runs when a short command exits aborts it
    read = pyarrow.csv.ReadOptions(column_names=names, skip_rows_after_names=1, use_threads=len(text) > _BIG)
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(text.encode()), read_options=read, parse_options=parse, convert_options=convert
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    return {name: table.column(place) for place, name in enumerate(names)}


def _slowly(text: str, names: list[str], delimiter: str, uri: str) -> dict[str, Any]:
    """Read row by row; further cells are passed over where they are empty."""
    import pyarrow as pa

    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    cells: list[list[str | None]] = [[] for _ in names]
    csv.field_size_limit(2**31 - 1)
    try:
        next(reader)
        for row in reader:
            if not row:
                continue
            if len(row) < len(names) or any(cell.strip() for cell in row[len(names) :]):
                raise InputError(
                    f"line {reader.line_num} of {uri} has {len(row)} cells, the header {len(names)}; mend the line (a "
                    f"text that holds {_NAMES[delimiter]} stands in double quotes)"
                )
            for column, cell in zip(cells, row[: len(names)], strict=True):
                column.append(cell or None)
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} of {uri} isn't readable as CSV: {error}") from error
    columns = [pa.chunked_array([pa.array(column, pa.string())]) for column in cells]
    return dict(zip(names, columns, strict=True))


_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


def _is_index(column: Any) -> bool:
    """Say whether a column without a name is nothing but empty, or the row numbers that pandas writes."""
    values = column.to_pylist()
    return all(value is None for value in values) or values == [str(number) for number in range(len(values))]


def _unquoted(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        chunks = [pa.DictionaryArray.from_arrays(c.indices, _unquoted(c.dictionary)) for c in column.chunks]
        return pa.chunked_array(chunks, column.type)
    if not pc.any(pc.starts_with(column, "'")).as_py():
        return column
    quoted = pc.fill_null(pc.match_substring_regex(column, _RUN_READ), False)
    return pc.if_else(quoted, pc.utf8_slice_codeunits(column, 1), column)
