"""Parsing of SQLite's write-ahead log, compared with SQLite."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gtseg.local.storage.wal import count_lost, is_header

PAGE, FRAME = 4096, 4096 + 24


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of a database with 30 rows, each written in its own transaction of one or two pages."""
    path = tmp_path_factory.mktemp("log") / "db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for _ in range(30):
        connection.execute("INSERT INTO t VALUES (?)", (os.urandom(3000),))
    yield path.with_name("db-wal")
    connection.close()


def count_rows(database: Path, log: bytes, folder: Path) -> int:
    """The number of rows that SQLite recovers from a log."""
    folder.mkdir()
    shutil.copy(database, folder / "db")
    (folder / "db-wal").write_bytes(log)
    connection = sqlite3.connect(folder / "db")
    try:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize("rows", [5, 20])
def test_frames_that_sqlite_drops_after_a_damaged_one_are_counted(log: Path, tmp_path: Path, rows: int) -> None:
    content = bytearray(log.read_bytes())
    assert count_rows(log.with_name("db"), bytes(content), tmp_path / "whole") == 30
    frame = next(
        n
        for n in range(1, 99)
        if count_rows(log.with_name("db"), bytes(content[: 32 + n * FRAME]), tmp_path / f"{n}") == rows
    )
    content[32 + frame * FRAME + 100] ^= 1  # the first frame of a transaction
    (tmp_path / "db-wal").write_bytes(content)
    kept = count_rows(log.with_name("db"), bytes(content), tmp_path / "damaged")
    assert kept == rows
    assert count_lost(tmp_path / "db-wal") == 30 - rows


@pytest.mark.parametrize("cut", [0, 1, 100, FRAME, 3 * FRAME + 50])
def test_a_truncated_log_has_no_countable_loss(log: Path, tmp_path: Path, cut: int) -> None:
    content = log.read_bytes()
    (tmp_path / "db-wal").write_bytes(content[: len(content) - cut])
    assert count_lost(tmp_path / "db-wal") == 0


def test_frames_of_an_earlier_generation_are_not_counted(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (a)")
    for _ in range(5):
        connection.execute("INSERT INTO t VALUES (?)", (os.urandom(9000),))
    connection.execute("PRAGMA wal_checkpoint(RESTART)")
    connection.execute("INSERT INTO t VALUES (1)")
    assert count_lost(tmp_path / "db-wal") == 0
    connection.close()


def test_the_header_is_recognized_by_its_checksum(log: Path) -> None:
    head = log.read_bytes()[:32]
    assert is_header(head)
    assert not is_header(head[:31])
    assert not any(is_header(head[:n] + bytes([head[n] ^ 1]) + head[n + 1 :]) for n in range(32))
