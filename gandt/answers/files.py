"""The files of a labeling job's output, of every generation, read into one structure.

Ground Truth's layout below ``<S3OutputPath>/<job>/`` (page sms-data-output of the AWS developer guide), as far as it
holds answers. File names are times, with colons or (later, or renamed for Windows) underscores, and aren't looked at.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gandt import storage, walk
from gandt.answers.content import parse_content
from gandt.errors import ContractError, StorageError
from gandt.manifest.lines import loads, page_entries
from gandt.progress import track

# job folder, and the data object where the path tells it; people sync annotations/ alone, so it may be absent
_ROOT = r"(?:(?P<job>.*?)/)?(?:annotations/)?"
_PATTERNS = {
    "response": re.compile(_ROOT + r"worker-response/iteration-\d+/(?P<object>[^/]+)/[^/]+\.json"),
    "request": re.compile(_ROOT + r"(?:consolidated-annotation/)?consolidation-request/iteration-\d+/[^/]+\.json"),
    "consolidated": re.compile(
        _ROOT + r"(?:consolidated-annotation/)?consolidation-response/iteration-\d+/[^/]+\.json"
    ),
    "manifest": re.compile(r"(?:(?P<job>.*?)/)?manifests/output/output\.manifest"),
}


@dataclass(frozen=True)
class Answer:
    """One worker's form about one data object; times are as the file gives them, None where it doesn't.

    ``job`` is set where the answer stands in a label of another job, which a chained manifest carries along.
    """

    worker: str
    form: dict[str, Any]
    file: str
    accepted: Any = None
    submitted: Any = None
    seconds: Any = None
    job: str | None = None


@dataclass
class Job:
    """What a job's files hold, by data object."""

    name: str
    responses: dict[str, list[Answer]] = field(default_factory=dict)  # worker-response files: they know the times
    requests: dict[str, list[Answer]] = field(default_factory=dict)  # consolidation requests
    labels: dict[str, list[Answer]] = field(default_factory=dict)  # answers that a post-Lambda wrote into the label
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)  # manifest line, or the request's dataObject

    def answers(self, data_object: str) -> list[Answer]:
        """Return all answers about an object: responses, requests for workers without one, labels failing both."""
        found = list(self.responses.get(data_object, []))
        known = {answer.worker for answer in found}
        found += [answer for answer in self.requests.get(data_object, []) if answer.worker not in known]
        return found or self.labels.get(data_object, [])


class Reader:
    """Reads an output folder, or a single file of one, into :attr:`jobs`; problems go to :attr:`aside`."""

    def __init__(self, output: str, s3: Any) -> None:
        self.output, self.s3 = output, s3
        self.jobs: dict[str, Job] = {}
        self.aside: list[tuple[str, str, str, str]] = []  # file, data object, worker, reason
        self.identities: dict[str, tuple[str, str]] = {}  # worker → issuer and sub, of private workforces

    def read(self) -> None:
        """Read everything that the contract names.

        Raises
        ------
        InputError
            When it is a file of another kind.
        StorageError
            When it isn't there, the folder can't be listed, or the single file can't be read.
        """
        if self.output.endswith((".json", ".manifest", ".jsonl")):
            self._file(_kind_of(self.output), self.output, storage.read_text(self.output, s3=self.s3))
            return
        if not storage.is_s3(self.output) and not Path(self.output).is_dir():
            raise walk.unusable(self.output, "a labeling job's output folder, a manifest or a worker-response file")
        found = []
        for uri in storage.list_uris(self.output.rstrip("/") + "/", s3=self.s3):
            for kind, pattern in _PATTERNS.items():
                if pattern.fullmatch(uri):
                    found.append((kind, uri))
        found.sort(key=lambda entry: (list(_PATTERNS).index(entry[0]), natural(entry[1])))
        with ThreadPoolExecutor(32 if storage.is_s3(self.output) else 1) as pool:
            texts = pool.map(self._listed, [uri for _, uri in found])
            for (kind, uri), text in zip(found, track(texts, "reading", len(found)), strict=True):
                if isinstance(text, str):
                    self._file(kind, uri, text)
                else:
                    self.aside.append((uri, "", "", str(text)))
        for folder, job in self.jobs.items():
            uri = f"{folder}/manifests/output/output.manifest"
            if folder and ("manifest", uri) not in found:  # only annotations/ was named: the manifest lies beside it
                text = self._text(uri)
                if isinstance(text, str):
                    self.manifest(text, uri, job)

    def _text(self, uri: str) -> str | StorageError:
        try:
            return storage.read_text(uri, s3=self.s3)
        except StorageError as error:
            return error

    def _listed(self, uri: str) -> str | StorageError:
        """Read a file that S3 listed: one that is gone is set aside, a right or a network that ends is raised."""
        text = self._text(uri)
        if isinstance(text, StorageError) and storage.is_s3(uri):
            cause = text.__cause__
            if not isinstance(cause, UnicodeError) and storage.error_code(cause) not in ("404", "NoSuchKey"):
                raise text
        return text

    def _file(self, kind: str, uri: str, text: str) -> None:
        match = _PATTERNS[kind].fullmatch(uri)
        folder = (match["job"] or "") if match else uri
        job = self.jobs.setdefault(folder, Job(_name(folder) if match else _name(uri).rpartition(".")[0]))
        if kind == "manifest":
            self.manifest(text, uri, job)
            return
        try:
            parsed = loads(text)
        except (ValueError, RecursionError):
            self.aside.append((uri, "", "", "the file isn't JSON"))
            return
        if kind == "response":
            # a single file out of its folder doesn't tell its data object
            data_object = match["object"] if match else posixpath.basename(posixpath.dirname(uri))
            self._response(parsed, uri, data_object, job)
        elif isinstance(parsed, list):
            for entry in parsed:
                (self._requested if kind == "request" else self._consolidated)(entry, uri, job)
        else:
            self.aside.append((uri, "", "", f"the file isn't a {kind}: it holds no list of data objects"))

    # ------------------------------------------------------------------ one file of each kind

    def manifest(self, text: str, uri: str, job: Job) -> None:
        """Take up a manifest's lines as the job's data objects; a line's number, from 0, is its id."""
        number = -1
        for raw in text.split("\n"):
            if not raw.strip():
                continue
            number += 1
            try:
                line = loads(raw)
            except (ValueError, RecursionError):
                line = None
            if not isinstance(line, dict):
                self.aside.append((uri, str(number), "", "the line isn't a JSON object"))
                continue
            # a streaming job numbers by ids of its own
            own = line.get("$label-attribute-name-object-id")
            by_number = str(number) in job.responses or str(number) in job.requests  # gandt's own service does
            data_object = str(own) if isinstance(own, (str, int)) and not by_number else str(number)
            job.objects[data_object] = {**job.objects.get(data_object, {}), **line}
            for key, value in line.items():
                metadata = line.get(f"{key}-metadata")
                if isinstance(metadata, dict):
                    self._carried(value, metadata, uri, data_object, job)

    def _response(self, parsed: Any, uri: str, data_object: str, job: Job) -> None:
        entries = parsed.get("answers") if isinstance(parsed, dict) else None
        if not isinstance(entries, list):
            self.aside.append((uri, data_object, "", "the file isn't a worker response: it holds no list of answers"))
            return
        found = job.responses.setdefault(data_object, [])
        for entry in entries:
            worker = entry.get("workerId") if isinstance(entry, dict) else None
            if not isinstance(worker, str) or not worker:
                self.aside.append((uri, data_object, "", "an answer has no workerId"))
                continue
            self._identity(worker, entry.get("workerMetadata"))
            form = self._form(entry.get("answerContent"), uri, data_object, worker)
            if form is not None:
                times = (entry.get("acceptanceTime"), entry.get("submissionTime"), entry.get("timeSpentInSeconds"))
                found.append(Answer(worker, form, uri, *times))

    def _identity(self, worker: str, metadata: Any) -> None:
        told = metadata.get("identityData") if isinstance(metadata, dict) else None
        issuer, sub = (told.get("issuer"), told.get("sub")) if isinstance(told, dict) else (None, None)
        if isinstance(issuer, str) and isinstance(sub, str):
            self.identities[worker] = (issuer, sub)

    def _requested(self, entry: Any, uri: str, job: Job) -> None:
        data_object = _object_id(entry)
        annotations = entry.get("annotations") if data_object is not None else None
        if data_object is None or not isinstance(annotations, list):
            self.aside.append((uri, data_object or "", "", "an entry has no datasetObjectId or no annotations"))
            return
        if isinstance(entry.get("dataObject"), dict):
            job.objects.setdefault(data_object, entry["dataObject"])
        found = job.requests.setdefault(data_object, [])
        for annotation in annotations:
            worker = annotation.get("workerId") if isinstance(annotation, dict) else None
            data = annotation.get("annotationData") if isinstance(annotation, dict) else None
            if not isinstance(worker, str) or not worker or not isinstance(data, dict):
                self.aside.append((uri, data_object, str(worker or ""), "an annotation has no workerId or no data"))
                continue
            content = data.get("content")
            where = data.get("s3Uri", data.get("s3uri"))  # documented, and as AWS's own code spells it
            if content is None and isinstance(where, str):
                text = self._text(where)
                if not isinstance(text, str):
                    self.aside.append((uri, data_object, worker, str(text)))
                    continue
                content = text
            form = self._form(content, uri, data_object, worker)
            if form is not None:
                found.append(Answer(worker, form, uri))

    def _consolidated(self, entry: Any, uri: str, job: Job) -> None:
        data_object = _object_id(entry)
        content = entry.get("consolidatedAnnotation") if data_object is not None else None
        content = content.get("content") if isinstance(content, dict) else None
        if data_object is None or not isinstance(content, dict):
            self.aside.append((uri, data_object or "", "", "an entry has no datasetObjectId or no content"))
            return
        for key, value in content.items():
            if not key.endswith("-metadata"):
                self._label(value, uri, data_object, job)

    def _carried(self, label: Any, metadata: dict[str, Any], uri: str, data_object: str, job: Job) -> None:
        """Take up the answers in a manifest's label, unless it is another job's that this one only passed through."""
        told = metadata.get("job-name", metadata.get("job_name"))
        name = told.removeprefix("labeling-job/") if isinstance(told, str) else None
        own = name is not None and name.lower() == job.name.lower()  # real manifests give the name in lower case
        if own:
            if all(answer.job for answer in job.labels.get(data_object, [])):  # else the response file told it
                self._label(label, uri, data_object, job)
        elif not own and not job.responses and not job.requests:
            self._label(label, uri, data_object, job, name)

    def _label(self, label: Any, uri: str, data_object: str, job: Job, name: str | None = None) -> None:
        """Take up the answers that a post-annotation Lambda assembled in a label, gandt's, g-and-t's or another's."""
        if isinstance(label, dict) and isinstance(label.get("s3Uri"), str) and "answers" not in label:
            text = self._text(label["s3Uri"])
            try:
                label = loads(text) if isinstance(text, str) else label
            except (ValueError, RecursionError):
                return
        forms: dict[str, dict[str, Any]] = {}
        items = label.get("items") if isinstance(label, dict) else None
        if isinstance(items, list):
            if data_object not in job.objects:
                source = [
                    {key: item[key] for key in ("source-ref", "source", "index") if key in item}
                    for item in items
                    if isinstance(item, dict)
                ]
                job.objects[data_object] = {"source": json.dumps(source)}
            for place, item in enumerate(item for item in items if isinstance(item, dict)):
                for worker, form in _assembled(item):
                    forms.setdefault(worker, {})[f"labels-{item.get('index', place)}"] = form.get("labels")
        else:
            for worker, form in _assembled(label):
                forms.setdefault(worker, form)
        if forms:
            answers = [Answer(worker, form, uri, job=name) for worker, form in forms.items()]
            job.labels.setdefault(data_object, []).extend(answers)

    def _form(self, content: Any, uri: str, data_object: str, worker: str) -> dict[str, Any] | None:
        try:
            return parse_content(content)
        except ContractError as error:
            self.aside.append((uri, data_object, worker, str(error)))
            return None


def _assembled(label: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (worker, form) of every answer in a label: the entries with a workerId of any list in it."""
    for value in label.values() if isinstance(label, dict) else [label]:
        for entry in value if isinstance(value, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get("workerId"), str) and entry["workerId"]:
                rest = {key: part for key, part in entry.items() if key != "workerId"}
                annotation = rest.get("annotation", rest.get("annotationData"))
                try:
                    yield entry["workerId"], parse_content(annotation if annotation is not None else rest)
                except ContractError:
                    yield entry["workerId"], rest


def _name(folder: str) -> str:
    name = posixpath.basename(folder.rstrip("/"))
    return name if name not in ("", ".", "..") else Path(folder).resolve().name


def _object_id(entry: Any) -> str | None:
    value = entry.get("datasetObjectId") if isinstance(entry, dict) else None
    return str(value) if isinstance(value, (str, int)) and str(value) else None


def _kind_of(uri: str) -> str:
    for kind, pattern in _PATTERNS.items():
        if pattern.fullmatch(uri):
            return kind
    if not uri.endswith(".json"):
        return "manifest"
    for word, kind in (("consolidation-request", "request"), ("consolidation-response", "consolidated")):
        if word in uri:
            return kind
    return "response" if "worker-response" in uri else "request"


def line_page(line: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a page's entries, from a manifest line (``source``) or a request's dataObject (``content``)."""
    return page_entries({"source": line.get("source", line.get("content"))})


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts object 10 behind object 9."""
    parts = re.split(r"(\d{1,18})", text)
    return tuple((0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts)
