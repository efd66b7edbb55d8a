"""What the labeling service asks of its store: jobs, data objects, leases, answers, workteams, workers, tokens.

:class:`Store` is the interface; gandt/service/sqlite/ is the one that there is, and another is one class with these
methods. Rules for all: a method is one transaction; what it returns is on the disk before, and stays whatever happens
to the machine, except where it says that it may be lost; answers and events are only ever added. Times are seconds
since 1970, names of jobs and workteams are compared without case, of tokens and codes only hashes are kept.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gandt.service.engine import Label
from gandt.service.outputs import WorkerAnswer
from gandt.service.records import Counts, PastJob, Record


@dataclass(frozen=True)
class Job:
    """One labeling job as it is kept; ``reason`` says why it failed."""

    name: str
    request: dict[str, Any]
    status: str
    reason: str
    template: str
    seed: int
    created: float
    modified: float

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class Lease:
    """A data object in a worker's hands until ``expires``; reserved, held, submitted, declined, expired (``state``)."""

    id: str
    job: str
    number: str
    worker: str
    accepted: float
    expires: float
    state: str


@dataclass(frozen=True)
class Workteam:
    """A workteam: its CreateWorkteam request and its times."""

    name: str
    request: dict[str, Any]
    created: float
    modified: float


@dataclass(frozen=True)
class Worker:
    """Somebody who may work: an id for the files, a name for people, the workteam in lower case."""

    id: str
    name: str
    workteam: str


@dataclass(frozen=True)
class Draft:
    """An unfinished answer and the seconds of work in it."""

    content: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class KeptAnswer:
    """One answer as it came; ``revision`` counts how often the worker has changed it; no content withdraws it."""

    id: int
    number: str
    worker: str
    revision: int
    content: dict[str, Any] | None
    submitted: float
    seconds: float


@dataclass(frozen=True)
class Event:
    """What happened to an object: handed out, submitted or changed (with the content), withdrawn, skipped, ran out."""

    id: int
    at: float
    number: str
    worker: str
    name: str
    what: str
    content: dict[str, Any] | None
    seconds: float | None


class Store(Protocol):
    """The state of a labeling service."""

    def close(self) -> None:
        """End all use of the store."""
        ...

    # ------------------------------------------------------------------ settings

    def setting(self, name: str) -> str | None:
        """Return a value that :meth:`set` kept."""
        ...

    def set(self, name: str, value: str, *, once: bool = False) -> str:
        """Keep ``value``, with ``once`` only if there is none yet; return what is kept."""
        ...

    # ------------------------------------------------------------------ whatever else has a name

    def add_record(self, kind: str, key: str, content: Any, now: float) -> bool:
        """Keep a new thing; False when there is one under this key."""
        ...

    def put_record(self, kind: str, key: str, content: Any, now: float) -> None:
        """Keep a thing, in place of an earlier one."""
        ...

    def record(self, kind: str, key: str) -> Record | None:
        """Return what is kept under a key."""
        ...

    def records(self, kind: str) -> list[Record]:
        """Return all of a kind, the oldest first."""
        ...

    def delete_record(self, kind: str, key: str) -> bool:
        """Forget what is kept under a key; False when there is nothing."""
        ...

    def add_streamed(self, name: str, object_id: str, line: Any, now: float) -> bool:
        """Add a data object to a streaming job, once by its id; False when it is there already."""
        ...

    def open_iterations(self, name: str) -> list[tuple[int, float]]:
        """Return number and time of opening of the iterations that aren't closed, the oldest first."""
        ...

    def add_past_job(self, past: PastJob) -> bool:
        """Keep a job that has ended with its objects and answers, all or nothing; False when its name is taken."""
        ...

    # ------------------------------------------------------------------ jobs and their objects

    def add_job(self, request: Mapping[str, Any], seed: int, now: float) -> bool:
        """Keep a new job; False when there is one of that name."""
        ...

    def job(self, name: str) -> Job | None:
        """Return the job of that name."""
        ...

    def jobs(self, workteam: str | None = None) -> list[Job]:
        """Return all jobs, or those of a workteam, the oldest first."""
        ...

    def set_status(self, name: str, status: str, now: float, *, reason: str = "", only: Sequence[str] = ()) -> bool:
        """Change a job's status; with ``only``, just from one of these, False when it has another."""
        ...

    def begin(
        self, name: str, template: str, lines: Sequence[Mapping[str, Any]], todo: Collection[str], now: float
    ) -> None:
        """Keep a job's template and manifest as they were read; ``todo`` has the ids of the objects to label."""
        ...

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return a job's manifest, none before :meth:`begin`."""
        ...

    def results(self, name: str) -> tuple[dict[str, Label], dict[str, str]]:
        """Return the labels there are, and the failed objects with their reasons."""
        ...

    def states(self, name: str) -> dict[str, int]:
        """Return how many of a job's objects are in each state."""
        ...

    def counts(self, name: str) -> Counts:
        """Return how many answers a job has, and how many of its objects want more workers than there are."""
        ...

    # ------------------------------------------------------------------ iterations

    def iteration(self, name: str) -> tuple[int, float, bool]:
        """Return the number of the last iteration (0 for none), when it was opened, and whether it is closed."""
        ...

    def drawn(self, name: str, iteration: int | None = None) -> dict[str, str]:
        """Return the state of the objects of one iteration, or of all that were in any, by id, in order of work."""
        ...

    def pending(self, name: str) -> bool:
        """Return whether any object of the open iteration still waits for its task or for answers."""
        ...

    def open_iteration(self, name: str, iteration: int, objects: Sequence[str], now: float) -> None:
        """Begin an iteration with these objects; none is handed out before its task is there."""
        ...

    def set_tasks(self, name: str, tasks: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Let these objects be handed out, each with its task input; None for one that needs no worker."""
        ...

    def answers(self, name: str, iteration: int) -> dict[str, list[WorkerAnswer]]:
        """Return the answers about each object of an iteration, in the order in which they came; changed ones once."""
        ...

    def freeze(self, name: str, iteration: int) -> None:
        """Hand out nothing more of an iteration, take no more answers to it and no changes of those there are."""
        ...

    def close_iteration(
        self, name: str, iteration: int, labels: Mapping[str, Label], failed: Mapping[str, str], now: float
    ) -> None:
        """Keep what consolidation made of an iteration; its other objects stay without a label."""
        ...

    # ------------------------------------------------------------------ work

    def lease(self, name: str, worker: str, now: float) -> Lease | None:
        """Give a worker the next object, or again the one that he holds; None when there is none for him.

        Nobody gets an object of another workteam's job, one that he has answered or declined, nor one that others
        hold or have answered as often as the job asks. May be lost.
        """
        ...

    def reserve(self, name: str, worker: str, now: float) -> Lease | None:
        """Keep for a worker the object that comes after the one he holds, so that it can be loaded ahead.

        Its time limit begins when :meth:`lease` hands it out. May be lost.
        """
        ...

    def left(self, name: str, worker: str, now: float) -> int:
        """Return how many objects the worker could do now, with those that he holds."""
        ...

    def held(self, lease_id: str, worker: str) -> Lease | None:
        """Return a lease if it is this worker's, whatever became of it."""
        ...

    def task(self, lease: Lease) -> dict[str, Any]:
        """Return the task input of the object that is leased."""
        ...

    def decline(self, lease_id: str, worker: str, now: float) -> bool:
        """Give a leased object back, for others; False when the worker doesn't hold it."""
        ...

    def withdraw(self, lease_id: str, worker: str, now: float) -> bool:
        """Take a worker's answer back, and give the object to others; False when it can't be changed any more.

        It stays among the answers, with one more revision that has no content.
        """
        ...

    def submit(
        self, lease_id: str, worker: str, content: Mapping[str, Any], seconds: float, now: float, *, revision: int = 0
    ) -> str:
        """Keep an answer, once; ``revision`` 1, 2, … changes it within the lease, until its iteration is frozen.

        ``seconds`` are kept as far as they have passed since the object was handed out, and never fewer than 0: an
        answer isn't submitted before that, whatever ``now`` is (a clock may be set back between two runs).

        Returns
        -------
        str
            ``"kept"``; ``"kept before"`` for a submit that comes again (the first answer stands); ``"over"`` when the
            time limit has passed or the object is closed; ``"unknown"`` when this worker has no such lease.
        """
        ...

    def last_answer(self, lease_id: str, worker: str) -> tuple[dict[str, Any], float, int] | None:
        """Return what was submitted to a worker's lease: the content, its seconds, its revision."""
        ...

    def changeable(self, lease_id: str, now: float) -> bool:
        """Return whether :meth:`submit` would take a change of this answer."""
        ...

    def set_draft(self, lease_id: str, worker: str, content: Mapping[str, Any], seconds: float, now: float) -> bool:
        """Keep an unfinished answer; False when the worker doesn't hold this lease. May be lost."""
        ...

    def draft(self, lease_id: str) -> Draft | None:
        """Return the unfinished answer to a lease."""
        ...

    # ------------------------------------------------------------------ people

    def put_workteam(self, request: Mapping[str, Any], now: float) -> bool:
        """Keep a new workteam; False when there is one of that name."""
        ...

    def change_workteam(self, request: Mapping[str, Any], now: float) -> None:
        """Keep other members of an existing workteam's request."""
        ...

    def workteams(self, name: str | None = None) -> list[Workteam]:
        """Return all workteams by name, or the one of that name."""
        ...

    def delete_workteam(self, name: str) -> bool:
        """Forget a workteam; its workers can't work any more, their answers stay."""
        ...

    def add_worker(self, name: str, workteam: str) -> str:
        """Return the id of the worker of that name in a workteam, a new one's if need be."""
        ...

    def workers(self, workteam: str | None = None) -> list[Worker]:
        """Return everybody, or a workteam's workers, by name."""
        ...

    def worker(self, worker: str) -> tuple[str, str]:
        """Return a worker's name and workteam."""
        ...

    def issue(self, bearer: str, kind: str, expires: float) -> str:
        """Return a new secret by which somebody is known; only its hash is kept.

        ``kind`` is what it is good for: link, session, owner-link, owner-session, api.
        """
        ...

    def bearer(self, token: str, kind: str, now: float) -> str | None:
        """Return whose token this is, None when it is unknown, of another kind, expired or revoked."""
        ...

    def revoke(self, bearer: str, now: float, *, token: str | None = None) -> int:
        """Make one token of somebody, or all of them, useless; return how many there were."""
        ...

    def issue_code(self, workteam: str, expires: float) -> str:
        """Return a new one-time code by which somebody can join a workteam."""
        ...

    def join(self, code: str, name: str, now: float) -> str | None:
        """Make somebody a worker of the code's workteam and return the id, once a code; None for one that isn't good.

        Raises
        ------
        InputError
            When the workteam has a worker of that name; the code stays good.
        """
        ...

    # ------------------------------------------------------------------ for the owner

    def events(self, name: str, *, before: int | None = None, number: str = "", limit: int = 50) -> list[Event]:
        """Return the last events of a job, or of one of its objects, the latest first."""
        ...

    def answers_after(self, name: str, after: int, limit: int = 5000) -> list[KeptAnswer]:
        """Return a job's answers that came after the one with this id, in order; changed ones again."""
        ...

    def failures(self, name: str, limit: int = 100) -> list[tuple[str, str]]:
        """Return the first failed objects of a job with their reasons."""
        ...

    def in_hand(self, name: str, now: float) -> int:
        """Return how many tasks of a job somebody holds."""
        ...


def open_store(address: str) -> Store:
    """Open the store at ``address``, a local folder; made if need be.

    Raises
    ------
    InputError
        When the folder holds something that is no state of gandt's.
    """
    from gandt.service.sqlite import SqliteStore

    return SqliteStore(address)
