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


def _record(row: sqlite3.Row) -> Record:
    return Record(row["kind"], row["key"], json.loads(row["content"]), row["created"], row["modified"])
