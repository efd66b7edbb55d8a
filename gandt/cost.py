"""What a labeling job will cost, and what it did cost.

Words: a *judgement* is one worker's answer on one item; a *task* is one worker's page, and that is what workers and
Ground Truth are paid for: a page of twenty tiles is one object and, for each worker, one task.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from gandt import storage
from gandt.arguments import checked
from gandt.consensus.calibration import DEPENDENCE, discount
from gandt.errors import InputError


@dataclass(frozen=True)
class Prices:
    """A price list; write your own as JSON and read it with :func:`read_prices`.

    Attributes
    ----------
    currency : str
    per_object : tuple of (int, float)
        The platform's fee for each object (page) by tiers: (first object of the tier, price of each in it).
    per_task : float
        What one worker is paid for one page, fees included; 0 for a private workforce on salary.
    per_hour : float
        What an hour of a worker costs; 0 where tasks are paid by the piece.
    """

    currency: str = "USD"
    per_object: tuple[tuple[int, float], ...] = ((0, 0.08), (50_000, 0.04), (1_000_000, 0.02))
    per_task: float = 0.012
    per_hour: float = 0.0

    def objects(self, count: float) -> float:
        """Price of ``count`` objects, tier by tier."""
        total = 0.0
        starts = [start for start, _ in self.per_object] + [float("inf")]
        for (start, price), end in zip(self.per_object, starts[1:], strict=True):
            total += max(min(count, end) - start, 0) * price
        return total

    def total(self, pages: float, tasks: float, hours: float) -> float:
        """Cost of so many pages (objects), tasks and hours of workers."""
        return self.objects(pages) + tasks * self.per_task + hours * self.per_hour


# Ground Truth's first tier and MTurk's rate for image classification as quoted in 2026; the later tiers are AWS's
# published steps. Prices change: check them, and write your own list.
GROUND_TRUTH = Prices()
OWN_SERVICE = Prices(per_object=((0, 0.0),), per_task=0.0)
_LEAST = 2  # answers under which no label is confident


@checked
def read_prices(uri: str, *, s3: Any = None) -> Prices:
    """Read a price list: a JSON object with any of the fields of :class:`Prices`.

    Raises
    ------
    StorageError
        When the file can't be read.
    InputError
        When it isn't such an object.
    """
    try:
        given = json.loads(storage.read_text(uri, s3=s3))
    except ValueError as error:
        raise InputError(f"the price list {uri} isn't JSON: {error}") from error
    names = [field.name for field in fields(Prices)]
    if not isinstance(given, dict) or set(given) - set(names):
        raise InputError(f"the price list {uri} must be a JSON object with some of the fields {', '.join(names)}")
    try:
        if "per_object" in given:
            tiers = sorted((int(start), float(price)) for start, price in given["per_object"])
            if not tiers or tiers[0][0] != 0:
                raise ValueError("per_object must have a tier that starts at 0")
            given["per_object"] = tuple(tiers)
        for name in ("per_task", "per_hour"):
            given[name] = float(given.get(name, getattr(GROUND_TRUTH, name)))
        prices = Prices(**given)
    except (TypeError, ValueError) as error:
        raise InputError(f"the price list {uri} holds what isn't a price: {error}") from error
    if min(prices.per_task, prices.per_hour, *(price for _, price in prices.per_object)) < 0:
        raise InputError(f"the price list {uri} holds a price below 0; prices are 0 or more")
    return prices


@dataclass(frozen=True)
class Plan:
    """What a job will take; of judgements and cost the mean and an interval that holds nine times in ten.

    ``accuracy`` is the labels' expected accuracy, ``confident`` how many labels will reach the target.
    """

    items: int
    gold: int
    pages: float
    judgements: float
    judgements_low: float
    judgements_high: float
    tasks: float
    hours: float
    cost: float
    cost_low: float
    cost_high: float
    accuracy: float
    confident: float
    cost_per_confident: float | None
    currency: str

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


@checked
def plan(
    items: int,
    *,
    per_page: int = 20,
    workers: int = 3,
    until_sure: bool = False,
    target: float = 0.95,
    cap: int = 9,
    classes: int = 4,
    skill: float = 0.85,
    skill_spread: float = 0.05,
    correlation: float = 0.25,
    gold_rate: float = 0.0,
    seconds: float = 3.0,
    prices: Prices = GROUND_TRUTH,
    draws: int = 200,
    seed: int = 0,
) -> Plan:
    """Foretell a job's judgements and cost.

    Parameters
    ----------
    items : int
        To be labeled.
    per_page : int
        Items on a page (object).
    workers : int
        Answers per item; with ``until_sure`` those of the first round.
    until_sure : bool
        Go on, one answer at a time, until an item's confidence is ``target`` or it has ``cap`` answers.
    skill, skill_spread : float
        Expected accuracy of the workers, and how uncertain that expectation is (standard deviation).
    correlation : float
        Of the simulated workers' errors on an item: 0, everybody errs by himself, to 1, all err together.
    gold_rate : float
        Share of the pages' tiles that are gold.
    seconds : float
        Time of one judgement.
    draws : int
        Simulated jobs from which mean and interval come.

    Raises
    ------
    InputError
        When a number makes no sense.
    """
    if items < 1 or per_page < 1 or workers < 1 or classes < 2:
        raise InputError("a plan needs at least one item, one item per page, one worker and two classes")
    if not 0 <= gold_rate < 1 or not 0 < target < 1 or not 0 <= correlation <= 1:
        raise InputError("the gold rate, the target and the correlation are shares between 0 and 1")
    if not 1 / classes < skill < 1:
        raise InputError(f"the workers' accuracy must lie between chance (1/{classes}) and 1; it is {skill}")
    random = np.random.default_rng(seed)
    sample = min(items, 400)
    played = []
    for _ in range(draws):
        drawn = float(np.clip(random.normal(skill, skill_spread), 1 / classes + 0.02, 0.995))
        played.append(_simulate(random, sample, workers, until_sure, target, cap, classes, drawn, correlation))
    per_item = [given for given, _, _ in played]
    mean, right, sure = (float(value) for value in np.mean(played, axis=0))
    low, high = (float(value) for value in np.quantile(per_item, [0.05, 0.95]))

    gold = round(items * gold_rate / (1 - gold_rate))
    shown = items + gold

    def cost_of(each: float) -> tuple[float, float, float]:
        # later rounds show fewer items, on pages of their own: pages are paid again for each round
        later = max(each - workers, 0) * shown / per_page
        pages = np.ceil(shown / per_page) + later
        tasks = np.ceil(shown / per_page) * workers + later
        return float(pages), float(tasks), float(prices.total(pages, tasks, each * shown * seconds / 3600))

    pages, tasks, cost = cost_of(mean)
    return Plan(
        items=items,
        gold=gold,
        pages=pages,
        judgements=mean * shown,
        judgements_low=low * shown,
        judgements_high=high * shown,
        tasks=tasks,
        hours=mean * shown * seconds / 3600,
        cost=cost,
        cost_low=cost_of(low)[2],
        cost_high=cost_of(high)[2],
        accuracy=right,
        confident=sure * items,
        cost_per_confident=cost / (sure * items) if sure else None,
        currency=prices.currency,
    )


@checked
def read_plan(uri: str, *, s3: Any = None) -> Plan:
    """Read a plan that ``gandt plan --json`` printed into a file.

    Raises
    ------
    StorageError
        When the file can't be read.
    InputError
        When it isn't a plan.
    """
    names = {field.name for field in fields(Plan)}
    try:
        given = json.loads(storage.read_text(uri, s3=s3))
        if not isinstance(given, dict) or set(given) != names:
            raise ValueError("its fields aren't those of a plan")
        for name in names - {"currency", "cost_per_confident"}:
            float(given[name])
    except (TypeError, ValueError) as error:
        raise InputError(f"{uri} isn't a plan, as gandt plan --json prints it: {error}") from error
    return Plan(**given)


def _simulate(
    random: np.random.Generator,
    items: int,
    workers: int,
    until_sure: bool,
    target: float,
    cap: int,
    classes: int,
    skill: float,
    correlation: float,
) -> tuple[float, float, float]:
    """Play a job of equally skilled workers whose errors correlate: mean answers per item, accuracy, share sure."""
    # a Beta-binomial of this intraclass correlation: on some items everybody is likelier to err
    strength = 1 / max(correlation, 1e-3) - 1 + 1e-9
    chance = random.beta(skill * strength + 1e-9, (1 - skill) * strength + 1e-9, size=items)
    votes = np.zeros((items, classes))
    given = np.zeros(items)
    step = np.log(skill * (classes - 1) / (1 - skill))
    for turn in range(max(workers, cap) if until_sure else workers):
        going = np.arange(items) if turn < workers else np.flatnonzero(_confidence(votes, given, step) < target)
        if turn >= workers and not len(going):
            break
        right = random.random(len(going)) < chance[going]
        label = np.where(right, 0, random.integers(1, classes, size=len(going)))
        votes[going, label] += 1
        given[going] += 1
    ties = votes + random.random(votes.shape) * 0.5
    sure = (_confidence(votes, given, step) >= target) & (given >= _LEAST)
    return float(given.mean()), float((ties.argmax(axis=1) == 0).mean()), float(sure.mean())


def _confidence(votes: Any, given: Any, step: float) -> Any:
    scores = np.exp((votes - votes.max(axis=1, keepdims=True)) * step)
    return discount(scores / scores.sum(axis=1, keepdims=True), given, DEPENDENCE).max(axis=1)


@checked
def actual(
    labels: pd.DataFrame,
    answers: pd.DataFrame,
    prices: Prices = GROUND_TRUTH,
    plan: Plan | Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Say what a job took, next to its plan.

    Parameters
    ----------
    labels : pd.DataFrame
        The labels table; its column status tells which labels are confident.
    answers : pd.DataFrame
        The answers table: item and worker; data_object and job tell the pages (one item a page without them), and
        seconds the hours. All rows of one worker's page carry the time of the whole page, which counts once.
    prices : Prices
    plan : Plan or mapping, optional
        Made before by :func:`plan`, or its fields by name.

    Returns
    -------
    dict
        items, confident (labels), judgements, pages, tasks, hours, cost, cost_per_confident, currency; hours is None
        where no time is known, and cost_per_confident where no label is confident. ``plan`` is None without one, else
        for each of these numbers that was planned a dict of planned, low, high (None where no interval was planned)
        and difference (actual less planned).

    Raises
    ------
    InputError
        When a table lacks a column.
    """
    for name, table, needed in (("labels", labels, ["status"]), ("answers", answers, ["item", "worker"])):
        missing = [column for column in needed if column not in table.columns]
        if missing:
            raise InputError(f"the {name} table lacks the column {missing[0]}; write it with gandt {_MADE_BY[name]}")
    job = ["job"] if "job" in answers.columns else []
    page = [*job, "data_object"] if "data_object" in answers.columns else [*job, "item"]
    tasks = answers.drop_duplicates([*page, "worker"])
    pages = len(answers.drop_duplicates(page))
    seconds = pd.to_numeric(tasks["seconds"], errors="coerce") if "seconds" in tasks.columns else pd.Series(dtype=float)
    hours = float(seconds.sum()) / 3600 if seconds.notna().any() else None
    cost = prices.total(pages, len(tasks), hours or 0.0)
    confident = int((labels["status"] == "confident").sum())
    result: dict[str, Any] = {
        "items": len(labels),
        "confident": confident,
        "judgements": len(answers.drop_duplicates([*job, "item", "worker"])),
        "pages": pages,
        "tasks": len(tasks),
        "hours": hours,
        "cost": cost,
        "cost_per_confident": cost / confident if confident else None,
        "currency": prices.currency,
    }
    known = plan.as_dict() if isinstance(plan, Plan) else dict(plan or {})
    result["plan"] = {
        name: {
            "planned": float(known[name]),
            "low": _known(known.get(f"{name}_low")),
            "high": _known(known.get(f"{name}_high")),
            "difference": None if value is None else value - float(known[name]),
        }
        for name, value in result.items()
        if name != "currency" and _known(known.get(name)) is not None
    } or None
    return result


_MADE_BY = {"labels": "consensus", "answers": "answers"}


def _known(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
