"""The plain files behind objects: numbered, never named by a key, written once and never changed.

A file's number is the server's run in the upper bits and a counter in the lower 40, so that numbers are never used
twice and what an interrupted run left behind can be told from what this run is writing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gtseg.local.storage.syncing import sync_file, sync_folder
from gtseg.local.storage.verifying import Checked

__all__ = ["RUN_BITS", "SMALL_BYTES", "Draft", "Files", "locate"]

FOLDERS = 256
RUN_BITS = 40
SMALL_BYTES = 32 * 1024  # objects up to this size are kept in the index (index.py)


FOLDER_THREADS = 16


@dataclass(slots=True)
class Draft:
    """A new file that is being written."""

    number: int
    descriptor: int
    folder: str
    pool: ThreadPoolExecutor
    is_synced: bool = False

    def write(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def append(self, source: int, *, start: int, length: int) -> None:
        """Append a range of another file (a descriptor); the kernel copies."""
        end = start + length
        while start < end:
            copied = os.sendfile(self.descriptor, source, start, min(end - start, 1 << 30))
            if not copied:
                raise OSError("an object's file is shorter than its size")
            start += copied

    def sync(self) -> None:
        """Block until the file and its name are on disk. The two waits are one: the folder is synced meanwhile."""
        named = self.pool.submit(sync_folder, self.folder)
        sync_file(self.descriptor)
        named.result()
        self.is_synced = True


class Files:
    def __init__(self, folder: Path, *, run: int) -> None:
        self.folder = folder
        self.run = run
        self._next = itertools.count(run << RUN_BITS)
        self.checked = Checked()
        self._pool = ThreadPoolExecutor(FOLDER_THREADS, thread_name_prefix="sync-folder")
        for number in range(FOLDERS):
            (folder / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        sync_folder(folder)

    def close(self) -> None:
        self._pool.shutdown()

    def allocate(self) -> int:
        """A number that no file ever had."""
        return next(self._next)

    def locate(self, number: int) -> str:
        return locate(self.folder, number)

    @contextlib.contextmanager
    def draft(self) -> Iterator[Draft]:
        """A new file to write, on disk at the end of the block. On failure nothing is left.

        In an event loop, let a thread call the draft's `sync` before the block ends.
        """
        number = self.allocate()
        path = self.locate(number)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        draft = Draft(number, descriptor, os.path.dirname(path), self._pool)
        try:
            yield draft
            if not draft.is_synced:
                draft.sync()
            self.checked.trust(number, descriptor)
        except BaseException:
            self.remove(number)
            raise
        finally:
            os.close(descriptor)

    def write(self, content: bytes) -> int:
        """Write a whole new file; its number. On failure nothing is left."""
        with self.draft() as draft:
            draft.write(content)
        return draft.number

    def copy(self, source: int, *, start: int, length: int) -> int:
        """Copy a range of a file (a descriptor) to a new one; its number."""
        with self.draft() as draft:
            draft.append(source, start=start, length=length)
        return draft.number

    def join(self, parts: Iterable[tuple[int, int]]) -> int:
        """Write a new file of (number, size) files, one after the other; its number."""
        with self.draft() as draft:
            for number, size in parts:
                with open(self.locate(number), "rb") as source:
                    draft.append(source.fileno(), start=0, length=size)
        return draft.number

    def remove(self, number: int) -> None:
        """Remove a file; nothing happens if there is none, or if the number is that of a small object."""
        if number < 0:
            return
        self.checked.forget(number)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.locate(number))

    def list_runs(self, first: int) -> Iterator[int]:
        """Numbers of the files on disk that earlier runs, from `first` on, wrote."""
        for number in range(FOLDERS):
            with os.scandir(self.folder / f"{number:02x}") as entries:
                for entry in entries:
                    written = _parse_number(entry.name)
                    if written is not None and first <= written >> RUN_BITS < self.run:
                        yield written


def locate(folder: Path, number: int) -> str:
    """The path of a file below the folder of all files."""
    return f"{folder}{os.sep}{number % FOLDERS:02x}{os.sep}{number:014x}"


def _parse_number(name: str) -> int | None:
    try:
        return int(name, 16)
    except ValueError:
        return None
