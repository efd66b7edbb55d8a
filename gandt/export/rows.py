"""A labels table's rows, read as what they hold: one label an item, or several, or shapes; and who made them."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from gandt.candidates.carry import CARRIED
from gandt.consensus import METHODS
from gandt.errors import InputError
from gandt.export.shapes import Shape, shape_of
from gandt.manifest.labels import NONE_CHOSEN, NOTHING_FOUND

Row = dict[str, Any]


@dataclass(frozen=True)
class Label:
    """A label of an item: its class, the probability that it is right (None: unknown), and where on the image."""

    name: str
    confidence: float | None = None
    shape: Shape | None = None


@dataclass(frozen=True)
class Labelled:
    """An item and its labels: one, or several (maybe none), or shapes (maybe none).

    ``human``: people made the label (True), a machine did (False), nobody knows (None). ``confidence`` is of the whole
    set of labels; ``size`` (width, height) is the image's, in pixels, where the labels know it.
    """

    item: str
    labels: tuple[Label, ...]
    confidence: float | None = None
    status: str | None = None
    human: bool | None = None
    method: str | None = None
    size: tuple[int, int] | None = None


def plain_rows(table: pd.DataFrame) -> list[Row]:
    """Return a table's rows in Python's own types: gaps of all kinds are None, arrays lists."""
    return [{str(key): _plain(entry) for key, entry in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple, dict)):
        return value
    return None if value is None or value is pd.NA or value is pd.NaT or value != value else value


def read_rows(rows: list[Row], types: set[str], left_out: Counter[str]) -> tuple[list[Labelled], frozenset[str]]:
    """Tell which kind of labels the rows hold, and read them as that."""
    lists = [_list(row["label"]) for row in rows]
    bare = [row for row, names in zip(rows, lists, strict=True) if names is None and row["label"] is not None]
    if any(row.get("confidence_map") is not None for row in rows) or (any(lists) and not bare):
        return list(_sets(rows, lists)), frozenset({"several"})
    if any(names is not None for names in lists):
        raise InputError(
            f"some labels are lists and others, as {bare[0]['item']}'s, are not; write them all in one way"
        )
    shapes = [shape_of(row["item"], row.get("value")) for row in rows]
    if any(shapes) or any(row.get("reason") == NOTHING_FOUND for row in rows):
        return list(_shaped(rows, shapes)), frozenset(shape.kind for shape in shapes if shape) or frozenset({"box"})
    if _plural(rows, types):
        return list(_gathered(rows, left_out)), frozenset({"several"})
    return list(_single(rows)), frozenset({"one"})


def made_by_people(row: Mapping[str, Any]) -> bool | None:
    """Tell whether people made a row's label; None where nothing says so.

    A manifest says it itself (``human-annotated``). In gandt's tables ``method`` does: a consensus method, ``seed``,
    ``gold``, ``folders`` and ``clusters/…`` are people's; ``classifier…`` and what was carried over from a duplicate
    isn't, for nobody looked at that item.
    """
    human = row.get("human")
    if isinstance(human, bool):
        return human
    if human is not None and str(human).lower() in ("true", "false", "yes", "no", "1", "0", "1.0", "0.0"):
        return str(human).lower() in ("true", "yes", "1", "1.0")
    method = str(row.get("method") or "")
    if row.get("carried_from") or method == CARRIED or method.partition("/")[0] == "classifier":
        return False
    if method in METHODS or method in ("seed", "gold", "folders") or method.startswith("clusters/"):
        return True
    workers = _number(row.get("workers"))
    return True if not method and workers is not None and workers > 0 else None


def confidence_of(row: Mapping[str, Any]) -> float | None:
    """Return a row's confidence as a number, None where it has none.

    Raises
    ------
    InputError
        When it is no probability.
    """
    return _probability(row["item"], row.get("confidence"))


def _probability(item: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        raise InputError(
            f"{item} has the confidence {str(value)[:40]!r}, which is no number from 0 to 1; mend the table"
        )
    return number


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _list(label: Any) -> list[str] | None:
    """Return the labels of a list, as JSON or as it is; None for any other label."""
    if isinstance(label, str) and label.startswith("["):
        try:
            label = json.loads(label)
        except (ValueError, RecursionError):
            return None
    if not isinstance(label, (list, tuple)) or not all(isinstance(name, str) for name in label):
        return None
    return list(dict.fromkeys(label))


def _plural(rows: list[Row], types: set[str]) -> bool:
    """Tell whether rows of one item belong together: a multi-label, or several labels of one line of a manifest."""
    if any(kind.endswith("-multilabel") for kind in types) or any(row.get("reason") == NONE_CHOSEN for row in rows):
        return True
    lines = Counter((row["item"], row["data_object"]) for row in rows if row.get("data_object") is not None)
    return any(count > 1 for count in lines.values())


def _about(row: Row, labels: tuple[Label, ...], confidence: float | None) -> Labelled:
    width, height = (_number(row.get(side)) for side in ("width", "height"))
    return Labelled(
        row["item"],
        labels,
        confidence,
        row.get("status"),
        made_by_people(row),
        row.get("method") or None,
        (int(width), int(height)) if width and height else None,
    )


def _single(rows: Iterable[Row]) -> Iterator[Labelled]:
    found: dict[str, Labelled] = {}
    for row in rows:
        sure = confidence_of(row)
        new = _about(row, (Label(row["label"], sure),), sure)
        old = found.setdefault(new.item, new)
        if old.labels[0].name != new.labels[0].name:
            raise InputError(
                f"{new.item} has two labels, {old.labels[0].name!r} and {new.labels[0].name!r}; leave one of the rows, "
                'or write both in one as a JSON list, ["…", "…"]'
            )
    yield from found.values()


def _sets(rows: list[Row], lists: list[list[str] | None]) -> Iterator[Labelled]:
    found: dict[str, Labelled] = {}
    for row, names in zip(rows, lists, strict=True):
        if names is None and row["label"] is not None:
            raise InputError(f"{row['item']} has the label {row['label']!r}, where others have a JSON list of several")
        sure = _map(row)
        labels = tuple(Label(name, _probability(row["item"], sure.get(name))) for name in names or ())
        new = _about(row, labels, confidence_of(row))
        old = found.setdefault(new.item, new)
        if {label.name for label in old.labels} != {label.name for label in new.labels}:
            raise InputError(f"{new.item} has two rows with other labels; leave one of them")
    yield from found.values()


def _map(row: Row) -> dict[str, Any]:
    text = row.get("confidence_map")
    try:
        found = json.loads(text) if isinstance(text, str) else text or {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{row['item']} has a confidence_map that is no JSON object ({str(text)[:60]}); mend it")
    return found


def _gathered(rows: Iterable[Row], left_out: Counter[str]) -> Iterator[Labelled]:
    """Gather a multi-label's rows by item; a label that somebody chose and that is likelier wrong is left out.

    Ground Truth's multi-labels hold every label that anybody chose. A confidence of 0 is its way to say that there is
    none (a single worker), for its own are never below .05.
    """
    found: dict[str, Labelled] = {}
    lines: dict[str, Any] = {}
    for row in rows:
        item = row["item"]
        _on_one_line(row, lines)
        sure = confidence_of(row)
        new = found.setdefault(item, _about(row, (), None))
        if row["label"] is None:
            continue
        if sure is not None and 0 < sure < 0.5:
            left_out["labels that a worker chose and that are likelier wrong"] += 1
        elif row["label"] not in {label.name for label in new.labels}:
            found[item] = _with(new, row, Label(row["label"], sure or None))
    yield from found.values()


def _on_one_line(row: Row, lines: dict[str, Any]) -> None:
    if lines.setdefault(row["item"], row.get("data_object")) != row.get("data_object"):
        raise InputError(f"{row['item']} is on two lines of the manifest; make one of them first: gandt manifest merge")


def _shaped(rows: list[Row], shapes: list[Shape | None]) -> Iterator[Labelled]:
    found: dict[str, Labelled] = {}
    lines: dict[str, Any] = {}
    for row, shape in zip(rows, shapes, strict=True):
        item = row["item"]
        _on_one_line(row, lines)
        new = found.setdefault(item, _about(row, (), None))
        if row["label"] is None:
            continue
        if shape is None:
            raise InputError(
                f"{item} has a label that is no shape ({str(row.get('value'))[:60]}), though others have boxes, "
                "polygons or masks; export them apart"
            )
        found[item] = _with(new, row, Label(row["label"], confidence_of(row), shape))
    yield from found.values()


def _with(item: Labelled, row: Row, label: Label) -> Labelled:
    """Add a label; an item is people's only when all of its labels are."""
    humans = {item.human, made_by_people(row)}
    human = item.human if len(humans) == 1 else False if False in humans else None
    return replace(item, labels=(*item.labels, label), human=human)
