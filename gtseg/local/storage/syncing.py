"""What is acknowledged is on disk: syncing files, folders and the write-ahead logs of the databases.

A file's bytes and the folder that names it are synced before its row is committed to the index (intents.py says how in one wait).
A commit is not synced by itself: it is in SQLite's write-ahead log, and an answer that says so waits until that log is
synced (`Log`). One sync covers every transaction that was committed before it began, so that many clients share it.
The index's log is synced before the state's, which refers to objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

__all__ = ["Barrier", "DiskError", "Log", "sync_disk", "sync_file", "sync_folder"]

if sys.platform == "darwin":
    import fcntl

    def sync_file(descriptor: int) -> None:
        """Block until a file's bytes are on the disk itself; fsync of macOS leaves them in the disk's cache."""
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)

else:

    def sync_file(descriptor: int) -> None:
        """Block until a file's bytes, and what is needed to find them, are on disk."""
        os.fdatasync(descriptor)


def sync_folder(path: str | Path) -> None:
    """Block until the names in a folder are on disk."""
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
    """The disk did not take what was written. What it holds is unknown from then on; only a new start tells."""


class Log:
    """Group commit on one database's write-ahead log.

    The file must exist, under the same inode, from the first `note` to `close`: a connection is kept open for that.
    """

    def __init__(self, path: Path, *, sync: Callable[[int], None] = sync_file) -> None:
        self.path, self._sync_descriptor = path, sync
        self._turn = threading.Lock()
        self._written = 1  # what an earlier process left in the log may not be on disk
        self._synced = 0
        self._descriptor: int | None = None
        self._failure: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether everything noted so far is on disk."""
        return self._synced >= self._written and not self._failure

    def note(self) -> int:
        """Count a transaction that has just been committed, inside the writer's lock; its position."""
        self._written += 1
        return self._written

    def wait(self, position: int | None = None) -> None:
        """Block until the transactions up to `position`, by default all noted so far, are on disk. Raises DiskError."""
        wanted = self._written if position is None else position
        if self._synced >= wanted and not self._failure:
            return
        with self._turn:  # whoever waits here shares the next sync
            if self._synced < wanted or self._failure:
                self._sync()

    def _sync(self) -> None:
        if self._failure:
            raise DiskError(self._failure)
        covered = self._written
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDONLY)
            self._sync_descriptor(self._descriptor)
        except OSError as error:
            # The kernel may have dropped the pages: a second sync would succeed and prove nothing.
            self._failure = (
                f"{self.path} could not be synced to disk ({error.strerror or error}). Check the disk, then start the "
                "server again; `gtseg local check` says whether anything is damaged."
            )
            raise DiskError(self._failure) from None
        self._synced = covered

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class Barrier:
    """Waiting for logs from an event loop: all who wait at the same time share one pass over them, in their order."""

    def __init__(self, logs: Sequence[Log], pool: Executor) -> None:
        self._logs, self._pool = logs, pool
        self._next: asyncio.Future[None] | None = None
        self._passes: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return once every transaction committed before this call is on disk. Raises DiskError."""
        if all(log.is_clean for log in self._logs):
            return
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        waited = self._next
        if self._passes is None:
            self._passes = asyncio.create_task(self._run())
        await asyncio.shield(waited)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._next is not None:
            waited, self._next = self._next, None
            try:
                await loop.run_in_executor(self._pool, self._sync)
            except Exception as error:
                waited.set_exception(error)
                with contextlib.suppress(Exception):
                    waited.exception()  # whoever waited may be gone
            else:
                waited.set_result(None)
        self._passes = None

    def _sync(self) -> None:
        for log in self._logs:
            log.wait()
