"""Pre-annotation Lambda of a Ground Truth labeling job: a manifest line in, the template's ``task.input`` out.

It needs nothing but the standard library, and imports nothing of gandt: zip this file alone. Both manifest forms of
gandt are understood: one item in a line (``source-ref`` or ``source``), and a page of items as a JSON list in
``source``. What the template gets:

``taskObject``          the item's address or text, or the page's list, as the manifest gives it
``items``               the items as a list in either case: ``[{"source-ref": ..., "index": 0}, ...]``
``labels``, ``other``   the categories, and the name of "none of these"
``positive_examples``, ``negative_examples``
                        and every other key of the manifest line, under its own name, except ``gandt-items``: the
                        user's names of the items, such as paths of his machine, are none of the worker's business

Environment (all optional):

``LABELS``           categories where the line brings none: a JSON list, or names parted by commas
``OTHER_LABEL``      name of the "none of these" category where the line brings none
``LABEL_ATTRIBUTE``  a line that already carries this attribute needs no worker
``LOG_LEVEL``        INFO by default
"""

import json
import logging
import os

# characters of one task's input: RenderableTask.Input of the SageMaker API
MAX_TASK_INPUT = 128_000
# the manifest line's own names of its items, as in gandt/manifest/lines.py; a test holds the two together
NAMES = "gandt-items"

logger = logging.getLogger("gandt.pre_annotation")
logger.setLevel(getattr(logging, os.environ.get("LOG_LEVEL", "INFO").upper(), logging.INFO))


class DataObjectError(ValueError):
    """The data object can't be shown to a worker; the message names it and says why."""


def lambda_handler(event, context):
    """Return ``{"taskInput": {...}, "isHumanAnnotationRequired": bool}`` for one data object."""
    job = _job(event)
    try:
        data_object = event.get("dataObject") if isinstance(event, dict) else None
        if not isinstance(data_object, dict):
            raise DataObjectError("the event holds no dataObject; is this Lambda the job's pre-annotation Lambda?")
        try:
            task_input = build_task_input(data_object, os.environ)
        except RecursionError:
            raise DataObjectError(f"{describe(data_object)}: it is nested too deeply") from None
        reason = not_needed(data_object, os.environ.get("LABEL_ATTRIBUTE", ""))
    except DataObjectError as error:
        _log(logging.ERROR, "data object refused", job=job, reason=str(error))
        raise
    _log(
        logging.INFO,
        "task input built",
        job=job,
        object=describe(data_object),
        items=len(task_input["items"]),
        skipped=reason,
    )
    return {"taskInput": task_input, "isHumanAnnotationRequired": reason is None}


def build_task_input(data_object, environment):
    """Build ``task.input`` from a manifest line; raise `DataObjectError` for what can't be shown."""
    shown = describe(data_object)
    source, source_ref = data_object.get("source"), data_object.get("source-ref")
    if _text(source):
        key, page = "source", page_of(source)
    elif isinstance(source, list):  # no manifest holds it (Ground Truth refuses it), a test event may
        key, page = "source", source
    elif _text(source_ref):
        key, page = "source-ref", None
    else:
        raise DataObjectError(f"{shown}: it has neither 'source-ref' nor 'source'; give its manifest line one of them")

    if page is None:
        given, head = data_object[key], {}
        items = [{key: given, "index": 0}]
    else:
        given, head = page, page[0] if page and isinstance(page[0], dict) else {}
        items = _items(page, shown)
    head = {**head, **{name: value for name, value in data_object.items() if value not in (None, "", [])}}

    task_input = {
        "taskObject": given,
        "items": items,
        "labels": _names(_first(head, "labels", "event_names", "categories"), shown)
        or _names(environment.get("LABELS"), "LABELS"),
        "other": _first(head, "other_category_label", "other") or environment.get("OTHER_LABEL") or None,
        "positive_examples": _names(head.get("positive_examples"), shown),
        "negative_examples": _names(head.get("negative_examples"), shown),
    }
    for name in ("multi_select", "header", "instructions"):
        if name in head:
            task_input[name] = head[name]
    for name, value in data_object.items():
        if name not in task_input and name != NAMES and not (name == "source" and page is not None):
            task_input[name] = value
    length = len(json.dumps(task_input, ensure_ascii=False))
    if length > MAX_TASK_INPUT:
        limit = f"Ground Truth takes {MAX_TASK_INPUT:,}; put less on a page"
        raise DataObjectError(f"{shown}: its task input has {length:,} characters, and {limit}")
    return task_input


def not_needed(data_object, label_attribute):
    """Return why no worker is needed for this object, or None."""
    exclude = data_object.get("exclude")
    if exclude not in (None, False, "") and str(exclude).lower() != "false":
        return "excluded by the manifest"
    if label_attribute and data_object.get(label_attribute) is not None:
        return f"already labelled under {label_attribute!r}"
    return None


def describe(data_object):
    """Name a data object in a few words: its address, or the beginning of its text."""
    for key in ("source-ref", "source"):
        if isinstance(data_object.get(key), str):
            text = data_object[key]
            return f"data object with {key} {text[:200]!r}{'…' if len(text) > 200 else ''}"
    return f"data object with the keys {sorted(data_object)[:20]}"


def page_of(source):
    """Return the items of a page, or None where the text is just a text (even one that happens to be a JSON list)."""
    if not source.lstrip().startswith("["):
        return None
    try:
        page = json.loads(source)
    except (ValueError, RecursionError):
        return None
    return page if isinstance(page, list) and page and all(isinstance(entry, dict) for entry in page) else None


# what the first item of a page carries for the whole page
_PAGE_KEYS = frozenset(
    [
        *("event_names", "labels", "categories", "positive_examples", "negative_examples"),
        *("other_category_label", "other", "multi_select", "header", "instructions"),
    ]
)


def _items(page, shown):
    items, seen = [], set()
    for position, entry in enumerate(page):
        here = f"{shown}: item {position} of the page"
        if not isinstance(entry, dict) or not (_text(entry.get("source-ref")) or _text(entry.get("source"))):
            raise DataObjectError(f"{here} has neither 'source-ref' nor 'source'; build the manifest again")
        index = entry.get("index", position)
        if isinstance(index, bool) or not isinstance(index, int) or index in seen:
            raise DataObjectError(f"{here} has the index {index!r}, which is no number of its own; build it again")
        seen.add(index)
        items.append({**{key: value for key, value in entry.items() if key not in _PAGE_KEYS}, "index": index})
    return items


def _text(value):
    return isinstance(value, str) and bool(value.strip())


def _first(mapping, *names):
    return next((mapping[name] for name in names if mapping.get(name) not in (None, "", [])), None)


def _names(value, where):
    """Return a list of names from a list, a JSON list in a string, or names parted by commas."""
    if value is None:
        return []
    if isinstance(value, str):
        try:
            parsed = json.loads(value) if value.lstrip().startswith("[") else None
        except (ValueError, RecursionError):
            parsed = None
        value = parsed if isinstance(parsed, list) else [name.strip() for name in value.split(",") if name.strip()]
    if isinstance(value, list):
        # the entries of a label category file are objects, {"label": "cat"}
        value = [entry.get("label") if isinstance(entry, dict) else entry for entry in value]
    if not isinstance(value, list) or not all(isinstance(name, (str, int, float)) for name in value):
        raise DataObjectError(f"{where}: categories and examples must be lists of names; one is {str(value)[:200]!r}")
    return [str(name) for name in value]


def _job(event):
    arn = event.get("labelingJobArn") if isinstance(event, dict) else None
    return arn.rsplit("/", 1)[-1] if isinstance(arn, str) else None


def _log(level, message, **fields):
    logger.log(level, json.dumps({"level": logging.getLevelName(level), "message": message, **fields}))
