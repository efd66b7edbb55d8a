"""What the owner sees of a job: progress, throughput, agreement, gold, time; counted as the answers come."""

import statistics
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gandt.answers.content import answer_field, answer_labels, parse_content, tile_labels
from gandt.answers.files import line_page
from gandt.errors import ContractError, InputError
from gandt.jobs.status import shortage
from gandt.manifest.lines import line_names
from gandt.service.store import Job, KeptAnswer, Store

BARS = 60  # of the chart of throughput
_STEPS = (10, 30, 60, 300, 900, 3600, 21_600, 86_400)  # seconds that a bar may stand for
RECENT = 600  # seconds by which the rest is foretold


class _Counted:
    """The answers of one job so far: what each worker said of each thing, the last revision of each."""

    def __init__(self) -> None:
        self.last = 0
        self.said: dict[str, dict[str, dict[str, frozenset[str]]]] = defaultdict(dict)  # object → worker → field
        self.seconds: dict[tuple[str, str], float] = {}
        self.moments: dict[tuple[str, str], float] = {}
        self._pairs: dict[str, int] = defaultdict(int)
        self._equal: dict[str, int] = defaultdict(int)

    def add(self, answers: Iterable[KeptAnswer]) -> bool:
        """Count these; say whether there were any."""
        before = self.last
        for answer in answers:
            self.last = answer.id
            key = (answer.number, answer.worker)
            given = self.said[answer.number]
            if answer.worker in given:
                self._compare(answer.worker, given, -1)
            if answer.content is None:  # withdrawn
                del given[answer.worker], self.seconds[key], self.moments[key]
                continue
            given[answer.worker] = _fields(answer.content)
            self._compare(answer.worker, given, 1)
            self.seconds[key] = answer.seconds
            self.moments.setdefault(key, answer.submitted)
        return self.last > before

    def agreement(self) -> dict[str, float]:
        """Return the share of equal pairs of answers about one thing, by worker; under ``""`` of all."""
        return {who: self._equal[who] / count for who, count in self._pairs.items() if count}

    def _compare(self, worker: str, given: Mapping[str, dict[str, frozenset[str]]], sign: int) -> None:
        mine = given[worker]
        for other, said in given.items():
            if other == worker:
                continue
            for field in mine.keys() & said.keys():
                for who in ("", worker, other):
                    self._pairs[who] += sign
                    self._equal[who] += sign * (mine[field] == said[field])


@dataclass(frozen=True)
class Standing:
    """How far a job's answers are.

    Attributes
    ----------
    answers, wanted : int
        Answers that count, and how many there will be when every object that is to be asked has its number.
    later : int
        Objects that are opened when those before have their answers.
    workers, short, lacking : int
        As in :class:`~gandt.service.records.Counts`.
    shortage : str
        What that means, as a sentence; empty where there are workers enough.
    """

    answers: int
    wanted: int
    later: int
    workers: int
    short: int
    lacking: int
    shortage: str


def standing(store: Store, job: Job) -> Standing:
    """Say how far a job's answers are, and whether its workteam has workers enough."""
    counts, states = store.counts(job.name), store.states(job.name)
    per_object = job.request["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"]
    later = to_come(job, states)
    asked = later + states.get("drawn", 0) + states.get("open", 0)
    missing = 0 if job.ended else max(0, asked * per_object - counts.on_open)
    told = "" if job.ended or not asked else shortage(counts.short, counts.lacking, counts.workers, per_object)
    if not states:  # the manifest isn't read yet
        told = shortage(0, 0, counts.workers, per_object)
    wanted = counts.answers + missing
    return Standing(counts.answers, wanted, later, counts.workers, counts.short, counts.lacking, told)


def to_come(job: Job, states: Mapping[str, int]) -> int:
    """Return how many objects are still to be opened, as far as the stopping conditions let them."""
    if job.ended:
        return 0
    waiting, conditions = states.get("waiting", 0), job.request.get("StoppingConditions", {})
    human, given, all_ = states.get("labeled", 0), states.get("given", 0), sum(states.values())
    flying = sum(states.get(state, 0) for state in ("drawn", "open", "answered"))
    most = conditions.get("MaxHumanLabeledObjectCount", all_) - human
    share = -(-all_ * conditions.get("MaxPercentageOfInputDatasetLabeled", 100) // 100) - human - given
    return max(0, min(waiting, int(most) - flying, int(share) - flying))


class Progress:
    """Figures of all jobs of a store, kept up to date with little reading."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counted: dict[str, _Counted] = defaultdict(_Counted)
        self._lock = threading.Lock()

    def brief(self, job: Job) -> dict[str, Any]:
        """Return one line about a job."""
        states, stands = self._store.states(job.name), standing(self._store, job)
        task = job.request["HumanTaskConfig"]
        return {
            "name": job.name,
            "title": task["TaskTitle"],
            "status": job.status,
            "objects": sum(states.values()),
            "labeled": states.get("labeled", 0) + states.get("given", 0),
            "failed": states.get("failed", 0),
            "answers": stands.answers,
            "answers_wanted": stands.wanted,
            "workers_in_team": stands.workers,
            "objects_short": stands.short,
            "workers_lacking": stands.lacking,
            "shortage": stands.shortage,
            "later": stands.later,
            "created": job.created,
            "modified": job.modified,
        }

    def figures(self, job: Job, now: float) -> dict[str, Any]:
        """Return everything about a job, as JSON; times in seconds, shares from 0 to 1."""
        brief, states = self.brief(job), self._store.states(job.name)
        with self._lock:
            counted = self._counted[job.name.lower()]
            while counted.add(self._store.answers_after(job.name, counted.last)):
                pass
            names = {worker.id: worker.name for worker in self._store.workers()}
            shares = counted.agreement()
            gold = self._gold(job.name, counted)
            moments = sorted(counted.moments.values())
            seconds = list(counted.seconds.values())
            by_worker: dict[str, list[float]] = defaultdict(list)
            for (_, worker), spent in counted.seconds.items():
                by_worker[worker].append(spent)
        human = states.get("labeled", 0)
        missing = brief["answers_wanted"] - brief["answers"]
        recent = sum(1 for moment in moments if moment > now - RECENT)
        span = min(RECENT, max(now - moments[0], 1.0)) if moments else RECENT
        workers = [
            {
                "worker": worker,
                "name": names.get(worker, ""),
                "answers": len(spent),
                "seconds": statistics.median(spent),
                "agreement": shares.get(worker),
                "gold_right": gold[worker][0] if worker in gold else None,
                "gold_answers": gold[worker][1] if worker in gold else None,
            }
            for worker, spent in by_worker.items()
        ]
        return {
            **brief,
            "reason": job.reason,
            "states": states,
            "missing": missing,
            "in_hand": self._store.in_hand(job.name, now),
            "per_minute": 60 * recent / span,
            "seconds_left": missing * span / recent if recent and missing else None,
            "throughput": _bars(moments, now if not job.ended else max([*moments, job.created])),
            "agreement": shares.get(""),
            "gold_right": sum(right for right, _ in gold.values()) if gold else None,
            "gold_answers": sum(count for _, count in gold.values()) if gold else None,
            "seconds_per_answer": statistics.median(seconds) if seconds else None,
            "seconds_per_label": sum(seconds) / human if human else None,
            "seconds_spent": sum(seconds),
            "workers": sorted(workers, key=lambda row: -int(row["answers"])),
            "failures": [{"object": number, "reason": why} for number, why in self._store.failures(job.name)],
        }

    def set_gold(self, job: Job, rows: object, now: float) -> int:
        """Keep which items of a job are gold; return how many places that are.

        ``rows`` are those that ``gandt manifest build --gold-record`` writes: data_object, item, label.

        Raises
        ------
        InputError
            When a row lacks one of these, or names what the job doesn't have.
        """
        lines = self._store.lines(job.name)
        kept = []
        for place, row in enumerate(rows if isinstance(rows, list) else [None], start=1):
            try:
                number, item, label = (str(row[name]) for name in ("data_object", "item", "label"))
                page, names = line_page(lines[int(number)]), line_names(lines[int(number)])
                index = next(
                    entry.get("index", at)
                    for at, entry in enumerate(page)
                    if item in (*names[at : at + 1], *entry.values())
                )
                kept.append([number, str(index) if len(page) > 1 or "index" in page[0] else "", label])
            except (TypeError, KeyError, ValueError, IndexError, StopIteration) as error:
                raise InputError(
                    f"row {place} names no item of this job; give the table that --gold-record wrote for its manifest"
                ) from error
        self._store.put_record("gold", job.name.lower(), kept, now)
        return len(kept)

    def _gold(self, name: str, counted: _Counted) -> dict[str, tuple[int, int]]:
        """Return how many gold items each worker had right, and had."""
        record = self._store.record("gold", name.lower())
        results: dict[str, tuple[int, int]] = {}
        for number, index, label in record.content if record else []:
            for worker, fields in counted.said.get(number, {}).items():
                said = fields.get(f"labels-{index}") if index and f"labels-{index}" in fields else fields.get("")
                if said is not None:
                    right, count = results.get(worker, (0, 0))
                    results[worker] = (right + (said == frozenset([label])), count + 1)
        return results


def _fields(content: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return what was said of each tile of a page, or of the page under ``""``."""
    try:
        form = parse_content(dict(content))
    except ContractError:
        return {}
    tiles = [name for name in form if name.startswith("labels-")]
    if tiles:
        return {name: frozenset(tile_labels(form, name.removeprefix("labels-"))) for name in tiles}
    return {"": frozenset(answer_labels(form))} if answer_field(form) else {}


def _bars(moments: list[float], end: float) -> dict[str, Any]:
    """Return answers by step of time, the last step ending at ``end``."""
    first = moments[0] if moments else end
    step = next((step for step in _STEPS if (end - first) / step < BARS), _STEPS[-1])
    bars = [0] * BARS
    for moment in moments:
        place = BARS - 1 - int((end - moment) // step)
        if 0 <= place < BARS:
            bars[place] += 1
    return {"seconds": step, "answers": bars, "end": end}
