"""What the labeling service must not lose: jobs, data objects, leases, answers, workteams, workers, in SQLite.

One file, written through one connection; other processes (``gandt invite``) may open it at the same time. Every
method is one transaction, and what it returns is on the disk (WAL, synchronous=FULL): nothing is acknowledged before.
Answers are only ever added; triggers refuse to change them. The public methods of :class:`Store` are all that the
service asks of a store, so that another implementation is one class with these methods. Times are seconds since 1970,
personal tokens are kept as SHA-256 hashes.
"""

import hashlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gandt.errors import InputError
from gandt.service.engine import Label
from gandt.service.outputs import WorkerAnswer

_TABLES = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, request TEXT NOT NULL, workteam TEXT NOT NULL, status TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', template TEXT NOT NULL DEFAULT '', seed INTEGER NOT NULL,
    created REAL NOT NULL, modified REAL NOT NULL);
CREATE TABLE IF NOT EXISTS iterations (
    job TEXT NOT NULL, iteration INTEGER NOT NULL, opened REAL NOT NULL, closed REAL, PRIMARY KEY (job, iteration));
-- state: given (the manifest has its label), waiting, drawn (in an iteration, without its task yet), open, answered,
-- labeled, failed, excluded, unlabeled
CREATE TABLE IF NOT EXISTS objects (
    job TEXT NOT NULL, number INTEGER NOT NULL, line TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting',
    iteration INTEGER, place INTEGER, task TEXT, label TEXT, labeled REAL, responses TEXT,
    reason TEXT NOT NULL DEFAULT '', PRIMARY KEY (job, number));
CREATE INDEX IF NOT EXISTS objects_by_state ON objects (job, state, place);
-- state: held, submitted, declined; a held one ends at `expires`
CREATE TABLE IF NOT EXISTS leases (
    id TEXT PRIMARY KEY, job TEXT NOT NULL, number INTEGER NOT NULL, worker TEXT NOT NULL,
    accepted REAL NOT NULL, expires REAL NOT NULL, state TEXT NOT NULL DEFAULT 'held');
CREATE INDEX IF NOT EXISTS leases_by_object ON leases (job, number);
CREATE INDEX IF NOT EXISTS leases_by_worker ON leases (job, worker, state);
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, number INTEGER NOT NULL, worker TEXT NOT NULL, content TEXT NOT NULL,
    accepted REAL NOT NULL, submitted REAL NOT NULL, seconds REAL NOT NULL, lease TEXT NOT NULL UNIQUE,
    UNIQUE (job, number, worker));
CREATE TRIGGER IF NOT EXISTS answers_stay BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'answers stay'); END;
CREATE TRIGGER IF NOT EXISTS answers_last BEFORE DELETE ON answers BEGIN SELECT RAISE(ABORT, 'answers stay'); END;
CREATE TABLE IF NOT EXISTS workteams (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, request TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL);
CREATE TABLE IF NOT EXISTS workers (id TEXT PRIMARY KEY, name TEXT NOT NULL, workteam TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    hash TEXT PRIMARY KEY, worker TEXT NOT NULL, kind TEXT NOT NULL, expires REAL NOT NULL, revoked REAL);
"""


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
    """A data object in one worker's hands until ``expires``; ``state`` is held, submitted or declined."""

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


class Store:
    """The state of a labeling service, in the folder ``path``.

    Raises
    ------
    InputError
        When the folder holds something that is no state of gandt's.
    """

    def __init__(self, path: str) -> None:
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "gandt.sqlite"
        if not file.exists():
            file.touch(mode=0o600)  # answers and the signing key are nobody else's
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=30)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{file} is no state of gandt's ({error}); give another folder with --state") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of the block is on the disk after it, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _read(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    # ------------------------------------------------------------------ settings

    def setting(self, name: str) -> str | None:
        """Return a value that :meth:`set` kept."""
        rows = self._read("SELECT value FROM settings WHERE name = ?", name)
        return str(rows[0]["value"]) if rows else None

    def set(self, name: str, value: str, *, once: bool = False) -> str:
        """Keep ``value``, with ``once`` only if there is none yet; return what is kept."""
        with self._write() as db:
            verb = "IGNORE" if once else "REPLACE"
            db.execute(f"INSERT OR {verb} INTO settings VALUES (?, ?)", (name, value))
        kept = self.setting(name)
        assert kept is not None
        return kept

    # ------------------------------------------------------------------ jobs

    def add_job(self, request: Mapping[str, Any], seed: int, now: float) -> bool:
        """Keep a new job; False when there is one of that name, whatever the case of its letters."""
        name, team = request["LabelingJobName"], request["HumanTaskConfig"]["WorkteamArn"].rpartition("/")[2]
        row = (name.lower(), name, json.dumps(request), team.lower(), "Initializing", seed, now, now)
        with self._write() as db:
            columns = "key, name, request, workteam, status, seed, created, modified"
            return db.execute(f"INSERT OR IGNORE INTO jobs ({columns}) VALUES (?,?,?,?,?,?,?,?)", row).rowcount == 1

    def job(self, name: str) -> Job | None:
        """Return the job of that name."""
        rows = self._read("SELECT * FROM jobs WHERE key = ?", name.lower())
        return _job(rows[0]) if rows else None

    def jobs(self, workteam: str | None = None) -> list[Job]:
        """Return all jobs, or those of a workteam, the oldest first."""
        if workteam is None:
            return [_job(row) for row in self._read("SELECT * FROM jobs ORDER BY created, rowid")]
        sql = "SELECT * FROM jobs WHERE workteam = ? ORDER BY created, rowid"
        return [_job(row) for row in self._read(sql, workteam.lower())]

    def set_status(self, name: str, status: str, now: float, *, reason: str = "", only: Sequence[str] = ()) -> bool:
        """Change a job's status; with ``only``, just from one of these, False when it has another."""
        only = [*only]
        sql = "UPDATE jobs SET status = ?, reason = ?, modified = ? WHERE key = ?"
        if only:
            sql += f" AND status IN ({','.join('?' * len(only))})"
        with self._write() as db:
            return db.execute(sql, (status, reason, now, name.lower(), *only)).rowcount == 1

    def begin(
        self, name: str, template: str, lines: Sequence[Mapping[str, Any]], todo: Collection[str], now: float
    ) -> None:
        """Keep a job's template and manifest as they were read; ``todo`` has the ids of the objects to label."""
        key = name.lower()
        with self._write() as db:
            ids = set(todo)
            rows = (
                (key, number, json.dumps(line), "waiting" if str(number) in ids else "given")
                for number, line in enumerate(lines)
            )
            db.executemany("INSERT INTO objects (job, number, line, state) VALUES (?, ?, ?, ?)", rows)
            db.execute("UPDATE jobs SET template = ?, modified = ? WHERE key = ?", (template, now, key))

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return a job's manifest, none before :meth:`begin`."""
        rows = self._read("SELECT line FROM objects WHERE job = ? ORDER BY number", name.lower())
        return [json.loads(row["line"]) for row in rows]

    def results(self, name: str) -> tuple[dict[str, Label], dict[str, str]]:
        """Return the labels there are, and the failed objects with their reasons."""
        sql = "SELECT * FROM objects WHERE job = ? AND state IN ('labeled', 'failed')"
        labels, failed = {}, {}
        for row in self._read(sql, name.lower()):
            if row["state"] == "failed":
                failed[str(row["number"])] = str(row["reason"])
            else:
                label = Label(json.loads(row["label"]), _moment(row["labeled"]), row["responses"])
                labels[str(row["number"])] = label
        return labels, failed

    def states(self, name: str) -> dict[str, int]:
        """Return how many of a job's objects are in each state."""
        rows = self._read("SELECT state, COUNT(*) AS n FROM objects WHERE job = ? GROUP BY state", name.lower())
        return {row["state"]: row["n"] for row in rows}

    # ------------------------------------------------------------------ iterations

    def iteration(self, name: str) -> tuple[int, float, bool]:
        """Return the number of the last iteration (0 for none), when it was opened, and whether it is closed."""
        sql = "SELECT * FROM iterations WHERE job = ? ORDER BY iteration DESC LIMIT 1"
        rows = self._read(sql, name.lower())
        return (rows[0]["iteration"], rows[0]["opened"], rows[0]["closed"] is not None) if rows else (0, 0.0, True)

    def drawn(self, name: str, iteration: int | None = None) -> dict[str, str]:
        """Return the state of the objects of one iteration, or of all that were in any, by id, in order of work."""
        if iteration is None:
            rows = self._read("SELECT * FROM objects WHERE job = ? AND iteration IS NOT NULL", name.lower())
        else:
            sql = "SELECT * FROM objects WHERE job = ? AND iteration = ? ORDER BY place"
            rows = self._read(sql, name.lower(), iteration)
        return {str(row["number"]): row["state"] for row in rows}

    def pending(self, name: str) -> bool:
        """Return whether any object of the open iteration still waits for its task or for answers."""
        sql = "SELECT 1 FROM objects WHERE job = ? AND state IN ('open', 'drawn') LIMIT 1"
        return bool(self._read(sql, name.lower()))

    def open_iteration(self, name: str, iteration: int, objects: Sequence[str], now: float) -> None:
        """Begin an iteration with these objects; none is handed out before its task is there."""
        key = name.lower()
        with self._write() as db:
            db.execute("INSERT INTO iterations (job, iteration, opened) VALUES (?, ?, ?)", (key, iteration, now))
            rows = [(iteration, place, key, int(number)) for place, number in enumerate(objects)]
            sql = "UPDATE objects SET state = 'drawn', iteration = ?, place = ? WHERE job = ? AND number = ?"
            db.executemany(sql, rows)

    def set_tasks(self, name: str, tasks: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Let these objects be handed out, each with its task input; None for one that needs no worker."""
        rows = [
            (
                "excluded" if task is None else "open",
                None if task is None else json.dumps(task),
                name.lower(),
                int(number),
            )
            for number, task in tasks.items()
        ]
        with self._write() as db:
            db.executemany("UPDATE objects SET state = ?, task = ? WHERE job = ? AND number = ?", rows)

    def answers(self, name: str, iteration: int) -> dict[str, list[WorkerAnswer]]:
        """Return the answers about each object of an iteration, in the order in which they came."""
        sql = """SELECT a.* FROM answers a JOIN objects o ON o.job = a.job AND o.number = a.number
                 WHERE a.job = ? AND o.iteration = ? ORDER BY a.id"""
        answers: dict[str, list[WorkerAnswer]] = {}
        for row in self._read(sql, name.lower(), iteration):
            content, spent = json.loads(row["content"]), row["seconds"]
            answer = WorkerAnswer(row["worker"], content, _moment(row["accepted"]), _moment(row["submitted"]), spent)
            answers.setdefault(str(row["number"]), []).append(answer)
        return answers

    def freeze(self, name: str, iteration: int) -> None:
        """Hand out nothing more of an iteration and take no more answers to it."""
        key = name.lower()
        with self._write() as db:
            sql = "UPDATE objects SET state = 'answered' WHERE job = ? AND iteration = ? AND state IN ('open', 'drawn')"
            db.execute(sql, (key, iteration))

    def close_iteration(
        self, name: str, iteration: int, labels: Mapping[str, Label], failed: Mapping[str, str], now: float
    ) -> None:
        """Keep what consolidation made of an iteration; its other objects stay without a label."""
        key = name.lower()
        with self._write() as db:
            done = [
                (json.dumps(label.value), label.at.timestamp(), label.worker_responses, key, int(number))
                for number, label in labels.items()
            ]
            columns = "state = 'labeled', label = ?, labeled = ?, responses = ?"
            db.executemany(f"UPDATE objects SET {columns} WHERE job = ? AND number = ?", done)
            bad = [(reason, key, int(number)) for number, reason in failed.items()]
            db.executemany("UPDATE objects SET state = 'failed', reason = ? WHERE job = ? AND number = ?", bad)
            sql = "UPDATE objects SET state = 'unlabeled' WHERE job = ? AND iteration = ? AND state = 'answered'"
            db.execute(sql, (key, iteration))
            db.execute("UPDATE iterations SET closed = ? WHERE job = ? AND iteration = ?", (now, key, iteration))
            db.execute("UPDATE jobs SET modified = ? WHERE key = ?", (now, key))

    # ------------------------------------------------------------------ work

    def lease(self, name: str, worker: str, now: float) -> Lease | None:
        """Give a worker the next object, or again the one that he holds; None when there is none for him.

        Nobody gets an object that he has answered or declined, nor one that others hold or have answered as often
        as the job asks.
        """
        job = self.job(name)
        if job is None or job.status != "InProgress":
            return None
        task, key = job.request["HumanTaskConfig"], name.lower()
        with self._write() as db:
            sql = """SELECT l.* FROM leases l JOIN objects o ON o.job = l.job AND o.number = l.number
                     WHERE l.job = ? AND l.worker = ? AND l.state = 'held' AND l.expires > ? AND o.state = 'open'"""
            row = db.execute(sql, (key, worker, now)).fetchone()
            if row is None:
                found = db.execute(
                    _FREE.format("number") + " ORDER BY place LIMIT 1", _free(job, worker, now)
                ).fetchone()
                if found is None:
                    return None
                lease = (secrets.token_urlsafe(18), key, found["number"], worker, now)
                db.execute(
                    "INSERT INTO leases VALUES (?,?,?,?,?,?,'held')", (*lease, now + task["TaskTimeLimitInSeconds"])
                )
                row = db.execute("SELECT * FROM leases WHERE id = ?", lease[:1]).fetchone()
        return _lease(row)

    def left(self, name: str, worker: str, now: float) -> int:
        """Return how many objects the worker could do now, with one that he holds."""
        job = self.job(name)
        if job is None or job.status != "InProgress":
            return 0
        sql = """SELECT COUNT(*) AS n FROM leases l JOIN objects o ON o.job = l.job AND o.number = l.number
                 WHERE l.job = ? AND l.worker = ? AND l.state = 'held' AND l.expires > ? AND o.state = 'open'"""
        held = self._read(sql, name.lower(), worker, now)[0]["n"]
        with self._lock:
            free = self._db.execute(_FREE.format("COUNT(*) AS n"), _free(job, worker, now)).fetchone()["n"]
        return int(held + free)

    def held(self, lease_id: str, worker: str) -> Lease | None:
        """Return a lease if it is this worker's, whatever became of it."""
        rows = self._read("SELECT * FROM leases WHERE id = ? AND worker = ?", lease_id, worker)
        return _lease(rows[0]) if rows else None

    def task(self, lease: Lease) -> dict[str, Any]:
        """Return the task input of the object that is leased."""
        rows = self._read("SELECT task FROM objects WHERE job = ? AND number = ?", lease.job, int(lease.number))
        task: dict[str, Any] = json.loads(rows[0]["task"])
        return task

    def decline(self, lease_id: str, worker: str) -> bool:
        """Give a leased object back, for others; False when the worker doesn't hold it."""
        sql = "UPDATE leases SET state = 'declined' WHERE id = ? AND worker = ? AND state = 'held'"
        with self._write() as db:
            return db.execute(sql, (lease_id, worker)).rowcount == 1

    def submit(self, lease_id: str, worker: str, content: Mapping[str, Any], seconds: float, now: float) -> str:
        """Keep an answer, once.

        Returns
        -------
        str
            ``"kept"``; ``"kept before"`` for a submit that comes again (the first answer stands); ``"over"`` when the
            time limit has passed or the object is closed; ``"unknown"`` when this worker has no such lease.
        """
        with self._write() as db:
            row = db.execute("SELECT * FROM leases WHERE id = ? AND worker = ?", (lease_id, worker)).fetchone()
            if row is None:
                return "unknown"
            if row["state"] == "submitted":
                return "kept before"
            where = (row["job"], row["number"])
            state = db.execute("SELECT state FROM objects WHERE job = ? AND number = ?", where).fetchone()["state"]
            if row["state"] != "held" or row["expires"] <= now or state != "open":
                return "over"
            spent = min(max(seconds, 0.0), now - row["accepted"])
            columns = "job, number, worker, content, accepted, submitted, seconds, lease"
            answer = (*where, worker, json.dumps(content), row["accepted"], now, spent, lease_id)
            db.execute(f"INSERT INTO answers ({columns}) VALUES (?,?,?,?,?,?,?,?)", answer)
            db.execute("UPDATE leases SET state = 'submitted' WHERE id = ?", (lease_id,))
            job = db.execute("SELECT request FROM jobs WHERE key = ?", where[:1]).fetchone()
            wanted = json.loads(job["request"])["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"]
            count = db.execute("SELECT COUNT(*) AS n FROM answers WHERE job = ? AND number = ?", where).fetchone()["n"]
            if count >= wanted:
                db.execute("UPDATE objects SET state = 'answered' WHERE job = ? AND number = ?", where)
        return "kept"

    # ------------------------------------------------------------------ people

    def put_workteam(self, request: Mapping[str, Any], now: float) -> bool:
        """Keep a new workteam; False when there is one of that name."""
        name = request["WorkteamName"]
        with self._write() as db:
            row = (name.lower(), name, json.dumps(request), now, now)
            return db.execute("INSERT OR IGNORE INTO workteams VALUES (?,?,?,?,?)", row).rowcount == 1

    def change_workteam(self, request: Mapping[str, Any], now: float) -> None:
        """Keep other members of an existing workteam's request."""
        with self._write() as db:
            sql = "UPDATE workteams SET request = ?, modified = ? WHERE key = ?"
            db.execute(sql, (json.dumps(request), now, request["WorkteamName"].lower()))

    def workteams(self, name: str | None = None) -> list[Workteam]:
        """Return all workteams by name, or the one of that name."""
        rows = self._read("SELECT * FROM workteams WHERE ? IS NULL OR key = ? ORDER BY key", name, (name or "").lower())
        return [Workteam(row["name"], json.loads(row["request"]), row["created"], row["modified"]) for row in rows]

    def delete_workteam(self, name: str) -> bool:
        """Forget a workteam; its workers can't work any more, their answers stay."""
        with self._write() as db:
            db.execute(
                "UPDATE tokens SET revoked = 0 WHERE worker IN (SELECT id FROM workers WHERE workteam = ?)",
                (name.lower(),),
            )
            return db.execute("DELETE FROM workteams WHERE key = ?", (name.lower(),)).rowcount == 1

    def add_worker(self, name: str, workteam: str) -> str:
        """Return the id of the worker of that name in a workteam, a new one's if need be."""
        with self._write() as db:
            team = workteam.lower()
            row = db.execute("SELECT id FROM workers WHERE name = ? AND workteam = ?", (name, team)).fetchone()
            worker = row["id"] if row else f"private.us-east-1.{secrets.token_hex(8)}"
            db.execute("INSERT OR IGNORE INTO workers VALUES (?, ?, ?)", (worker, name, team))
        return str(worker)

    def worker(self, worker: str) -> tuple[str, str]:
        """Return a worker's name and workteam."""
        (row,) = self._read("SELECT * FROM workers WHERE id = ?", worker)
        return row["name"], row["workteam"]

    def issue(self, worker: str, kind: str, expires: float) -> str:
        """Return a new secret by which the worker is known; only its hash is kept."""
        token = secrets.token_urlsafe(24)
        with self._write() as db:
            db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, NULL)", (_hash(token), worker, kind, expires))
        return token

    def bearer(self, token: str, kind: str, now: float) -> str | None:
        """Return whose token this is, None when it is unknown, of another kind, expired or revoked."""
        sql = "SELECT worker FROM tokens WHERE hash = ? AND kind = ? AND expires > ? AND revoked IS NULL"
        rows = self._read(sql, _hash(token), kind, now)
        return str(rows[0]["worker"]) if rows else None

    def revoke(self, worker: str, now: float, *, token: str | None = None) -> None:
        """Make one token of a worker, or all of them, useless."""
        sql = "UPDATE tokens SET revoked = ? WHERE worker = ? AND revoked IS NULL AND (? IS NULL OR hash = ?)"
        hashed = None if token is None else _hash(token)
        with self._write() as db:
            db.execute(sql, (now, worker, hashed, hashed))


# the objects that a worker may have; values from _free
_FREE = """
SELECT {} FROM objects o WHERE o.job = :job AND o.state = 'open'
AND NOT EXISTS (SELECT 1 FROM answers a WHERE a.job = o.job AND a.number = o.number AND a.worker = :worker)
AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.job = o.job AND l.number = o.number AND l.worker = :worker
                AND (l.state = 'declined' OR (l.state = 'held' AND l.expires > :now)))
AND (SELECT COUNT(*) FROM answers a WHERE a.job = o.job AND a.number = o.number)
  + (SELECT COUNT(*) FROM leases l WHERE l.job = o.job AND l.number = o.number
     AND l.state = 'held' AND l.expires > :now) < :wanted
"""


def _free(job: Job, worker: str, now: float) -> dict[str, Any]:
    wanted = job.request["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"]
    return {"job": job.name.lower(), "worker": worker, "now": now, "wanted": wanted}


def _job(row: sqlite3.Row) -> Job:
    names = ("name", "status", "reason", "template", "seed", "created", "modified")
    return Job(request=json.loads(row["request"]), **{name: row[name] for name in names})


def _lease(row: sqlite3.Row) -> Lease:
    names = ("id", "job", "worker", "accepted", "expires", "state")
    return Lease(number=str(row["number"]), **{name: row[name] for name in names})


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
