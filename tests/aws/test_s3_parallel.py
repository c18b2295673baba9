"""Work in threads: bounded, FIFO, ended when its reader stops."""

from __future__ import annotations

import hashlib
import threading
from contextlib import closing

import pytest
from polling import wait_for

from gtseg.aws.s3 import Budget, work_through


def test_work_in_progress_stays_within_the_budget() -> None:
    budget, lock, out, most = Budget(10), threading.Lock(), 0, 0

    def work(units: int) -> None:
        nonlocal out, most
        with budget.hold(units):
            with lock:
                out += min(units, 10)
                most = max(most, out)
            hashlib.sha256(bytes(1 << 18)).digest()  # releases the interpreter lock: others work meanwhile
            with lock:
                out -= min(units, 10)

    for _ in work_through([1, 3, 7, 10, 25, 4] * 30, work, threads=16):
        pass
    assert 0 < most <= 10
    with budget.hold(10):  # all of it has come back
        pass


def test_small_items_do_not_overtake_a_large_one_that_waits() -> None:
    budget, order = Budget(10), []
    budget.take(6)

    def work(units: int) -> None:
        with budget.hold(units):
            order.append(units)

    threads = []
    for units in (10, 1):
        threads.append(threading.Thread(target=work, args=(units,)))
        threads[-1].start()
        wait_for(lambda: len(budget._waiting) == len(threads), every=0.001)
    budget.give(6)
    for thread in threads:
        thread.join(10)
    assert order == [10, 1]


def test_work_in_progress_and_waiting_results_are_bounded() -> None:
    fetched, ahead = 0, []
    numbers = (ahead.append(n - fetched) or n for n in range(500))
    for _ in work_through(numbers, lambda n: n, threads=4, most=6):
        hashlib.sha256(bytes(1 << 18)).digest()  # a slow reader: the threads could run ahead of it
        fetched += 1
    assert fetched == 500
    assert max(ahead) <= 6 + 1


def test_the_results_of_one_pool_are_the_items_of_another() -> None:
    """Each result arrives once, from any thread."""
    first = work_through(range(300), lambda n: n + 1, threads=7, most=7)
    second = work_through(first, lambda pair: pair[1] * 2, threads=3)
    assert sorted((item, result) for (item, _), result in second) == [(n, 2 * n + 2) for n in range(300)]


def test_an_error_in_the_source_ends_both_chained_pools() -> None:
    def work(number: int) -> int:
        if number == 40:
            raise ValueError("forty")
        return number

    before = threading.active_count()
    first = work_through(range(100_000), work, threads=5, most=5)
    second = work_through(first, lambda pair: pair[1], threads=2)
    with closing(first), closing(second), pytest.raises(ValueError, match="forty"):
        list(second)
    assert threading.active_count() == before


def test_a_reader_that_stops_early_leaves_no_thread() -> None:
    before = threading.active_count()
    first = work_through(range(100_000), lambda n: n, threads=5, most=5)
    second = work_through(first, lambda pair: pair[1], threads=2)
    with closing(first), closing(second):
        next(second)
    assert threading.active_count() == before
