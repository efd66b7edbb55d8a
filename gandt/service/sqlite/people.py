"""Workteams, workers and tokens, in SQLite; the methods are described in gandt/service/store.py."""

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from gandt.errors import InputError
from gandt.service.sqlite.database import Database
from gandt.service.store import Worker, Workteam

_LETTERS = "ABCDEFGHJKMNPQRTUVWXYZ2346789"  # those that nobody takes for another


class People(Database):
    """Who may work."""

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
        key = name.lower()
        with self._write() as db:
            sql = """UPDATE tokens SET revoked = 0
                     WHERE bearer = ? OR bearer IN (SELECT id FROM workers WHERE workteam = ?)"""
            db.execute(sql, (_team_bearer(key), key))
            return db.execute("DELETE FROM workteams WHERE key = ?", (key,)).rowcount == 1

    def add_worker(self, name: str, workteam: str) -> str:
        """Return the id of the worker of that name in a workteam, a new one's if need be."""
        with self._write() as db:
            return _worker(db, name, workteam.lower())

    def workers(self, workteam: str | None = None) -> list[Worker]:
        """Return everybody, or a workteam's workers, by name."""
        sql = "SELECT * FROM workers WHERE ? IS NULL OR workteam = ? ORDER BY name, workteam"
        rows = self._read(sql, workteam, (workteam or "").lower())
        return [Worker(row["id"], row["name"], row["workteam"]) for row in rows]

    def worker(self, worker: str) -> tuple[str, str]:
        """Return a worker's name and workteam."""
        (row,) = self._read("SELECT * FROM workers WHERE id = ?", worker)
        return row["name"], row["workteam"]

    def issue(self, bearer: str, kind: str, expires: float) -> str:
        """Return a new secret by which somebody is known; only its hash is kept."""
        return self._keep(secrets.token_urlsafe(24), bearer, kind, expires)

    def bearer(self, token: str, kind: str, now: float) -> str | None:
        """Return whose token this is, None when it is unknown, of another kind, expired or revoked."""
        sql = "SELECT bearer FROM tokens WHERE hash = ? AND kind = ? AND expires > ? AND revoked IS NULL"
        rows = self._read(sql, _hash(token), kind, now)
        return str(rows[0]["bearer"]) if rows else None

    def revoke(self, bearer: str, now: float, *, token: str | None = None) -> int:
        """Make one token of somebody, or all of them, useless; return how many there were."""
        sql = "UPDATE tokens SET revoked = ? WHERE bearer = ? AND revoked IS NULL AND (? IS NULL OR hash = ?)"
        hashed = None if token is None else _hash(token)
        with self._write() as db:
            return db.execute(sql, (now, bearer, hashed, hashed)).rowcount

    def issue_code(self, workteam: str, expires: float) -> str:
        """Return a new code, to be read out or written on a board; only its hash is kept."""
        code = "".join(secrets.choice(_LETTERS) for _ in range(12))  # 58 bits
        self._keep(code, _team_bearer(workteam.lower()), "code", expires)
        return "-".join((code[:4], code[4:8], code[8:]))

    def join(self, code: str, name: str, now: float) -> str | None:
        """Make somebody a worker of the code's workteam, once a code; None when the code isn't good."""
        plain = "".join(letter for letter in code.upper() if letter.isalnum())
        bearer = self.bearer(plain, "code", now)
        if bearer is None:
            return None
        team = bearer.partition(" ")[2]
        with self._write() as db:
            if db.execute("SELECT 1 FROM workers WHERE name = ? AND workteam = ?", (name, team)).fetchone():
                raise InputError(f"there is somebody called {name} already; take another name, or ask for your link")
            sql = "UPDATE tokens SET revoked = ? WHERE hash = ? AND revoked IS NULL"
            return _worker(db, name, team) if db.execute(sql, (now, _hash(plain))).rowcount else None

    def _keep(self, token: str, bearer: str, kind: str, expires: float) -> str:
        with self._write() as db:
            db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, NULL)", (_hash(token), bearer, kind, expires))
        return token


def _worker(db: sqlite3.Connection, name: str, team: str) -> str:
    values = (f"private.us-east-1.{secrets.token_hex(8)}", name, team)
    db.execute("INSERT OR IGNORE INTO workers VALUES (?, ?, ?)", values)
    return str(db.execute("SELECT id FROM workers WHERE name = ? AND workteam = ?", (name, team)).fetchone()["id"])


def _team_bearer(key: str) -> str:
    return f"workteam {key}"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
