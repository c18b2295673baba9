"""Objects for long-running work: calls wait while the storage is unavailable instead of failing."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from gtseg.local.storage.objects import (
    MEMORY_BYTES,
    ObjectInfo,
    Objects,
    ObjectStream,
    Readable,
    Right,
    StorageState,
    StorageUnavailable,
)

PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 10.0
Answer = TypeVar("Answer")
list_of = list  # the class has a method of that name
logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """The server stopped while a call was waiting for the storage; the next server resumes the work."""


class WaitingObjects:
    """`Objects` whose calls wait; bodies given to `put` must be bytes or a path. `stop` ends every wait."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.waiting = 0
        """Number of calls that are waiting now."""

    def start(self) -> None: ...

    def stop(self) -> None:
        self._stopping.set()

    def state(self) -> StorageState:
        return self.objects.state()

    def figures(self) -> dict[str, float]:
        return {**self.objects.figures(), "waiting_calls": self.waiting}

    def check_rights(self, bucket: str, prefix: str, *, writes: bool) -> list_of[Right]:
        return self._wait(lambda: self.objects.check_rights(bucket, prefix, writes=writes))

    def bucket_exists(self, bucket: str) -> bool:
        return self._wait(lambda: self.objects.bucket_exists(bucket))

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        return self._wait(lambda: self.objects.head(bucket, key))

    def get(self, bucket: str, key: str, *, limit: int = MEMORY_BYTES) -> bytes:
        return self._wait(lambda: self.objects.get(bucket, key, limit=limit))

    def open(self, bucket: str, key: str) -> ObjectStream:
        return self._wait(lambda: self.objects.open(bucket, key))

    @contextlib.contextmanager
    def file(self, bucket: str, key: str) -> Iterator[Path]:
        with contextlib.ExitStack() as held:
            yield self._wait(lambda: held.enter_context(self.objects.file(bucket, key)))

    def download(self, bucket: str, key: str, target: Path, *, shared: bool = False) -> ObjectInfo:
        return self._wait(lambda: self.objects.download(bucket, key, target, shared=shared))

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
        if not isinstance(body, bytes | Path):
            raise TypeError("a stream cannot be sent again after a failure; pass bytes or a path")
        about: dict[str, Any] = {"content_type": content_type, "metadata": metadata, "kms_key": kms_key}
        return self._wait(lambda: self.objects.put(bucket, key, body, **about))

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """List objects; an interrupted listing is restarted and continues after the last object it returned."""
        last = b""
        listing = iter(self.objects.list(bucket, prefix))
        while True:
            try:
                info = next(listing, None)
            except StorageUnavailable as error:
                self._pause(error, PAUSE_SECONDS)
                listing = iter(self.objects.list(bucket, prefix))
                continue
            if info is None:
                return
            if info.key.encode() > last or not last:
                last = info.key.encode()
                yield info

    def _wait(self, call: Callable[[], Answer]) -> Answer:
        pause = PAUSE_SECONDS
        while True:
            try:
                return call()
            except StorageUnavailable as error:
                self._pause(error, pause)
                pause = min(MAX_PAUSE_SECONDS, 2 * pause)

    def _pause(self, error: StorageUnavailable, seconds: float) -> None:
        """Wait before a retry. Raises Interrupted if the server stops."""
        with self._lock:
            self.waiting += 1
        try:
            if self._stopping.wait(seconds):
                raise Interrupted(error.message)
        finally:
            with self._lock:
                self.waiting -= 1
