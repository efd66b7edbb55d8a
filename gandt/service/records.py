"""What the service keeps beside jobs and people: workforces, templates by name, tags, notices: JSON under kind and key.

A part of :class:`gandt.service.store.Store`, under the same promises.
"""

import json
import sqlite3
from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

TABLE = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, key TEXT NOT NULL, content TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL,
    PRIMARY KEY (kind, key));
"""


@dataclass(frozen=True)
class Record:
    """One thing that is kept; ``content`` is any JSON value."""

    kind: str
    key: str
    content: Any
    created: float
    modified: float


@dataclass(frozen=True)
class Counts:
    """How a job's answers stand.

    Attributes
    ----------
    answers, on_open : int
        Answers that count, of all objects and of those that are open.
    workers : int
        Workers in the job's workteam.
    short, lacking : int
        Open objects that want more answers than workers of the team can still give (each answers an object once, and
        not one that he left to others), and how many workers more they want, at most.
    """

    answers: int
    on_open: int
    workers: int
    short: int
    lacking: int


@dataclass(frozen=True)
class PastJob:
    """A job that was done elsewhere.

    Attributes
    ----------
    request : dict
        Its CreateLabelingJob request, as far as it is known.
    status, reason : str
        How it ended.
    created, modified : float
        Seconds since 1970.
    objects : list of (line, state, label)
        In the manifest's order; states as in the store.
    answers : list of (number, worker, content, accepted, submitted, seconds)
    """

    request: dict[str, Any]
    status: str
    reason: str
    created: float
    modified: float
    objects: list[tuple[dict[str, Any], str, Any]]
    answers: list[tuple[int, str, dict[str, Any], float, float, float]]


class Records:
    """Keeps records; a kind's keys are compared as they are."""

    @abstractmethod
    def _write(self) -> AbstractContextManager[sqlite3.Connection]: ...

    @abstractmethod
    def _read(self, sql: str, *values: Any) -> list[sqlite3.Row]: ...

    def add_record(self, kind: str, key: str, content: Any, now: float) -> bool:
        """Keep a new thing; False when there is one under this key."""
        with self._write() as db:
            row = (kind, key, json.dumps(content), now, now)
            return db.execute("INSERT OR IGNORE INTO records VALUES (?,?,?,?,?)", row).rowcount == 1

    def put_record(self, kind: str, key: str, content: Any, now: float) -> None:
        """Keep a thing, in place of an earlier one."""
        sql = """INSERT INTO records VALUES (?,?,?,?,?)
                 ON CONFLICT (kind, key) DO UPDATE SET content = excluded.content, modified = excluded.modified"""
        with self._write() as db:
            db.execute(sql, (kind, key, json.dumps(content), now, now))

    def record(self, kind: str, key: str) -> Record | None:
        """Return what is kept under a key."""
        rows = self._read("SELECT * FROM records WHERE kind = ? AND key = ?", kind, key)
        return _record(rows[0]) if rows else None

    def records(self, kind: str) -> list[Record]:
        """Return all of a kind, the oldest first."""
        rows = self._read("SELECT * FROM records WHERE kind = ? ORDER BY created, rowid", kind)
        return [_record(row) for row in rows]

    def delete_record(self, kind: str, key: str) -> bool:
        """Forget what is kept under a key; False when there is nothing."""
        with self._write() as db:
            return db.execute("DELETE FROM records WHERE kind = ? AND key = ?", (kind, key)).rowcount == 1

    # ------------------------------------------------------------------ data objects that come one by one

    def add_streamed(self, name: str, object_id: str, line: Any, now: float) -> bool:
        """Add a data object to a streaming job, once by its id; False when it is there already."""
        key = name.lower()
        with self._write() as db:
            known = (f"streamed {key}", object_id, "null", now, now)
            if db.execute("INSERT OR IGNORE INTO records VALUES (?,?,?,?,?)", known).rowcount == 0:
                return False
            sql = """INSERT INTO objects (job, number, line)
                     SELECT ?, COALESCE(MAX(number), -1) + 1, ? FROM objects WHERE job = ?"""
            db.execute(sql, (key, json.dumps(line), key))
        return True

    def open_iterations(self, name: str) -> list[tuple[int, float]]:
        """Return number and time of opening of the iterations that aren't closed, the oldest first."""
        sql = "SELECT iteration, opened FROM iterations WHERE job = ? AND closed IS NULL ORDER BY iteration"
        return [(row["iteration"], row["opened"]) for row in self._read(sql, name.lower())]

    # ------------------------------------------------------------------ jobs that were done elsewhere

    def add_past_job(self, past: "PastJob") -> bool:
        """Keep a job that has ended with its objects and answers, all or nothing; False when its name is taken."""
        key, task = past.request["LabelingJobName"].lower(), past.request["HumanTaskConfig"]
        team = task["WorkteamArn"].rpartition("/")[2].lower()
        limits = (task["NumberOfHumanWorkersPerDataObject"], task["TaskTimeLimitInSeconds"])
        with self._write() as db:
            columns = "key, name, request, workteam, status, reason, seed, wanted, seconds, created, modified"
            job = (key, past.request["LabelingJobName"], json.dumps(past.request), team, past.status, past.reason)
            sql = f"INSERT OR IGNORE INTO jobs ({columns}) VALUES (?,?,?,?,?,?,0,?,?,?,?)"
            if db.execute(sql, (*job, *limits, past.created, past.modified)).rowcount == 0:
                return False
            sql = "INSERT INTO iterations (job, iteration, opened, frozen, closed) VALUES (?,1,?,1,?)"
            db.execute(sql, (key, past.created, past.modified))
            sql = """INSERT INTO objects (job, number, line, state, iteration, place, label, labeled, responses)
                     VALUES (?,?,?,?,1,?,?,?,'')"""
            rows = [
                (key, number, json.dumps(line), state, number, json.dumps(label), past.modified)
                for number, (line, state, label) in enumerate(past.objects)
            ]
            db.executemany(sql, rows)
            for number, worker, content, accepted, submitted, seconds in past.answers:
                db.execute("INSERT OR IGNORE INTO workers VALUES (?,?,?)", (worker, worker, team))
                lease = f"past {key} {number} {worker}"
                row = (key, number, worker, json.dumps(content), accepted, submitted, seconds, lease)
                columns = "job, number, worker, revision, content, accepted, submitted, seconds, lease"
                db.execute(f"INSERT INTO answers ({columns}) VALUES (?,?,?,0,?,?,?,?,?)", row)
                about = (submitted, key, number, worker, lease)
                sql = "INSERT INTO events (at, job, number, worker, lease, what) VALUES (?,?,?,?,?,'submitted')"
                db.execute(sql, about)
        return True


def _record(row: sqlite3.Row) -> Record:
    return Record(row["kind"], row["key"], json.loads(row["content"]), row["created"], row["modified"])
