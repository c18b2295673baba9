"""Background threads: a periodic step, and threads by name."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

FAILURE_SECONDS = 1.0
END_SECONDS = 30.0
"""Time limit for all threads together to end."""
logger = logging.getLogger(__name__)


class Loop:
    """A component that calls `step` in its own thread until it is stopped.

    While `step` returns True it is called again at once, else after `seconds`. An exception is logged, and the step is
    repeated after a second. `wait` replaces the wait between steps, for a loop that other threads wake; `wake` is then
    called on stop to end a wait.
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
        """Stop the loop; returns when the current step is done, or after `patience` seconds, since a step may hang."""
        self.stopping.set()
        if self._wake is not None:
            self._wake()
        if self._thread.is_alive():
            self._thread.join(patience)
        if self._thread.is_alive():
            logger.warning("a step of %s is still running; it ends with the process", self._name)

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                is_busy = self._step()
            except Exception:
                logger.exception("a step of %s failed and is retried", self._name)
                is_busy = False
                self.stopping.wait(FAILURE_SECONDS)
            if not is_busy and not self.stopping.is_set():
                self._wait(self._seconds)


class Threads:
    """Background threads with names, at most one at a time for each name. Not thread-safe."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._threads: dict[str, threading.Thread] = {}

    def running(self) -> set[str]:
        """Return the names whose thread is running."""
        self._threads = {name: thread for name, thread in self._threads.items() if thread.is_alive()}
        return set(self._threads)

    def start(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=f"{self._prefix}-{name}", daemon=True)
        self._threads[name] = thread
        thread.start()

    def join(self, patience: float = END_SECONDS) -> None:
        """Wait until all threads have ended, at most `patience` seconds together, since one may hang."""
        deadline = time.monotonic() + patience
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        for name in sorted(self.running()):
            logger.warning("%s %s is still running; it ends with the process", self._prefix, name)
