"""Steady clock for leases and object lifetimes, unaffected by jumps of the wall clock.

A machine's wall clock may be set at any time. This clock advances with real time (including system sleep, where the
system can measure it) and follows the wall clock slowly, 5 % faster or slower, until they agree. A difference of more
than a day means that the wall clock was wrong before; it is adopted at once.

The offset from the machine's monotonic counter is stored in the data folder, so that a restarted server continues with
the same time unless the machine was rebooted.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gtseg.local.loop import Loop
from gtseg.local.storage.layout import read_boot
from gtseg.local.storage.store import Store

SLEW = 0.05
STEP_SECONDS = 86_400.0
KEEP_SECONDS = 5.0
WORTH_KEEPING = 0.2
"""Minimum change of the offset, in seconds, that is stored."""
DDL = "CREATE TABLE IF NOT EXISTS clock (boot TEXT NOT NULL, offset REAL NOT NULL);"
logger = logging.getLogger(__name__)


def _read_counter() -> float:
    """Return seconds since an arbitrary moment, by a counter that cannot be set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True)
class Place:
    """State of a clock: `offset` seconds ahead of the counter of boot `boot`."""

    boot: str
    offset: float


class SteadyClock:
    """The clock of a process; `wall`, `counter` and `boot` are for tests. Thread-safe."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = lambda: time.time(),
        counter: Callable[[], float] = _read_counter,
        boot: str | None = None,
    ) -> None:
        self._wall, self._counter = wall, counter
        self._boot = read_boot() if boot is None else boot
        self._lock = threading.Lock()
        self._last = counter()
        self._offset = wall() - self._last

    def read(self) -> float:
        """Return the current time in epoch seconds."""
        with self._lock:
            counter, wall = self._counter(), self._wall()
            off = wall - (counter + self._offset)
            limit = SLEW * max(0.0, counter - self._last)
            if abs(off) > STEP_SECONDS:
                logger.warning("the machine's clock was changed by %.0f seconds; deadlines move with it", off)
                self._offset += off
            else:
                self._offset += max(-limit, min(limit, off))
            self._last = counter
            return counter + self._offset

    def place(self) -> Place:
        return Place(self._boot, self._offset)

    def resume_from(self, place: Place | None) -> None:
        """Continue from the state of an earlier process, unless the machine was rebooted."""
        if place is not None and place.boot and place.boot == self._boot:
            with self._lock:
                self._offset = place.offset


_CLOCK = SteadyClock()


def read_clock() -> float:
    """Return the current time in epoch seconds, by this process's steady clock."""
    return _CLOCK.read()


class ClockKeeper:
    """A component that stores the clock's state in the data folder."""

    def __init__(self, store: Store, clock: SteadyClock | None = None) -> None:
        self._store, self._clock = store, clock or _CLOCK
        store.create(DDL)
        self._kept = self._load()
        self._clock.resume_from(self._kept)
        self._loop = Loop("clock", self.keep, seconds=KEEP_SECONDS)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()

    def keep(self) -> None:
        """Store the state if it has changed."""
        self._clock.read()
        place, kept = self._clock.place(), self._kept
        if kept is not None and kept.boot == place.boot and abs(kept.offset - place.offset) < WORTH_KEEPING:
            return
        with self._store.write() as connection:
            connection.execute("DELETE FROM clock")
            connection.execute("INSERT INTO clock VALUES (?, ?)", (place.boot, place.offset))
        self._kept = place

    def _load(self) -> Place | None:
        row: sqlite3.Row | None = self._store.read().execute("SELECT boot, offset FROM clock").fetchone()
        return Place(row["boot"], row["offset"]) if row is not None else None
