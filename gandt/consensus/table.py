"""Read an answers table the quick way: text that repeats becomes codes while it is read."""

from typing import Any

import pandas as pd

from gandt.tables import ANSWERS, read_table


def read_answers_table(uri: str, *, s3: Any = None) -> pd.DataFrame:
    """Read a table of answers, its workers and labels as categories.

    Millions of answers name few workers and labels, so this is several times quicker and smaller than text.

    Raises
    ------
    StorageError, InputError
        See :func:`gandt.tables.read_table`.
    """
    return read_table(uri, ANSWERS, codes=("worker", "performer", "label"), s3=s3)
