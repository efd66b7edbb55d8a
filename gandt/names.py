"""Names and labels as people and systems spell them: what counts as the same, and how the items of two tables meet.

A file system, a spreadsheet and a person write one name in several Unicode forms, with blanks around it or without.
"""

import contextlib
import json
import math
import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gandt.categories import tidy
from gandt.errors import GandtWarning, InputError


def as_text(value: Any) -> str:
    """Write a value as text: whole floats (integers that shared a column with a gap) lose their '.0', lists are JSON.

    Half a surrogate pair, which no file could hold, becomes its escape.
    """
    if isinstance(value, (list, dict, tuple)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (float, np.floating)) and math.isfinite(value) and value == int(value):
        return str(int(value))
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def spelled_as(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return each name as ``known`` spells it; one that is none of these stays as it is.

    Parameters
    ----------
    names : iterable of str
    known : iterable of str
        Where several differ in their Unicode form only, the exact one is meant, else the first.
    """
    names = list(names)
    exact = set(known) if not isinstance(known, (set, frozenset, dict)) else known
    if all(name in exact for name in names):
        return names
    forms: dict[str, str] = {}
    for name in sorted(exact):
        forms.setdefault(tidy(name), name)
    return [name if name in exact else forms.get(tidy(name), name) for name in names]


def matched(
    names: Sequence[str],
    known: Collection[str],
    *,
    what: str,
    among: str,
    some: bool = True,
    given: Sequence[str] | None = None,
) -> list[str]:
    """Return names as ``known`` spells them, and refuse a join in which nothing meets.

    Parameters
    ----------
    names : sequence of str
        Of one side.
    known : collection of str
        Of the other.
    what, among : str
        The two sides, for messages: "gold.csv" and "the answers".
    some : bool
        Warn when only some of ``names`` are there.
    given : sequence of str, optional
        The names as the user wrote them, for messages.

    Raises
    ------
    InputError
        When no name is on both sides (and neither is empty), with an example from each.

    Warns
    -----
    GandtWarning
        How many of the names aren't there, with an example.
    """
    spelled = spelled_as(names, known)
    if not spelled:
        return spelled
    there = known if isinstance(known, (set, frozenset, dict)) else set(known)
    if not there:
        return spelled
    wrote = list(given) if given is not None else spelled
    strangers = [told for name, told in zip(spelled, wrote, strict=True) if name not in there]
    if len(strangers) == len(spelled):
        raise InputError(
            f"no item of {what}, such as {wrote[0]!r}, is among {among}, such as {min(there)!r}; name them alike in "
            "both"
        )
    if strangers and some:
        warnings.warn(
            f"{len(strangers):,} of {len(spelled):,} items of {what} aren't among {among}, such as {strangers[0]!r}",
            GandtWarning,
            stacklevel=2,
        )
    return spelled


def refuse_several(item: str, label: str, what: str) -> None:
    """Refuse a label that is a JSON list of several, where an item has one.

    Raises
    ------
    InputError
        Naming the item.
    """
    if label.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(json.loads(label), list):
                raise InputError(f"{what} gives {item} several labels ({label}), where one an item is wanted")


def item_labels(table: pd.DataFrame, what: str) -> dict[str, str]:
    """Return the label of each item that has one.

    Parameters
    ----------
    table : DataFrame
        item and label.
    what : str
        For messages.

    Raises
    ------
    InputError
        When an item has two labels, or one that is a list of several.
    """
    found: dict[str, str] = {}
    rows = table.dropna(subset=["item", "label"])
    for item, label in zip(rows["item"].astype(str), rows["label"].astype(str), strict=True):
        refuse_several(item, label, what)
        if found.setdefault(item, label) != label:
            raise InputError(f"{what} gives {item} two labels, {found[item]!r} and {label!r}; keep one of them")
    return found
