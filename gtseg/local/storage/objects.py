"""S3 from inside the process: the same objects that clients see over HTTP.

An object is a plain, immutable file under `DATA/objects/` and one row of `DATA/objects.sqlite3`; the bytes of a small one
are in the database too. The row is written last and in one transaction: a kill at any instant leaves the old object or
the new one.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from gtseg.local.errors import ServiceError
from gtseg.local.s3.files import RUN_BITS, SMALL_BYTES, Files
from gtseg.local.s3.index import Index, read_clock_ms
from gtseg.local.s3.info import DEFAULT_TYPE, ObjectInfo, unpack_row
from gtseg.local.s3.uploads import Uploads

__all__ = ["ObjectInfo", "Objects", "split_uri"]

CHUNK_BYTES = 1 << 20
GRACE_SECONDS = 60.0  # how long the file of a replaced or deleted object can still be opened by its path
HOUSEKEEPING_SECONDS = 1.0
logger = logging.getLogger(__name__)


class Objects:
    def __init__(self, folder: Path) -> None:
        self.index = Index(Path(folder) / "objects.sqlite3")
        self.files = Files(Path(folder) / "objects", run=self.index.run)
        self.uploads = Uploads(self.index)
        self._old_garbage = self.index.list_garbage(
            before_ms=read_clock_ms()
        )  # nobody holds a path of an earlier run
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # the in-process API

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket; nothing happens if it is there."""
        self.index.create_bucket(bucket)

    def bucket_exists(self, bucket: str) -> bool:
        return self.index.bucket_exists(bucket)

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        return self.index.find(bucket, key)

    def get(self, bucket: str, key: str) -> bytes:
        """The whole object. Raises ServiceError NoSuchKey or NoSuchBucket."""
        while True:
            info, content = self.find_small(bucket, key)
            if content is not None:
                return content
            try:
                return Path(self.files.locate(info.file)).read_bytes()
            except FileNotFoundError:
                self.check_replaced(info)

    def path(self, bucket: str, key: str) -> Path:
        """The file behind an object: read it or link it, never write it. Lasts a minute after a replacement.

        A small object gets its file when it is asked for.
        """
        while True:
            info, content = self.find_small(bucket, key)
            if content is None:
                return Path(self.files.locate(info.file))
            self._give_file(info, content)

    def _give_file(self, info: ObjectInfo, content: bytes) -> None:
        """Move a small object's bytes to a file, unless it has been replaced meanwhile."""
        number = self.files.write(content)
        try:
            with self.index.database.write():
                present = self.index.find(info.bucket, info.key)
                is_present = present is not None and present.file == info.file
                if is_present:
                    self.index.replace(replace(info, file=number))
        except BaseException:
            self.files.remove(number)
            raise
        if not is_present:
            self.files.remove(number)

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes | BinaryIO | Path,
        *,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> ObjectInfo:
        """Store an object atomically. A path is copied. Raises ServiceError NoSuchBucket."""
        file, size, etag, content = self._write_body(body)
        info = ObjectInfo(
            bucket, key, size, etag, content_type or DEFAULT_TYPE, read_clock_ms(), file, metadata or {}
        )
        try:
            self.index.replace(info, content=content)
        except BaseException:
            self.files.remove(file)
            raise
        return info

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; nothing happens if there is none."""
        self.index.delete(bucket, key)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects under a prefix, sorted by the UTF-8 bytes of their keys; memory does not grow with their number."""
        self.index.check_bucket(bucket)
        for key, *row in self.index.iterate(bucket, prefix.encode()):
            yield unpack_row(bucket, key.decode(), tuple(row))

    # shared with the S3 protocol

    def find(self, bucket: str, key: str) -> ObjectInfo:
        """The object. Raises ServiceError NoSuchKey or NoSuchBucket."""
        info = self.index.find(bucket, key)
        if info is None:
            self.index.check_bucket(bucket)
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404, fields={"Key": key})
        return info

    def find_small(self, bucket: str, key: str) -> tuple[ObjectInfo, bytes | None]:
        """The object, and its bytes where they are in no file. Raises ServiceError NoSuchKey or NoSuchBucket."""
        while True:
            info = self.find(bucket, key)
            if not info.is_small:
                return info, None
            content = self.index.read_small(info)
            if content is not None:
                return info, content
            self.check_replaced(info)

    def reap(self, *, older_than_seconds: float = GRACE_SECONDS) -> int:
        """Remove the files of objects that were replaced or deleted so long ago; how many."""
        garbage = self.index.list_garbage(before_ms=read_clock_ms() - int(older_than_seconds * 1000))
        self._remove_garbage(garbage)
        return len(garbage)

    def _remove_garbage(self, files: Sequence[int]) -> None:
        for file in files:
            self.files.remove(file)
        if files:
            self.index.forget_garbage(files)

    def sweep(self) -> int:
        """Remove files that interrupted runs wrote and no row refers to; how many."""
        first = self.index.read_meta("swept") + 1
        used = self.index.list_files(above=first << RUN_BITS)
        unused = [number for number in self.files.list_runs(first) if number not in used]
        for number in unused:
            self.files.remove(number)
        self.index.write_meta("swept", self.index.run - 1)
        return len(unused)

    def start(self) -> None:
        """Begin housekeeping: leftovers of an interrupted run, garbage, SQLite's write-ahead log."""
        self._thread = threading.Thread(target=self._keep_house, name="objects-housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self.index.write_meta("swept", self.index.run)
        self.index.database.close()

    def _keep_house(self) -> None:
        self._try(lambda: self._remove_garbage(self._old_garbage))
        self._try(self.sweep)
        while not self._stopping.wait(HOUSEKEEPING_SECONDS):
            self._try(self.reap)
            self._try(lambda: self.index.database.read().execute("PRAGMA wal_checkpoint(PASSIVE)"))

    def _try(self, task: Callable[[], object]) -> None:
        """Housekeeping goes on whatever one task meets, such as a full disk."""
        try:
            task()
        except (OSError, sqlite3.Error):
            logger.exception("housekeeping of the object store failed; it is tried again")

    def check_replaced(self, info: ObjectInfo) -> None:
        """A file that is gone is only in order if its object has another one by now."""
        present = self.index.find(info.bucket, info.key)
        if present is not None and present.file == info.file:
            raise ServiceError("InternalError", f"the file behind {info.bucket}/{info.key} is missing", 500)

    def _write_body(self, body: bytes | BinaryIO | Path) -> tuple[int, int, str, bytes | None]:
        """(number, size, MD5 in hex, content) of the body in a new file, or of a small one with its content."""
        if isinstance(body, bytes | bytearray | memoryview):
            content = bytes(body)
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if len(content) <= SMALL_BYTES:
                return -self.files.allocate(), len(content), md5, content
            return self.files.write(content), len(content), md5, None
        if isinstance(body, Path):
            with body.open("rb") as source:
                return self._write_stream(source)
        return self._write_stream(body)

    def _write_stream(self, source: BinaryIO) -> tuple[int, int, str, None]:
        number, size, md5 = self.files.allocate(), 0, hashlib.md5(usedforsecurity=False)
        try:
            with open(self.files.locate(number), "xb") as file:
                while chunk := source.read(CHUNK_BYTES):
                    md5.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
        except BaseException:
            self.files.remove(number)
            raise
        return number, size, md5.hexdigest(), None


def split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/key` -> (bucket, key). Raises ServiceError ValidationException for anything else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ServiceError("ValidationException", f"{uri!r} is not an S3 URI (s3://bucket/key)")
    return bucket, key
