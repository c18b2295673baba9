"""Index of buckets and objects in SQLite; only committed rows decide what exists, not the files in a folder.

Keys are stored as UTF-8 bytes, so that SQLite's order is S3's order. The files of replaced and deleted objects are
listed in `garbage` by the same transaction and removed later, so that a path handed out before can still be opened.

Small objects have no file: their bytes are in `small`, under the negative of the number in `object.file`, and are
written and deleted in the transaction of their row. Creating a file costs more than the rest of a small PUT.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.storage.database import Database
from gtseg.local.storage.stored import StoredObject, pack_about, unpack_row

DDL = """
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bucket(
    name TEXT PRIMARY KEY, created INTEGER NOT NULL, settings TEXT NOT NULL DEFAULT '{}') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object(
    bucket TEXT NOT NULL, key BLOB NOT NULL, file INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified INTEGER NOT NULL, content_type TEXT NOT NULL, about TEXT, PRIMARY KEY(bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS small(number INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS intent(file INTEGER PRIMARY KEY, what TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS garbage(file INTEGER PRIMARY KEY, since INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS upload(
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, started INTEGER NOT NULL,
    about TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS upload_key ON upload(bucket, key, started, id);
CREATE TABLE IF NOT EXISTS part(
    upload TEXT NOT NULL, number INTEGER NOT NULL, file INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified INTEGER NOT NULL, checksums TEXT NOT NULL, PRIMARY KEY(upload, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS completed(
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, etag TEXT NOT NULL,
    at INTEGER NOT NULL) WITHOUT ROWID;
"""
COLUMNS = "file,size,etag,modified,content_type,about"
FIND = f"SELECT {COLUMNS} FROM object WHERE bucket=? AND key=?"
FIND_WITH_CONTENT = (
    f"SELECT {COLUMNS},content FROM object LEFT JOIN small ON small.number=-object.file WHERE bucket=? AND key=?"
)
REPLACE = f"INSERT OR REPLACE INTO object(bucket,key,{COLUMNS}) VALUES(?,?,?,?,?,?,?,?)"
PAGE = 1000
CHECKPOINT_PAGES = 20_000
"""Housekeeping moves the write-ahead log into the file every second, in its own thread.

Commits do so only above this size.
"""

Condition = Callable[[StoredObject | None], None]
"""Check of the current object, None if there is none; raises ServiceError to prevent the write."""
Row = tuple[bytes, int, int, str, int, str, str | None]
"""Key, then COLUMNS."""


def read_clock_ms() -> int:
    """Return the current time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def successor(prefix: bytes) -> bytes | None:
    """Return the least byte string greater than every one that starts with `prefix`; None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


class Index:
    """The index in one database; opening it starts a new run (`run`)."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, row_factory=None, checkpoint_pages=CHECKPOINT_PAGES)
        self.database.create(DDL)
        self.run = self._start_run()
        self._buckets: frozenset[str] = frozenset()
        self._deletions = 0

    def _start_run(self) -> int:
        with self.database.write():
            run = self.read_meta("run") + 1
            self.write_meta("run", run)
            return run

    def read_meta(self, name: str) -> int:
        row = self.database.read().execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def write_meta(self, name: str, value: int) -> None:
        with self.database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (name, value))

    # --- buckets ---

    def create_bucket(self, bucket: str) -> bool:
        """Create a bucket; return False if it exists already."""
        with self.database.write() as connection:
            made = connection.execute(
                "INSERT OR IGNORE INTO bucket(name,created) VALUES(?,?)", (bucket, read_clock_ms())
            )
            return made.rowcount == 1

    def delete_bucket(self, bucket: str) -> None:
        with self.database.write() as connection:
            self.check_bucket(bucket)
            if connection.execute("SELECT 1 FROM object WHERE bucket=? LIMIT 1", (bucket,)).fetchone():
                raise ServiceError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
            self._drop_uploads(bucket)
            connection.execute("DELETE FROM bucket WHERE name=?", (bucket,))
        self._deletions += 1
        self._buckets = frozenset()

    def _drop_uploads(self, bucket: str) -> None:
        """Abort the unfinished multipart uploads of a bucket, which do not prevent its deletion."""
        chosen = "upload IN (SELECT id FROM upload WHERE bucket=?)"
        with self.database.write() as connection:
            rows = connection.execute(f"SELECT file FROM part WHERE {chosen}", (bucket,)).fetchall()
            self.discard_files([row[0] for row in rows])
            connection.execute(f"DELETE FROM part WHERE {chosen}", (bucket,))
            connection.execute("DELETE FROM upload WHERE bucket=?", (bucket,))

    def list_buckets(self) -> list[tuple[str, int]]:
        """Return (name, creation time in ms) of each bucket, sorted by name."""
        return self.database.read().execute("SELECT name,created FROM bucket ORDER BY name").fetchall()

    def bucket_exists(self, bucket: str) -> bool:
        found = self.database.read().execute("SELECT 1 FROM bucket WHERE name=?", (bucket,)).fetchone()
        return found is not None

    def check_bucket_early(self, bucket: str) -> None:
        """Raise ServiceError NoSuchBucket before a body is read; the writing transaction checks again."""
        if bucket not in self._buckets:
            deletions = self._deletions
            self.check_bucket(bucket)
            if deletions == self._deletions:
                self._buckets |= {bucket}

    def check_bucket(self, bucket: str) -> None:
        """Raise ServiceError NoSuchBucket if the bucket does not exist."""
        if not self.bucket_exists(bucket):
            raise ServiceError(
                "NoSuchBucket", "The specified bucket does not exist", 404, fields={"BucketName": bucket}
            )

    def read_settings(self, bucket: str) -> dict[str, Any]:
        """Return the bucket's settings (cors, tags, policy, acl, ...) by name."""
        row = self.database.read().execute("SELECT settings FROM bucket WHERE name=?", (bucket,)).fetchone()
        if row is None:
            self.check_bucket(bucket)
        return dict(json.loads(row[0]))

    def write_setting(self, bucket: str, name: str, value: Any) -> None:
        """Store one setting of a bucket; None deletes it."""
        with self.database.write() as connection:
            settings = self.read_settings(bucket)
            settings[name] = value
            kept = {key: member for key, member in settings.items() if member is not None}
            connection.execute("UPDATE bucket SET settings=? WHERE name=?", (json.dumps(kept), bucket))

    # --- objects ---

    def find(self, bucket: str, key: str) -> StoredObject | None:
        row = self.database.read().execute(FIND, (bucket, key.encode())).fetchone()
        return None if row is None else unpack_row(bucket, key, row)

    def find_with_content(self, bucket: str, key: str) -> tuple[StoredObject | None, bytes | None]:
        """Return the object, and its bytes if it has no file, in one query; (None, None) if it does not exist."""
        row = self.database.read().execute(FIND_WITH_CONTENT, (bucket, key.encode())).fetchone()
        return (None, None) if row is None else (unpack_row(bucket, key, row[:-1]), row[-1])

    def replace(self, info: StoredObject, *, condition: Condition | None = None, content: bytes | None = None) -> None:
        """Make `info` the current object of its key in one transaction.

        Raises ServiceError NoSuchBucket, and as `condition`.

        `content`: the bytes of a new small object, whose `file` is negative.
        """
        key = info.key.encode()
        with self.database.write() as connection:
            self.check_bucket(info.bucket)
            row = connection.execute(FIND, (info.bucket, key)).fetchone()
            if condition is not None:
                condition(None if row is None else unpack_row(info.bucket, info.key, row))
            if row is not None and row[0] != info.file:
                self.discard_files([row[0]])
            if content is not None:
                connection.execute("INSERT INTO small VALUES(?,?)", (-info.file, content))
            connection.execute(
                REPLACE,
                (
                    info.bucket,
                    key,
                    info.file,
                    info.size,
                    info.etag,
                    info.modified_ms,
                    info.content_type,
                    pack_about(info),
                ),
            )

    def delete(self, bucket: str, key: str, *, condition: Condition | None = None) -> bool:
        """Delete an object; return False if it does not exist."""
        with self.database.write() as connection:
            self.check_bucket(bucket)
            found = self.find(bucket, key)
            if condition is not None:
                condition(found)
            if found is None:
                return False
            connection.execute("DELETE FROM object WHERE bucket=? AND key=?", (bucket, key.encode()))
            self.discard_files([found.file])
            return True

    def read_page(self, bucket: str, start: bytes, end: bytes | None, *, limit: int = PAGE) -> list[Row]:
        """Return rows with start <= key < end in key order; `end` None: to the end of the bucket."""
        below, bounds = ("", ()) if end is None else (" AND key<?", (end,))
        query = f"SELECT key,{COLUMNS} FROM object WHERE bucket=? AND key>=?{below} ORDER BY key LIMIT ?"
        return self.database.read().execute(query, (bucket, start, *bounds, limit)).fetchall()

    def iterate(self, bucket: str, prefix: bytes) -> Iterator[Row]:
        """Yield every row under a prefix, read in pages; no read transaction spans pages."""
        start, end = prefix, successor(prefix)
        while rows := self.read_page(bucket, start, end):
            yield from rows
            if len(rows) < PAGE:
                return
            start = rows[-1][0] + b"\0"

    # --- files ---

    def discard_files(self, files: Iterable[int]) -> None:
        """List files as garbage, in the caller's transaction or a new one; delete bytes of small objects at once."""
        now = read_clock_ms()
        with self.database.write() as connection:
            for file in files:
                if file < 0:
                    connection.execute("DELETE FROM small WHERE number=?", (-file,))
                else:
                    connection.execute("INSERT OR IGNORE INTO garbage VALUES(?,?)", (file, now))

    def list_garbage(self, *, before_ms: int) -> list[int]:
        rows = self.database.read().execute("SELECT file FROM garbage WHERE since<=?", (before_ms,)).fetchall()
        return [row[0] for row in rows]

    def forget_garbage(self, files: Iterable[int]) -> None:
        with self.database.write() as connection:
            connection.executemany("DELETE FROM garbage WHERE file=?", ((file,) for file in files))

    def list_files(self, *, above: int) -> set[int]:
        """Return the numbers, from `above` on, of all files that a row refers to."""
        tables = ("object", "garbage", "part")
        query = " UNION ALL ".join(f"SELECT file FROM {table} WHERE file>=?" for table in tables)
        rows = self.database.read().execute(query, (above,) * len(tables))
        return {row[0] for row in rows}
