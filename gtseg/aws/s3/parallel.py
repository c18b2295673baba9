"""Parallel work on many items in threads, with a bounded number in progress."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

from gtseg.errors import GtsegError

T = TypeVar("T")
R = TypeVar("R")
_END = object()


def work_through(
    items: Iterable[T], work: Callable[[T], R], *, threads: int, most: int | None = None
) -> Generator[tuple[T, R]]:
    """Yield (item, result) in order of completion. The first exception stops all threads and is raised here.

    Threads take items one by one and wait for the consumer, so that results do not accumulate: at most `most` items
    (default: twice the threads) are in progress or waiting. Leaving the loop early, or Ctrl-C, lets running requests
    end.
    """
    source, lock, stop = iter(items), threading.Lock(), threading.Event()
    room = threading.Semaphore(most or 2 * threads)
    results: SimpleQueue[Any] = SimpleQueue()

    def run() -> None:
        try:
            while room.acquire() and not stop.is_set():
                with lock:
                    item = next(source, _END)
                if item is _END:
                    room.release()
                    break
                results.put((item, work(item)))  # type: ignore[arg-type]
        except BaseException as error:
            stop.set()
            results.put(error)
        results.put(_END)

    workers = [threading.Thread(target=run, daemon=True, name=f"gtseg-{n}") for n in range(threads)]
    for worker in workers:
        worker.start()
    try:
        for result in _collect(results, len(workers)):
            room.release()
            yield result
    finally:
        stop.set()
        room.release(threads)
        for worker in workers:
            worker.join()


def _collect(results: SimpleQueue[Any], workers: int) -> Iterator[Any]:
    while workers:
        result = results.get()
        if result is _END:
            workers -= 1
        elif isinstance(result, BaseException):
            raise result
        else:
            yield result


class Budget:
    """A weighted semaphore: at most `limit` units are held at once, which bounds memory."""

    def __init__(self, limit: int) -> None:
        self._limit, self._free = limit, limit
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()

    def hold(self, units: int) -> _Reservation:
        """Return a context manager that holds `units`, capped at the limit."""
        return _Reservation(self, min(max(units, 1), self._limit))

    def take(self, units: int) -> None:
        """Take units in FIFO order; releasing units wakes only the next waiter. Raises GtsegError after an hour."""
        with self._lock:
            if not self._waiting and units <= self._free:
                self._free -= units
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append((units, turn))
        if not turn.acquire(timeout=3600):
            raise GtsegError("waited an hour for other work of this process to end")

    def give(self, units: int) -> None:
        with self._lock:
            self._free += units
            while self._waiting and self._waiting[0][0] <= self._free:
                wanted, turn = self._waiting.popleft()
                self._free -= wanted
                turn.release()


class _Reservation:
    def __init__(self, budget: Budget, units: int) -> None:
        self._budget, self._units = budget, units

    def __enter__(self) -> None:
        self._budget.take(self._units)

    def __exit__(self, *_: object) -> None:
        self._budget.give(self._units)
