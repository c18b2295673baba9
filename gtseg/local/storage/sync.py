"""Durability: syncing files, folders and the write-ahead logs of the databases.

A file's bytes and its directory entry are synced before its row is committed to the index (intents.py does this in one
wait). A commit itself is not synced: it is in SQLite's write-ahead log, and a response waits until that log is synced
(`Log`). One sync covers every transaction committed before it began, so that many clients share it. The index's log is
synced before the state's, which refers to objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

SYNCS_AT_ONCE = 3
"""Concurrent syncs of one write-ahead log: a running sync does not cover later commits, so further ones may start."""

if sys.platform == "darwin":
    import fcntl

    def sync_file(descriptor: int) -> None:
        """Block until a file's bytes are on the disk itself; fsync of macOS leaves them in the disk's cache."""
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)

else:

    def sync_file(descriptor: int) -> None:
        """Block until a file's bytes, and the metadata needed to read them, are on disk."""
        os.fdatasync(descriptor)


def sync_folder(path: str | Path) -> None:
    """Block until the directory entries of a folder are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_disk(path: str | Path) -> None:
    """Block until everything written to the file system of `path` is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if sys.platform != "linux" or ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            os.sync()
    finally:
        os.close(descriptor)


class DiskError(OSError):
    """The disk failed to store data. The state of the file is unknown until the server is restarted."""


class Log:
    """Group commit on one database's write-ahead log.

    The file must exist, under the same inode, from the first `note` to `close`: a connection is kept open for that.
    """

    def __init__(self, path: Path, *, sync: Callable[[int], None] = sync_file) -> None:
        self.path, self._sync_descriptor = path, sync
        self._turns = threading.Semaphore(SYNCS_AT_ONCE)
        self._lock = threading.Lock()
        self._written = 1  # the log of an earlier process may not be on disk
        self._synced = 0
        self._opened: list[int] = []
        self._free: list[int] = []
        self._failure: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether everything noted so far is on disk."""
        return self._synced >= self._written and not self._failure

    def note(self) -> int:
        """Count a transaction that was just committed, under the writer's lock; return its position."""
        self._written += 1
        return self._written

    def wait(self, position: int | None = None) -> None:
        """Block until the transactions up to `position`, by default all noted so far, are on disk. Raises DiskError."""
        wanted = self._written if position is None else position
        if self._synced >= wanted and not self._failure:
            return
        with self._turns:  # waiters share a sync that begins later
            if self._synced < wanted or self._failure:
                self._sync()

    def _sync(self) -> None:
        if self._failure:
            raise DiskError(self._failure)
        covered = self._written
        try:
            descriptor = self._borrow()
            self._sync_descriptor(descriptor)
        except OSError as error:
            # The kernel may have dropped the pages: a second sync would succeed although the data is lost.
            self._failure = (
                f"{self.path} could not be synced to disk ({error.strerror or error}). Check the disk, then "
                "restart the server; `gtseg local check` reports damage."
            )
            raise DiskError(self._failure) from None
        with self._lock:
            self._free.append(descriptor)
            self._synced = max(self._synced, covered)

    def _borrow(self) -> int:
        """Return a descriptor that no other sync uses: the kernel reports an error once per descriptor open at that
        time.
        """
        with self._lock:
            if not self._opened:
                self._opened = [os.open(self.path, os.O_RDONLY) for _ in range(SYNCS_AT_ONCE)]
                self._free = list(self._opened)
            return self._free.pop()

    def close(self) -> None:
        with self._lock:
            opened, self._opened, self._free = self._opened, [], []
        for descriptor in opened:
            os.close(descriptor)


class Barrier:
    """Await logs from an event loop: concurrent waiters share one pass over the logs, in their order.

    Up to `passes` passes run concurrently, so that a waiter need not wait for the end of a sync that began too early
    for it.
    """

    def __init__(self, logs: Sequence[Log], *, passes: int = SYNCS_AT_ONCE) -> None:
        self._logs, self._passes = logs, passes
        self._waiting: list[asyncio.Future[None]] = []
        self._running = 0
        self._begun: queue.SimpleQueue[_Pass | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name="sync") for _ in range(passes)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        for _ in self._threads:
            self._begun.put(None)
        for thread in self._threads:
            thread.join()

    async def wait(self) -> None:
        """Return once every transaction committed before this call is on disk. Raises DiskError."""
        if all(log.is_clean for log in self._logs):
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(done)
        if len(self._waiting) == 1 and self._running < self._passes:
            loop.call_soon(self._begin, loop)  # after the requests that are ready now, which share the pass
        await done

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting or self._running >= self._passes:
            return
        self._running += 1
        waiting, self._waiting = self._waiting, []
        self._begun.put((loop, waiting))

    def _work(self) -> None:
        for loop, waiting in iter(self._begun.get, None):
            failure: Exception | None = None
            try:
                for log in self._logs:
                    log.wait()
            except Exception as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: there are no waiters
                loop.call_soon_threadsafe(self._end, loop, waiting, failure)

    def _end(
        self, loop: asyncio.AbstractEventLoop, waiting: list[asyncio.Future[None]], failure: Exception | None
    ) -> None:
        self._running -= 1
        for done in waiting:
            if done.done():  # the waiter was canceled
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
        if self._waiting:
            self._begin(loop)


_Pass = tuple[asyncio.AbstractEventLoop, list[asyncio.Future[None]]]
