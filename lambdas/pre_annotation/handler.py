"""Pre-annotation Lambda of a Ground Truth labeling job: a manifest line in, the template's ``task.input`` out.

It needs nothing but the standard library, and imports nothing of gandt: zip this file alone. Both manifest forms of
gandt are understood: one item in a line (``source-ref`` or ``source``), and a page of items as a JSON list in ``source``.

Environment (all optional):

``LABELS``           categories where the line brings none: a JSON list, or names parted by commas
``OTHER_LABEL``      name of the "none of these" category where the line brings none
``LABEL_ATTRIBUTE``  a line that already carries this attribute needs no worker
``LOG_LEVEL``        INFO by default
"""

import json
import logging
import os

# characters of one rendered task's input, API model RenderableTask.Input
MAX_TASK_INPUT = 128_000

logger = logging.getLogger("gandt.pre_annotation")
logger.setLevel(
    os.environ.get("LOG_LEVEL", "INFO").upper() if os.environ.get("LOG_LEVEL", "INFO").isalpha() else "INFO"
)


class DataObjectError(ValueError):
    """The data object can't be shown to a worker; the message names it and says why."""


def lambda_handler(event, context):
    """Return ``{"taskInput": {...}, "isHumanAnnotationRequired": bool}`` for one data object."""
    job = _job(event)
    try:
        task_input = build_task_input(event, os.environ)
        reason = not_needed(event["dataObject"], os.environ.get("LABEL_ATTRIBUTE", ""))
    except DataObjectError as error:
        _log(logging.ERROR, "data object refused", job, reason=str(error))
        raise
    _log(logging.INFO, "task input built", job, items=len(task_input["items"]), human=reason is None, reason=reason)
    return {"taskInput": task_input, "isHumanAnnotationRequired": reason is None}


def build_task_input(event, environment):
    """Build ``task.input``; raise `DataObjectError` for what can't be shown."""
    data_object = event.get("dataObject") if isinstance(event, dict) else None
    if not isinstance(data_object, dict):
        raise DataObjectError("the event holds no dataObject; is this Lambda the job's pre-annotation Lambda?")
    shown = describe(data_object)
    source, source_ref = data_object.get("source"), data_object.get("source-ref")
    if isinstance(source, str) and source.strip():
        page = _page(source, shown)
    elif isinstance(source, list):  # Ground Truth refuses it in a manifest, a test event may hold it
        page = source
    elif isinstance(source_ref, str) and source_ref.strip():
        page = None
    else:
        raise DataObjectError(
            f"{shown}: it has neither 'source-ref' nor 'source' with a text; give the manifest line one of them"
        )

    if page is None:
        key = "source" if isinstance(source, str) and source.strip() else "source-ref"
        given, head = data_object[key], data_object
        items = [{key: given, "index": 0}]
    else:
        given, head = page, {**(page[0] if page and isinstance(page[0], dict) else {}), **data_object}
        items = _items(page, shown)

    task_input = {
        "taskObject": given,
        "items": items,
        "labels": _names(_first(head, "labels", "event_names", "categories"), shown)
        or _names(environment.get("LABELS"), "LABELS"),
        "other": _first(head, "other_category_label", "other") or environment.get("OTHER_LABEL") or None,
        "positive_examples": _names(head.get("positive_examples"), shown),
        "negative_examples": _names(head.get("negative_examples"), shown),
    }
    for key, value in data_object.items():
        if key not in task_input and not (key == "source" and page is not None):
            task_input[key] = value
    length = len(json.dumps(task_input, ensure_ascii=False))
    if length > MAX_TASK_INPUT:
        raise DataObjectError(
            f"{shown}: its task input has {length:,} characters, and Ground Truth takes {MAX_TASK_INPUT:,}; put less on a page"
        )
    return task_input


def not_needed(data_object, label_attribute):
    """Return why no worker is needed for this object, or None."""
    if data_object.get("exclude") not in (None, False, "", "false", "False"):
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
    return f"data object with the keys {sorted(map(str, data_object))[:20]}"


def _page(source, shown):
    """Return the page's items, or None where the text is just a text."""
    if not source.lstrip().startswith("["):
        return None
    try:
        page = json.loads(source)
    except (ValueError, RecursionError):
        return None
    # a text that happens to be a JSON list is a text; a page is a list of objects that name something to show
    if isinstance(page, list) and page and all(isinstance(item, dict) for item in page):
        return page
    return None


_PAGE_KEYS = (
    "event_names",
    "labels",
    "categories",
    "positive_examples",
    "negative_examples",
    "other_category_label",
    "other",
)


def _items(page, shown):
    items, seen = [], set()
    for position, entry in enumerate(page):
        if not isinstance(entry, dict) or not any(
            isinstance(entry.get(key), str) and entry[key] for key in ("source-ref", "source")
        ):
            raise DataObjectError(
                f"{shown}: item {position} of the page has neither 'source-ref' nor 'source'; build the manifest again"
            )
        index = entry.get("index", position)
        if isinstance(index, bool) or not isinstance(index, int) or index in seen:
            raise DataObjectError(
                f"{shown}: item {position} of the page has the index {index!r}, which is no number of its own; build the manifest again"
            )
        seen.add(index)
        items.append({**{key: value for key, value in entry.items() if key not in _PAGE_KEYS}, "index": index})
    return items


def _first(mapping, *names):
    return next((mapping[name] for name in names if mapping.get(name) not in (None, "", [])), None)


def _names(value, where):
    """Return a list of names from a list, a JSON list in a string, or names parted by commas."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        try:
            parsed = json.loads(value) if value.lstrip().startswith("[") else None
        except (ValueError, RecursionError):
            parsed = None
        value = parsed if isinstance(parsed, list) else [name.strip() for name in value.split(",") if name.strip()]
    if isinstance(value, list):
        # a label category file's entries are objects, {"label": "cat"}
        value = [entry.get("label") if isinstance(entry, dict) else entry for entry in value]
    if not isinstance(value, list) or not all(isinstance(name, (str, int, float)) for name in value):
        raise DataObjectError(f"{where}: categories and examples are lists of names, but one is {str(value)[:200]!r}")
    return [str(name) for name in value]


def _job(event):
    arn = event.get("labelingJobArn") if isinstance(event, dict) else None
    return arn.rsplit("/", 1)[-1] if isinstance(arn, str) else None


def _log(level, message, job, **fields):
    logger.log(level, json.dumps({"message": message, "job": job, **fields}, ensure_ascii=False))
