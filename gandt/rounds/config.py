"""The YAML of ``gandt run``: read with its line numbers, checked, every default filled in."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gandt import storage
from gandt.arguments import checked
from gandt.candidates.strategies import strategy
from gandt.categories import problems, tidy
from gandt.consensus import METHODS
from gandt.cost import GROUND_TRUTH, read_prices
from gandt.errors import InputError, extra

Check = Callable[[Any], str | None]


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a text"


def _texts(value: Any) -> str | None:
    values = value if isinstance(value, list) else [value]
    return None if values and all(_text(each) is None for each in values) else "must be a text or a list of texts"


def _switch(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _whole(least: int, most: float = math.inf) -> Check:
    def check(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"must be a whole number {_range(least, most)}"

    return check


def _number(least: float, most: float = math.inf) -> Check:
    def check(value: Any) -> str | None:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"must be a number {_range(least, most)}"

    return check


def _range(least: float, most: float) -> str:
    return f"of {least} or more" if most == math.inf else f"between {least} and {most}"


def _classes(value: Any) -> str | None:
    if not (isinstance(value, list) and len(value) > 1 and all(isinstance(each, str) for each in value)):
        return "must be a list of two or more different texts"
    wrong = [sentence for severity, sentence in problems(value) if severity == "error"]
    return f"must be a list of two or more different texts ({'; '.join(wrong)})" if wrong else None


def _one_of(*names: str) -> Check:
    return lambda value: None if value in names else f"must be one of {', '.join(names)}"


def _strategy(value: Any) -> str | None:
    if _text(value):
        return "must be the name of a strategy"
    try:
        strategy(value)
    except InputError as error:
        return f"names none: {error}"
    return None


def _options(value: Any) -> str | None:
    return None if isinstance(value, dict) else "must be a list of NAME: VALUE"


# section → name → (check, default); the section "" is the top
_FIELDS: dict[str, dict[str, tuple[Check, Any]]] = {
    "": {
        "store": (_text, None),
        "images": (_text, None),
        "model": (_text, "lite0"),
        "run": (_text, None),
        "classes": (_classes, None),
        "seeds": (_texts, []),
        "gold": (_texts, []),
        "seed": (_whole(0), 0),
        "duplicates": (_number(0.01, 1), None),
        "prices": (_text, None),
        "price_per_answer": (_number(0), GROUND_TRUTH.per_task),
    },
    "choose": {
        "strategy": (_strategy, "default"),
        "n": (_whole(1), 50),
        "relabel": (_switch, True),
        "neighbours": (_whole(0, 50), 0),
    },
    "ask": {
        "with": (_one_of("simulated", "table", "job"), "table"),
        "other": (_text, None),
        "workers": (_whole(1, 9), 1),
        "most": (_whole(1, 50), 5),
        "gold_rate": (_number(0, 1), 0.0),
        "truth": (_text, None),
        "crowd": (_whole(1), 12),
        "skill": (_number(0, 1), 0.9),
        "name": (_text, None),
        "output": (_text, None),
        "endpoint": (_text, None),
        "workteam": (_text, None),
        "role": (_text, None),
        "pre_lambda": (_text, None),
        "post_lambda": (_text, None),
        "stack": (_text, None),
        "template": (_text, "image-grid"),
        "table": (_text, None),
        "show": (_text, None),
        "per_page": (_whole(1, 100), 12),
        "hours": (_number(0), 240.0),
    },
    "consensus": {"method": (_one_of(*METHODS), "auto"), "target": (_number(0.01, 1), 0.95)},
    "learn": {
        "classifier": (_text, "logistic"),
        "options": (_options, {}),
        "balance": (_switch, True),
        "every": (_whole(1), 1),
    },
    "stop": {
        "accuracy": (_number(0.01, 1), None),
        "budget": (_whole(1), None),
        "money": (_number(0), None),
        "rounds": (_whole(1), None),
        "worth": (_number(0), None),
        "when_stalled": (_switch, False),
    },
    "generalize": {"precision": (_number(0.01, 1), 0.95)},
}


@dataclass(frozen=True)
class Config:
    """A checked configuration; ``values[section][name]``, the section "" for the top.

    Attributes
    ----------
    path : str
        Where it was read.
    text : str
        As it was written.
    values : dict
    lines : dict
        Line of each ``section.name`` that was given.
    """

    path: str
    text: str
    values: Mapping[str, Mapping[str, Any]]
    lines: Mapping[str, int]

    def __getitem__(self, section: str) -> Mapping[str, Any]:
        return self.values[section]

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label there can be: the classes and, last, ``ask.other`` where it is given."""
        other = self.values["ask"]["other"]
        return (*self.values[""]["classes"], *([other] if other else []))

    def unseen_other(self, gold: Collection[str]) -> str | None:
        """Return ``ask.other`` where there is gold, and none of its labels is that."""
        other: str | None = self.values["ask"]["other"]
        return other if other and gold and other not in gold else None

    def error(self, name: str, sentence: str) -> InputError:
        """Return an error that names the line of ``name``."""
        where = f" line {self.lines[name]}" if name in self.lines else ""
        return InputError(f"{self.path}{where}: {name} {sentence}")


@checked
def read_config(path: str, *, s3: Any = None) -> Config:
    """Read and check the configuration of ``gandt run``.

    Raises
    ------
    StorageError
        When the file can't be read.
    InputError
        When it isn't YAML, a name is unknown, or a value can't be used; the sentence names the line.
    """
    return parse_config(storage.read_text(path, s3=s3), path)


def price_of_an_answer(config: Config, *, s3: Any = None) -> tuple[float, str]:
    """Return what an answer about one item costs, and the currency."""
    top, ask = config[""], config["ask"]
    if top["prices"] is None:
        return float(top["price_per_answer"]), "USD"
    prices = read_prices(top["prices"], s3=s3)
    page = ask["per_page"] if ask["with"] == "job" else 1
    return (prices.per_task + prices.objects(1) / ask["workers"]) / page, prices.currency


@checked
def parse_config(text: str, path: str = "the configuration") -> Config:
    """Check a configuration's text; see :func:`read_config`."""
    with extra("local", "gandt run"):
        import yaml
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        given: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{path}{where}: this isn't YAML: {problem}") from error
    except (ValueError, RecursionError, OverflowError) as error:  # dates such as 2026-99-99; thousands of brackets
        raise InputError(f"{path}: this can't be read as YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(given, dict) or not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}: a configuration is a list of NAME: VALUE; see docs/rounds.md for one")
    lines: dict[str, int] = {}
    _walk(root, path, lines)
    config = Config(path, text, _filled(given, path, lines), lines)
    _together(config)
    return config


def _walk(root: Any, path: str, lines: dict[str, int]) -> None:
    """Note the line of each name, and refuse names that are unknown, repeated or no texts."""
    for key, value in root.value:
        name, line = str(key.value), key.start_mark.line + 1
        known = [*_FIELDS[""], *(section for section in _FIELDS if section)]
        if name not in known:
            raise InputError(f"{path} line {line}: there is no option {name!r}; there are {', '.join(known)}")
        if name in lines:
            raise InputError(f"{path} line {line}: {name} is given twice; the first is in line {lines[name]}")
        lines[name] = line
        if name not in _FIELDS:
            continue
        if not isinstance(value.value, list) or not all(isinstance(pair, tuple) for pair in value.value):
            raise InputError(f"{path} line {line}: {name} must be a list of NAME: VALUE, one indented line each")
        for inner, _ in value.value:
            full, line = f"{name}.{inner.value}", inner.start_mark.line + 1
            if str(inner.value) not in _FIELDS[name]:
                names = ", ".join(_FIELDS[name])
                raise InputError(f"{path} line {line}: {name} has no option {inner.value!r}; it has {names}")
            if full in lines:
                raise InputError(f"{path} line {line}: {full} is given twice; the first is in line {lines[full]}")
            lines[full] = line


def _filled(given: Mapping[str, Any], path: str, lines: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for section, fields in _FIELDS.items():
        told = given if not section else given.get(section) or {}
        values[section] = {}
        for name, (check, default) in fields.items():
            value = told.get(name)
            if value is None:
                values[section][name] = default
                continue
            problem = check(value)
            if problem:
                full = f"{section}.{name}" if section else name
                shown = "" if problem.startswith("names none") else f", not {value!r}"
                raise InputError(f"{path} line {lines[full]}: {full} {problem}{shown}")
            values[section][name] = value
    for name in ("seeds", "gold"):
        value = values[""][name]
        values[""][name] = value if isinstance(value, list) else [value]
    top, ask = values[""], values["ask"]
    top["classes"] = top["classes"] and [*map(tidy, top["classes"])]
    ask["other"] = ask["other"] and tidy(ask["other"])
    if ask["with"] == "simulated":  # nobody of a simulated crowd answers twice
        ask["most"] = min(ask["most"], ask["crowd"])
    return values


def _together(config: Config) -> None:
    """Check what depends on several options."""
    top, ask, stop = config[""], config["ask"], config["stop"]
    for name in ("run", "classes"):
        if top[name] is None:
            raise InputError(f"{config.path}: {name} is missing; see docs/rounds.md for a whole configuration")
    if (top["store"] is None) == (top["images"] is None):
        raise InputError(f"{config.path}: give one of store (gandt embed or gandt vectors made it) and images")
    if ask["with"] == "simulated" and ask["truth"] is None:
        raise config.error(
            "ask.with", "simulated needs ask.truth, a table with item and label that only the crowd sees"
        )
    if ask["with"] == "job" and not (ask["output"] and storage.is_s3(ask["output"])):
        raise config.error("ask.with", "job needs ask.output, the s3:// folder for the jobs' files")
    same = [name for name in top["classes"] if ask["other"] and name.casefold() == ask["other"].casefold()]
    if same:
        raise config.error("ask.other", f"is the class {same[0]!r}, too; it is for what is none of the classes")
    if ask["show"] is not None and ask["table"] is None:
        raise config.error("ask.show", "names a column of ask.table, which is missing; give the table")
    if ask["with"] == "simulated" and ask["workers"] > ask["crowd"]:
        raise config.error("ask.workers", f"must not be more than the {ask['crowd']} of ask.crowd")
    if stop["accuracy"] is not None and not top["gold"]:
        raise config.error("stop.accuracy", "needs gold, items of known label to measure it on; give gold or drop it")
    if stop["accuracy"] == 1:
        raise config.error(
            "stop.accuracy", "must be below 1: no number of gold items can show that every label is right"
        )
    if ask["gold_rate"] and not top["gold"]:
        raise config.error("ask.gold_rate", "mixes gold into the questions, and there is none; give gold or drop it")
    if config["learn"]["classifier"] not in ("logistic", "torch") or config["learn"]["options"]:
        from gandt.rounds.head import make_classifier

        try:
            make_classifier(config["learn"]["classifier"], config["learn"]["options"])
        except InputError as error:
            name = "learn.classifier" if "learn.classifier" in config.lines else "learn.options"
            raise config.error(name, f"can't be used: {error}") from error
