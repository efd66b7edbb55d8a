"""Task inputs to try a template with: made up from its header, or from a manifest by the pre-annotation Lambda."""

import base64
import colorsys
import importlib.util
import json
import math
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

from gandt import resources, storage
from gandt.arguments import checked
from gandt.errors import ContractError, InputError
from gandt.templates.header import Header

_SHAPES = (
    '<circle cx="100" cy="100" r="60"/>',
    '<rect x="45" y="45" width="110" height="110" rx="8"/>',
    '<path d="M100 35 165 155 35 155z"/>',
)


@checked
def sample_input(told: Header | None) -> dict[str, Any]:
    """Make up a task input of the form that a template's header declares, with drawn pictures and a short tone.

    Without a header it is that of one image: ``source-ref``, ``taskObject``, ``items`` and ``labels``.
    """
    made: dict[str, Any] = {"taskObject": _picture(0), "items": _items("images", 1), "labels": ["circle", "square"]}
    if told is None:
        return {**made, "source-ref": _picture(0), "other": "None of these"}
    for each in told.inputs:
        if each.type in ("images", "texts", "sounds"):
            made["items"] = _items(each.type, each.sample if isinstance(each.sample, int) else 1)
            made["taskObject"] = next(value for key, value in made["items"][0].items() if key != "index")
        elif each.sample is not None:
            made[each.name] = each.sample
        elif each.type == "image":
            made[each.name] = _picture(len(made))
        elif not each.optional:
            made[each.name] = {"text": each.about, "list": ["circle", "square"], "boolean": True, "object": {}}[
                each.type
            ]
    return made


@checked
def manifest_inputs(
    manifest: str, *, labels: str | None = None, other: str | None = None, as_it_is: bool = False, s3: Any = None
) -> Iterator[tuple[int, dict[str, Any] | ContractError]]:
    """Yield (line number from 1, task input) for every line of a manifest, as gandt's pre-annotation Lambda makes it.

    A line that isn't a JSON object, or that the Lambda refuses, gives its error in place of the task input.

    Parameters
    ----------
    manifest : str
        Local path or ``s3://`` address.
    labels, other : str, optional
        What the Lambda would find in its environment: categories (a JSON list, or parted by commas), and the name of
        "none of these". They count where the line brings none.
    as_it_is : bool
        For a job without a pre-annotation Lambda, where the line itself is the task input.
    s3 : optional
        A boto3 S3 client.

    Raises
    ------
    StorageError
        When the manifest can't be read.
    """
    lambda_ = _pre_annotation()
    environment = {key: value for key, value in (("LABELS", labels), ("OTHER_LABEL", other)) if value}
    for number, text in enumerate(storage.read_text(manifest, s3=s3).split("\n"), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            yield number, ContractError(f"{manifest}, line {number} isn't a JSON object; build the manifest again")
        elif as_it_is:
            yield number, line
        else:
            try:
                yield number, lambda_.build_task_input(line, environment)
            except lambda_.DataObjectError as error:
                yield number, ContractError(f"{manifest}, line {number}: {error}")


@checked
def pick_line(inputs: Iterator[tuple[int, dict[str, Any] | ContractError]], line: int, manifest: str) -> dict[str, Any]:
    """Return the task input of one line (from 1) of a manifest.

    Raises
    ------
    ContractError
        When the line can't be shown.
    InputError
        When the manifest has no such line, or it is empty.
    """
    last = 0
    for number, given in inputs:
        if number == line:
            if isinstance(given, ContractError):
                raise given
            return given
        last = number
    raise InputError(f"{manifest} has no line {line}; its last is {last}")


@checked
def task_file(path: str, *, s3: Any = None) -> dict[str, Any]:
    """Read a task input from a JSON file: the ``taskInput`` alone, or a pre-annotation Lambda's whole response.

    Raises
    ------
    InputError
        When the file isn't a JSON object.
    StorageError
        When it can't be read.
    """
    try:
        given = json.loads(storage.read_text(path, s3=s3))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} isn't JSON ({error}); it should hold what the pre-annotation Lambda returns"
        ) from error
    if not isinstance(given, dict):
        raise InputError(f"{path} isn't a JSON object; it should hold what the pre-annotation Lambda returns")
    inner = given.get("taskInput")
    return inner if isinstance(inner, dict) else given


@checked
def signed(uri: str, *, s3: Any = None) -> str:
    """Return an https address for an ``s3://`` one, signed with the caller's credentials, good for an hour."""
    bucket, key = storage.split_s3(uri)
    params = {"Bucket": bucket, "Key": key}
    with storage.explained("sign", uri):
        url: str = (s3 or storage.default_s3()).generate_presigned_url("get_object", Params=params, ExpiresIn=3600)
    return url


@lru_cache(maxsize=1)
def _pre_annotation() -> ModuleType:
    """Load the very file that is deployed as the pre-annotation Lambda; it needs the standard library alone."""
    path = resources.folder("lambdas") / "pre_annotation" / "handler.py"
    spec = importlib.util.spec_from_file_location("gandt_pre_annotation", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _items(kind: str, count: int) -> list[Mapping[str, Any]]:
    if kind == "texts":
        texts = (
            "The kestrel hung over the field, as still as a kite on its string.",
            "Nothing came of the second visit.",
        )
        return [{"source": texts[index % 2], "index": index} for index in range(count)]
    make = _tone if kind == "sounds" else _picture
    return [{"source-ref": make(index), "index": index} for index in range(count)]


def _picture(number: int) -> str:
    """Draw a circle, square or triangle, in a colour of its own, as a data: address."""
    red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(number * 0.381966 % 1, 0.45, 0.6))
    width, height = ((240, 200), (200, 200), (200, 260))[number % 3]
    middle = f"translate({width // 2 - 100} {height // 2 - 100})"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * width}" height="{2 * height}"'
        f' viewBox="0 0 {width} {height}"><rect width="{width}" height="{height}" fill="#e9e4da"/>'
        f'<g transform="{middle}" fill="rgb({red} {green} {blue})">{_SHAPES[number % 3]}</g></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _tone(number: int) -> str:
    """Return half a second of a sine tone as a WAV in a data: address."""
    rate, pitch = 8000, 330 * 2 ** (number % 12 / 12)
    samples = [round(9000 * math.sin(2 * math.pi * pitch * at / rate)) for at in range(rate // 2)]
    body = struct.pack(f"<{len(samples)}h", *samples)
    head = struct.pack(
        "<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(body), b"WAVEfmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", len(body)
    )
    return "data:audio/wav;base64," + base64.b64encode(head + body).decode()
