"""What a labeling job reads from S3: its manifest, its label categories.

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-input-data-input-manifest.html
"""

import json
from collections.abc import Mapping
from typing import Any

from gandt import storage
from gandt.errors import ContractError


def read_manifest(request: Mapping[str, Any], s3: Any) -> list[dict[str, Any]]:
    """Return the lines of a job's manifest, none for a streaming job, whose lines come later.

    Raises
    ------
    ContractError
        Naming the first line that is no data object.
    """
    source = request["InputConfig"]["DataSource"]
    if "S3DataSource" not in source:
        return []
    uri = source["S3DataSource"]["ManifestS3Uri"]
    lines = []
    for position, text in enumerate(storage.read_text(uri, s3=s3).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            writable(line)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"{uri} line {position} isn't JSON: {error}") from error
        if not isinstance(line, dict) or not ("source" in line or "source-ref" in line):
            raise ContractError(f"{uri} line {position} has neither source nor source-ref")
        if "source" not in line and not isinstance(line["source-ref"], str):
            raise ContractError(f"{uri} line {position} has a source-ref that is no address in S3")
        lines.append(line)
    if not lines:
        raise ContractError(f"{uri} holds no data object; a job needs at least one")
    return lines


def read_labels(uri: str | None, s3: Any) -> list[dict[str, Any]]:
    """Return the entries of the label category file at ``uri``, none where there is no such file.

    Raises
    ------
    ContractError
        When the file isn't ``{"labels": [{"label": "…"}, …]}``.
    """
    if not uri:
        return []
    try:
        entries = json.loads(storage.read_text(uri, s3=s3))["labels"]
        if not all(isinstance(entry["label"], str) for entry in entries):
            raise TypeError
        return list(entries)
    except (ValueError, KeyError, TypeError) as error:
        raise ContractError(
            f'{uri} is no label category file; it should be {{"labels": [{{"label": "cat"}}]}}'
        ) from error


def writable(value: Any) -> None:
    """Refuse what was read as JSON and can't be written as JSON in UTF-8: infinite numbers, halves of surrogate pairs.

    Raises
    ------
    ValueError
        Saying what it is.
    """
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
