"""The plain files behind objects: numbered, never named by a key, written once and never changed.

A file's number is the server's run in the upper bits and a counter in the lower 40, so that numbers are never used
twice and what an interrupted run left behind can be told from what this run is writing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["RUN_BITS", "SMALL_BYTES", "Files"]

FOLDERS = 256
RUN_BITS = 40
SMALL_BYTES = 32 * 1024  # objects up to this size are kept in the index (index.py)


class Files:
    def __init__(self, folder: Path, *, run: int) -> None:
        self.folder = folder
        self.run = run
        self._next = itertools.count(run << RUN_BITS)
        self._prefix = os.fspath(folder) + os.sep
        for number in range(FOLDERS):
            (folder / f"{number:02x}").mkdir(parents=True, exist_ok=True)

    def allocate(self) -> int:
        """A number that no file ever had."""
        return next(self._next)

    def locate(self, number: int) -> str:
        return f"{self._prefix}{number % FOLDERS:02x}{os.sep}{number:014x}"

    def write(self, content: bytes) -> int:
        """Write a whole new file; its number. On failure nothing is left."""
        number = self.allocate()
        path = self.locate(number)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            written = os.write(descriptor, content)
            while written < len(content):
                written += os.write(descriptor, memoryview(content)[written:])
        except BaseException:
            self.remove(number)
            raise
        finally:
            os.close(descriptor)
        return number

    def remove(self, number: int) -> None:
        """Remove a file; nothing happens if there is none, or if the number is that of a small object."""
        if number < 0:
            return
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


def _parse_number(name: str) -> int | None:
    try:
        return int(name, 16)
    except ValueError:
        return None
