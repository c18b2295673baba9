"""Local folder or S3 prefix with a common interface."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gtseg.aws.s3 import S3, is_s3_uri, split_uri
from gtseg.core.files import write_atomically
from gtseg.errors import GtsegError, StageError

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Entry:
    """File of a location: `name` is relative, with forward slashes; `address` is a path or an s3:// URI."""

    name: str
    address: str
    modified: datetime
    size: int = 0
    """Size in bytes."""

    @property
    def stem(self) -> str:
        return self.name.rsplit(".", 1)[0] if "." in self.name.rsplit("/", 1)[-1] else self.name


@dataclass(frozen=True)
class Place:
    """Location of files: `root` is a folder or an s3:// prefix."""

    root: str
    s3: S3 | None = None

    @property
    def is_remote(self) -> bool:
        return is_s3_uri(self.root)

    def entries(self, endings: Iterable[str] = ()) -> list[Entry]:
        """Return every file below, sorted by name, without hidden ones.

        Raises StageError if the folder does not exist.
        """
        wanted = tuple(endings)
        found = self._remote_files() if self.is_remote else self._local_files()
        return sorted((e for e in found if not wanted or e.name.lower().endswith(wanted)), key=lambda entry: entry.name)

    def entry(self, name: str) -> Entry | None:
        if self.is_remote:
            head = self._s3.head(self._join(name))
            return Entry(name, self._join(name), head.modified, head.size) if head else None
        path = Path(self.root) / name
        return _local(path, name) if path.is_file() else None

    def read(self, name: str) -> bytes:
        """Return the bytes of one file. Raises GtsegError (AWSError) if it cannot be read."""
        if self.is_remote:
            return self._s3.read(self._join(name))[0]
        try:
            return (Path(self.root) / name).read_bytes()
        except OSError as error:
            raise GtsegError(f"{Path(self.root) / name} cannot be read: {error.strerror}") from None

    def read_inside(self, name: str) -> bytes:
        """Return the bytes of a file below the location; links that lead out of it are refused. Raises GtsegError."""
        if not self.is_remote:
            path, root = (Path(self.root) / name).resolve(), Path(self.root).resolve()
            if not path.is_relative_to(root):
                raise GtsegError(f"{Path(self.root) / name} is a link that leads out of {self.root}: {path}")
            if path.exists() and not path.is_file():
                raise GtsegError(f"{Path(self.root) / name} is not a regular file")
        return self.read(name)

    def write(self, name: str, body: bytes) -> None:
        """Write a file atomically: it appears under its name when it is complete."""
        if self.is_remote:
            self._s3.write(self._join(name), body)
            return
        path = Path(self.root) / name
        try:
            write_atomically(path, body)
        except OSError as error:
            raise GtsegError(f"{path} cannot be written: {error.strerror}") from None

    @property
    def _s3(self) -> S3:
        assert self.s3 is not None
        return self.s3

    def _join(self, name: str) -> str:
        return (self.root if self.root.endswith("/") else self.root + "/") + name

    def _remote_files(self) -> list[Entry]:
        bucket, prefix = split_uri(self._join(""))
        return [
            Entry(item.key[len(prefix) :], f"s3://{bucket}/{item.key}", item.modified, item.size)
            for item in self._s3.list_objects(f"s3://{bucket}/{prefix}")
            if not item.key.endswith("/")
        ]

    def _local_files(self) -> list[Entry]:
        folder = Path(self.root)
        if not folder.is_dir():
            raise StageError(f"Folder {folder} does not exist")
        found = []
        for place, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                path = Path(place) / name
                if not name.startswith(".") and path.is_file():  # skips FIFOs and dangling links
                    found.append(_local(path, path.relative_to(folder).as_posix()))
        return found


def _local(path: Path, name: str) -> Entry:
    found = path.stat()
    return Entry(name, str(path), datetime.fromtimestamp(found.st_mtime, UTC), found.st_size)
