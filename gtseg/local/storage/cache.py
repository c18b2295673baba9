"""Disk cache of objects of an S3 service: limited in bytes, least recently used first out.

An object is cached as a whole, with its ETag; callers ask the service whether the ETag is current before they use it. A
file is compared with its digest before its first use in the life of a server. The cache needs no backup: a folder that
cannot be used is emptied.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gtseg.local.storage.objects import ObjectInfo
from gtseg.local.storage.verification import hash_file

DDL = """
CREATE TABLE IF NOT EXISTS kept (
    bucket TEXT NOT NULL, key TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    digest TEXT NOT NULL, about TEXT NOT NULL, used REAL NOT NULL, PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kept_by_use ON kept (used);
"""
RESERVE_BYTES = 1 << 30
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draft:
    """A file being written, to be cached or discarded."""

    path: Path
    file: BinaryIO


class Cache:
    """Cache of objects in `folder`. Thread-safe within one process, which holds the data folder's lock."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Open or create the cache; `limit` is in bytes."""
        self.folder, self.limit = folder, limit
        self._lock = threading.RLock()
        self._turns: dict[tuple[str, str], threading.Lock] = {}
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._checked: set[str] = set()
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            logger.warning("the cache %s is damaged and is emptied: %s", folder, error)
            shutil.rmtree(folder)
            self._open()

    def _open(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._connection = sqlite3.connect(self.folder / "index.sqlite3", check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        self._connection.executescript(DDL)
        known = {row[0] for row in self._connection.execute("SELECT file FROM kept")}
        for path in self.folder.iterdir():  # left by an interrupted run
            if path.suffix == ".object" and path.name not in known:
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
        self._size = int(self._connection.execute("SELECT coalesce(sum(size), 0) FROM kept").fetchone()[0])
        self._make_room()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @property
    def size(self) -> int:
        """Size of the cached objects in bytes."""
        return self._size

    @contextlib.contextmanager
    def turn(self, bucket: str, key: str) -> Iterator[None]:
        """Serialize requests for one object, so that concurrent readers fetch it once."""
        place = bucket, key
        with self._lock:
            turn = self._turns.setdefault(place, threading.Lock())
            self._waiting[place] += 1
        try:
            with turn:
                yield
        finally:
            with self._lock:
                self._waiting[place] -= 1
                if not self._waiting[place]:
                    del self._turns[place], self._waiting[place]

    def find(self, bucket: str, key: str) -> ObjectInfo | None:
        """Return the cached attributes of the object; None if it is not cached or its file is damaged."""
        row = self._row(bucket, key)
        if row is None:
            return None
        file, size, etag, digest, about = row
        if file not in self._checked:
            if not _is_intact_file(self.folder / file, size, digest):
                logger.warning("the cached file of s3://%s/%s is damaged or missing; it is fetched again", bucket, key)
                self.forget(bucket, key)
                return None
            self._checked.add(file)
        return ObjectInfo(bucket, key, size, etag, **json.loads(about))

    def open(self, bucket: str, key: str) -> BinaryIO | None:
        """Open the cached object, which stays readable if it is evicted; None if it has been removed."""
        row = self._row(bucket, key)
        try:
            file = (self.folder / row[0]).open("rb") if row is not None else None
        except FileNotFoundError:
            self.forget(bucket, key)
            return None
        if file is not None:
            with self._lock:
                self._connection.execute(
                    "UPDATE kept SET used = ? WHERE bucket = ? AND key = ?", (time.time(), bucket, key)
                )
        return file

    def link(self, bucket: str, key: str, target: Path) -> bool:
        """Create a hard link to the object's file.

        Return False if it is not cached or the file system has no hard links.
        """
        row = self._row(bucket, key)
        if row is None:
            return False
        try:
            os.link(self.folder / row[0], target)
        except FileExistsError:
            raise
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def draft(self, size: int) -> Iterator[Draft]:
        """Yield a new file for `size` bytes; it is removed after the block unless it was cached with `keep`.

        Cached objects are evicted until the disk has RESERVE_BYTES left, which labels and other results need.
        """
        with self._lock:
            while self._size and self.measure_free() < size + RESERVE_BYTES:
                self._forget_oldest()
        path = self.folder / f"{secrets.token_hex(12)}.object"
        with path.open("xb") as file:
            try:
                yield Draft(path, file)
            finally:
                with self._lock:
                    kept = self._connection.execute("SELECT 1 FROM kept WHERE file = ?", (path.name,)).fetchone()
                    if kept is None:
                        path.unlink(missing_ok=True)

    def keep(self, draft: Draft, info: ObjectInfo, digest: str) -> bool:
        """Cache a written file in place of an earlier version.

        Return whether it was cached (it fits and the disk has space).
        """
        draft.file.flush()
        if info.size > self.limit or self.measure_free() < RESERVE_BYTES:
            return False
        about = {
            "content_type": info.content_type,
            "modified_ms": info.modified_ms,
            "metadata": info.metadata,
        }
        with self._lock:
            self.forget(info.bucket, info.key)
            self._make_room(info.size)
            self._connection.execute(
                "INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    info.bucket,
                    info.key,
                    draft.path.name,
                    info.size,
                    info.etag,
                    digest,
                    json.dumps(about),
                    time.time(),
                ),
            )
            self._checked.add(draft.path.name)
            self._size += info.size
        return True

    def forget(self, bucket: str, key: str) -> None:
        with self._lock:
            row = self._row(bucket, key)
            if row is not None:
                self._connection.execute("DELETE FROM kept WHERE bucket = ? AND key = ?", (bucket, key))
                (self.folder / row[0]).unlink(missing_ok=True)
                self._checked.discard(row[0])
                self._size -= row[1]

    def _make_room(self, size: int = 0) -> None:
        """Evict objects until there is room for `size` bytes more."""
        while self._size + size > self.limit:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = self._connection.execute("SELECT bucket, key FROM kept ORDER BY used LIMIT 1").fetchone()
        if oldest is None:
            self._size = 0
        else:
            self.forget(*oldest)

    def measure_free(self) -> int:
        """Return the free bytes of the disk."""
        return shutil.disk_usage(self.folder).free

    def _row(self, bucket: str, key: str) -> tuple[str, int, str, str, str] | None:
        query = "SELECT file, size, etag, digest, about FROM kept WHERE bucket = ? AND key = ?"
        with self._lock:
            row: tuple[str, int, str, str, str] | None = self._connection.execute(query, (bucket, key)).fetchone()
        return row


def _is_intact_file(path: Path, size: int, digest: str) -> bool:
    """Return whether a file has this size and MD5."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == size and hash_file(file.fileno(), [size])[0].hex() == digest
    except (OSError, IndexError):
        return False
