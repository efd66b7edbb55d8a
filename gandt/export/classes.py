"""The numbers of classes: stated by whoever exports, or by the manifest, so that they are the same in every split."""

import json
from collections.abc import Mapping, Sequence

from gandt import storage
from gandt.errors import InputError
from gandt.export.selection import Selection
from gandt.manifest.labels import class_numbers


class Classes:
    """Classes and their numbers.

    Parameters
    ----------
    selection : Selection
        What is exported.
    given : sequence of str, or mapping of str to int, optional
        The classes in the order of their numbers from 0, or each with its own; by default those that occur, sorted.

    Attributes
    ----------
    numbers : dict of str to int
        By name, in the numbers' order.

    Raises
    ------
    InputError
        When a class is empty or given twice, or a label is none of them.
    """

    def __init__(self, selection: Selection, given: Sequence[str] | Mapping[str, int] | None = None) -> None:
        if given is None:
            given = selection.names()
        elif not given:
            raise InputError("no class is given; name them all, in the order of their numbers")
        names = list(given)
        for name in names:
            if not isinstance(name, str) or not name.strip():
                raise InputError("a class has no name; every category is a text")
            if names.count(name) > 1:
                raise InputError(f"the category {name!r} is given twice; give each once")
        pairs = given.items() if isinstance(given, Mapping) else ((name, number) for number, name in enumerate(given))
        self.numbers = dict(sorted(pairs, key=lambda pair: pair[1]))
        for each in selection.items:
            for label in each.labels:
                if label.name not in self.numbers:
                    known = ", ".join(list(self.numbers)[:20])
                    raise InputError(
                        f"{each.item} has the label {label.name!r}, which is none of the categories {known}"
                    )

    def __getitem__(self, name: str) -> int:
        return self.numbers[name]

    def ordered(self, form: str) -> list[str]:
        """Return the names by their numbers, for forms that know classes as a list.

        Raises
        ------
        InputError
            When the numbers have gaps.
        """
        if list(self.numbers.values()) != list(range(len(self.numbers))):
            shown = ", ".join(f"{number} {name}" for name, number in list(self.numbers.items())[:10])
            raise InputError(
                f"{form} numbers classes from 0 without gaps, and these labels have {shown}; give all of them in "
                "order, with --category or --categories"
            )
        return list(self.numbers)


def read_categories(uri: str, attribute: str | None = None) -> list[str] | dict[str, int]:
    """Read classes from a label category file, or from an augmented manifest's class numbers.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sms-label-cat-config-attributes.html

    Raises
    ------
    InputError
        When it is neither, or has no classes.
    StorageError
        When it can't be read.
    """
    if uri.endswith(".manifest"):
        numbers = class_numbers(uri, attribute)
        if not numbers:
            raise InputError(f"{uri} has no class numbers; give a label category file, or --category for each class")
        return numbers
    try:
        return [str(entry["label"]) for entry in json.loads(storage.read_text(uri))["labels"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f'{uri} is no label category file, {{"labels": [{{"label": "cat"}}, …]}}, and no .manifest'
        ) from error
