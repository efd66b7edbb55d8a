"""Leases, drafts and answers, in SQLite; the methods are described in gandt/service/store.py.

A lease takes one of the places (``objects.room``) that an object has for answers, and gives it back when it is declined
or runs out; leases that have run out are looked for at every hand-out. So nothing has to be counted, and the next
object is the first of an index, whatever the size of the job.
"""

import json
import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from gandt.service.sqlite.database import Database
from gandt.service.store import Draft, Lease

# Objects that a worker has had and doesn't get again.
_SEEN = """SELECT 1 FROM leases l WHERE l.worker = :worker AND l.job = o.job AND l.number = o.number
           AND l.state IN ('held', 'reserved', 'submitted', 'declined')"""
_FREE = f"FROM objects o WHERE o.job = :job AND o.room > 0 AND NOT EXISTS ({_SEEN})"
_IN_HAND = """SELECT l.* FROM leases l JOIN objects o ON o.job = l.job AND o.number = l.number
              WHERE l.worker = ? AND l.job = ? AND l.state IN ('held', 'reserved') AND o.state = 'open'
              ORDER BY l.state, l.accepted"""  # held before reserved

_CHANGEABLE = """SELECT l.* FROM leases l JOIN objects o ON o.job = l.job AND o.number = l.number
                 JOIN iterations i ON i.job = o.job AND i.iteration = o.iteration
                 WHERE l.id = ? AND l.state = 'submitted' AND l.expires > ? AND NOT i.frozen"""


class Work(Database):
    """What the workers ask of the store."""

    def lease(self, name: str, worker: str, now: float) -> Lease | None:
        """Hand out the next object."""
        with self._write(durable=False) as db:
            job = _job(db, name, worker)
            if job is None:
                return None
            self._end_leases(db, now)
            row = db.execute(_IN_HAND, (worker, job["key"])).fetchone()
            if row is not None and row["state"] == "held":
                return _lease(row)
            end = now + job["seconds"]
            if row is not None:
                sql = "UPDATE leases SET state = 'held', accepted = ?, expires = ? WHERE id = ? RETURNING *"
                row = db.execute(sql, (now, end, row["id"])).fetchone()
            else:
                row = self._take(db, job["key"], worker, now, end, "held")
            if row is not None:
                _event(db, row, "handed out", now)
        return _lease(row) if row else None

    def reserve(self, name: str, worker: str, now: float) -> Lease | None:
        """Keep the object after the one in hand."""
        with self._write(durable=False) as db:
            job = _job(db, name, worker)
            if job is None:
                return None
            self._end_leases(db, now)
            rows = db.execute(_IN_HAND, (worker, job["key"])).fetchall()
            row = next((row for row in rows if row["state"] == "reserved"), None)
            if row is None and rows:
                # it may lie behind the whole time that the one in hand is allowed
                row = self._take(db, job["key"], worker, now, now + 2 * job["seconds"], "reserved")
        return _lease(row) if row else None

    def left(self, name: str, worker: str, now: float) -> int:
        """Count what a worker could do."""
        with self._lock:
            job = _job(self._db, name, worker)
            if job is None:
                return 0
            values = {"job": job["key"], "worker": worker}
            in_hand = len(self._db.execute(_IN_HAND, (worker, job["key"])).fetchall())
            return int(in_hand + self._db.execute(f"SELECT COUNT(*) {_FREE}", values).fetchone()[0])

    def held(self, lease_id: str, worker: str) -> Lease | None:
        """Return a worker's lease."""
        rows = self._read("SELECT * FROM leases WHERE id = ? AND worker = ?", lease_id, worker)
        return _lease(rows[0]) if rows else None

    def task(self, lease: Lease) -> dict[str, Any]:
        """Return a task input."""
        rows = self._read("SELECT task FROM objects WHERE job = ? AND number = ?", lease.job, int(lease.number))
        task: dict[str, Any] = json.loads(rows[0]["task"])
        return task

    def decline(self, lease_id: str, worker: str, now: float) -> bool:
        """Give an object back."""
        sql = "UPDATE leases SET state = 'declined' WHERE id = ? AND worker = ? AND state = 'held' RETURNING *"
        with self._write() as db:
            row = db.execute(sql, (lease_id, worker)).fetchone()
            if row is None:
                return False
            _give_back(db, row)
            _event(db, row, "skipped", now)
        return True

    def withdraw(self, lease_id: str, worker: str, now: float) -> bool:
        """Take an answer back."""
        with self._write() as db:
            sql = f"{_CHANGEABLE} AND l.worker = ?"
            row = db.execute(sql, (lease_id, now, worker)).fetchone()
            if row is None:
                return False
            where = (row["job"], row["number"])
            db.execute("UPDATE leases SET state = 'declined' WHERE id = ?", (lease_id,))
            self._add_answer(db, row, None, now, 0.0)
            db.execute("UPDATE objects SET state = 'open' WHERE job = ? AND number = ? AND state = 'answered'", where)
            _give_back(db, row)
            _event(db, row, "withdrawn", now)
        return True

    def submit(
        self, lease_id: str, worker: str, content: Mapping[str, Any], seconds: float, now: float, *, revision: int = 0
    ) -> str:
        """Keep an answer, once."""
        with self._write() as db:
            row = db.execute("SELECT * FROM leases WHERE id = ? AND worker = ?", (lease_id, worker)).fetchone()
            if row is None:
                return "unknown"
            sql = "SELECT COUNT(*), MAX(submitted) FROM answers WHERE lease = ?"
            kept, latest = db.execute(sql, (lease_id,)).fetchone()
            if revision < kept and row["state"] != "declined":
                return "kept before"
            # a clock that was set back while the service was down: nothing ends before it began, nor changes before
            now = max(now, latest + 1e-3 if kept else row["accepted"])
            where = (row["job"], row["number"])
            sql = """SELECT o.state, i.frozen, j.wanted FROM objects o JOIN iterations i USING (job, iteration)
                     JOIN jobs j ON j.key = o.job WHERE o.job = ? AND o.number = ?"""
            task = db.execute(sql, where).fetchone()
            wanted_state = "submitted" if kept else "held"
            if row["state"] != wanted_state or row["expires"] <= now or task["frozen"] or revision != kept:
                return "over"
            if task["state"] != "open" and not kept:
                return "over"
            spent = min(max(seconds, 0.0), now - row["accepted"])  # what a page says, and never more than passed
            self._add_answer(db, row, content, now, spent)
            db.execute("DELETE FROM drafts WHERE lease = ?", (lease_id,))
            _event(db, row, "changed" if kept else "submitted", now)
            if not kept:
                db.execute("UPDATE leases SET state = 'submitted' WHERE id = ?", (lease_id,))
                sql = "SELECT COUNT(*) FROM last_answers WHERE job = ? AND number = ? AND content <> 'null'"
                (count,) = db.execute(sql, where).fetchone()
                if count >= task["wanted"]:
                    db.execute("UPDATE objects SET state = 'answered' WHERE job = ? AND number = ?", where)
        return "kept"

    def last_answer(self, lease_id: str, worker: str) -> tuple[dict[str, Any], float, int] | None:
        """Return what was submitted to a lease."""
        sql = "SELECT * FROM last_answers WHERE lease = ? AND worker = ?"
        rows = self._read(sql, lease_id, worker)
        return (json.loads(rows[0]["content"]), rows[0]["seconds"], rows[0]["revision"]) if rows else None

    def changeable(self, lease_id: str, now: float) -> bool:
        """Say whether an answer may still be changed."""
        return bool(self._read(_CHANGEABLE, lease_id, now))

    def set_draft(self, lease_id: str, worker: str, content: Mapping[str, Any], seconds: float, now: float) -> bool:
        """Keep an unfinished answer."""
        sql = """INSERT OR REPLACE INTO drafts SELECT id, ?, ?, ? FROM leases
                 WHERE id = ? AND worker = ? AND state = 'held' AND expires > ?"""
        with self._write(durable=False) as db:
            return db.execute(sql, (json.dumps(content), seconds, now, lease_id, worker, now)).rowcount == 1

    def draft(self, lease_id: str) -> Draft | None:
        """Return an unfinished answer."""
        rows = self._read("SELECT * FROM drafts WHERE lease = ?", lease_id)
        return Draft(json.loads(rows[0]["content"]), rows[0]["seconds"]) if rows else None

    def _add_answer(
        self, db: sqlite3.Connection, lease: sqlite3.Row, content: Mapping[str, Any] | None, now: float, spent: float
    ) -> None:
        """Add the next revision of a lease's answer."""
        (kept,) = db.execute("SELECT COUNT(*) FROM answers WHERE lease = ?", (lease["id"],)).fetchone()
        columns = "job, number, worker, revision, content, accepted, submitted, seconds, lease"
        about = (lease["job"], lease["number"], lease["worker"], kept, json.dumps(content))
        answer = (*about, lease["accepted"], now, spent, lease["id"])
        db.execute(f"INSERT INTO answers ({columns}) VALUES (?,?,?,?,?,?,?,?,?)", answer)

    def _take(
        self, db: sqlite3.Connection, job: str, worker: str, now: float, expires: float, state: str
    ) -> sqlite3.Row | None:
        sql = f"SELECT o.number {_FREE} ORDER BY o.place LIMIT 1"
        found = db.execute(sql, {"job": job, "worker": worker}).fetchone()
        if found is None:
            return None
        db.execute("UPDATE objects SET room = room - 1 WHERE job = ? AND number = ?", (job, found["number"]))
        lease = (secrets.token_urlsafe(18), job, found["number"], worker, now, expires, state)
        row: sqlite3.Row = db.execute("INSERT INTO leases VALUES (?,?,?,?,?,?,?) RETURNING *", lease).fetchone()
        return row

    def _end_leases(self, db: sqlite3.Connection, now: float) -> None:
        sql = "SELECT * FROM leases WHERE state IN ('held', 'reserved') AND expires <= ?"
        for row in db.execute(sql, (now,)).fetchall():
            db.execute("UPDATE leases SET state = 'expired' WHERE id = ?", (row["id"],))
            _give_back(db, row)
            if row["state"] == "held":
                _event(db, row, "ran out", row["expires"])


def _job(db: sqlite3.Connection, name: str, worker: str) -> sqlite3.Row | None:
    """Return key and time limit of a running job of the worker's workteam."""
    sql = """SELECT j.key, j.seconds FROM jobs j JOIN workers w ON w.workteam = j.workteam
             WHERE j.key = ? AND w.id = ? AND j.status = 'InProgress'"""
    row: sqlite3.Row | None = db.execute(sql, (name.lower(), worker)).fetchone()
    return row


def _give_back(db: sqlite3.Connection, lease: sqlite3.Row) -> None:
    sql = "UPDATE objects SET room = room + 1 WHERE job = ? AND number = ? AND state = 'open'"
    db.execute(sql, (lease["job"], lease["number"]))


def _event(db: sqlite3.Connection, lease: sqlite3.Row, what: str, at: float) -> None:
    columns = "at, job, number, worker, lease, what"
    row = (at, lease["job"], lease["number"], lease["worker"], lease["id"], what)
    db.execute(f"INSERT INTO events ({columns}) VALUES (?,?,?,?,?,?)", row)


def _lease(row: sqlite3.Row) -> Lease:
    names = ("id", "job", "worker", "accepted", "expires", "state")
    return Lease(number=str(row["number"]), **{name: row[name] for name in names})
