"""What the owner's page asks of the store: who did what when; described in gandt/service/store.py."""

import json
import sqlite3

from gandt.service.records import Counts
from gandt.service.sqlite.database import Database
from gandt.service.store import Event, KeptAnswer

# An answer that is withdrawn has one more revision, of no content, which is its last.
_COUNT = """SELECT COUNT(CASE WHEN a.revision = 0 THEN 1 END) -
            COUNT(CASE WHEN a.revision > 0 AND a.content = 'null' THEN 1 END) AS n FROM answers a"""
# Of each object that is open and has room for answers: the room that is left when everybody who hasn't had it does it.
_SHORT = """SELECT COUNT(*) AS objects, COALESCE(MAX(lack), 0) AS lacking FROM (
            SELECT o.room - (SELECT COUNT(*) FROM workers w WHERE w.workteam = :team AND NOT EXISTS (
                SELECT 1 FROM leases l WHERE l.worker = w.id AND l.job = o.job AND l.number = o.number
                AND l.state IN ('held', 'reserved', 'submitted', 'declined'))) AS lack
            FROM objects o WHERE o.job = :job AND o.state = 'open' AND o.room > 0) WHERE lack > 0"""


class History(Database):
    """Events and answers as they came; both are only ever added to."""

    def events(self, name: str, *, before: int | None = None, number: str = "", limit: int = 50) -> list[Event]:
        """Return the last events of a job."""
        sql = """SELECT e.*, w.name, a.content, a.seconds FROM events e LEFT JOIN workers w ON w.id = e.worker
                 LEFT JOIN answers a ON a.lease = e.lease AND a.submitted = e.at AND e.what IN ('submitted', 'changed')
                 WHERE e.job = ? AND (? IS NULL OR e.id < ?) AND (? = '' OR e.number = CAST(? AS INTEGER))
                 ORDER BY e.id DESC LIMIT ?"""
        rows = self._read(sql, name.lower(), before, before, number, number, limit)
        return [_event(row) for row in rows]

    def answers_after(self, name: str, after: int, limit: int = 5000) -> list[KeptAnswer]:
        """Return a job's answers that came after one, changed ones again."""
        sql = "SELECT * FROM answers WHERE job = ? AND id > ? ORDER BY id LIMIT ?"
        return [
            KeptAnswer(
                row["id"], str(row["number"]), row["worker"], row["revision"], json.loads(row["content"]),
                row["submitted"], max(row["seconds"], 0.0),
            )
            for row in self._read(sql, name.lower(), after, limit)
        ]  # fmt: skip

    def counts(self, name: str) -> Counts:
        """Count a job's answers, and the objects that want more workers than there are."""
        key = name.lower()
        with self._lock:
            one = self._db.execute
            answers = one(f"{_COUNT} WHERE a.job = ?", (key,)).fetchone()["n"]
            of_open = f"{_COUNT} JOIN objects o ON o.job = a.job AND o.number = a.number"
            on_open = one(f"{of_open} WHERE o.job = ? AND o.state = 'open'", (key,)).fetchone()["n"]
            job = one("SELECT workteam FROM jobs WHERE key = ?", (key,)).fetchone()
            team = job["workteam"] if job else ""
            (workers,) = one("SELECT COUNT(*) FROM workers WHERE workteam = ?", (team,)).fetchone()
            short = one(_SHORT, {"job": key, "team": team}).fetchone()
        return Counts(answers, on_open, workers, short["objects"], short["lacking"])

    def failures(self, name: str, limit: int = 100) -> list[tuple[str, str]]:
        """Return failed objects with their reasons."""
        sql = "SELECT number, reason FROM objects WHERE job = ? AND state = 'failed' ORDER BY number LIMIT ?"
        return [(str(row["number"]), row["reason"]) for row in self._read(sql, name.lower(), limit)]

    def in_hand(self, name: str, now: float) -> int:
        """Count the tasks that somebody holds."""
        sql = "SELECT COUNT(*) AS n FROM leases WHERE job = ? AND state = 'held' AND expires > ?"
        return int(self._read(sql, name.lower(), now)[0]["n"])


def _event(row: sqlite3.Row) -> Event:
    content = None if row["content"] is None else json.loads(row["content"])
    return Event(
        row["id"], row["at"], str(row["number"]), row["worker"], row["name"] or "", row["what"], content, row["seconds"]
    )
