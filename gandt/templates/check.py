"""What is wrong with a template, found before it costs a job: its Liquid, its inputs, and (in page.py) its HTML."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gandt.arguments import checked
from gandt.categories import names_of
from gandt.categories import problems as category_problems
from gandt.errors import ContractError
from gandt.templates.header import Header, Input, header
from gandt.templates.page import Page, Problem, inspect
from gandt.templates.render import BROKEN, environment, parsed, render, sentence, whereabouts
from gandt.templates.tasks import sample_input

# characters of a template and of one task's input: UiTemplate.Content, RenderableTask.Input in SageMaker's API model
MAX_TEMPLATE = 128_000
MAX_INPUT = 128_000

# Liquid's filters of 2018, when Ground Truth began, and its own; which later ones it knows is not documented
_KNOWN_FILTERS = frozenset(
    """abs append at_least at_most capitalize ceil compact concat date default divided_by downcase escape escape_once
    first floor join last lstrip map minus modulo newline_to_br plus prepend remove remove_first replace
    replace_first reverse round rstrip size slice sort sort_natural split strip strip_html strip_newlines times
    truncate truncatewords uniq upcase url_decode url_encode grant_read_access skip_autoescape to_json""".split()  # noqa: SIM905 (readable)
)
Inputs = Iterable[tuple[int, Mapping[str, Any] | ContractError]]

_ONE_FILE = frozenset({"include", "render"})
_LATE_TAGS = frozenset({"#", "doc", "liquid", "echo", "ifchanged"})


@checked
def check(template: str, *, inputs: Inputs = ()) -> list[Problem]:
    """Find everything that is wrong with a template.

    Parameters
    ----------
    template : str
        The template's text.
    inputs : iterable of (int, Mapping or ContractError)
        Tasks it shall work with: number of the manifest's line, and its task input or why it has none, as
        :func:`~gandt.templates.manifest_inputs` yields them.

    Returns
    -------
    list of Problem
        By line; empty where all is well. docs/templates.md has the rules.
    """
    problems: list[Problem] = []
    if len(template) > MAX_TEMPLATE:
        size = f"the template has {len(template):,} characters, and Ground Truth takes {MAX_TEMPLATE:,}"
        problems.append(Problem("error", "size", 0, f"{size}; take large parts such as images out of it"))
    told = None
    try:
        told = header(template)
        if told is None:
            why = "the template has no header, so that nothing tells what it needs and what it submits"
            problems.append(Problem("warning", "header", 0, f"{why}; docs/templates.md shows one"))
    except ContractError as error:
        problems.append(Problem("error", "header", 1, str(error)))
    page = inspect(template)
    problems += page.problems
    used = _liquid(template, told, problems)
    if used is not None:
        if told is not None:
            _declared(told, used, page, problems)
        _tasks(template, told, used, inputs, problems)
    return sorted(problems, key=lambda problem: (problem.line, problem.level, problem.rule, problem.message))


def _liquid(template: str, told: Header | None, problems: list[Problem]) -> dict[str, int] | None:
    """Check syntax, filters, tags and variables; return the inputs it reads with their lines, None without a parse."""
    try:
        analysis = parsed(template).analyze(include_partials=False)
    except BROKEN as error:
        problems.append(Problem("error", "liquid", whereabouts(error), sentence(error)))
        return None

    def line(span: Any) -> int:
        return template.count("\n", 0, span.index) + 1

    for name, spans in analysis.filters.items():
        if name not in environment().filters:
            problems.append(Problem("error", "filter", line(spans[0]), f"there is no filter {name!r} in Liquid"))
        elif name not in _KNOWN_FILTERS:
            why = "is of a later Liquid than Ground Truth is known to run"
            problems.append(Problem("warning", "filter", line(spans[0]), f"the filter {name!r} {why}; avoid it"))
    for name, spans in analysis.tags.items():
        if name in _ONE_FILE:
            why = f"{{% {name} %}} needs another file, and Ground Truth has only this one; write the part out here"
            problems.append(Problem("error", "tag", line(spans[0]), why))
        elif name in _LATE_TAGS:
            why = f"the tag {{% {name} %}} is of a later Liquid than Ground Truth is known to run; avoid it"
            problems.append(Problem("warning", "tag", line(spans[0]), why))
    used: dict[str, int] = {}
    declared = {each.name for each in told.inputs} if told else set()
    for name, variables in analysis.globals.items():
        for variable in variables:
            path, at = variable.segments, line(variable.span)
            shown = ".".join(map(str, path))
            if name != "task" or (len(path) > 1 and path[1] != "input"):
                why = f"{shown!r} is no variable of a task; what the task brings is under task.input"
                problems.append(Problem("error", "variable", at, why))
            elif len(path) > 2 and isinstance(path[2], str) and path[2] not in used:
                used[path[2]] = at
                if told and path[2] not in declared:
                    why = f"{shown!r} is not among the inputs in the template's header; add it there, or mend the name"
                    problems.append(Problem("error", "variable", at, why))
            elif len(path) <= 2:
                used[""] = at  # all of task.input at once
    return used


def _declared(told: Header, used: Mapping[str, int], page: Page, problems: list[Problem]) -> None:
    """Hold the header's inputs and outputs against what the template does."""
    for each in told.inputs:
        if each.name not in used and "" not in used:
            why = f"the header declares the input {each.name!r}, and the template never reads it"
            problems.append(Problem("warning", "variable", 1, why))
    fields = {re.sub(r"\{\{.*?\}\}", "<index>", name, flags=re.DOTALL): at for name, at in page.fields.items()}
    outputs = {each.name for each in told.outputs}
    for name in sorted(outputs - set(fields)):
        why = f"the header declares the output {name!r}, and no field of the form has that name"
        problems.append(Problem("error", "output", 1, why))
    for name in sorted(set(fields) - outputs):
        why = f"the field {name!r} is not among the outputs in the header, so the reader of answers leaves it out"
        problems.append(Problem("warning", "output", fields[name], why))


def _tasks(
    template: str,
    told: Header | None,
    used: Mapping[str, int],
    inputs: Inputs,
    problems: list[Problem],
) -> None:
    """Try the template with the given tasks, or with a made-up one where none is given."""
    missing: dict[str, list[int]] = {}
    wrong: dict[tuple[str, str], list[int]] = {}
    unclear: dict[tuple[str, str], list[int]] = {}
    large: list[int] = []
    refused: list[tuple[int, ContractError]] = []
    tried = 0
    wanted = [each for each in told.inputs if not each.optional] if told else []
    for line, given in inputs:
        if isinstance(given, ContractError):
            refused.append((line, given))
            continue
        tried += 1
        for name in [each.name for each in wanted] if told else [name for name in used if name]:
            if given.get(name) in (None, "", [], {}):
                missing.setdefault(name, []).append(line)
        for each in told.inputs if told else ():
            why = _unlike(each, given.get(each.name))
            if why:
                wrong.setdefault((each.name, why), []).append(line)
        if "labels" in used or "" in used:
            other = given.get("other")
            for found in category_problems(names_of(given.get("labels")), other if isinstance(other, str) else None):
                unclear.setdefault(found, []).append(line)
        if len(json.dumps(given, ensure_ascii=False)) > MAX_INPUT:
            large.append(line)
        if tried == 1 and not missing:
            _try(template, given, f"with line {line} of the manifest", problems)
    for _, error in refused[:20]:
        problems.append(Problem("error", "manifest", 0, str(error)))
    if len(refused) > 20:
        problems.append(Problem("error", "manifest", 0, f"{len(refused) - 20:,} more lines can't be shown"))
    for name, lines in missing.items():
        # without a header nothing tells whether an input may be absent
        level = "error" if told else "warning"
        problems.append(
            Problem(
                level, "input", used.get(name, 1), f"{_where(lines)} no task.input.{name}, and the template needs it"
            )
        )
    for (name, why), lines in wrong.items():
        problems.append(Problem("error", "input", used.get(name, 1), f"{_where(lines)} a task.input.{name} that {why}"))
    for (level, unlike), lines in unclear.items():
        why = f"{_where(lines)} choices that nobody can tell apart: {unlike}"
        problems.append(Problem(level, "categories", used.get("labels", 1), why))
    if large:
        why = f"{_where(large)} a task input of more than {MAX_INPUT:,} characters; put less on a page"
        problems.append(Problem("error", "size", 0, why))
    if not tried and not refused and told is not None:
        _try(template, sample_input(told), "with a made-up task", problems)


def _try(template: str, given: Mapping[str, Any], how: str, problems: list[Problem]) -> None:
    try:
        render(template, given)
    except ContractError as error:
        place = whereabouts(error.__cause__) if error.__cause__ else 0
        problems.append(Problem("error", "render", place, f"{how}: {error}"))


def _where(lines: list[int]) -> str:
    if len(lines) == 1:
        return f"line {lines[0]} of the manifest brings"
    return f"{len(lines):,} lines of the manifest (the first is {lines[0]}) bring"


def _unlike(wanted: Input, value: Any) -> str:
    """Return why ``value`` isn't of the wanted type, as the end of a sentence; "" where it is (or is absent)."""
    if value is None or value == "":
        return ""
    if wanted.type in ("images", "sounds", "texts"):
        key = "source" if wanted.type == "texts" else "source-ref"
        if not isinstance(value, list):
            return "is not a list of items"
        # a picture or a text will do where the template shows either
        if not all(isinstance(item, Mapping) and ("source-ref" in item or "source" in item) for item in value):
            return f"holds an item without {key!r}"
        return ""
    expected: dict[str, Any] = {"list": list, "object": Mapping, "text": (str, int, float), "image": str}
    kind = expected.get(wanted.type, object)
    return "" if isinstance(value, kind) else f"is not of the type {wanted.type}, but a {type(value).__name__}"
