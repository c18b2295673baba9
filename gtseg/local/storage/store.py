"""What survives a restart: the data folder, its credentials and its SQLite databases.

SQLite runs in WAL mode with synchronous=NORMAL: a commit is durable against kill -9 at once and against a power
cut from the next checkpoint on; the file is never corrupt. Readers never wait; writers queue on one lock of this
process, so that `database is locked` cannot happen (an flock on the folder keeps it to one process).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sqlite3
import string
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["ACCOUNT", "Credentials", "Database", "Store", "write_atomically"]

ACCOUNT = "123456789012"
BUSY_SECONDS = 60.0
CHECKPOINT_PAGES = 1000  # SQLite's own default


@dataclass(frozen=True)
class Credentials:
    """The data folder's own AWS keys and the token that opens the owner's HTTP API."""

    access_key: str
    secret_key: str
    owner_token: str


class Database:
    """One SQLite file: a connection per thread to read, one writer at a time."""

    def __init__(
        self, path: Path, *, row_factory: Any = sqlite3.Row, checkpoint_pages: int = CHECKPOINT_PAGES
    ) -> None:
        self.path = path
        self._checkpoint_pages = checkpoint_pages
        self._row_factory = row_factory
        self._local = threading.local()
        self._writer = threading.RLock()
        self._created: set[str] = set()
        self._connections: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()
        self._connections_lock = threading.Lock()

    def create(self, ddl: str) -> None:
        """Run `CREATE TABLE IF NOT EXISTS ...` statements, once each; also inside a transaction."""
        if ddl in self._created:
            return
        with self.write() as connection:
            for statement in _split_statements(ddl):
                connection.execute(statement)
        if not self.read().in_transaction:  # else the caller may still roll it back
            self._created.add(ddl)

    def read(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE .. COMMIT, or ROLLBACK on any exception. A nested call joins the outer one."""
        with self._writer:
            connection = self.read()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every thread's connection; the last one folds the WAL back into the file."""
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()
        self._local = threading.local()

    def _connect(self) -> sqlite3.Connection:
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


def _split_statements(script: str) -> Iterator[str]:
    """One statement at a time: sqlite3's executescript would commit the caller's transaction."""
    statement = ""
    for piece in re.findall(r"[^;]*;|[^;]+\Z", script):
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


class _Connection(sqlite3.Connection):
    """sqlite3.Connection that can be referred to weakly, so that a finished thread's connection goes away."""


class Store:
    """The data folder. Every service keeps its tables in `state.sqlite3`; S3 has an index of its own."""

    def __init__(self, folder: Path, *, region: str = "us-east-1") -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.account = ACCOUNT
        self.region = region
        self.credentials = _load_credentials(self.folder / "credentials.json")
        self._state = Database(self.folder / "state.sqlite3")

    def create(self, ddl: str) -> None:
        """Make a module's own tables: `CREATE TABLE IF NOT EXISTS ...`, any number of statements."""
        self._state.create(ddl)

    def read(self) -> sqlite3.Connection:
        """This thread's connection, rows by name, autocommit."""
        return self._state.read()

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """A transaction; one writer at a time in this process."""
        return self._state.write()

    def close(self) -> None:
        self._state.close()


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put `content` at `path` whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _load_credentials(path: Path) -> Credentials:
    try:
        return Credentials(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        credentials = _make_credentials()
        write_atomically(path, json.dumps(asdict(credentials), indent=1).encode(), mode=0o600)
        return credentials


def _make_credentials() -> Credentials:
    alphabet = string.ascii_uppercase + "234567"
    letters = string.ascii_letters + string.digits
    return Credentials(
        access_key="AKIA" + "".join(secrets.choice(alphabet) for _ in range(16)),
        secret_key="".join(secrets.choice(letters) for _ in range(40)),
        owner_token=secrets.token_urlsafe(24),
    )
