"""Buckets and objects in a folder: an index in SQLite, and each content in a file with a name of our own.

No name that a client gives ever becomes a path. A content is written and synced before the index names it, in one
transaction, so that a reader sees the old object or the new, also after a crash; files that nothing names are swept
when the folder is opened.
"""

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gandt.errors import InputError

_LAST = "\U0010ffff"  # sorts behind every key
_TABLES = """
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, created REAL NOT NULL, cors TEXT);
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, key TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified REAL NOT NULL, headers TEXT NOT NULL, PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    PRIMARY KEY (upload, number));
"""


@dataclass(frozen=True)
class Content:
    """A content on the disk that the index doesn't name yet: its file, size in bytes and MD5 (hex)."""

    file: str
    size: int
    etag: str


@dataclass(frozen=True)
class Object:
    """An object; ``headers`` are those that S3 gives back (``content-type``, ``x-amz-meta-…``)."""

    bucket: str
    key: str
    file: str
    size: int
    etag: str
    modified: float
    headers: dict[str, str]


class ObjectFolder:
    """Embedded storage in the folder ``path``.

    Raises
    ------
    InputError
        When the folder holds something else.
    """

    def __init__(self, path: str) -> None:
        self._folder = Path(path)
        self._contents = self._folder / "contents"
        self._contents.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.RLock()
        try:
            file = self._folder / "index.sqlite"
            self._db = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=30)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{file} is no storage of gandt's ({error}); give another folder with --state") from error
        named = {row["file"] for row in self._read("SELECT file FROM objects UNION SELECT file FROM parts")}
        for left in self._contents.glob("*/*"):
            if left.name not in named:
                left.unlink()

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._db.close()

    # ------------------------------------------------------------------ buckets

    def buckets(self) -> list[tuple[str, float]]:
        """Return names and times of creation."""
        return [(row["name"], row["created"]) for row in self._read("SELECT * FROM buckets ORDER BY name")]

    def has_bucket(self, name: str) -> bool:
        """Tell whether there is such a bucket."""
        return bool(self._read("SELECT 1 FROM buckets WHERE name = ?", name))

    def add_bucket(self, name: str, now: float) -> bool:
        """Make a bucket; False when there is one of that name."""
        with self._write() as db:
            return db.execute("INSERT OR IGNORE INTO buckets VALUES (?, ?, NULL)", (name, now)).rowcount == 1

    def delete_bucket(self, name: str) -> bool:
        """Delete a bucket; False when it has objects."""
        with self._write() as db:
            if db.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                return False
            db.execute("DELETE FROM buckets WHERE name = ?", (name,))
        return True

    def cors(self, bucket: str) -> list[dict[str, list[str]]]:
        """Return a bucket's CORS rules, each a mapping of S3's names to lists of values."""
        rows = self._read("SELECT cors FROM buckets WHERE name = ?", bucket)
        return json.loads(rows[0]["cors"]) if rows and rows[0]["cors"] else []

    def set_cors(self, bucket: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """Keep a bucket's CORS rules."""
        with self._write() as db:
            db.execute("UPDATE buckets SET cors = ? WHERE name = ?", (json.dumps(rules) if rules else None, bucket))

    # ------------------------------------------------------------------ objects

    def new_file(self) -> Path:
        """Return the path of a file to write a content to."""
        name = secrets.token_hex(16)
        folder = self._contents / name[:2]
        folder.mkdir(exist_ok=True)
        return folder / name

    def path(self, file: str) -> Path:
        """Return where a content is."""
        return self._contents / file[:2] / file

    def put(self, bucket: str, key: str, content: Content, headers: Mapping[str, str], now: float) -> None:
        """Make ``content`` the object's own, in place of what was there."""
        row = (bucket, key, content.file, content.size, content.etag, now, json.dumps(dict(headers)))
        with self._write() as db:
            old = db.execute("SELECT file FROM objects WHERE bucket = ? AND key = ?", (bucket, key)).fetchone()
            db.execute("INSERT OR REPLACE INTO objects VALUES (?,?,?,?,?,?,?)", row)
        self._remove([old["file"]] if old else [])

    def get(self, bucket: str, key: str) -> Object | None:
        """Return an object."""
        rows = self._read("SELECT * FROM objects WHERE bucket = ? AND key = ?", bucket, key)
        return _object(rows[0]) if rows else None

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete objects, as far as they are there."""
        files = []
        with self._write() as db:
            for key in keys:
                sql = "DELETE FROM objects WHERE bucket = ? AND key = ? RETURNING file"
                files += [row["file"] for row in db.execute(sql, (bucket, key)).fetchall()]
        self._remove(files)

    def listing(
        self, bucket: str, prefix: str, delimiter: str, after: str, most: int
    ) -> tuple[list[Object], list[str], str]:
        """Return objects and common prefixes behind ``after`` in S3's order, and where to go on ('' at the end)."""
        found: list[Object] = []
        common: list[str] = []
        place = after
        sql = "SELECT * FROM objects WHERE bucket = ? AND key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
        while True:
            left = most - len(found) - len(common)
            rows = self._read(sql, bucket, place, prefix, prefix + _LAST, max(1, left))
            for row in rows:
                if len(found) + len(common) >= most:
                    return found, common, place if most else ""
                end = row["key"].find(delimiter, len(prefix)) if delimiter else -1
                if end >= 0:
                    common.append(row["key"][: end + len(delimiter)])
                    place = common[-1] + _LAST
                    break  # nothing more under this prefix
                found.append(_object(row))
                place = row["key"]
            else:
                if len(rows) < max(1, left):
                    return found, common, ""

    # ------------------------------------------------------------------ uploads in parts

    def begin_upload(self, bucket: str, key: str, headers: Mapping[str, str], now: float) -> str:
        """Begin an upload in parts; return its id."""
        upload = secrets.token_urlsafe(24)
        with self._write() as db:
            db.execute("INSERT INTO uploads VALUES (?,?,?,?,?)", (upload, bucket, key, json.dumps(dict(headers)), now))
        return upload

    def upload(self, upload: str, bucket: str, key: str) -> dict[str, str] | None:
        """Return the headers of an upload that goes on."""
        rows = self._read("SELECT * FROM uploads WHERE id = ? AND bucket = ? AND key = ?", upload, bucket, key)
        return json.loads(rows[0]["headers"]) if rows else None

    def uploads(self, bucket: str) -> list[tuple[str, str, float]]:
        """Return id, key and time of a bucket's uploads that go on."""
        rows = self._read("SELECT * FROM uploads WHERE bucket = ? ORDER BY key, created", bucket)
        return [(row["id"], row["key"], row["created"]) for row in rows]

    def put_part(self, upload: str, number: int, content: Content) -> None:
        """Keep a part, in place of an earlier one of that number."""
        with self._write() as db:
            old = db.execute("SELECT file FROM parts WHERE upload = ? AND number = ?", (upload, number)).fetchone()
            row = (upload, number, content.file, content.size, content.etag)
            db.execute("INSERT OR REPLACE INTO parts VALUES (?,?,?,?,?)", row)
        self._remove([old["file"]] if old else [])

    def parts(self, upload: str) -> dict[int, Content]:
        """Return an upload's parts by number, in order."""
        rows = self._read("SELECT * FROM parts WHERE upload = ? ORDER BY number", upload)
        return {row["number"]: Content(row["file"], row["size"], row["etag"]) for row in rows}

    def end_upload(self, upload: str) -> None:
        """Forget an upload and its parts."""
        with self._write() as db:
            sql = "DELETE FROM parts WHERE upload = ? RETURNING file"
            files = [row["file"] for row in db.execute(sql, (upload,)).fetchall()]
            db.execute("DELETE FROM uploads WHERE id = ?", (upload,))
        self._remove(files)

    # ------------------------------------------------------------------ the index

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
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

    def _remove(self, files: Sequence[str]) -> None:
        for file in files:
            self.path(file).unlink(missing_ok=True)


def synced(file: Any) -> None:
    """Return when what was written to a file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def _object(row: sqlite3.Row) -> Object:
    names = ("bucket", "key", "file", "size", "etag", "modified")
    return Object(headers=json.loads(row["headers"]), **{name: row[name] for name in names})
