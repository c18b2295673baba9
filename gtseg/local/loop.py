"""Background work in threads: a step taken again and again, and threads known by a name."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["Loop", "Threads"]

FAILURE_SECONDS = 1.0
END_SECONDS = 30.0  # for all threads together, once they were told to end
logger = logging.getLogger(__name__)


class Loop:
    """A Component: calls `step` in a thread of its own until it is stopped.

    While `step` returns True it is called again at once, else after `seconds`. A step that raises is logged and taken
    again after a pause of a second. `wait` replaces the wait between two steps, for a loop that others wake up; `wake` is
    then called at the end to end a wait.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], bool | None],
        *,
        seconds: float,
        wait: Callable[[float], object] | None = None,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self.stopping = threading.Event()
        self._name, self._step, self._seconds = name, step, seconds
        self._wait = wait or self.stopping.wait
        self._wake = wake
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float = END_SECONDS) -> None:
        """End the loop; returns when the current step is done, or after `patience` seconds: one that hangs must not keep the process."""
        self.stopping.set()
        if self._wake is not None:
            self._wake()
        if self._thread.is_alive():
            self._thread.join(patience)
        if self._thread.is_alive():
            logger.warning("a step of %s has not ended; it ends with the process", self._name)

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                is_busy = self._step()
            except Exception:
                logger.exception("a step of %s failed; it is tried again", self._name)
                is_busy = False
                self.stopping.wait(FAILURE_SECONDS)
            if not is_busy and not self.stopping.is_set():
                self._wait(self._seconds)


class Threads:
    """Threads by name, one at most for each; used by one thread."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._threads: dict[str, threading.Thread] = {}

    def running(self) -> set[str]:
        """The names whose thread has not ended."""
        self._threads = {name: thread for name, thread in self._threads.items() if thread.is_alive()}
        return set(self._threads)

    def start(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=f"{self._prefix}-{name}", daemon=True)
        self._threads[name] = thread
        thread.start()

    def join(self, patience: float = END_SECONDS) -> None:
        """Wait until all have ended, `patience` seconds together: one that hangs must not keep the process."""
        deadline = time.monotonic() + patience
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        for name in sorted(self.running()):
            logger.warning("%s %s has not ended; it ends with the process", self._prefix, name)
