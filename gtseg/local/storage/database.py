"""SQLite databases of the data folder: many readers, one writer, and the checks of the file before it is opened.

SQLite runs in WAL mode with synchronous=NORMAL: the file is never corrupt. A commit survives kill -9 at once and a
power failure once its write-ahead log is synced (`log`, see sync.py), which every response waits for. Readers never
wait; writers queue on one lock of this process, so that `database is locked` cannot happen (a lock on the folder admits
one process).

`PRAGMA user_version` holds the schema version. `PRAGMA application_id` tells whether the database is in use: a database
in use without a write-ahead log beside it was copied without the log and lacks the latest commits.
"""

from __future__ import annotations

import ctypes
import logging
import re
import sqlite3
import struct
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.storage.sync import Log
from gtseg.local.storage.wal import count_lost, is_header

SCHEMA = 2
"""Schema version of the whole data folder. 1: version 0.1.0, which stored no version. A table change needs a migration.
"""
MIGRATIONS: dict[str, dict[int, str]] = {"state.sqlite3": {}, "objects.sqlite3": {}}
"""Database -> version -> SQL script that migrates to it. New tables need none: they are created where they are used."""

BUSY_SECONDS = 60.0
CHECKPOINT_PAGES = 1000  # SQLite's own default
RESTART_PAGES = 256
"""Log size, in pages (1 MB), from which the log is restarted from its beginning."""
CHECKED_BYTES = 64 << 20
"""Databases up to this size are read completely before use (0.1 s)."""
IN_USE, AT_REST = 0x67747331, 0x67747330  # application_id: "gts1", "gts0"
MAGIC = b"SQLite format 3\0"
logger = logging.getLogger(__name__)


def damaged(path: Path, what: str, remedy: str = "") -> ServiceError:
    """Return the ServiceError for a file of the data folder that cannot be used."""
    remedy = remedy or "Restore the data folder from a backup (gtseg local restore)."
    return ServiceError("DataFolderDamaged", f"{path} {what}. {remedy}", 500)


def too_new(folder: Path, found: int, version: str = "") -> ServiceError:
    """Return the ServiceError for a data folder written by a newer gtseg."""
    written = f"gtseg {version} (schema {found})" if version else f"a newer gtseg (schema {found})"
    return ServiceError(
        "DataFolderTooNew",
        f"the data folder {folder} was written by {written}; this gtseg reads schema {SCHEMA} at most. "
        "Upgrade gtseg, or choose another folder with --data.",
        500,
    )


class Database:
    """One SQLite file: one read connection per thread, one writer at a time.

    `before_commit` is called before each transaction begins and before it is committed.
    """

    def __init__(self, path: Path, *, row_factory: Any = sqlite3.Row, checkpoint_pages: int = CHECKPOINT_PAGES) -> None:
        self.path = path
        self.log = Log(path.with_name(f"{path.name}-wal"))
        self.before_commit: Callable[[], None] = _do_nothing
        self._checkpoint_pages = checkpoint_pages
        self._row_factory = row_factory
        self._local = threading.local()
        self._writer = threading.RLock()
        self._created: set[str] = set()
        self._connections: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._connections_lock = threading.Lock()
        try:
            self._guard = self._connect()  # while it is open, SQLite keeps the write-ahead log
            _migrate(self._guard, path, MIGRATIONS.get(path.name, {}))
            self._mark(IN_USE)
            # The mark must be in the file itself, and the log must not be empty.
            self._guard.execute("PRAGMA wal_checkpoint(RESTART)")
            # Unless the process is killed, its connections are closed and the log is removed when it ends.
            self._mark_at_rest = weakref.finalize(self, _mark_at_rest, self._guard)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise damaged(path, f"is damaged ({error})") from None

    def create(self, ddl: str) -> None:
        """Run `CREATE TABLE IF NOT EXISTS ...` statements once each; allowed inside a transaction."""
        if ddl in self._created:
            return
        with self.write() as connection:
            for statement in _split_statements(ddl):
                connection.execute(statement)
        if not self.read().in_transaction:  # else the caller may still roll it back
            self._created.add(ddl)

    def read(self) -> sqlite3.Connection:
        """Return this thread's connection, in autocommit mode."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    @contextmanager
    def write(self, *, is_repeatable: bool = False) -> Iterator[sqlite3.Connection]:
        """Run the block in BEGIN IMMEDIATE .. COMMIT; ROLLBACK on any exception.

        A nested call joins the outer transaction.

        `is_repeatable`: the transaction can be repeated from data on disk, so that no response waits for its sync.
        """
        self.before_commit()
        with self._writer:
            connection = self.read()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                self.before_commit()
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            if not is_repeatable:
                self._local.position = self.log.note()

    @property
    def position(self) -> int:
        """Position of this thread's last transaction in the log; 0 before its first."""
        return int(getattr(self._local, "position", 0))

    def sync_own(self) -> None:
        """Block until this thread's commits are on disk. Raises DiskError."""
        if self.position:
            self.log.wait(self.position)

    def checkpoint(self) -> None:
        """Move the log into the database file, in the background.

        Writers are locked out only for the last part: SQLite restarts the log from its beginning only when all of it is
        in the file, and overwriting a file syncs several times faster than extending it.
        """
        _, written, moved = self.read().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if written > RESTART_PAGES and moved > 0:
            with self._writer:
                self.read().execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close every thread's connection; closing the last one moves the log into the file."""
        self._mark_at_rest()
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            if not connection.is_kept:
                connection.close()
        self._local = threading.local()
        self.log.close()

    def _mark(self, application_id: int) -> None:
        with self._writer:
            self._guard.execute(f"PRAGMA application_id={application_id}")
            self.log.note()

    def _connect(self) -> _Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        connection.row_factory = self._row_factory
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA wal_autocheckpoint={self._checkpoint_pages}")
        with self._connections_lock:
            self._connections.add(connection)
        return connection


def _mark_at_rest(guard: _Connection) -> None:
    """Mark a database as not in use before its last connection is closed, which removes the log."""
    try:
        guard.execute(f"PRAGMA application_id={AT_REST}")
    except sqlite3.Error:
        # A full disk cannot store the mark. A connection that is never closed keeps the log.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(guard))
        guard.is_kept = True


def _migrate(connection: sqlite3.Connection, path: Path, scripts: Mapping[int, str]) -> None:
    """Migrate a database to this version's schema, in one transaction. Raises ServiceError for a newer schema."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > SCHEMA:
            raise too_new(path.parent, found)
        is_new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if found < SCHEMA:
            for version in range(max(found, 1) + 1, SCHEMA + 1):
                for statement in () if is_new else _split_statements(scripts.get(version, "")):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def examine(path: Path, *, must_exist: bool, thorough: bool = False, was_restarted: bool = False) -> int:
    """Check a database file that no server has open; return its schema version, 0 if it does not exist yet.

    Raises ServiceError if it is missing, empty, truncated, damaged, or was copied without its write-ahead log.
    `thorough`: read all of it, whatever its size. `was_restarted`: the machine was restarted since, so that a power
    failure may have damaged the end of the log; otherwise transactions after a damaged one are data that the disk lost.
    """
    try:
        with path.open("rb") as file:
            header = file.read(100)
        size, wal_size = path.stat().st_size, _measure_log(path)
    except FileNotFoundError:
        if must_exist:
            raise damaged(path, "is missing") from None
        return 0
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})", "Check its permissions.") from None
    if not size and not must_exist and not wal_size:
        return 0  # the first start was interrupted
    if not size:
        raise damaged(path, "is empty")
    if len(header) < 100 or not header.startswith(MAGIC):
        raise damaged(path, "is not a SQLite database")
    (application_id,) = struct.unpack(">I", header[68:72])
    if application_id == IN_USE and not wal_size:
        raise damaged(
            path,
            f"was copied without {path.name}-wal, which holds the latest changes",
            f"Copy {path.name}-wal and {path.name}-shm too, or use gtseg local backup, which copies them. If a SQLite "
            f"tool opened {path.name} here after its server was killed, nothing is missing: run PRAGMA "
            "application_id=0 in that tool.",
        )
    if wal_size:
        _check_log(path, was_restarted=was_restarted)
    if not wal_size:
        _check_length(path, header, size)
    return _open_and_check(path, size, thorough=thorough)


def _measure_log(path: Path) -> int:
    """Return the size of a database's write-ahead log; 0 without one. Raises ServiceError if its header is invalid."""
    wal = path.with_name(f"{path.name}-wal")
    try:
        with wal.open("rb") as file:
            head = file.read(32)
    except FileNotFoundError:
        return 0
    if head and not is_header(head):
        raise damaged(wal, "is damaged; it holds the latest changes to the database beside it")
    return wal.stat().st_size


def _check_log(path: Path, *, was_restarted: bool) -> None:
    """Raise ServiceError if the log holds transactions that SQLite would drop silently."""
    wal = path.with_name(f"{path.name}-wal")
    lost = count_lost(wal)
    if lost and not was_restarted:
        raise damaged(
            wal,
            f"is damaged: {lost} transactions after the damage cannot be read",
            "Restore the data folder from a backup (gtseg local restore), or continue without them: run PRAGMA "
            f"application_id=0 on {path.name} in a SQLite tool.",
        )
    if lost:
        logger.warning(
            "%s: %d transactions were lost in the power failure; no client had received a response for them", wal, lost
        )


def _check_length(path: Path, header: bytes, size: int) -> None:
    page, pages = struct.unpack(">H", header[16:18])[0], struct.unpack(">I", header[28:32])[0]
    expected = (65536 if page == 1 else page) * pages
    if header[24:28] == header[92:96] and size < expected:
        raise damaged(path, f"is truncated: {size} of {expected} bytes are left")


def _open_and_check(path: Path, size: int, *, thorough: bool) -> int:
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found > SCHEMA:
                raise too_new(path.parent, found)
            if thorough or size <= CHECKED_BYTES:
                (first,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if first != "ok":
                    raise damaged(path, f"is damaged ({' '.join(first.split())})")
            connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
            # Closing the only connection moves the log into the file and removes it.
            connection.execute(f"PRAGMA application_id={AT_REST}")
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise damaged(path, f"cannot be opened ({error})") from None
    except sqlite3.DatabaseError as error:
        raise damaged(path, f"is damaged ({error})") from None
    return max(int(found), 1)


def _split_statements(script: str) -> Iterator[str]:
    """Yield the statements of a script; sqlite3's executescript would commit the caller's transaction."""
    statement = ""
    for piece in re.findall(r"[^;]*;|[^;]+\Z", script):
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _do_nothing() -> None:
    """Do nothing; the default of `before_commit`."""


class _Connection(sqlite3.Connection):
    """A sqlite3.Connection that supports weak references, so that a finished thread's connection is released."""

    is_kept = False
