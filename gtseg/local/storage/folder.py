"""Objects in the data folder.

An object is a plain, immutable file under `DATA/objects/` and one row of `DATA/objects.sqlite3`; the bytes of a small
object are in the database too. The row is written last and in one transaction: if the process is killed, either the old
or the new object exists. A stored object is on disk after a single wait (intents.py).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import logging
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from gtseg.local.errors import ServiceError
from gtseg.local.loop import Loop
from gtseg.local.storage.backup import is_backed_up
from gtseg.local.storage.files import RUN_BITS, SMALL_BYTES, Draft, Files
from gtseg.local.storage.index import Condition, Index, read_clock_ms
from gtseg.local.storage.intents import Intent, Intents
from gtseg.local.storage.objects import (
    DEFAULT_TYPE,
    MEMORY_BYTES,
    ObjectInfo,
    ObjectStream,
    Readable,
    Right,
    StorageState,
    check_size,
)
from gtseg.local.storage.stored import StoredObject, unpack_row
from gtseg.local.storage.uploads import Part, Uploads

CHUNK_BYTES = 1 << 20
GRACE_SECONDS = 60.0
"""Time for which the file of a replaced or deleted object can still be opened by its path."""
HOUSEKEEPING_SECONDS = 1.0
RIGHTS = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
ABANDONED_MS = 7 * 24 * 3600 * 1000
"""Age without a new part at which an upload is aborted: that of AWS's example lifecycle rule."""
EXPIRE_SECONDS = 3600.0
logger = logging.getLogger(__name__)


class FolderObjects:
    """`storage.objects.Objects` in a folder, with what the S3 protocol needs in addition: index, files and uploads."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self.index = Index(Path(folder) / "objects.sqlite3")
        self.files = Files(Path(folder) / "objects", run=self.index.run)
        self.uploads = Uploads(self.index)
        self._intents = Intents(self.index, self.uploads)
        self._intents.resume(self.files)
        # No path handed out by an earlier run is in use any more.
        self._old_garbage = self.index.list_garbage(before_ms=read_clock_ms())
        self._is_swept = False
        self._expires_next = 0.0
        self._loop = Loop("objects-housekeeping", self._run_housekeeping, seconds=HOUSEKEEPING_SECONDS)

    # --- interface of storage.objects ---

    def state(self) -> StorageState:
        return StorageState("folder")

    def figures(self) -> dict[str, float]:
        return {}

    def check_rights(self, bucket: str, prefix: str, *, writes: bool) -> list[Right]:
        """Return the rights on a bucket: the server may read and write every bucket of its folder that exists."""
        problem = "" if self.bucket_exists(bucket) else "The specified bucket does not exist"
        return [Right(action, f"s3://{bucket}/{prefix}", problem) for action in RIGHTS[: 4 if writes else 2]]

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket; do nothing if it exists."""
        self.index.create_bucket(bucket)

    def bucket_exists(self, bucket: str) -> bool:
        return self.index.bucket_exists(bucket)

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        return self.index.find(bucket, key)

    def get(self, bucket: str, key: str, *, limit: int = MEMORY_BYTES) -> bytes:
        """Return the whole object. Raises ServiceError NoSuchKey, NoSuchBucket or EntityTooLarge."""
        info, content = self.find_small(bucket, key)
        check_size(info, limit)
        if content is not None:
            return content
        with self.open(bucket, key) as stream:
            check_size(stream.info, limit)
            return stream.body.read()

    def open(self, bucket: str, key: str) -> ObjectStream:
        """Open an object as a stream, which stays readable if the object is replaced or deleted."""
        info, content = self.find_small(bucket, key)
        if content is not None:
            return ObjectStream(info, io.BytesIO(content))
        info, descriptor = self.open_descriptor(bucket, key)
        return ObjectStream(info, os.fdopen(descriptor, "rb"))

    @contextlib.contextmanager
    def file(self, bucket: str, key: str) -> Iterator[Path]:
        """Yield the stored file, which exists for a minute after a replacement; a temporary file for a small object."""
        info, content = self.find_small(bucket, key)
        if content is None:
            info, descriptor = self.open_descriptor(bucket, key)
            os.close(descriptor)
            if not info.is_small:
                yield Path(self.files.locate(info.file))
                return
            content = self.get(bucket, key)
        with tempfile.NamedTemporaryFile(prefix="gtseg-object-") as file:
            file.write(content)
            file.flush()
            yield Path(file.name)

    def download(self, bucket: str, key: str, target: Path, *, shared: bool = False) -> ObjectInfo:
        """Copy an object's bytes to `target`; with `shared`, create a hard link where the file system supports it."""
        target.parent.mkdir(parents=True, exist_ok=True)
        info = self._link(bucket, key, target) if shared else None
        if info is not None:
            return info
        with self.open(bucket, key) as source, target.open("xb") as file:
            try:
                shutil.copyfileobj(source.body, file, CHUNK_BYTES)
            except BaseException:
                target.unlink(missing_ok=True)
                raise
        return source.info

    def _link(self, bucket: str, key: str, target: Path) -> ObjectInfo | None:
        """Hard-link an object's file to `target`; return None if it has no file or links are unsupported."""
        while True:
            info = self.find(bucket, key)
            if info.is_small:
                return None
            try:
                with open(self.files.locate(info.file), "rb") as file:
                    self.check_bytes(info, file.fileno())
                os.link(self.files.locate(info.file), target)
            except FileExistsError:
                raise
            except FileNotFoundError:
                self.check_replaced(info)
            except OSError:
                return None
            else:
                return info

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes | Readable | Path,
        *,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        kms_key: str = "",
    ) -> ObjectInfo:
        """Store an object atomically, unencrypted; the file at a path is copied. Raises ServiceError NoSuchBucket."""
        self.index.check_bucket(bucket)
        kept = (content_type or DEFAULT_TYPE, read_clock_ms(), metadata or {})
        if isinstance(body, bytes | bytearray | memoryview) and len(body) <= SMALL_BYTES:
            content = bytes(body)
            etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
            info = StoredObject(bucket, key, len(content), etag, *kept, file=-self.files.allocate())
            self.index.replace(info, content=content)
            return info
        with self.files.begin() as draft:
            size, etag = _write_body(draft, body)
            info = StoredObject(bucket, key, size, etag, *kept, file=draft.number)
            self.commit(draft, Intent(bucket, key, info))
        return info

    def commit(self, draft: Draft, intent: Intent, *, condition: Condition | None = None) -> None:
        """Make a new file what `intent` says; it is on disk when this returns, after a single wait.

        Raises ServiceError or OSError; the draft is not kept in that case. With a `condition` two waits are needed: the
        condition is checked when the row is written, so that no intent can be recorded before.
        """
        if condition is not None:
            draft.sync()
            self._intents.carry_out(intent, condition)
            draft.keep()
            self.index.database.sync_own()
            return
        try:
            position = self._intents.record(intent)
            draft.sync(functools.partial(self.index.database.log.wait, position))
            self._intents.carry_out(intent, is_recorded=True)
        except BaseException:
            # fails on a full disk; an intent without its file is ignored
            with contextlib.suppress(sqlite3.Error, OSError):
                self._intents.forget(intent)
            raise
        draft.keep()

    def copy(self, source: tuple[str, str], target: tuple[str, str]) -> ObjectInfo:
        """Copy an object, given as (bucket, key), with its content type and metadata."""
        with self.open(*source) as stream:
            info = stream.info
            body = stream.body.read() if info.size <= SMALL_BYTES else stream.body
            return self.put(*target, body, content_type=info.content_type, metadata=info.metadata)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; do nothing if it does not exist."""
        self.index.delete(bucket, key)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects under a prefix, sorted by the UTF-8 bytes of their keys, in constant memory."""
        self.index.check_bucket(bucket)
        for key, *row in self.index.iterate(bucket, prefix.encode()):
            yield unpack_row(bucket, key.decode(), tuple(row))

    # --- shared with the S3 protocol ---

    def find(self, bucket: str, key: str) -> StoredObject:
        """Return the object. Raises ServiceError NoSuchKey or NoSuchBucket."""
        info = self.index.find(bucket, key)
        if info is None:
            self.index.check_bucket(bucket)
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404, fields={"Key": key})
        return info

    def find_small(self, bucket: str, key: str) -> tuple[StoredObject, bytes | None]:
        """Return the object, and its bytes if they are in no file. Raises ServiceError NoSuchKey or NoSuchBucket."""
        info, content = self.index.find_with_content(bucket, key)
        if info is None:
            self.find(bucket, key)  # raises, unless the object was stored in the meantime
            return self.find_small(bucket, key)
        if not info.is_small:
            return info, None
        if content is None:
            raise damaged_object(info, "its bytes are missing from objects.sqlite3")
        if not self.files.checked.is_small_intact(info.file, content, info.etag):
            raise damaged_object(info, "its bytes in objects.sqlite3 do not match its ETag")
        return info, content

    def check_bytes(self, info: StoredObject, descriptor: int) -> None:
        """Raise ServiceError if a file does not hold its object's bytes. The first check of a file reads all of it."""
        damage = self.files.checked.examine(info.file, descriptor, size=info.size, etag=info.etag, parts=info.parts)
        if damage:
            raise damaged_object(info, damage)

    def check_part(self, part: Part) -> None:
        """Raise ServiceError if a part of an upload is damaged, FileNotFoundError if its file does not exist."""
        with open(self.files.locate(part.file), "rb") as file:
            damage = self.files.checked.examine(part.file, file.fileno(), size=part.size, etag=part.etag)
        if damage:
            raise ServiceError("InternalError", f"Part {part.number} of the upload is damaged: {damage}.", 500)

    def is_checked(self, info: StoredObject, descriptor: int) -> bool:
        """Return whether `check_bytes` has a result for the file already."""
        return self.files.checked.recall(info.file, descriptor) is not None

    def open_descriptor(self, bucket: str, key: str, *, is_checked: bool = True) -> tuple[StoredObject, int]:
        """Return the object and a descriptor of its bytes, unaffected by a concurrent replacement.

        The caller closes it.

        `is_checked` False: the caller checks the bytes.
        """
        while True:
            info, content = self.find_small(bucket, key)
            if content is not None:
                return info, _open_bytes(content)
            try:
                descriptor = os.open(self.files.locate(info.file), os.O_RDONLY)
            except FileNotFoundError:
                self.check_replaced(info)
                continue
            try:
                if is_checked:
                    self.check_bytes(info, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            return info, descriptor

    def reap(self, *, older_than_seconds: float = GRACE_SECONDS) -> int:
        """Remove the files of objects replaced or deleted longer ago than `older_than_seconds`; return how many."""
        if is_backed_up(self._folder):  # a backup may need the files of its snapshot
            return 0
        garbage = self.index.list_garbage(before_ms=read_clock_ms() - int(older_than_seconds * 1000))
        self._remove_garbage(garbage)
        return len(garbage)

    def _remove_garbage(self, files: Sequence[int]) -> None:
        if files:
            self.index.database.log.wait()  # the removal of the last references must be on disk first
        for file in files:
            self.files.remove(file)
        if files:
            self.index.forget_garbage(files)

    def sweep(self) -> int:
        """Remove files of interrupted runs that no row refers to; return how many."""
        first = self.index.read_meta("swept") + 1
        used = self.index.list_files(above=first << RUN_BITS)
        unused = [number for number in self.files.list_runs(first) if number not in used]
        for number in unused:
            self.files.remove(number)
        self.index.write_meta("swept", self.index.run - 1)
        return len(unused)

    def start(self) -> None:
        """Start housekeeping: leftovers of an interrupted run, garbage, checkpoints of the write-ahead log."""
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        self.index.write_meta("swept", self.index.run)

    def close(self) -> None:
        """Close the index and the files; the object is unusable afterwards."""
        self.index.database.close()
        self.files.close()

    def _run_housekeeping(self) -> None:
        """Run one round of housekeeping. Failures, such as a full disk, are retried a second later."""
        self.index.database.checkpoint()
        self.reap()
        if self._old_garbage and not is_backed_up(self._folder):
            self._remove_garbage(self._old_garbage)
            self._old_garbage = []
        if not self._is_swept:
            self.sweep()
            self._is_swept = True
        if time.monotonic() >= self._expires_next:
            self.uploads.expire(before_ms=read_clock_ms() - ABANDONED_MS)
            self._expires_next = time.monotonic() + EXPIRE_SECONDS

    def check_replaced(self, info: StoredObject) -> None:
        """Raise ServiceError if the object still refers to a file that is missing; replaced objects are in order."""
        present = self.index.find(info.bucket, info.key)
        if present is not None and present.file == info.file:
            raise damaged_object(info, f"{self.files.locate(info.file)} is missing")


def _write_body(draft: Draft, body: bytes | Readable | Path) -> tuple[int, str]:
    """Write a body to a new file; return (size, MD5 in hex)."""
    if isinstance(body, Path):
        with body.open("rb") as source:
            return _write_body(draft, source)
    if isinstance(body, bytes | bytearray | memoryview):
        return _write_body(draft, io.BytesIO(body))
    size, md5 = 0, hashlib.md5(usedforsecurity=False)
    while chunk := body.read(CHUNK_BYTES):
        md5.update(chunk)
        size += len(chunk)
        draft.write(chunk)
    return size, md5.hexdigest()


def damaged_object(info: StoredObject, damage: str) -> ServiceError:
    """Log and return the error for an object whose bytes do not match its ETag."""
    message = (
        f"The object s3://{info.bucket}/{info.key} is damaged: {damage}. gtseg local check lists all damaged objects."
    )
    logger.error("%s", message)
    return ServiceError("InternalError", message, 500)


def _open_bytes(content: bytes) -> int:
    """Return a descriptor of an unnamed file with these bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return os.dup(file.fileno())
