"""Questions that nobody can answer, found before anybody is asked: in a manifest's lines, in gold, in examples.

The same rules hold in ``gandt manifest build`` and ``check``, in ``gandt job create``, and where the labeling service
takes a job.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gandt import storage
from gandt.categories import names_of, problems, tidy
from gandt.errors import ContractError, InputError

Problem = tuple[str, str, str]  # severity, rule, sentence

EXAMPLES = ("positive_examples", "negative_examples")
# where a line, or the first item of a page, has its categories, and its name of "none of these"; the first counts
CATEGORIES, OTHER = ("labels", "event_names", "categories"), ("other_category_label", "other")


def gold_labels(
    table: pd.DataFrame, keys: Sequence[str] = ("item",), *, where: str = "the gold table"
) -> dict[str, str]:
    """Return the labels of a gold table by item (the columns ``keys``, with a space between).

    Raises
    ------
    InputError
        When an item stands twice, with the same label or another, or a row lacks item or label.
    """
    found: dict[str, str] = {}
    first: dict[str, tuple[int, str]] = {}
    rows = table[[*keys, "label"]].itertuples(index=False)
    for number, values in enumerate(rows, start=1):
        if any(pd.isna(value) or not tidy(str(value)) for value in values):
            raise InputError(f"{where}, row {number}: it has no {' or no '.join((*keys, 'label'))}; fill it in")
        *shown, label = (str(value) for value in values)
        item, label = " ".join(shown), tidy(label)
        if tidy(item) in first:
            row, before = first[tidy(item)]
            mend = f"as {before!r} and as {label!r}: keep the right one" if before != label else "keep one"
            raise InputError(f"{where}, row {number}: {item} stands in row {row} already; {mend}")
        first[tidy(item)], found[item] = (number, label), label
    return found


def check_gold(gold: Mapping[str, str], categories: Sequence[str], other: str | None) -> dict[str, str]:
    """Return gold with its labels trimmed and in NFC.

    Raises
    ------
    InputError
        When a label is none of the categories, where there are any: no worker could give it.
    """
    found = {item: tidy(label) for item, label in gold.items()}
    known = [*categories, *([other] if other else [])]
    for item, label in found.items():
        if not label or (categories and label not in known):
            told = f"is none of {', '.join(map(repr, known))}" if categories else "is empty"
            raise InputError(f"gold item {item} has the label {label!r}, which {told}; no worker could get it right")
    return found


def local_path(address: object) -> str | None:
    """Return the path that an address in a manifest names on this machine, None for any other address."""
    if not isinstance(address, str):
        return None
    path = address.removeprefix("file://")
    return None if "://" in path or path.startswith("data:") or not path.strip() else path


def is_file(folder: Path | None, path: str) -> bool:
    """Tell whether there is a file at a path that is seen from ``folder``; any text may be a path."""
    return os.path.isfile(os.path.join(folder or "", path))  # noqa: PTH113, PTH118 (Path raises for names too long)


def check_examples(examples: Iterable[str], folder: Path | None = None) -> None:
    """Refuse examples that are no file, where they are local paths, seen from ``folder``.

    Raises
    ------
    InputError
        Naming the first.
    """
    for example in examples:
        if not str(example).strip():
            raise InputError("an example is empty; name an image, or leave it out")
        path = local_path(example)
        if path is not None and not is_file(folder, path):
            raise InputError(f"the example {example!r} isn't there: it is neither a file nor an s3:// address")


class Questions:
    """Checks what a manifest's lines ask; each fault is told once, at the first line that has it.

    Parameters
    ----------
    attribute : str, optional
        The label attribute that the job will write.
    folder : Path, optional
        Where a local manifest stands; local images are looked for there. None for a manifest on S3, whose images all
        must have addresses.

    Attributes
    ----------
    examples : dict of str to int
        The examples on S3, each with the first line that shows it.
    """

    def __init__(self, attribute: str | None = None, folder: Path | None = None) -> None:
        self.attribute, self.folder = attribute, folder
        self.examples: dict[str, int] = {}
        self._seen: set[int] = set()
        self._bare = self._lines = self._labelled = 0

    def check(self, line: Mapping[str, Any], number: int, page: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
        """Yield what is wrong with the question of one line (``number`` from 1), whose page has these items."""
        self._lines += 1
        first: Mapping[str, Any] = page[0] if page else {}
        asked, other = _told(line, first, CATEGORIES), _told(line, first, OTHER)
        if asked is not None and self._new(asked, other):
            for severity, sentence in problems(names_of(asked), other if isinstance(other, str) else None):
                yield severity, "categories", sentence
        for key in EXAMPLES:
            shown = line.get(key) or first.get(key)
            # the examples of texts may be texts
            if shown and (_told(line, first, ("source-ref",)) or {"left", "right"} <= line.keys()):
                for example in names_of(shown):
                    yield from self._example(example, number)
        if self.attribute is not None and self.attribute in line:
            self._labelled += 1
            if f"{self.attribute}-metadata" not in line:
                self._bare += 1
                yield "warning", "chained", f"{self.attribute!r} stands without its {self.attribute}-metadata"

    def finish(self) -> Iterator[Problem]:
        """Yield what is wrong with the manifest as a whole."""
        if self.attribute is not None and self._bare and self._bare == self._lines:
            yield "error", "attribute", taken(self.attribute)
        elif self._labelled:
            text = f"{self._labelled:,} of {self._lines:,} lines carry {self.attribute!r} already and won't be asked"
            if self._labelled < self._lines:
                yield "note", "chained", text
            else:
                yield "warning", "chained", f"{text}: nobody is asked anything"

    def _new(self, *values: object) -> bool:
        """Tell whether these haven't been looked at before."""
        before = len(self._seen)
        self._seen.add(hash(repr(values)))
        return len(self._seen) > before

    def _example(self, example: str, number: int) -> Iterator[Problem]:
        if storage.is_s3(example):
            self.examples.setdefault(example, number)
            return
        path = local_path(example)
        if path is None or not self._new("example", example):
            return
        if self.folder is None:
            yield (
                "error",
                "example",
                f"the example {example[:200]!r} isn't an s3:// address, so no browser could show it",
            )
        elif not is_file(self.folder, path):
            yield "error", "example", f"the example {example[:200]!r} isn't there: no such file beside the manifest"


def _told(line: Mapping[str, Any], first: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """Return what the pre-annotation Lambda takes of a line, or its page's first item, for the first of these names."""
    for key in keys:
        value = line.get(key) or first.get(key)
        if value:
            return value
    return None


def taken(attribute: str) -> str:
    """Say why a label attribute can't be a key that the lines have for something else."""
    return (
        f"the lines have a key {attribute!r} of their own, without the {attribute}-metadata that a label has: as "
        "the label attribute they would count as labeled, and nobody would be asked; choose another label attribute"
    )


def check_category_file(uri: str, *, s3: Any = None) -> list[str]:
    """Check a label category file; return what is worth a warning.

    Raises
    ------
    ContractError
        When it isn't ``{"labels": [{"label": "…"}, …]}``, or workers couldn't tell its categories apart.
    StorageError
        When it can't be read.
    """
    names = [entry["label"] for entry in read_category_file(uri, s3=s3)]
    found = problems(names)
    wrong = [sentence for severity, sentence in found if severity == "error"]
    if not names:
        wrong.append("it holds no category")
    if wrong:
        raise ContractError(f"the label category file {uri}: {'; '.join(wrong)}")
    return [f"{uri}: {sentence}" for _, sentence in found]


def read_category_file(uri: str, *, s3: Any = None) -> list[dict[str, Any]]:
    """Return the entries of the label category file at ``uri``.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sms-label-cat-config-attributes.html

    Raises
    ------
    ContractError
        When the file isn't ``{"labels": [{"label": "…"}, …]}``.
    StorageError
        When it can't be read.
    """
    try:
        entries = json.loads(storage.read_text(uri, s3=s3))["labels"]
        if not all(isinstance(entry["label"], str) for entry in entries):
            raise TypeError
        return list(entries)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ContractError(
            f'{uri} is no label category file; it should be {{"labels": [{{"label": "cat"}}]}}'
        ) from error
