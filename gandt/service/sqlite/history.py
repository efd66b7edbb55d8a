"""What the owner's page asks of the store: who did what when; described in gandt/service/store.py."""

import json
import sqlite3

from gandt.service.sqlite.database import Database
from gandt.service.store import Event, KeptAnswer


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
                row["submitted"], row["seconds"],
            )
            for row in self._read(sql, name.lower(), after, limit)
        ]  # fmt: skip

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
