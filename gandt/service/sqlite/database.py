"""The file that everything is in: its tables, transactions, and when they are on the disk.

One connection writes; other processes (``gandt workers invite``) may open the file at the same time. A transaction is
on the disk when its block ends: the write-ahead log is synced before, by one sync for all threads that wait for one,
since a sync costs a disk's turn and a commit without one only microseconds. What may be lost with the machine's power
(never with the process), because it can be asked for again, says so: hand-outs and drafts.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gandt.errors import InputError
from gandt.service.records import TABLE

VERSION = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, request TEXT NOT NULL, workteam TEXT NOT NULL, status TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', template TEXT NOT NULL DEFAULT '', seed INTEGER NOT NULL,
    wanted INTEGER NOT NULL, seconds INTEGER NOT NULL, created REAL NOT NULL, modified REAL NOT NULL);
CREATE TABLE IF NOT EXISTS iterations (
    job TEXT NOT NULL, iteration INTEGER NOT NULL, opened REAL NOT NULL, frozen INTEGER NOT NULL DEFAULT 0,
    closed REAL, PRIMARY KEY (job, iteration));
-- state: given (the manifest has its label), waiting, drawn (in an iteration, without its task yet), open, answered,
-- labeled, failed, excluded, unlabeled. room: answers that are wanted of it and that nobody works on, 0 unless open
CREATE TABLE IF NOT EXISTS objects (
    job TEXT NOT NULL, number INTEGER NOT NULL, line TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting',
    room INTEGER NOT NULL DEFAULT 0, iteration INTEGER, place INTEGER, task TEXT, label TEXT, labeled REAL,
    responses TEXT, reason TEXT NOT NULL DEFAULT '', PRIMARY KEY (job, number));
CREATE INDEX IF NOT EXISTS objects_by_state ON objects (job, state);
CREATE INDEX IF NOT EXISTS objects_with_room ON objects (job, place, number) WHERE room > 0;
-- state: reserved (fetched ahead), held, submitted, declined, expired
CREATE TABLE IF NOT EXISTS leases (
    id TEXT PRIMARY KEY, job TEXT NOT NULL, number INTEGER NOT NULL, worker TEXT NOT NULL,
    accepted REAL NOT NULL, expires REAL NOT NULL, state TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS leases_by_worker ON leases (worker, job, number, state);
CREATE INDEX IF NOT EXISTS leases_that_end ON leases (expires) WHERE state IN ('held', 'reserved');
CREATE TABLE IF NOT EXISTS drafts (
    lease TEXT PRIMARY KEY, content TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL);
-- revision: 0, and one more each time that the worker went back and changed it; the last one counts; null withdraws it
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, number INTEGER NOT NULL, worker TEXT NOT NULL, revision INTEGER NOT NULL,
    content TEXT NOT NULL, accepted REAL NOT NULL, submitted REAL NOT NULL, seconds REAL NOT NULL, lease TEXT NOT NULL,
    UNIQUE (lease, revision), UNIQUE (job, number, worker, revision));
CREATE TRIGGER IF NOT EXISTS answers_stay BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'answers stay'); END;
CREATE TRIGGER IF NOT EXISTS answers_last BEFORE DELETE ON answers BEGIN SELECT RAISE(ABORT, 'answers stay'); END;
CREATE VIEW IF NOT EXISTS last_answers AS SELECT * FROM answers a WHERE NOT EXISTS (
    SELECT 1 FROM answers later WHERE later.lease = a.lease AND later.revision > a.revision);
-- what: handed out, submitted, changed, withdrawn, skipped, ran out
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, job TEXT NOT NULL, number INTEGER NOT NULL, worker TEXT NOT NULL,
    lease TEXT NOT NULL, what TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_object ON events (job, number);
CREATE TRIGGER IF NOT EXISTS events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events stay'); END;
CREATE TRIGGER IF NOT EXISTS events_last BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events stay'); END;
CREATE TABLE IF NOT EXISTS workteams (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, request TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL);
CREATE TABLE IF NOT EXISTS workers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, workteam TEXT NOT NULL, UNIQUE (workteam, name));
CREATE TABLE IF NOT EXISTS tokens (
    hash TEXT PRIMARY KEY, bearer TEXT NOT NULL, kind TEXT NOT NULL, expires REAL NOT NULL, revoked REAL);
CREATE INDEX IF NOT EXISTS tokens_by_bearer ON tokens (bearer);
"""


class Database:
    """The file ``gandt.sqlite`` in the folder ``path``.

    Raises
    ------
    InputError
        When the folder can't be written, or holds something that is no state of gandt's, or an earlier version's.
    """

    def __init__(self, path: str) -> None:
        folder = Path(path)
        file = folder / "gandt.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.touch(mode=0o600)  # answers and the signing key are nobody else's
        except OSError as error:
            raise InputError(f"the state {path} can't be kept: {error}; give another folder with --state") from error
        self._lock, self._syncing = threading.RLock(), threading.Lock()
        self._commits = self._synced = 0
        self._db = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=30)
        self._db.row_factory = sqlite3.Row
        try:
            # with synchronous=NORMAL a commit doesn't sync the log; _sync does, for all that wait
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (tables,) = self._db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
            if tables and version != VERSION:
                raise InputError(f"{file} was made by another version of gandt; give another folder with --state")
            self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} {TABLE} PRAGMA user_version={VERSION}; COMMIT;")
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise InputError(f"{file} is no state of gandt's ({error}); give another folder with --state") from error
        except BaseException:
            self._db.close()
            raise
        self._log = os.open(f"{file}-wal", os.O_RDONLY)
        self._sync()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
            os.close(self._log)

    @contextmanager
    def _write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction: all of the block is kept after it, or nothing; with ``durable`` it is on the disk."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
            self._commits += 1
        if durable:
            self._sync()

    def _sync(self) -> None:
        """Return when all that this thread has committed is on the disk."""
        mine = self._commits
        with self._syncing:
            if self._synced >= mine > 0:
                return  # somebody who waited before has done it
            upto = self._commits
            os.fdatasync(self._log)
            self._synced = upto

    def _read(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

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
