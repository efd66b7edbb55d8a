"""Read a labeling job's output into the answers table."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from gandt import storage, templates
from gandt.answers.content import answer_field as choose_field
from gandt.answers.content import answer_labels, chosen, item_of, tile_labels, worker_comments
from gandt.answers.files import Answer, Job, Reader, line_page, natural
from gandt.arguments import checked
from gandt.errors import InputError
from gandt.manifest.lines import line_names
from gandt.templates import Header

COLUMNS = ["item", "worker", "label", "job", "data_object", "accepted_at", "submitted_at", "seconds"]
COMMENTS = ["job", "data_object", "worker", "comment"]
SET_ASIDE = ["file", "data_object", "worker", "reason"]


@dataclass(frozen=True)
class JobOutput:
    """What was read from a job's output.

    Attributes
    ----------
    answers : pandas.DataFrame
        The answers table, see :func:`read_answers`.
    items : pandas.DataFrame
        ``item, job, data_object`` of everything that was asked, answered or not, as far as the output tells.
    set_aside : pandas.DataFrame
        ``file, data_object, worker, reason`` of what couldn't be read or doesn't count.
    comments : pandas.DataFrame
        ``job, data_object, worker, comment`` of what workers wrote in a ``<worker-comment>``.
    """

    answers: pd.DataFrame
    items: pd.DataFrame
    set_aside: pd.DataFrame
    comments: pd.DataFrame


@checked
def read_answers(output: str, *, s3: Any = None, **options: Any) -> pd.DataFrame:
    """Read every worker's answer from a labeling job's output.

    Parameters
    ----------
    output : str
        ``<S3OutputPath>/<job>/``, local or ``s3://``. A folder that holds several jobs works too, and so do a job's
        ``annotations/`` alone and a single worker-response, consolidation-request or output-manifest file.
    s3 : optional
        A boto3 S3 client.
    **options
        See :func:`read_output`.

    Returns
    -------
    pandas.DataFrame
        A row for each label that a worker gave to an item: ``item, worker, label, job, data_object`` (str),
        ``accepted_at, submitted_at`` (datetime64[ns, UTC], NaT where unknown), ``seconds`` (float64; time spent on the
        data object, for a page on all of its items, without pauses; NaN where unknown, or where the file says fewer
        than 0, as a clock that was set back makes it: ``set_aside`` of :func:`read_output` names these).

    Raises
    ------
    InputError
        When there is no answer.
    StorageError
        When the place can't be read.
    """
    return read_output(output, s3=s3, **options).answers


@checked
def read_output(
    output: str,
    *,
    s3: Any = None,
    answer_field: str | None = None,
    template: str | None = None,
    input_manifest: str | None = None,
) -> JobOutput:
    """Read a labeling job's output: answers, what was asked, and what was set aside.

    A worker's answer is read from the worker responses, for they know the times; failing these from the consolidation
    requests; failing both from the label, where the post-annotation Lambda assembled answers there (as gandt's and
    g-and-t's do). An object's items come from the output manifest (or ``input_manifest``), else from the requests. Of
    several answers by a worker about an object the first counts.

    Parameters
    ----------
    output : str
        As in :func:`read_answers`.
    s3 : optional
        A boto3 S3 client.
    answer_field : str, optional
        The form field that holds the answer, where a form has several. By default
        :func:`gandt.answers.content.answer_field` chooses, and ``set_aside`` tells what it left.
    template : str, optional
        The template that was answered (a name of gandt's own, a path or an address); its header says what the fields
        mean.
    input_manifest : str, optional
        The job's input manifest, for an output that holds none.

    Raises
    ------
    InputError, StorageError
        As in :func:`read_answers`; InputError too for a template without a header, or a field that no form has.
    """
    header = _header(template)
    reader = Reader(output, s3)
    reader.read()
    if input_manifest is not None:
        text = storage.read_text(input_manifest, s3=s3)
        for job in reader.jobs.values():
            reader.manifest(text, input_manifest, job)
    if not any(job.responses or job.requests or job.labels for job in reader.jobs.values()):
        raise InputError(
            f"{output} holds no worker's answer; give a labeling job's output folder, which has annotations/ in it "
            "(the labels of a manifest alone: gandt manifest labels)"
        )
    rows: list[dict[str, Any]] = []
    asked: list[tuple[str, str, str]] = []
    unread: Counter[tuple[str, str]] = Counter()  # job and form field
    comments: list[tuple[str, str, str, str]] = []
    for job in reader.jobs.values():
        for data_object in sorted({**job.objects, **job.responses, **job.requests, **job.labels}, key=natural):
            items = _items(job, data_object)
            alone = len(items) == 1 and not line_page(job.objects.get(data_object, {}))
            asked += [(item, job.name, data_object) for item in dict.fromkeys(items.values())]
            for answer in _first_answers(job, data_object, reader.aside):
                name = answer.job or job.name
                if not _possible(answer.seconds):
                    reason = f"its time is {str(answer.seconds)[:30]} s, which can't be; it counts as unknown"
                    reader.aside.append((answer.file, data_object, answer.worker, reason))
                given, fields = _given(answer.form, items, alone, header, answer_field)
                left = answer.form.keys() - fields - {"workerComment"}
                unread.update((name, other) for other in left if chosen(answer.form[other]))
                comments += [(name, data_object, answer.worker, said) for said in worker_comments(answer.form)]
                for item, labels in given:
                    if not labels:
                        reason = f"no answer about {item}"
                        reader.aside.append((answer.file, data_object, answer.worker, reason))
                    rows += [_row(item, answer, label, name, data_object) for label in labels]
    if answer_field is not None and not rows:
        have = ", ".join(sorted({name for _, name in unread})) or "none"
        raise InputError(
            f"no form in {output} has an answer in the field {answer_field!r}; the forms' fields are: {have}"
        )
    for (name, other), count in sorted(unread.items()):
        reason = f"the field {other!r} of {count:,} forms isn't part of the answer; to read it instead, name it"
        reader.aside.append((f"job {name}", "", "", reason))
    return JobOutput(
        _table(rows),
        pd.DataFrame(asked, columns=["item", "job", "data_object"], dtype=str).drop_duplicates(ignore_index=True),
        pd.DataFrame(reader.aside, columns=SET_ASIDE, dtype=str),
        pd.DataFrame(comments, columns=COMMENTS, dtype=str),
    )


def _header(template: str | None) -> Header | None:
    if template is None:
        return None
    found = templates.header(templates.read(template))
    if found is None or not found.outputs:
        raise InputError(f"the template {template} declares no outputs in a header; name the answer's field instead")
    return found


def _items(job: Job, data_object: str) -> dict[int, str]:
    """Return a data object's items by index, by the names that its manifest line brings; one item has the index 0.

    An object that no manifest and no request describes keeps its own id as the item's name.
    """
    line = job.objects.get(data_object, {})
    page, names = line_page(line), line_names(line)
    if page:
        return {
            _index(entry, place): names[place] if names else item_of(entry) or f"{data_object}/{_index(entry, place)}"
            for place, entry in enumerate(page)
        }
    item = names[0] if names else item_of(line)
    if item is not None:
        return {0: item}
    # a page that nothing describes: its fields tell the indexes
    fields = {name for answer in job.answers(data_object) for name in answer.form}
    tiles = sorted(int(name[7:]) for name in fields if name.startswith("labels-") and name[7:].isdecimal())
    return {index: f"{data_object}/{index}" for index in tiles} if tiles not in ([], [0]) else {0: data_object}


def _index(entry: dict[str, Any], place: int) -> int:
    index = entry.get("index", place)
    return index if isinstance(index, int) else place


def _first_answers(job: Job, data_object: str, aside: list[tuple[str, str, str, str]]) -> Iterator[Answer]:
    """Yield each worker's first answer about an object, in order of submission."""
    seen: dict[tuple[str | None, str], Answer] = {}
    for answer in sorted(job.answers(data_object), key=lambda answer: _seconds(answer.submitted)):
        first = seen.setdefault((answer.job, answer.worker), answer)
        if first is answer:
            yield answer
        elif (first.form, first.submitted) != (answer.form, answer.submitted):
            reason = "the worker answered this object before; the first answer counts"
            aside.append((answer.file, data_object, answer.worker, reason))


def _seconds(moment: Any) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return float("inf")


def _given(
    form: dict[str, Any], items: dict[int, str], alone: bool, header: Header | None, field: str | None
) -> tuple[list[tuple[str, list[str]]], set[str]]:
    """Return (item, labels) for every item of a data object, and the names of the fields that were read for it."""
    if header is not None:
        told = header.labels(form)
        names = {name for name in form if any(output.index(name) is not None for output in header.outputs)}
        return [(item, told.get(index, [])) for index, item in items.items()], names
    if alone:
        name = field if field is not None else choose_field(form)
        return [(item, answer_labels(form, name)) for item in items.values()], {name} if name is not None else set()
    names = {f"{kind}-{index}" for kind in ("labels", "boxes") for index in items}
    return [(item, tile_labels(form, index)) for index, item in items.items()], names


def _row(item: str, answer: Answer, label: str, job: str, data_object: str) -> dict[str, Any]:
    values = (item, answer.worker, label, job, data_object, answer.accepted, answer.submitted, answer.seconds)
    return dict(zip(COLUMNS, values, strict=True))


def _table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=COLUMNS)
    for name in ("accepted_at", "submitted_at"):
        texts = table[name].map(lambda value: value if isinstance(value, str) else None)
        moments = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce")
        table[name] = moments.astype("datetime64[ns, UTC]")
    seconds = table["seconds"].map(_number).astype("float64")
    table["seconds"] = seconds.where(seconds.map(_possible))
    return table.astype(dict.fromkeys(COLUMNS[:5], str))


def _possible(seconds: Any) -> bool:
    """Tell whether a time can be one that was spent; an unknown one can."""
    value = _number(seconds)
    return math.isnan(value) or 0 <= value < math.inf


def _number(value: Any) -> float:
    known = isinstance(value, (int, float, str)) and not isinstance(value, bool)
    try:
        return float(value) if known else float("nan")
    except (ValueError, OverflowError):
        return float("nan")
