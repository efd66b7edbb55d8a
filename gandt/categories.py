"""Label categories: one set of rules that keep a question answerable, wherever categories are given.

They are compared trimmed and in Unicode's form NFC, as labels are: what looks the same to a worker is the same.
"""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from gandt.errors import GandtError, InputError

Found = tuple[str, str]  # severity (error, warning), sentence

_UNSEEN = ("Zs", "Zl", "Zp", "Cc", "Cf")  # Unicode's spaces, controls, and marks of format


def tidy(text: str) -> str:
    """Return a text without white space around it, in Unicode's form NFC."""
    return unicodedata.normalize("NFC", text).strip()


def problems(categories: Iterable[object], other: object = None) -> list[Found]:
    """Return what is wrong with the categories of one question, each as (error or warning, sentence).

    Parameters
    ----------
    categories : iterable
        What workers choose from; none at all is no problem here, since many templates need none.
    other : optional
        Name of "none of these"; None where there is none.
    """
    found: list[Found] = []
    spelt: dict[str, list[str]] = defaultdict(list)
    for name in categories:
        text = str(name)
        if not _seen(text):
            found.append(("error", f"the category {text!r} is empty; give each a name, or leave it out"))
        else:
            spelt[tidy(text)].append(text)
    for name, texts in spelt.items():
        if len(texts) > 1:
            ways = list(dict.fromkeys(texts))
            alike = f" (written {' and '.join(map(repr, ways))})" if len(ways) > 1 else ""
            found.append(("error", f"the category {name!r} is given {_times(len(texts))}{alike}; give it once"))
    if other is not None:
        text = str(other)
        if not _seen(text):
            found.append(
                ("error", f'the name of "none of these" is {text!r}, which is empty; name it, or leave it out')
            )
        elif tidy(text) in spelt:
            why = f'the category {tidy(text)!r} is also the name of "none of these", and an answer couldn\'t tell which'
            found.append(("error", f"{why}; rename one"))
        else:
            spelt[tidy(text)] = [text]
    cases: dict[str, list[str]] = defaultdict(list)
    for name in spelt:
        cases[name.casefold()].append(name)
    for names in cases.values():
        if len(names) > 1:
            listed = " and ".join(map(repr, names))
            found.append(("warning", f"the categories {listed} differ in case only; workers will mix them up"))
    return found


def checked(
    categories: Sequence[str], other: str | None = None, *, where: str = "", error: type[GandtError] = InputError
) -> tuple[list[str], str | None]:
    """Return categories and the name of "none of these" trimmed and in NFC.

    Raises
    ------
    InputError
        (or ``error``) when workers couldn't tell them apart; all problems in one sentence that begins with ``where``.
    """
    wrong = [sentence for severity, sentence in problems(categories, other) if severity == "error"]
    if wrong:
        raise error(where + "; ".join(wrong))
    return [tidy(str(name)) for name in categories], None if other is None else tidy(str(other))


def names_of(value: object) -> list[str]:
    """Return the categories that a manifest or a task holds: a list, JSON, or names parted by commas; [] for others.

    It reads them as the pre-annotation Lambda does; the entries of a label category file are ``{"label": name}``.
    """
    if isinstance(value, str):
        try:
            parsed = json.loads(value) if value.lstrip().startswith("[") else None
        except (ValueError, RecursionError):
            parsed = None
        value = parsed if isinstance(parsed, list) else [name for name in value.split(",") if name.strip()]
    if not isinstance(value, list):
        return []
    entries: list[Any] = [entry.get("label") if isinstance(entry, dict) else entry for entry in value]
    return [str(entry) for entry in entries if isinstance(entry, (str, int, float))]


def _seen(text: str) -> bool:
    return any(unicodedata.category(letter) not in _UNSEEN for letter in text)


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"
