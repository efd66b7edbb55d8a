"""Filter, split, join, chain and merge augmented manifests, line by line.

Lines are dicts as :func:`gandt.manifest.lines.read_lines` yields them; none is changed in place. The names of a line's
items (which it brings, or else what it shows: an address, a text, or a page of them) tell which lines of two manifests
belong together. A manifest that brings none meets one that does by what both show, where that has one name.
"""

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from gandt.errors import InputError
from gandt.manifest.labels import label_attributes, labels_of
from gandt.manifest.lines import NAMES, line_items, line_names, line_shown, named, page_entries

Line = dict[str, Any]

PREFERENCES = ("latest", "confidence")
CONFLICT_COLUMNS = ["item", "kept", "kept_from", "dropped", "dropped_from"]


def certainty(line: Line, attribute: str) -> float:
    """Return how sure a line's label is: the lowest confidence among its items' labels, NaN where it has none.

    Of a multi-label, which holds every label that anybody chose, a label of low confidence is surely absent; so its
    distance from one half counts.
    """
    rows = labels_of(line, attribute)
    if not rows:
        return math.nan
    sure = [float(row.get("confidence", math.nan)) for row in rows]
    if str(rows[0]["type"]).endswith("-multilabel"):
        sure = [max(value, 1 - value) for value in sure]
    return math.nan if any(math.isnan(value) for value in sure) else min(sure)


def filter_lines(
    lines: Iterable[Line],
    attribute: str,
    *,
    labels: Collection[str] | None = None,
    min_confidence: float | None = None,
    max_confidence: float | None = None,
    human: bool | None = None,
) -> Iterator[Line]:
    """Yield the labelled lines that meet every condition given.

    Parameters
    ----------
    lines : iterable of dict
        An augmented manifest's lines.
    attribute : str
        The label attribute.
    labels : collection of str, optional
        At least one of these labels is on the line.
    min_confidence, max_confidence : float, optional
        Bounds (both inclusive) of :func:`certainty`; lines without a confidence fail both.
    human : bool, optional
        Labelled by people, or automatically.
    """
    for line in lines:
        rows = [row for row in labels_of(line, attribute) if row.get("label") is not None]
        sure = certainty(line, attribute)
        if (
            rows
            and (labels is None or any(row["label"] in labels for row in rows))
            and (min_confidence is None or sure >= min_confidence)
            and (max_confidence is None or sure <= max_confidence)
            and (human is None or rows[0]["human"] is human)
        ):
            yield line


def split_lines(lines: Iterable[Line], attribute: str, min_confidence: float) -> tuple[list[Line], list[Line]]:
    """Split lines into (confident, uncertain); what has no label, or none with a confidence, is uncertain."""
    confident: list[Line] = []
    uncertain: list[Line] = []
    for line in lines:
        (confident if certainty(line, attribute) >= min_confidence else uncertain).append(line)
    return confident, uncertain


def split_share(lines: Iterable[Line], share: float, *, seed: int = 0) -> tuple[list[Line], list[Line]]:
    """Split lines at random, about ``share`` of them into the first part, as for training and validation.

    A line goes by a hash of what it shows: it stays on its side when other lines come or go, and duplicates stay
    together.

    Raises
    ------
    InputError
        When ``share`` isn't between 0 and 1.
    """
    if not 0 < share < 1:
        raise InputError(f"the share is {share}; it must lie between 0 and 1")
    parts: tuple[list[Line], list[Line]] = ([], [])
    for line in lines:
        name = json.dumps([seed, line_shown(line)]).encode()
        draw = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) / 2**64
        parts[draw >= share].append(line)
    return parts


def explode_pages(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield a line for each item: pages are taken apart, each item with its own part of the label."""
    for line in lines:
        entries = page_entries(line)
        if not entries:
            yield line
            continue
        labels = {name: _by_item(line, name) for name in label_attributes([line])}
        rest = {key: value for key, value in line.items() if key not in ("source", NAMES) and key not in labels}
        names = line_names(line)
        for place, entry in enumerate(entries):
            single: Line = {str(key): entry[key] for key in ("source-ref", "source") if key in entry}
            parts = {name: part[place] for name, part in labels.items() if part.get(place) is not None}
            alone = [f"{name}-metadata" for name in labels if name not in parts]
            whole = {**single, **{key: value for key, value in rest.items() if key not in alone}, **parts}
            yield named(whole, [names[place]]) if names else whole


def _by_item(line: Line, attribute: str) -> dict[int, Any]:
    """Return an attribute's part for each place on the page; an item that nobody answered has none."""
    value = line.get(attribute)
    entries = value.get("items") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return {}
    return {
        place: {key: part for key, part in entry.items() if key not in ("source-ref", "source", "index")}
        for place, entry in enumerate(entries)
        if isinstance(entry, dict) and (entry.get("label") is not None or entry.get("labels"))
    }


def chain_lines(
    lines: Iterable[Line], attribute: str, *, min_confidence: float, new_attribute: str | None = None
) -> list[Line]:
    """Make the next job's input: it asks again only about what is uncertain.

    Parameters
    ----------
    lines : iterable of dict
        The last job's output manifest.
    attribute : str
        Its label attribute.
    min_confidence : float
        Labels below it, absent ones, and those without any confidence are uncertain.
    new_attribute : str, optional
        Without it the next job takes the *same* attribute, and Ground Truth labels only lines that lack it: all lines
        stay, and the uncertain ones lose their label. With a *new* attribute it labels every line: only the uncertain
        items stay, one a line, with the old label beside.

    Raises
    ------
    InputError
        When the new attribute is the old one.
    """
    if new_attribute == attribute:
        raise InputError(
            f"{attribute!r} is both the old and the new attribute; leave the new one out to resume the job"
        )
    if new_attribute is None:
        dropped = (attribute, f"{attribute}-metadata")
        return [
            line
            if certainty(line, attribute) >= min_confidence
            else {key: value for key, value in line.items() if key not in dropped}
            for line in lines
        ]
    kept = []
    for line in split_lines(explode_pages(lines), attribute, min_confidence)[1]:
        kept.append(
            {key: value for key, value in line.items() if key not in (new_attribute, f"{new_attribute}-metadata")}
        )
    return kept


def join_lines(*manifests: Iterable[Line]) -> list[Line]:
    """Put the attributes of several manifests side by side, on one line for each object.

    The first manifest gives the order; objects that only later ones hold follow. A key that two manifests give
    different values to is a conflict, which :func:`merge_lines` solves for labels.

    Raises
    ------
    InputError
        At a conflict, with the object and the key.
    """
    joined: dict[tuple[str, ...], Line] = {}
    read = [list(lines) for lines in manifests]
    names = _names(read)
    for lines in read:
        for line in lines:
            items = _items(line, names)
            found = joined.setdefault(items, {})
            for key, value in line.items():
                if key in found and found[key] != value:
                    shown = ", ".join(items)[:200]
                    raise InputError(f"{shown} has two values for {key!r}; merge the manifests instead of joining them")
                found[key] = value
    return list(joined.values())


def merge_lines(
    manifests: Sequence[Iterable[Line]],
    *,
    attributes: Sequence[str] | None = None,
    into: str | None = None,
    prefer: str = "latest",
) -> tuple[list[Line], pd.DataFrame]:
    """Merge the outputs of several jobs over the same objects: one label for each item.

    Parameters
    ----------
    manifests : sequence of iterables of dict
        Output manifests. Pages are taken apart into their items.
    attributes : sequence of str, optional
        The label attributes that answer the same question; by default all of each manifest.
    into : str, optional
        Attribute of the merged label; by default the first of ``attributes`` that occurs.
    prefer : str
        ``"latest"``: the label with the latest creation date; ``"confidence"``: the surest. A label always goes before
        none, and the later manifest before the earlier where both are equal.

    Returns
    -------
    lines : list of dict
        A line for each item; keys that aren't labels are those of the latest manifest that has them.
    conflicts : pandas.DataFrame
        ``item, kept, kept_from, dropped, dropped_from`` wherever two labels of an item differ.

    Raises
    ------
    InputError
        When no line has any of the attributes, or ``prefer`` is unknown.
    """
    if prefer not in PREFERENCES:
        raise InputError(f"there is no preference {prefer!r}; choose one of {', '.join(PREFERENCES)}")
    plain: dict[tuple[str, ...], Line] = {}
    found: dict[tuple[str, ...], list[tuple[str, Any, Any, str]]] = {}  # attribute, label, metadata, from
    names: dict[str, None] = {}
    single = [list(explode_pages(lines)) for lines in manifests]
    known = _names(single)
    for number, lines in enumerate(single):
        for line in lines:
            here = list(attributes) if attributes is not None else label_attributes([line])
            keys = {key for name in here for key in (name, f"{name}-metadata")}
            shown = _items(line, known)
            plain.setdefault(shown, {}).update({key: value for key, value in line.items() if key not in keys})
            for name in here:
                if line.get(name) is not None:
                    names.setdefault(name)
                    where = f"manifest {number + 1}, {name}"
                    found.setdefault(shown, []).append((name, line[name], line.get(f"{name}-metadata"), where))
    if not names:
        raise InputError(f"no line carries a label under {', '.join(attributes) if attributes else 'any attribute'}")
    target = into or next(name for name in (attributes or names) if name in names)
    merged, conflicts = [], []
    for shown, line in plain.items():
        given = sorted(found.get(shown, []), key=lambda entry: _rank(entry, prefer))
        if not given:
            merged.append(line)
            continue
        _, label, metadata, where = given[-1]
        merged.append(line | {target: label} | ({f"{target}-metadata": metadata} if metadata is not None else {}))
        kept = _told(given[-1])
        for other in given[:-1]:
            if _told(other) not in (kept, ""):
                conflicts.append((", ".join(shown), kept, where, _told(other), other[3]))
    return merged, pd.DataFrame(conflicts, columns=CONFLICT_COLUMNS, dtype=str)


def _rank(entry: tuple[str, Any, Any, str], prefer: str) -> tuple[bool, float]:
    """Sort key of a label, best last; the sort is stable, so later manifests come behind equal earlier ones."""
    name, label, metadata, _ = entry
    line = {"source": "-", name: label, f"{name}-metadata": metadata}
    rows = labels_of(line, name)
    if prefer == "confidence":
        value = certainty(line, name)
    else:
        created = str(rows[0].get("created_at")) if rows else ""
        moment = pd.to_datetime(created, utc=True, errors="coerce", format="ISO8601")
        value = math.nan if pd.isna(moment) else moment.timestamp()
    return any(row.get("label") is not None for row in rows), -math.inf if math.isnan(value) else value


def _told(entry: tuple[str, Any, Any, str]) -> str:
    name, label, metadata, _ = entry
    rows = labels_of({"source": "-", name: label, f"{name}-metadata": metadata}, name)
    return ", ".join(sorted(str(row["label"]) for row in rows if row.get("label") is not None))


def _names(manifests: Iterable[Iterable[Line]]) -> dict[str, str]:
    """Return the names that lines bring, by what they show; what has several names is left out."""
    found: dict[str, set[str]] = {}
    for line in (line for lines in manifests for line in lines):
        for shown, name in zip(line_shown(line), line_names(line), strict=False):
            found.setdefault(shown, set()).add(name)
    return {shown: next(iter(names)) for shown, names in found.items() if len(names) == 1}


def _items(line: Line, names: dict[str, str]) -> tuple[str, ...]:
    return tuple(line_names(line) or [names.get(item, item) for item in line_items(line)])
