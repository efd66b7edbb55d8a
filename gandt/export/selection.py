"""What of a labels table is exported: rows by attribute, status and who made them.

Everything that is left out is counted under its reason.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import pandas as pd

from gandt.errors import InputError
from gandt.export.rows import Labelled, Row, made_by_people, plain_rows, read_rows
from gandt.manifest.labels import NONE_CHOSEN, NOTHING_FOUND
from gandt.tables import LABELS, refuse_others

STATUSES = ("confident", "relabel", "unanswered", "set aside")


@dataclass
class Selection:
    """What is exported.

    Attributes
    ----------
    items : list of Labelled
    kinds : frozenset of str
        ``one`` label an item, or ``several``, or what shapes there are: ``box``, ``polygon``, ``mask``.
    text : bool
        The items are texts and no addresses.
    left_out : Counter of str
        Rows left out by reason.
    notes : list of str
        Sentences about what else was changed.
    """

    items: list[Labelled]
    kinds: frozenset[str]
    text: bool = False
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """Return the classes that occur, sorted."""
        return sorted({label.name for each in self.items for label in each.labels})


def check_table(labels: pd.DataFrame) -> None:
    """Refuse a table that holds no labels.

    Raises
    ------
    InputError
        When it lacks item or label, or is another kind of table.
    """
    for column in ("item", "label"):
        if column not in labels.columns:
            raise InputError(f"labels without the column {column} can't be exported; give item and label")
    refuse_others(labels.columns, LABELS, "this table")


def of_attribute(labels: pd.DataFrame, attribute: str | None) -> pd.DataFrame:
    """Return the rows of one label attribute.

    Raises
    ------
    InputError
        When there are several and none is named, or it isn't there.
    """
    if "attribute" not in labels.columns:
        return labels
    there = labels["attribute"].dropna().astype(str)
    names = sorted(there.unique())
    if attribute is None and len(names) > 1:
        raise InputError(f"there are the label attributes {', '.join(names)}; choose one of them with --attribute")
    if attribute is not None and names and attribute not in names:
        raise InputError(f"there is no label attribute {attribute!r}; there is {', '.join(names)}")
    return labels if attribute is None else labels[labels["attribute"].isna() | (labels["attribute"] == attribute)]


def of_status(labels: pd.DataFrame, statuses: Collection[str] | None) -> tuple[pd.DataFrame, Counter[str]]:
    """Return the rows of these statuses, and how many are left out by reason; a table without statuses stays whole.

    Raises
    ------
    InputError
        When there is no such status.
    """
    if "status" not in labels.columns or labels["status"].isna().all():
        if statuses is not None:
            raise InputError("these labels have no column status, so none can be chosen by it; leave --status out")
        return labels, Counter()
    has = labels["status"].astype(object).where(labels["status"].notna(), None)
    known = {*STATUSES, *has.dropna().astype(str)}
    wanted = ["confident"] if statuses is None else list(statuses)
    for status in wanted:
        if status not in known:
            raise InputError(f"there is no status {status!r}; there is {', '.join(sorted(known))}")
    kept = has.isin(wanted)
    out = Counter(str(status) if status is not None else "no status" for status in has[~kept])
    return labels[kept], out


def select(
    labels: pd.DataFrame,
    *,
    attribute: str | None = None,
    statuses: Collection[str] | None = None,
    human_only: bool = False,
) -> Selection:
    """Choose what of a labels table is exported.

    Parameters
    ----------
    labels : DataFrame
        item, label; and where there are: confidence, status, method, workers, carried_from, confidence_map (JSON),
        value (a shape as JSON), width and height (pixels), and the columns of :func:`gandt.manifest.read_labels`.
        A label is a text; several are a JSON list of texts, as ``gandt consensus --several`` writes them, or rows of
        their own, as an augmented manifest's multi-label has them. Shapes are a row each.
    attribute : str, optional
        One label attribute of a table that has several.
    statuses : collection of str, optional
        By default ``confident`` alone.
    human_only : bool
        Only labels that people are known to have made.

    Raises
    ------
    InputError
        When the table isn't one of labels; two rows contradict each other; a value can't be what it should be.
    """
    check_table(labels)
    table = of_attribute(labels, attribute)
    table, left_out = of_status(table, statuses)
    rows = plain_rows(table)
    for number, row in enumerate(rows, 1):
        if row["item"] is None or row["item"] == "":
            raise InputError(f"row {number} of what is to be exported has no item; name it, or remove the row")
        row["item"] = str(row["item"])
    kept = list(_labelled(rows, left_out))
    if human_only:
        people = [row for row in kept if made_by_people(row)]
        left_out.update("not known to be made by people" for _ in range(len(kept) - len(people)))
        kept = people
    types = {str(row.get("type") or "") for row in kept}
    if "text-span" in types or any(_spans(row) for row in kept):
        raise InputError("these labels are spans of texts, which only the form table can hold")
    found, kinds = read_rows(kept, types, left_out)
    repeated = len(kept) - len(found) if kinds & {"one"} else 0
    if repeated:
        left_out["repeated rows"] += repeated
    return Selection(found, kinds, any(kind.startswith("text-") for kind in types), +left_out)


def _labelled(rows: Iterable[Row], left_out: Counter[str]) -> Iterator[Row]:
    """Yield rows that have a label, or of which it is known that they have none; count the others."""
    for row in rows:
        label = row["label"]
        blank = isinstance(label, str) and not label.strip()
        if isinstance(label, (str, list, tuple)) and not blank:
            yield row
        elif label is not None and not isinstance(label, (str, list, tuple)):
            raise InputError(f"{row['item']} has the label {label!r}, which is no text; write labels as text")
        elif row.get("reason") in (NOTHING_FOUND, NONE_CHOSEN):
            yield row
        else:
            left_out[str(row.get("reason") or "no label")] += 1


def _spans(row: Row) -> bool:
    return '"startOffset"' in str(row.get("value") or "")
