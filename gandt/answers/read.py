"""Read a labeling job's output folder into the answers table."""

import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from gandt import storage
from gandt.answers.content import answer_labels, chosen, item_of, page_items, parse_content
from gandt.errors import ContractError, InputError, StorageError
from gandt.progress import track

COLUMNS = ["item", "worker", "label", "job", "data_object", "accepted_at", "submitted_at", "seconds"]
SET_ASIDE = ["file", "data_object", "worker", "reason"]

_RESPONSE = re.compile(r"(?:^|/)annotations/worker-response/iteration-(\d+)/([^/]+)/[^/]+\.json$")
_REQUEST = re.compile(r"(?:^|/)annotations/consolidated-annotation/consolidation-request/iteration-(\d+)/[^/]+\.json$")
_MANIFEST = re.compile(r"(?:^|/)manifests/output/output\.manifest$")


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
        ``file, data_object, worker, reason`` of what couldn't be read or didn't count.
    """

    answers: pd.DataFrame
    items: pd.DataFrame
    set_aside: pd.DataFrame


@dataclass
class _Answer:
    worker: str
    content: dict[str, Any]
    accepted: Any = None
    submitted: Any = None
    seconds: Any = None
    file: str = ""


@dataclass
class _Job:
    """One job's folder, as it is being read."""

    name: str
    answers: dict[str, list[_Answer]] = field(default_factory=dict)  # data object → answers, in the order found
    requested: dict[str, list[_Answer]] = field(default_factory=dict)  # the same, from consolidation requests
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)  # data object → its manifest line or dataObject


def read_answers(output: str, *, s3: Any = None, **options: Any) -> pd.DataFrame:
    """Read every worker's answer from a labeling job's output.

    Parameters
    ----------
    output : str
        ``<S3OutputPath>/<job>/``, local or ``s3://``; a folder that holds several jobs works too.
    s3 : optional
        A boto3 S3 client.
    **options
        See :func:`read_output`.

    Returns
    -------
    pandas.DataFrame
        One row for each chosen label: ``item, worker, label, job, data_object`` (str), ``accepted_at, submitted_at``
        (datetime64[ns, UTC], NaT where unknown), ``seconds`` (float64, time spent on the whole page without pauses).

    Raises
    ------
    InputError
        When the folder holds no answers.
    StorageError
        When it can't be read.
    """
    return read_output(output, s3=s3, **options).answers


def read_output(
    output: str, *, s3: Any = None, answer_field: str | None = None, input_manifest: str | None = None
) -> JobOutput:
    """Read a labeling job's output: answers, what was asked, and what was set aside.

    Worker responses are read first, for they know the times; an object that has none is read from the consolidation
    requests. An object's items come from the output manifest (or ``input_manifest``), else from the requests.

    Parameters
    ----------
    output : str
        As in :func:`read_answers`.
    s3 : optional
        A boto3 S3 client.
    answer_field : str, optional
        The form field that holds the answer, where a form has several.
    input_manifest : str, optional
        The job's input manifest, for an output folder that holds no manifest.

    Raises
    ------
    InputError, StorageError
        As in :func:`read_answers`.
    """
    aside: list[tuple[str, str, str, str]] = []
    jobs = _collect(output, s3, aside)
    if input_manifest is not None:
        for job in jobs.values():
            for number, line in _lines(storage.read_text(input_manifest, s3=s3), input_manifest, aside):
                job.objects.setdefault(str(number), line)
    rows: list[dict[str, Any]] = []
    asked: list[tuple[str, str, str]] = []
    for job in jobs.values():
        _rows(job, answer_field, rows, asked, aside)
    if not any(job.answers or job.requested for job in jobs.values()):
        raise InputError(
            f"{output} holds no worker's answer; give a labeling job's output folder, which has annotations/ in it"
        )
    return JobOutput(
        _table(rows),
        pd.DataFrame(asked, columns=["item", "job", "data_object"], dtype=str).drop_duplicates(ignore_index=True),
        pd.DataFrame(aside, columns=SET_ASIDE, dtype=str),
    )


def _collect(output: str, s3: Any, aside: list[tuple[str, str, str, str]]) -> dict[str, _Job]:
    """Read every file of the output that the contract names, by job."""
    root = output.rstrip("/") + "/"
    jobs: dict[str, _Job] = {}
    wanted: list[tuple[str, str, re.Match[str]]] = []
    for uri in storage.list_uris(root, s3=s3):
        for kind, pattern in (("response", _RESPONSE), ("request", _REQUEST), ("manifest", _MANIFEST)):
            match = pattern.search(uri)
            if match:
                wanted.append((kind, uri, match))
    # manifests last: a line tells more than a request's dataObject
    wanted.sort(key=lambda entry: (entry[0] == "manifest", *map(_natural, (entry[1],))))

    def fetch(entry: tuple[str, str, re.Match[str]]) -> str | StorageError:
        try:
            return storage.read_text(entry[1], s3=s3)
        except StorageError as error:
            return error

    with ThreadPoolExecutor(16 if storage.is_s3(root) else 1) as pool:
        texts = pool.map(fetch, wanted)
        for (kind, uri, match), text in zip(wanted, track(texts, "reading", len(wanted)), strict=True):
            name = posixpath.basename(uri[: match.start()].rstrip("/"))
            job = jobs.setdefault(uri[: match.start()], _Job(name))
            if isinstance(text, StorageError):
                aside.append((uri, "", "", str(text)))
            elif kind == "manifest":
                for number, line in _lines(text, uri, aside):
                    job.objects[str(number)] = line
            elif kind == "response":
                job.answers.setdefault(match[2], []).extend(_response(text, uri, match[2], aside))
            else:
                _request(text, uri, job, aside)
    return jobs


def _lines(text: str, uri: str, aside: list[tuple[str, str, str, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, raw in enumerate(line for line in text.split("\n") if line.strip()):
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            line = None
        if isinstance(line, dict):
            yield number, line
        else:
            aside.append((uri, str(number), "", "the line isn't a JSON object"))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _response(text: str, uri: str, data_object: str, aside: list[tuple[str, str, str, str]]) -> Iterator[_Answer]:
    parsed = _json(text)
    entries = parsed.get("answers") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        aside.append((uri, data_object, "", "the file isn't a worker response: it holds no list of answers"))
        return
    for entry in entries:
        worker = entry.get("workerId") if isinstance(entry, dict) else None
        if not isinstance(worker, str) or not worker:
            aside.append((uri, data_object, "", "an answer has no workerId"))
            continue
        try:
            content = parse_content(entry.get("answerContent"))
        except ContractError as error:
            aside.append((uri, data_object, worker, str(error)))
            continue
        yield _Answer(
            worker,
            content,
            entry.get("acceptanceTime"),
            entry.get("submissionTime"),
            entry.get("timeSpentInSeconds"),
            uri,
        )


def _request(text: str, uri: str, job: _Job, aside: list[tuple[str, str, str, str]]) -> None:
    entries = _json(text)
    if not isinstance(entries, list):
        aside.append((uri, "", "", "the file isn't a consolidation request: it holds no list"))
        return
    for entry in entries:
        data_object = (
            str(entry.get("datasetObjectId")) if isinstance(entry, dict) and "datasetObjectId" in entry else ""
        )
        annotations = entry.get("annotations") if data_object else None
        if not isinstance(annotations, list):
            aside.append((uri, data_object, "", "an entry has no datasetObjectId or no annotations"))
            continue
        if isinstance(entry.get("dataObject"), dict):
            job.objects[data_object] = entry["dataObject"]
        for annotation in annotations:
            worker = annotation.get("workerId") if isinstance(annotation, dict) else None
            data = annotation.get("annotationData") if isinstance(annotation, dict) else None
            if not isinstance(worker, str) or not worker or not isinstance(data, dict):
                aside.append(
                    (
                        uri,
                        data_object,
                        worker if isinstance(worker, str) else "",
                        "an annotation has no workerId or no annotationData",
                    )
                )
                continue
            try:
                content = parse_content(data.get("content"))
            except ContractError as error:
                aside.append((uri, data_object, worker, str(error)))
                continue
            job.requested.setdefault(data_object, []).append(_Answer(worker, content, file=uri))


def _rows(
    job: _Job,
    answer_field: str | None,
    rows: list[dict[str, Any]],
    asked: list[tuple[str, str, str]],
    aside: list[tuple[str, str, str, str]],
) -> None:
    """Turn a job's answers into rows, the first answer of a worker to an object counting."""
    everything = {**job.objects, **job.requested, **job.answers}
    for data_object in sorted(everything, key=_natural):
        line = job.objects.get(data_object, {})
        page = page_items(line.get("source", line.get("content")))
        # an object that no manifest and no request describes keeps its number as its name
        items = {f"labels-{entry['index']}": item_of(entry) or f"{data_object}/{entry['index']}" for entry in page}
        alone = item_of(line) or data_object
        asked += [(item, job.name, data_object) for item in (items.values() if page else [alone])]
        seen: set[str] = set()
        answers = job.answers.get(data_object) or job.requested.get(data_object, [])
        for answer in sorted(answers, key=lambda a: str(a.submitted or "")):
            if answer.worker in seen:
                aside.append(
                    (
                        answer.file,
                        data_object,
                        answer.worker,
                        "the worker answered this object before; the first answer counts",
                    )
                )
                continue
            seen.add(answer.worker)
            if not page:
                tiles = {
                    key: value
                    for key, value in answer.content.items()
                    if key.startswith("labels-") and key != "labels-0"
                }
                given = (
                    {f"{data_object}/{key[7:]}": chosen(value) for key, value in tiles.items()}
                    if tiles and alone == data_object
                    else {}
                )
                given = given or {alone: answer_labels(answer.content, answer_field)}
            else:
                given = {}
                for key, item in items.items():
                    given.setdefault(item, []).extend(chosen(answer.content.get(key)))
            for item, labels in given.items():
                if not labels:
                    aside.append((answer.file, data_object, answer.worker, f"no answer about {item}"))
                rows += [
                    {
                        "item": item,
                        "worker": answer.worker,
                        "label": label,
                        "job": job.name,
                        "data_object": data_object,
                        "accepted_at": answer.accepted,
                        "submitted_at": answer.submitted,
                        "seconds": answer.seconds,
                    }
                    for label in labels
                ]


def _table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=COLUMNS)
    for name in ("accepted_at", "submitted_at"):
        table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601", errors="coerce").astype(
            "datetime64[ns, UTC]"
        )
    table["seconds"] = pd.to_numeric(table["seconds"], errors="coerce").astype("float64")
    return table.astype(dict.fromkeys(COLUMNS[:5], str))


def _natural(text: str) -> tuple[Any, ...]:
    """Sort key that puts object 10 behind object 9."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text))
