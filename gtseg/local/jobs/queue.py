"""Job queue: up to `places` jobs run at once, the oldest first, each in its own thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from gtseg.local.jobs.records import Record, Records, Work
from gtseg.local.loop import Loop, Threads

POLL_SECONDS = 0.2
PAUSE_SECONDS = 5.0
"""Pause before a job whose runner raised an exception is run again."""
logger = logging.getLogger(__name__)


class QueuedWork(Work):
    """Work of a job that waits in a queue; `stage` is `queued` until the job starts."""

    stage: str = "queued"


Q = TypeVar("Q", bound=QueuedWork)


class JobQueue(Generic[Q]):
    """Queue of one kind of job; a component. After a restart, jobs that had started are resumed first.

    `run(name, shutdown)` runs one job from its current stage and returns when it has ended, or soon after `shutdown` is
    set. `hold(name)` is called for a job that must wait.
    """

    def __init__(
        self,
        records: Records[Q],
        run: Callable[[str, threading.Event], None],
        *,
        places: int,
        hold: Callable[[str], None] | None = None,
    ) -> None:
        self.records, self.run, self.hold, self.places = records, run, hold, places
        self._loop = Loop(f"{records.kind}-queue", self._advance, seconds=POLL_SECONDS)
        self._threads = Threads(records.kind)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        self._threads.join()

    def _advance(self) -> None:
        running = self._threads.running()
        waiting = [
            record for record in self.records.list_by_status("InProgress", "Stopping") if record.name not in running
        ]
        waiting.sort(key=_is_queued)
        places = self.places - len(running)
        for record in waiting:
            stopped = _is_queued(record) and record.status == "Stopping"  # can end without a free place
            if places > 0 or stopped:
                places -= 1
                self._threads.start(record.name, partial(self._run_job, record.name))
            elif self.hold is not None and _is_queued(record):
                self.hold(record.name)

    def _run_job(self, name: str) -> None:
        try:
            self.run(name, self._loop.stopping)
        except Exception:
            logger.exception("%s %s failed to run and is retried", self.records.kind, name)
            self._loop.stopping.wait(PAUSE_SECONDS)


def _is_queued(record: Record[Q]) -> bool:
    return record.work.stage == "queued"
