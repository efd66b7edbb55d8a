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
from gandt.consensus import Consensus
from gandt.consensus.calibration import discount
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


# Ground Truth's first tier and MTurk's rate for image classification as quoted in 2026; the later tiers are AWS's
# published steps. Prices change: check them, and write your own list.
GROUND_TRUTH = Prices()
OWN_SERVICE = Prices(per_object=((0, 0.0),), per_task=0.0)


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
    """What a job will take; of judgements, tasks and price the mean and an interval that holds nine times in ten."""

    items: int
    gold: int
    objects: float
    judgements: float
    judgements_low: float
    judgements_high: float
    tasks: float
    hours: float
    price: float
    price_low: float
    price_high: float
    accuracy: float
    currency: str

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


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
    """Foretell a job's judgements and price.

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
        How much workers' errors on an item correlate; see gandt/consensus/calibration.py.
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
    per_item, right = [], []
    for _ in range(draws):
        drawn = float(np.clip(random.normal(skill, skill_spread), 1 / classes + 0.02, 0.995))
        given, correct = _simulate(random, sample, workers, until_sure, target, cap, classes, drawn, correlation)
        per_item.append(given)
        right.append(correct)
    mean = float(np.mean(per_item))
    low, high = (float(value) for value in np.quantile(per_item, [0.05, 0.95]))

    gold = round(items * gold_rate / (1 - gold_rate))
    scale = (items + gold) / items

    def price_of(each: float) -> tuple[float, float, float]:
        # later rounds show fewer items, on pages of their own: objects are paid again for each round
        tasks = np.ceil(items * scale / per_page) * workers + max(each - workers, 0) * items * scale / per_page
        objects = np.ceil(items * scale / per_page) + max(each - workers, 0) * items * scale / per_page
        hours = each * items * scale * seconds / 3600
        return objects, tasks, prices.objects(objects) + tasks * prices.per_task + hours * prices.per_hour

    objects, tasks, price = price_of(mean)
    return Plan(
        items=items,
        gold=gold,
        objects=float(objects),
        judgements=mean * items * scale,
        judgements_low=low * items * scale,
        judgements_high=high * items * scale,
        tasks=float(tasks),
        hours=mean * items * scale * seconds / 3600,
        price=float(price),
        price_low=float(price_of(low)[2]),
        price_high=float(price_of(high)[2]),
        accuracy=float(np.mean(right)),
        currency=prices.currency,
    )


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
) -> tuple[float, float]:
    """Play a job of equally skilled workers whose errors correlate: mean answers per item, and accuracy."""
    # a Beta-binomial of this intraclass correlation: on some items everybody is likelier to err
    strength = 1 / max(correlation, 1e-3) - 1 + 1e-9
    chance = random.beta(skill * strength + 1e-9, (1 - skill) * strength + 1e-9, size=items)
    votes = np.zeros((items, classes))
    given = np.zeros(items)
    step = np.log(skill * (classes - 1) / (1 - skill))
    for turn in range(max(workers, cap) if until_sure else workers):
        going = (
            np.arange(items)
            if turn < workers
            else np.flatnonzero(_confidence(votes, given, step, correlation) < target)
        )
        if turn >= workers and not len(going):
            break
        right = random.random(len(going)) < chance[going]
        label = np.where(right, 0, random.integers(1, classes, size=len(going)))
        votes[going, label] += 1
        given[going] += 1
    ties = votes + random.random(votes.shape) * 0.5
    return float(given.mean()), float((ties.argmax(axis=1) == 0).mean())


def _confidence(votes: Any, given: Any, step: float, correlation: float) -> Any:
    scores = np.exp((votes - votes.max(axis=1, keepdims=True)) * step)
    return discount(scores / scores.sum(axis=1, keepdims=True), given, correlation).max(axis=1)


def account(
    answers: pd.DataFrame,
    consensus: Consensus,
    *,
    prices: Prices = GROUND_TRUTH,
    expected: Plan | Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Say what a job took, next to its plan.

    Parameters
    ----------
    answers : pd.DataFrame
        The answers table; data_object and job tell the pages, seconds the hours, where they are there.
    consensus : Consensus
        Of these answers.
    expected : Plan, optional
        Made before.

    Returns
    -------
    pd.DataFrame
        what, actual, planned, low, high; rows items, objects, judgements, tasks, hours, price, confident labels, price
        per confident label. A planned value that isn't known is NaN.
    """
    judgements = consensus.crowd.answers
    if "data_object" in answers.columns:
        page = [name for name in ("job", "data_object") if name in answers.columns]
        objects = len(answers.drop_duplicates(page))
        tasks = len(answers.drop_duplicates([*page, "worker"]))
    else:  # one item a page
        objects, tasks = len(consensus.crowd.items), judgements
    hours = float("nan")
    if "seconds" in answers.columns:
        hours = float(pd.to_numeric(answers["seconds"], errors="coerce").sum()) / 3600
    price = prices.objects(objects) + tasks * prices.per_task + (hours if hours == hours else 0) * prices.per_hour
    confident = int((consensus.labels["status"] == "confident").sum())
    known = expected.as_dict() if isinstance(expected, Plan) else dict(expected or {})
    rows: list[tuple[str, float]] = [
        ("items", len(consensus.labels)),
        ("objects", objects),
        ("judgements", judgements),
        ("tasks", tasks),
        ("hours", hours),
        ("price", price),
        ("confident labels", confident),
        ("price per confident label", price / confident if confident else float("nan")),
    ]
    table = pd.DataFrame(rows, columns=["what", "actual"])
    for column, suffix in (("planned", ""), ("low", "_low"), ("high", "_high")):
        table[column] = [float(known.get(name + suffix, float("nan"))) for name in table["what"]]
    return table
