"""Facts about every object on disk, so that memory does not grow with their number."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, Generic, TypeVar

import msgspec

K = TypeVar("K", str, int)
T = TypeVar("T")
CACHE_KIB = 1024
PAGE = 512
"""Number of rows in memory at once."""


class Ledger:
    """Private database in an unnamed file, which disappears when it is closed or the process ends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        for line in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
            self.connection.execute(f"PRAGMA {line}")
        self.connection.execute("BEGIN")
        self._tables = 0

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def table(self, key: type[K], value: type[T]) -> Table[K, T]:
        """Return a new, empty table."""
        self._tables += 1
        name = f"t{self._tables}"
        self.connection.execute(f"CREATE TABLE {name} (key PRIMARY KEY, value BLOB) WITHOUT ROWID")
        return Table(self, name, value)


class Table(MutableMapping[K, T], Generic[K, T]):
    """Dict on disk, ordered by key (strings by their UTF-8 bytes); thread-safe, also during iteration."""

    def __init__(self, ledger: Ledger, name: str, value: type[T]) -> None:
        self._ledger, self._name = ledger, name
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(value).decode

    def __getitem__(self, key: K) -> T:
        row = self._ask(f"SELECT value FROM {self._name} WHERE key = ?", key)
        if not row:
            raise KeyError(key)
        return self._decode(row[0][0])

    def __setitem__(self, key: K, value: T) -> None:
        self._ask(f"REPLACE INTO {self._name} VALUES (?, ?)", key, self._encode(value))

    def __delitem__(self, key: K) -> None:
        self._ask(f"DELETE FROM {self._name} WHERE key = ?", key)

    def __contains__(self, key: object) -> bool:
        return bool(self._ask(f"SELECT 1 FROM {self._name} WHERE key = ?", key))

    def __len__(self) -> int:
        return int(self._ask(f"SELECT count(*) FROM {self._name}")[0][0])

    def __bool__(self) -> bool:
        return bool(self._ask(f"SELECT 1 FROM {self._name} LIMIT 1"))

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.rows())

    def rows(self) -> Iterator[tuple[K, T]]:
        """Yield (key, value) ordered by key; concurrent changes to later keys are seen."""
        last: Any = -1  # smaller than every position, and SQLite sorts numbers before strings
        while page := self._ask(f"SELECT key, value FROM {self._name} WHERE key > ? ORDER BY key LIMIT {PAGE}", last):
            for key, value in page:
                yield key, self._decode(value)
            last = page[-1][0]

    def add_all(self, pairs: Iterable[tuple[K, T]], *, keep: bool = False) -> None:
        """Insert many rows; the last of equal keys wins, with `keep` the first."""
        verb = "INSERT OR IGNORE" if keep else "REPLACE"
        rows = ((key, self._encode(value)) for key, value in pairs)
        with self._ledger.lock:
            self._ledger.connection.executemany(f"{verb} INTO {self._name} VALUES (?, ?)", rows)

    def _ask(self, statement: str, *values: Any) -> list[Any]:
        with self._ledger.lock:
            return self._ledger.connection.execute(statement, values).fetchall()
