"""Immutable plain files that hold object bytes: named by number, never by key.

A file's number has the server's run in its upper bits and a counter in the lower 40. Numbers are thus never reused, and
files left by an interrupted run can be told from those being written.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gtseg.local.storage.sync import sync_file, sync_folder
from gtseg.local.storage.verification import Checked

FOLDERS = 256
RUN_BITS = 40
SMALL_BYTES = 64 * 1024
"""Objects up to this size are stored in the index (index.py)."""


SYNC_THREADS = 32


@dataclass(slots=True)
class Draft:
    """A new file being written; it is removed at the end of its `with` block unless it was kept."""

    number: int
    descriptor: int
    folder: str
    files: Files
    is_kept: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.descriptor < 0:
            return
        os.close(self.descriptor)
        self.descriptor = -1
        if not self.is_kept:
            self.files.remove(self.number)

    def write(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def append(self, source: int, *, start: int, length: int) -> None:
        """Append a range of another file (given as a descriptor), copied by the kernel."""
        end = start + length
        while start < end:
            copied = os.sendfile(self.descriptor, source, start, min(end - start, 1 << 30))
            if not copied:
                raise OSError("an object's file is shorter than the object's recorded size")
            start += copied

    def sync(self, *others: Callable[[], None]) -> None:
        """Block until the file and its directory entry are on disk and `others` have returned; all run concurrently."""
        pool = self.files.pool
        waits = [pool.submit(sync_folder, self.folder), *(pool.submit(other) for other in others)]
        try:
            sync_file(self.descriptor)
        finally:
            failures = [wait.exception() for wait in waits]
        for failure in failures:
            if failure is not None:
                raise failure

    def keep(self) -> None:
        """Keep the file after the block; its bytes must have been hashed or checked while they were written."""
        self.files.checked.trust(self.number, self.descriptor)
        self.is_kept = True


class Files:
    """The files below `folder`; `run` is the number of this run of the server."""

    def __init__(self, folder: Path, *, run: int) -> None:
        self.folder = folder
        self.run = run
        self._next = itertools.count(run << RUN_BITS)
        self.checked = Checked()
        self.pool = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="sync")
        for number in range(FOLDERS):
            (folder / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        sync_folder(folder)

    def close(self) -> None:
        self.pool.shutdown()

    def allocate(self) -> int:
        """Return a number that no file has had."""
        return next(self._next)

    def locate(self, number: int) -> str:
        """Return the path of a file."""
        return locate(self.folder, number)

    def begin(self) -> Draft:
        """Return a new file, as a context manager that deletes it unless `Draft.keep` was called after `sync`."""
        number = self.allocate()
        path = self.locate(number)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        return Draft(number, descriptor, os.path.dirname(path), self)

    def append_files(self, draft: Draft, parts: Iterable[tuple[int, int]]) -> None:
        """Append the bytes of files, given as (number, size), in order."""
        for number, size in parts:
            with open(self.locate(number), "rb") as source:
                draft.append(source.fileno(), start=0, length=size)

    def remove(self, number: int) -> None:
        """Remove a file; do nothing if it does not exist or the number is that of a small object."""
        if number < 0:
            return
        self.checked.forget(number)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.locate(number))

    def list_runs(self, first: int) -> Iterator[int]:
        """Yield the numbers of files on disk that earlier runs, from run `first` on, wrote."""
        for number in range(FOLDERS):
            with os.scandir(self.folder / f"{number:02x}") as entries:
                for entry in entries:
                    written = _parse_number(entry.name)
                    if written is not None and first <= written >> RUN_BITS < self.run:
                        yield written


def locate(folder: Path, number: int) -> str:
    """Return the path of a file below the folder of all files."""
    return f"{folder}{os.sep}{number % FOLDERS:02x}{os.sep}{number:014x}"


def _parse_number(name: str) -> int | None:
    try:
        return int(name, 16)
    except ValueError:
        return None
