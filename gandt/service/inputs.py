"""What a labeling job reads from S3: its manifest; and whether somebody can answer what it asks.

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-input-data-input-manifest.html
"""

import json
from collections.abc import Mapping
from typing import Any

from gandt import categories, storage, templates
from gandt.errors import ContractError, InputError, StorageError
from gandt.manifest.lines import page_entries, read_lines
from gandt.manifest.online import find_objects
from gandt.manifest.questions import Questions, check_category_file


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


def check_questions(request: Mapping[str, Any], s3: Any) -> None:
    """Refuse a job whose questions nobody can answer; what can't be read is left to the job, which says why it fails.

    Raises
    ------
    ContractError
        When categories can't be told apart, examples aren't there, or every line has the label attribute as a key of
        its own.
    """
    problems: list[str] = []
    questions = Questions(request["LabelAttributeName"])
    try:
        if request.get("LabelCategoryConfigS3Uri"):
            check_category_file(request["LabelCategoryConfigS3Uri"], s3=s3)
        source = request["InputConfig"]["DataSource"].get("S3DataSource", {}).get("ManifestS3Uri")
        for number, line in enumerate(read_lines(source, s3=s3) if source else (), start=1):
            problems += [f"data object {number - 1}: {problem}" for problem in _errors(questions, line, number)]
        problems += [problem for severity, _, problem in questions.finish() if severity == "error"]
        rows = find_objects(questions.examples, s3=s3)
        problems += [problem for _, severity, _, problem in rows if severity == "error"]
    except (StorageError, InputError):
        pass
    if problems:
        more = f" (and {len(problems) - 3:,} more)" if len(problems) > 3 else ""
        raise ContractError(f"labeling job {request['LabelingJobName']}: {'; '.join(problems[:3])}{more}")


def check_line(line: Mapping[str, Any], attribute: str) -> None:
    """Refuse a line that comes by itself and asks what nobody can answer.

    Raises
    ------
    ContractError
        As :func:`check_questions` does.
    """
    questions = Questions(attribute)
    problems = [*_errors(questions, line, 1), *(text for level, _, text in questions.finish() if level == "error")]
    if problems:
        raise ContractError("; ".join(problems))


def chooses(template: str) -> bool:
    """Tell whether a template's header says that workers choose from the task's labels."""
    try:
        told = templates.header(template)
    except ContractError:  # another's header; the template is rendered all the same
        return False
    return told is not None and any(each.name == "labels" and not each.optional for each in told.inputs)


def check_choices(task_input: Mapping[str, Any], where: str) -> None:
    """Refuse a task without categories to choose from, or with some that nobody can tell apart.

    Raises
    ------
    ContractError
        Beginning with ``where``.
    """
    names, other = categories.names_of(task_input.get("labels")), task_input.get("other")
    if not names:
        raise ContractError(
            f"{where} brings no category, and the template needs some to choose from: give them to gandt manifest "
            "build, or as LABELS to the pre-annotation Lambda"
        )
    categories.checked(names, other if isinstance(other, str) else None, where=f"{where}: ", error=ContractError)


def _errors(questions: Questions, line: Mapping[str, Any], number: int) -> list[str]:
    found = questions.check(line, number, page_entries(dict(line)))
    return [problem for severity, _, problem in found if severity == "error"]


def writable(value: Any) -> None:
    """Refuse what was read as JSON and can't be written as JSON in UTF-8: infinite numbers, halves of surrogate pairs.

    Raises
    ------
    ValueError
        Saying what it is.
    """
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
