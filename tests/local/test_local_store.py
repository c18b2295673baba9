"""The data folder: credentials, transactions, many threads."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from gtseg.local.storage.store import Store

DDL = "CREATE TABLE IF NOT EXISTS job(name TEXT PRIMARY KEY, status TEXT);"
OTHER = "CREATE TABLE IF NOT EXISTS other(a); CREATE TABLE IF NOT EXISTS another(b TEXT DEFAULT ';');"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.create(DDL)
    return store


def names(store: Store) -> list[str]:
    return [row["name"] for row in store.read().execute("SELECT name FROM job ORDER BY name")]


def test_credentials_are_created_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    first = Store(tmp_path)
    assert Store(tmp_path).credentials == first.credentials
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    assert len(first.credentials.access_key) == 20
    assert len(first.credentials.secret_key) == 40


def insert_and_fail(store: Store) -> None:
    with store.write() as outer:
        outer.execute("INSERT INTO job VALUES('a','x')")
        with store.write() as inner:
            inner.execute("INSERT INTO job VALUES('b','x')")
        store.create(OTHER)
        raise RuntimeError


def test_a_failed_transaction_is_rolled_back_with_nested_ones(store: Store) -> None:
    with pytest.raises(RuntimeError):
        insert_and_fail(store)
    assert names(store) == []
    store.create(OTHER)
    assert list(store.read().execute("SELECT * FROM other")) == []


def test_many_threads_write_without_database_lock_errors(store: Store) -> None:
    failures: list[Exception] = []

    def write(number: int) -> None:
        try:
            for turn in range(40):
                with store.write() as connection:
                    connection.execute("INSERT INTO job VALUES(?,'x')", (f"{number}-{turn}",))
                names(store)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(names(store)) == 320


def test_committed_data_is_in_a_store_opened_later(store: Store) -> None:
    with store.write() as connection:
        connection.execute("INSERT INTO job VALUES('a','x')")
    store.close()
    assert names(Store(store.folder)) == ["a"]
