"""Jobs, their data objects and iterations, in SQLite; the methods are described in gandt/service/store.py."""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gandt.service.engine import Label
from gandt.service.outputs import WorkerAnswer
from gandt.service.sqlite.database import Database
from gandt.service.store import Job


class Jobs(Database):
    """What the engine asks of the store."""

    def add_job(self, request: Mapping[str, Any], seed: int, now: float) -> bool:
        """Keep a new job; False when there is one of that name, whatever the case of its letters."""
        name, team = request["LabelingJobName"], request["HumanTaskConfig"]["WorkteamArn"].rpartition("/")[2]
        task = request["HumanTaskConfig"]
        limits = (task["NumberOfHumanWorkersPerDataObject"], task["TaskTimeLimitInSeconds"])
        row = (name.lower(), name, json.dumps(request), team.lower(), "Initializing", seed, *limits, now, now)
        with self._write() as db:
            columns = "key, name, request, workteam, status, seed, wanted, seconds, created, modified"
            return db.execute(f"INSERT OR IGNORE INTO jobs ({columns}) VALUES (?,?,?,?,?,?,?,?,?,?)", row).rowcount == 1

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
            sql = """UPDATE objects SET state = ?1, task = ?2,
                     room = CASE ?1 WHEN 'open' THEN (SELECT wanted FROM jobs WHERE key = ?3) ELSE 0 END
                     WHERE job = ?3 AND number = ?4"""
            db.executemany(sql, rows)

    def answers(self, name: str, iteration: int) -> dict[str, list[WorkerAnswer]]:
        """Return the answers about each object of an iteration, in the order in which they came."""
        sql = """SELECT a.* FROM last_answers a JOIN objects o ON o.job = a.job AND o.number = a.number
                 WHERE a.job = ? AND o.iteration = ? AND a.content <> 'null' ORDER BY a.id"""
        answers: dict[str, list[WorkerAnswer]] = {}
        for row in self._read(sql, name.lower(), iteration):
            content, spent = json.loads(row["content"]), max(row["seconds"], 0.0)  # an earlier gandt kept less
            answer = WorkerAnswer(row["worker"], content, _moment(row["accepted"]), _moment(row["submitted"]), spent)
            answers.setdefault(str(row["number"]), []).append(answer)
        return answers

    def freeze(self, name: str, iteration: int) -> None:
        """Hand out nothing more of an iteration, take no more answers to it and no changes of those there are."""
        key = name.lower()
        with self._write() as db:
            db.execute("UPDATE iterations SET frozen = 1 WHERE job = ? AND iteration = ?", (key, iteration))
            sql = """UPDATE objects SET state = 'answered', room = 0
                     WHERE job = ? AND iteration = ? AND state IN ('open', 'drawn')"""
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


def _job(row: sqlite3.Row) -> Job:
    names = ("name", "status", "reason", "template", "seed", "created", "modified")
    return Job(request=json.loads(row["request"]), **{name: row[name] for name in names})


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
