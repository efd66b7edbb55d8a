"""Check a manifest against every rule of Ground Truth's contract, all problems at once, as a stream.

The rules are those of the pages sms-input-data-input-manifest, input-data-limits, sms-supported-data-formats,
sms-reusing-data and sms-streaming-labeling-job of the AWS developer guide, and the API's constraints on names. What
Ground Truth is known to refuse is an ``error``; what is likely a mistake, or of unconfirmed effect, a ``warning``; what
is merely good to know, a ``note``.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from gandt import storage
from gandt.arguments import checked
from gandt.errors import InputError
from gandt.manifest.build import MAX_ATTRIBUTE, MAX_LINE, attribute_length
from gandt.manifest.lines import NAMES, RawLine, line_names, page_entries, raw_lines
from gandt.manifest.online import check_objects, find_objects
from gandt.manifest.questions import Problem, Questions, is_file, local_path

COLUMNS = ["line", "severity", "rule", "problem"]

MAX_OBJECTS = 100_000  # of a job; more on request
MAX_SEGMENTATION_OBJECTS = 20_000  # never more
MAX_OBJECT_ID_KEY, MAX_OBJECT_ID = 140, 1_024  # of streaming jobs

BUILT_IN_IMAGES = (".jpg", ".jpeg", ".png")
# what a browser doesn't show
UNSHOWN = (".heic", ".heif", ".tif", ".tiff", ".psd", ".dng", ".cr2", ".nef", ".jp2")
NEEDS_REF = ("semantic-segmentation", "video-frame", "3d-segmentation", "3d-tracking")
TASK_TYPES = (
    *("custom", "image-classification", "image-classification-multilabel", "object-detection", "label-verification"),
    *("text-classification", "text-classification-multilabel", "text-span", *NEEDS_REF),
)

_ATTRIBUTE = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,126}")  # CreateLabelingJob, LabelAttributeName
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@checked
def check_manifest(
    uri: str,
    *,
    s3: Any = None,
    label_attribute: str | None = None,
    task_type: str = "custom",
    online: bool = False,
    region: str | None = None,
    examples: bool = False,
) -> pd.DataFrame:
    """Check the manifest at ``uri``.

    Parameters
    ----------
    uri : str
        Local path or ``s3://`` address.
    s3 : optional
        A boto3 S3 client.
    label_attribute : str, optional
        The attribute that the job will write, to check its name and what the lines already hold under it.
    task_type : str
        One of :data:`TASK_TYPES`; the built-in ones take fewer kinds of files.
    online : bool
        Ask S3 as well: does every object exist, can it be read, does its bucket send CORS headers.
    region : str, optional
        The job's region, to which every bucket must belong (with ``online``).
    examples : bool
        Ask S3 at least for the positive and negative examples, which are few.

    Returns
    -------
    pandas.DataFrame
        ``line`` (from 1; 0 for the manifest as a whole), ``severity`` (error, warning, note), ``rule``, ``problem``;
        in order of lines. No row of severity error means that Ground Truth takes the manifest, where a local one
        names images beside it when ``gandt job create`` has uploaded them (a note counts them).

    Raises
    ------
    StorageError
        When the manifest can't be read.
    InputError
        When ``task_type`` is unknown.
    """
    if task_type not in TASK_TYPES:
        raise InputError(f"there is no task type {task_type!r}; choose one of {', '.join(TASK_TYPES)}")
    folder = None if storage.is_s3(uri) else Path(uri).absolute().parent
    checker = _Checker(label_attribute, task_type, folder)
    rows = [(0, *problem) for problem in check_label_attribute(label_attribute, task_type)]
    for raw in raw_lines(uri, s3=s3):
        rows += [(raw.number, *problem) for problem in checker.check(raw)]
    rows += [(0, *problem) for problem in checker.finish()]
    shown = checker.questions.examples
    if online:
        rows += check_objects(uri, {**shown, **checker.addresses}, s3=s3 or storage.default_s3(), region=region)
    elif examples and shown:
        rows += find_objects(shown, s3=s3 or storage.default_s3())
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values("line", kind="stable", ignore_index=True)


def check_label_attribute(name: str | None, task_type: str = "custom") -> Iterator[Problem]:
    """Yield what is wrong with a label attribute's name."""
    if name is None:
        return
    if name in ("source", "source-ref"):
        yield "error", "attribute name", f"{name!r} is reserved and can't be the label attribute"
    elif not _ATTRIBUTE.fullmatch(name):
        yield "error", "attribute name", f"label attribute {name!r} isn't 1 to 127 letters, digits and inner hyphens"
    elif name.endswith("-metadata"):
        yield (
            "error",
            "attribute name",
            f"label attribute {name!r} ends in -metadata, which Ground Truth keeps for itself",
        )
    elif task_type in NEEDS_REF and not name.endswith("-ref"):
        yield "error", "attribute name", f"label attribute {name!r} must end in -ref for {task_type}"
    elif task_type not in NEEDS_REF and name.endswith("-ref"):
        yield "warning", "attribute name", f"label attribute {name!r} ends in -ref, which is meant for segmentation"


class _Checker:
    """Checks line after line; remembers only what later lines are compared with."""

    def __init__(self, label_attribute: str | None, task_type: str, folder: Path | None) -> None:
        self.task_type, self.folder = task_type, folder
        self.questions = Questions(label_attribute, folder)
        self.addresses: dict[str, int] = {}  # S3 address → the first line that shows it
        self._seen: dict[int, int] = {}  # hash of what a line shows → that line
        self._objects = 0
        self._local: set[str] = set()  # images beside a local manifest
        self._twice: list[str] = []
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            self._twice += [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        return made

    @staticmethod
    def _constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    def check(self, raw: RawLine) -> Iterator[Problem]:
        """Yield the problems of one line."""
        content = raw.content
        if raw.number == 1 and content.startswith(b"\xef\xbb\xbf"):
            yield (
                "warning",
                "encoding",
                "the file starts with a byte-order mark, which may spoil line 1; save it without",
            )
            content = content[3:]
        if not content.strip():
            yield "warning", "empty line", "the line is empty; whether Ground Truth counts it is unconfirmed: remove it"
            return
        self._objects += 1
        if raw.cut:
            yield "error", "line length", f"the line is longer than {len(content):,} bytes; are its line ends missing?"
            return
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            yield "error", "encoding", f"byte {error.start + 1} isn't UTF-8; save the file as UTF-8"
            return
        if len(text) > MAX_LINE:
            yield "error", "line length", f"the line has {len(text):,} characters; Ground Truth takes {MAX_LINE:,}"
        self._twice.clear()
        try:
            line = self._decoder.decode(text)
        except (ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
            yield "error", "JSON", f"the line isn't one complete JSON object: {reason}"
            return
        if not isinstance(line, dict):
            yield "error", "JSON", f"the line is a JSON {type(line).__name__}, not an object"
            return
        for key in self._twice:
            yield "warning", "keys", f"the key {key!r} stands twice in an object; the last one counts"
        page = page_entries(line)
        yield from self._keys(line, len(text))
        yield from self._source(line, raw.number, page)
        if NAMES in line and not line_names(line):
            yield "error", "names", f"{NAMES!r} isn't a list of names, one for each item of the line; build it again"
        yield from self._chained(line)
        yield from self.questions.check(line, raw.number, page)

    def _keys(self, line: dict[str, Any], length: int) -> Iterator[Problem]:
        for key in line:
            if key == "$label-attribute-name-object-id":  # a streaming job's output has it
                yield "warning", "keys", f"{key!r} comes from a streaming job's output; remove it before the next job"
            elif key.startswith("$"):
                yield "error", "keys", f"the key {key!r} begins with $, which Ground Truth doesn't take"
        if length > MAX_ATTRIBUTE:
            for key, value in line.items():
                size = attribute_length(value)
                if size > MAX_ATTRIBUTE:
                    yield (
                        "error",
                        "attribute length",
                        f"{key!r} has {size:,} characters; Ground Truth takes {MAX_ATTRIBUTE:,}",
                    )
        if "dataset-objectid-attribute-name" in line:
            key = line["dataset-objectid-attribute-name"]
            if not isinstance(key, str) or not 0 < len(key) <= MAX_OBJECT_ID_KEY:
                yield (
                    "error",
                    "streaming id",
                    f"dataset-objectid-attribute-name isn't 1 to {MAX_OBJECT_ID_KEY} characters",
                )
            elif not isinstance(line.get(key), str) or not 0 < len(line[key]) <= MAX_OBJECT_ID:
                yield (
                    "error",
                    "streaming id",
                    f"{key!r}, which holds the object's id, isn't 1 to {MAX_OBJECT_ID:,} characters",
                )

    def _source(self, line: dict[str, Any], number: int, page: list[dict[str, Any]]) -> Iterator[Problem]:
        given = [key for key in ("source-ref", "source") if key in line]
        if not given:
            yield "error", "source", "the line has neither 'source-ref' nor 'source'"
        if len(given) == 2:
            yield "warning", "source", "the line has both 'source-ref' and 'source'; which one wins is unconfirmed"
        for key in given:
            value = line[key]
            if not isinstance(value, str):
                kind = "a list" if isinstance(value, list) else type(value).__name__
                yield (
                    "error",
                    "source",
                    f"{key!r} is {kind}, and Ground Truth takes only a string (a page is JSON in a string)",
                )
                continue
            if not value.strip():
                yield "error", "source", f"{key!r} is empty"
                continue
            first = self._seen.setdefault(hash((key, value)), number)
            if first != number:
                yield (
                    "warning",
                    "duplicate",
                    f"line {first} shows the same {key!r}; each line is asked and paid for on its own",
                )
            if key == "source-ref":
                yield from self._address(
                    value, number, built_in="image" in self.task_type or self.task_type == "object-detection"
                )
            else:
                yield from self._page(line, number, page)

    def _address(
        self, uri: str, number: int, *, built_in: bool = False, where: str = "'source-ref'"
    ) -> Iterator[Problem]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        path = local_path(uri) if self.folder is not None else None
        if path is not None:
            if not is_file(self.folder, path):
                why = "isn't an s3:// address, nor a file beside the manifest"
                yield "error", "address", f"{where} is {uri[:200]!r}, which {why}"
                return
            self._local.add(path)
        elif not uri.startswith("s3://"):
            yield "error", "address", f"{where} is {uri[:200]!r}, which isn't an s3:// address"
            return
        elif not _BUCKET.fullmatch(bucket) or not key or key.endswith("/"):
            yield (
                "error",
                "address",
                f"{where} is {uri[:200]!r}, which names no bucket and object; write s3://bucket/key",
            )
            return
        else:
            self.addresses.setdefault(uri, number)
        dot = uri.rfind(".")
        suffix = uri[dot:].lower() if dot > uri.rfind("/") else ""
        if built_in and suffix not in BUILT_IN_IMAGES:
            yield "error", "file kind", f"{uri[:200]!r}: a {self.task_type} job takes .jpg, .jpeg and .png only"
        elif suffix in UNSHOWN:
            yield (
                "warning",
                "file kind",
                f"{uri[:200]!r}: browsers don't show {suffix} files; gandt manifest upload converts them",
            )

    def _page(self, line: dict[str, Any], number: int, page: list[dict[str, Any]]) -> Iterator[Problem]:
        if not page:
            if line["source"].lstrip().startswith('[{"'):
                yield "warning", "page", "'source' looks like a page of items, but isn't a JSON list of objects"
            return
        if not any(page[0].get(key) or line.get(key) for key in ("event_names", "labels", "categories")):
            yield (
                "warning",
                "page",
                "the page's first item has no event_names; set LABELS for the pre-annotation Lambda",
            )
        indexes: set[str] = set()
        items: set[str] = set()
        for position, entry in enumerate(page):
            where = f"item {position} of the page"
            index = entry.get("index", position)
            if isinstance(index, bool) or not isinstance(index, int) or str(index) in indexes:
                yield (
                    "error",
                    "page",
                    f"{where} has the index {str(index)[:50]!r}; each needs a whole number of its own",
                )
            indexes.add(str(index))
            item = entry.get("source-ref", entry.get("source"))
            if not isinstance(item, str) or not item:
                yield "error", "page", f"{where} has neither 'source-ref' nor 'source'"
                continue
            if item in items:
                yield "warning", "duplicate", f"{where} stands twice on the page: {item[:200]!r}"
            items.add(item)
            if "source-ref" in entry:
                yield from self._address(item, number, where=where)

    def _chained(self, line: dict[str, Any]) -> Iterator[Problem]:
        for key, value in line.items():
            if key.endswith("-metadata"):
                label = key.removesuffix("-metadata")
                if not isinstance(value, dict):
                    yield "warning", "chained", f"{key!r} isn't an object, as a label's metadata is"
                elif label not in line:
                    yield (
                        "warning",
                        "chained",
                        f"{key!r} stands without its label {label!r}: an object that failed before",
                    )

    def finish(self) -> Iterator[Problem]:
        """Yield the problems of the manifest as a whole."""
        most = MAX_SEGMENTATION_OBJECTS if self.task_type == "semantic-segmentation" else MAX_OBJECTS
        if self._objects == 0:
            yield "error", "count", "the manifest holds no data object"
        if self._objects > most:
            way = "split it" if most == MAX_SEGMENTATION_OBJECTS else "split it, or ask AWS for more"
            yield "error", "count", f"the manifest holds {self._objects:,} data objects; a job takes {most:,}: {way}"
        if self._local:
            count = f"{len(self._local):,} local image{'s'[: len(self._local) != 1]}"
            yield "note", "local", f"the lines name {count}, which gandt job create uploads with the manifest"
        yield from self.questions.finish()
