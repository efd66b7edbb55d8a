"""The forms, what each can hold, and :func:`export`, which writes any of them."""

import importlib
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from gandt import storage
from gandt.errors import InputError
from gandt.export.classes import Classes
from gandt.export.files import Sizes, missing
from gandt.export.rows import Labelled, made_by_people, plain_rows
from gandt.export.selection import STATUSES, Selection, check_table, of_attribute, of_status, select
from gandt.export.shapes import inside
from gandt.names import matched
from gandt.progress import track
from gandt.tables import write_table
from gandt.tables.delimited import write_delimited

_KINDS = {
    "one": "one label an item",
    "several": "several labels an item",
    "box": "boxes",
    "polygon": "polygons",
    "mask": "masks",
}


@dataclass(frozen=True)
class Form:
    """A form of labels.

    Attributes
    ----------
    where : str
        Module and function that write it.
    kinds : tuple of str
        What it holds: ``one`` label an item, ``several``, ``box``, ``polygon``, ``mask``.
    options : tuple of str
        What of :func:`export`'s options it takes: ``link``, ``images``, ``sizes``, ``uploaded``.
    otherwise : str
        Where to go with labels of other kinds.
    numbered : bool
        Whether it has numbers for classes.
    """

    where: str
    kinds: tuple[str, ...]
    options: tuple[str, ...] = ()
    otherwise: str = ""
    numbered: bool = True


FORMS = {
    "table": Form("", tuple(_KINDS), numbered=False),
    "manifest": Form("manifest.to_manifest", ("one", "several", "box"), ("sizes", "uploaded"), "take coco"),
    "coco": Form(
        "coco.to_coco", ("box", "polygon", "mask"), ("sizes", "images", "link"), "take manifest or imagefolder"
    ),
    "yolo": Form(
        "detection.to_yolo",
        ("box", "polygon"),
        ("sizes", "link"),
        "take coco for masks, folders for one label an item",
    ),
    "voc": Form(
        "detection.to_voc",
        ("box",),
        ("sizes", "link"),
        "take coco for shapes, folders for one label an item",
        numbered=False,
    ),
    "folders": Form(
        "folders.to_folders", ("one",), ("link",), "take imagefolder or manifest; coco for shapes", numbered=False
    ),
    "imagefolder": Form("folders.to_imagefolder", ("one", "several", "box"), ("sizes", "link"), "take coco"),
}


@dataclass
class Exported:
    """What an export wrote.

    Attributes
    ----------
    items : int
        Items written.
    left_out : dict of str to int
        Rows that aren't in it, by reason.
    classes : dict of str to int
        The classes' numbers.
    notes : list of str
        What else to know, a sentence each.
    """

    items: int
    left_out: dict[str, int] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def export(
    labels: pd.DataFrame,
    out: str,
    form: str,
    *,
    attribute: str | None = None,
    statuses: Collection[str] | None = None,
    human_only: bool = False,
    categories: Sequence[str] | Mapping[str, int] | None = None,
    sizes: pd.DataFrame | None = None,
    images: bool = False,
    link: bool = False,
    skip_missing: bool = False,
    uploaded: Mapping[str, str] | None = None,
    s3: Any = None,
) -> Exported:
    """Write labels in one of :data:`FORMS`.

    Parameters
    ----------
    labels : DataFrame
        See :func:`gandt.export.selection.select`.
    out : str
        A file's address; of a form with images a new or empty local folder, or one of the same export that was
        interrupted, which is completed.
    form : str
    attribute : str, optional
        The label attribute to take, where there are several; a manifest's new one gets its name (else "label").
    statuses : collection of str, optional
        Rows of these alone; by default ``confident``. A table keeps every row, with its status beside it.
    human_only : bool
        Only labels that people are known to have made.
    categories : sequence of str, or mapping of str to int, optional
        The classes in the order of their numbers (from 0), or their numbers; by default those that occur, sorted.
    sizes : DataFrame, optional
        item, width, height (pixels), such as an embedding store's items. Sizes that are needed and unknown are read
        from the images.
    images : bool
        COCO: copy the images, too.
    link : bool
        Hard-link local files instead of copying them.
    skip_missing : bool
        Leave out items whose files are gone, instead of refusing them.
    uploaded : mapping of str to str, optional
        Manifest: the address that each item was uploaded to, such as :func:`gandt.manifest.where_of` reads it from a
        job's manifest.
    s3 : optional
        A boto3 S3 client.

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        When the form is unknown, can't hold the labels, or doesn't take an option; when nothing is left to export.
    MissingExtraError
        For masks, without pycocotools.
    StorageError
        When it can't be written, or an image can't be read.
    """
    if form not in FORMS:
        raise InputError(f"there is no form {form!r}; take one of {', '.join(FORMS)}")
    given = {"link": link, "images": images, "sizes": sizes is not None, "uploaded": uploaded is not None}
    for option in (name for name, wanted in given.items() if wanted and name not in FORMS[form].options):
        takers = ", ".join(name for name, each in FORMS.items() if option in each.options)
        raise InputError(f"the form {form} has no use for {_NAMED[option]}, which is of {takers}; leave it out")
    if form == "table":
        return _table(labels, out, attribute, statuses, human_only, categories, s3)
    copies = form not in ("manifest", "coco") or images
    if link and not copies:
        raise InputError(
            "--link is for copies of images, and coco makes them with --images alone; add it, or leave out --link"
        )
    selection = select(labels, attribute=attribute, statuses=statuses, human_only=human_only)
    _check_kinds(selection, form)
    if copies:
        _without_missing(selection, skip_missing, s3)
    elif skip_missing:
        raise InputError(f"the form {form} copies no images, so none can be missing; leave out --skip-missing")
    if not selection.items:
        choose = "; --status chooses" if set(selection.left_out) & {*STATUSES} else ""
        raise InputError(f"nothing is left to export{_said(selection.left_out)}{choose}")
    known = (
        {}
        if sizes is None
        else dict(zip(sizes["item"], zip(sizes["width"], sizes["height"], strict=True), strict=True))
    )
    measured = Sizes({str(item): (int(size[0]), int(size[1])) for item, size in known.items()}, s3)
    _cut(selection, measured, form != "coco" or images)
    classes = Classes(selection, categories)
    module, _, function = FORMS[form].where.partition(".")
    options: dict[str, Any] = {name: given[name] for name in FORMS[form].options if name in ("link", "images")}
    if form == "manifest":
        options |= {"attribute": attribute or _only(labels) or "label", "uploaded": uploaded}
        _say_local(selection, uploaded or {})
    write = getattr(importlib.import_module(f"gandt.export.{module}"), function)
    write(selection, out, classes, measured, s3=s3, **options)
    return Exported(
        len(selection.items),
        dict(selection.left_out),
        classes.numbers,
        _notes(selection, FORMS[form].numbered and categories is None),
    )


_NAMED = {
    "link": "--link",
    "images": "--images",
    "sizes": "the images' sizes (--store)",
    "uploaded": "the addresses of uploaded items (--uploaded)",
}


def _say_local(selection: Selection, uploaded: Mapping[str, str]) -> None:
    """Refuse addresses of other items, and note items that lie on this machine alone."""
    items = [each.item for each in selection.items]
    if uploaded:
        matched(items, uploaded, what="the labels", among="the uploaded items")
    local = [] if selection.text else [item for item in items if not storage.is_s3(uploaded.get(item, item))]
    if local:
        selection.notes.append(
            f"{len(local):,} items such as {local[0]} are local files, where no SageMaker job finds them; --uploaded "
            "with the labeling job's output manifest gives them the addresses that they were uploaded to"
        )


def _only(labels: pd.DataFrame) -> str | None:
    names = list(labels["attribute"].dropna().unique()) if "attribute" in labels.columns else []
    return str(names[0]) if len(names) == 1 and names[0] else None


def _check_kinds(selection: Selection, form: str) -> None:
    if not selection.items:
        return
    cant = sorted(selection.kinds - set(FORMS[form].kinds))
    if cant or (selection.text and form != "manifest"):
        holds = ", ".join(_KINDS[kind] for kind in FORMS[form].kinds)
        has = "texts" if selection.text else " and ".join(_KINDS[kind] for kind in cant)
        raise InputError(f"the form {form} is for {holds}, and these labels are {has}; {FORMS[form].otherwise}")


def _without_missing(selection: Selection, skip: bool, s3: Any) -> None:
    gone = set(missing(selection.items, s3=s3))
    if gone and not skip:
        first = next(each.item for each in selection.items if each.item in gone)
        more = f", nor for {len(gone) - 1:,} more of {len(selection.items):,} items" if len(gone) > 1 else ""
        raise InputError(
            f"there is no file {first}{more}; bring it back, or leave out what is missing with --skip-missing"
        )
    if gone:
        selection.items = [each for each in selection.items if each.item not in gone]
        selection.left_out["the file is missing"] += len(gone)


def _cut(selection: Selection, sizes: Sizes, must: bool) -> None:
    """Cut boxes to their images; ``must``: open images whose size isn't known."""
    cut = 0
    for place, each in enumerate(track(selection.items, "measuring the images")):
        if not any(label.shape and label.shape.kind != "mask" for label in each.labels):
            continue
        size = sizes.of(each) if must else sizes.known(each)
        labels = tuple(
            replace(label, shape=inside(each.item, label.shape, size)) if label.shape else label
            for label in each.labels
        )
        cut += sum(new is not old and new.shape != old.shape for new, old in zip(labels, each.labels, strict=True))
        selection.items[place] = replace(each, labels=labels)
    if cut:
        selection.notes.append(f"{cut:,} boxes reached beyond their images and were cut to them")


def _notes(selection: Selection, sorted_classes: bool) -> list[str]:
    notes = list(selection.notes)
    items: list[Labelled] = selection.items
    unknown = sum(each.human is None for each in items)
    if unknown:
        notes.append(f"nothing says who made the labels of {unknown:,} items, so they aren't called people's")
    bare = sum(any(label.confidence is None for label in each.labels) for each in items)
    if bare:
        notes.append(f"{bare:,} items have labels without a confidence; they have none in the export either")
    if sorted_classes:
        notes.append(
            "classes are numbered in the order of the names that occur; --category gives them the same numbers in "
            "every split"
        )
    return notes


def _said(left_out: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count:,} {reason}' for reason, count in left_out.items())} left out)" if left_out else ""


def _table(
    labels: pd.DataFrame,
    out: str,
    attribute: str | None,
    statuses: Collection[str] | None,
    human_only: bool,
    categories: Any,
    s3: Any,
) -> Exported:
    """Write the rows as they are: all of them, unless a choice is made."""
    check_table(labels)
    if categories is not None:
        raise InputError("a table holds the labels' names and no numbers; leave out the categories")
    table = labels if attribute is None else of_attribute(labels, attribute)
    left_out: Counter[str] = Counter()
    if statuses is not None:
        table, left_out = of_status(table, statuses)
    if human_only:
        people = [made_by_people(row) is True for row in plain_rows(table)]
        left_out.update({"not known to be made by people": people.count(False)} if False in people else {})
        table = table[people]
    if not len(table):
        raise InputError(f"nothing is left to export{_said(left_out)}")
    write_table(table, out, s3=s3)
    return Exported(len(table), dict(left_out), {}, list(_mistaken(table["label"], out)))


def _mistaken(labels: pd.Series, out: str) -> Sequence[str]:
    """Say which labels pandas' own reader would make something else of, by its defaults."""
    texts = sorted({label for label in labels.dropna() if isinstance(label, str)})
    if out.lower().endswith((".parquet", ".pq")) or not texts:
        return []
    frame = pd.DataFrame({"label": texts})
    notes = []
    if not out.lower().endswith((".jsonl", ".ndjson")):
        written = write_delimited(frame)
        wanted = "dtype=str, keep_default_na=False"
        plain = pd.read_csv(io.BytesIO(written), dtype=str, keep_default_na=False)["label"]
        run = [old for old, new in zip(texts, plain, strict=True) if old != new]
        if run:
            notes.append(
                f"{len(run)} labels such as {run[0]!r} have an apostrophe before them, so that no spreadsheet runs "
                "them; gandt takes it off again"
            )
        back = pd.read_csv(io.BytesIO(written))
        texts, back = [old for old in texts if old not in run], back[~frame["label"].isin(run)]
    else:
        back = pd.read_json(io.StringIO(frame.to_json(orient="records", lines=True)), lines=True)
        wanted = "dtype=False"
    found = [old for old, new in zip(texts, back["label"], strict=True) if not (isinstance(new, str) and new == old)]
    if not found:
        return notes
    return [
        *notes,
        f"pandas makes something else of {len(found)} labels such as {found[0]!r} unless it reads with {wanted}; "
        ".parquet keeps them",
    ]
