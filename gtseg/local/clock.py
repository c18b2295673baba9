"""Time that does not jump: what leases and the lifetimes of objects are measured by.

The wall clock of a machine may be set at any moment. This clock goes on with the time that really passes (also while the
machine sleeps, where the system can tell) and follows the wall clock slowly: 5 % faster or slower, until they agree. Only
a wall clock that is more than a day off was plainly wrong before, and is believed at once.

Its distance to the machine's own counter is kept in the data folder, so that a server that is started again goes on with
the same time, as long as the machine has not been started anew.
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

__all__ = ["ClockKeeper", "Place", "SteadyClock", "read_clock"]

SLEW = 0.05
STEP_SECONDS = 86_400.0
KEEP_SECONDS = 5.0
WORTH_KEEPING = 0.2  # seconds of change
DDL = "CREATE TABLE IF NOT EXISTS clock (boot TEXT NOT NULL, offset REAL NOT NULL);"
logger = logging.getLogger(__name__)


def read_counter() -> float:
    """Seconds since some moment, which nobody can set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True)
class Place:
    """Where a clock was: `offset` seconds ahead of the counter of `boot`."""

    boot: str
    offset: float


class SteadyClock:
    def __init__(
        self,
        *,
        wall: Callable[[], float] = lambda: time.time(),
        counter: Callable[[], float] = read_counter,
        boot: str | None = None,
    ) -> None:
        self._wall, self._counter = wall, counter
        self._boot = read_boot() if boot is None else boot
        self._lock = threading.Lock()
        self._last = counter()
        self._offset = wall() - self._last

    def read(self) -> float:
        """Now, as epoch seconds."""
        with self._lock:
            counter, wall = self._counter(), self._wall()
            off = wall - (counter + self._offset)
            limit = SLEW * max(0.0, counter - self._last)
            if abs(off) > STEP_SECONDS:
                logger.warning("the machine's clock was set by %.0f seconds: deadlines move with it", off)
                self._offset += off
            else:
                self._offset += max(-limit, min(limit, off))
            self._last = counter
            return counter + self._offset

    def place(self) -> Place:
        return Place(self._boot, self._offset)

    def go_on(self, place: Place | None) -> None:
        """Go on where an earlier process was, if the machine still counts as it did then."""
        if place is not None and place.boot and place.boot == self._boot:
            with self._lock:
                self._offset = place.offset


_CLOCK = SteadyClock()


def read_clock() -> float:
    """Now, as epoch seconds, by this process's steady clock."""
    return _CLOCK.read()


class ClockKeeper:
    """A Component: keeps the clock's place in the data folder."""

    def __init__(self, store: Store, clock: SteadyClock | None = None) -> None:
        self._store, self._clock = store, clock or _CLOCK
        store.create(DDL)
        self._kept = self._load()
        self._clock.go_on(self._kept)
        self._loop = Loop("clock", self.keep, seconds=KEEP_SECONDS)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()

    def keep(self) -> None:
        """Write the place, if it has changed."""
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
