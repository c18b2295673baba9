"""Tables on disk: contents of a dict, ordered by UTF-8 bytes, in constant memory."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.pipeline.stages.dataset.check import Finding, Spooled
from gtseg.pipeline.stages.dataset.ledger import PAGE, Ledger
from gtseg.pipeline.stages.dataset.origins import Fact

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(TEXT, TEXT | st.none())))
def test_a_table_has_the_contents_of_a_dict(changes: list[tuple[str, str | None]]) -> None:
    plain: dict[str, str] = {}
    with Ledger() as ledger:
        table = ledger.table(str, str)
        for key, value in changes:
            if value is None:
                assert table.pop(key, None) == plain.pop(key, None)
            else:
                table[key] = plain[key] = value
        assert list(table.rows()) == sorted(plain.items(), key=lambda item: item[0].encode())
        assert (len(table), bool(table)) == (len(plain), bool(plain))
        assert all((key in table) == (key in plain) for key, _ in changes)
        assert table.get("no such key") is None


def test_rows_may_change_during_iteration() -> None:
    with Ledger() as ledger:
        table = ledger.table(int, str)
        table.add_all((number, "old") for number in range(3 * PAGE))
        for number, _ in table.rows():
            table[number] = "new"
            if number % 2:
                del table[number]
        assert [(n, v) for n, v in table.rows()] == [(n, "new") for n in range(0, 3 * PAGE, 2)]


def test_the_last_or_the_first_of_equal_keys_stays() -> None:
    with Ledger() as ledger:
        table = ledger.table(str, int)
        table.add_all([("a", 1), ("a", 2)])
        table.add_all([("a", 3), ("b", 4), ("b", 5)], keep=True)
        assert dict(table) == {"a": 2, "b": 4}


def test_stored_values_are_read_back_equal() -> None:
    fact = Fact("e", 3, 2, "JPEG", 6)
    finding = Finding(
        "s3://b/i",
        "s3://b/m",
        "r",
        0.5,
        "g",
        fact=fact,
        pixels=((0, 5), (255, 1)),
        spooled=Spooled(1, 2, "m"),
    )
    with Ledger() as ledger:
        table = ledger.table(int, Finding)
        table[7] = finding
        assert table[7] == finding
        with pytest.raises(KeyError):
            table[8]


def test_threads_share_one_table() -> None:
    with Ledger() as ledger:
        table = ledger.table(int, int)

        def fill(start: int) -> None:
            for number in range(start, 400, 8):
                table[number] = table.get(number - 8, 0) + 1

        threads = [threading.Thread(target=fill, args=(start,)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert dict(table) == {number: number // 8 + 1 for number in range(400)}


def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell a process's memory")
    with Ledger() as ledger:
        table = ledger.table(int, str)
        table.add_all((number, "x" * 500) for number in range(5_000))
        before = _resident()
        table.add_all((number, "x" * 500) for number in range(5_000, 60_000))  # 27 MB
        assert _resident() - before < 6_000_000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
