"""Which jobs run: so many at once, the oldest first, each in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gtseg.local.jobs.records import Record, Records

__all__ = ["JobQueue"]

POLL_SECONDS = 0.2
PAUSE_SECONDS = 5.0  # before a job whose runner broke is taken up again
logger = logging.getLogger(__name__)


class JobQueue:
    """The component of a kind of job. A server that starts goes on first with what the one before it had begun.

    `run(name, shutdown)` does one job from wherever it stands and returns when it has ended, or soon after `shutdown` is
    set. `hold(name)` tells a job that it has to wait. `work["stage"]` is `queued` until a job has begun.
    """

    def __init__(
        self,
        records: Records,
        run: Callable[[str, threading.Event], None],
        *,
        places: int,
        hold: Callable[[str], None] | None = None,
    ) -> None:
        self.records, self.run, self.hold, self.places = records, run, hold, places
        self._stopping = threading.Event()
        self._running: dict[str, threading.Thread] = {}
        self._thread = threading.Thread(target=self._watch, name=f"{records.kind}-queue", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in [self._thread, *self._running.values()]:
            if thread.is_alive():
                thread.join()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self._advance()
            except Exception:
                logger.exception("the queue of %s failed; it goes on", self.records.kind)
            self._stopping.wait(POLL_SECONDS)

    def _advance(self) -> None:
        self._running = {name: thread for name, thread in self._running.items() if thread.is_alive()}
        waiting = [
            record
            for record in self.records.having("InProgress", "Stopping")
            if record.name not in self._running
        ]
        waiting.sort(key=_is_queued)
        for record in waiting:
            stopped = _is_queued(record) and record.status == "Stopping"  # needs no place to end
            if len(self._running) < self.places or stopped:
                self._start(record.name)
            elif self.hold is not None and _is_queued(record):
                self.hold(record.name)

    def _start(self, name: str) -> None:
        thread = threading.Thread(
            target=self._do, args=(name,), name=f"{self.records.kind}-{name}", daemon=True
        )
        self._running[name] = thread
        thread.start()

    def _do(self, name: str) -> None:
        try:
            self.run(name, self._stopping)
        except Exception:
            logger.exception("%s %s could not be run; it is tried again", self.records.kind, name)
            self._stopping.wait(PAUSE_SECONDS)


def _is_queued(record: Record) -> bool:
    return bool(record.work["stage"] == "queued")
