"""A time limit for everything of an S3 request that precedes the response's body.

urllib3's time-out starts again with every byte that arrives, so that a service which sends a head one byte at a time
would hold a thread for hours. Here a connection is shut down when request and head together take too long.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

IDLE_SECONDS = 60.0
UPLOAD_RATE = 32 << 10
"""Bytes/s: a request's body gets its size at this rate in addition."""


class Watchdog:
    """Shuts sockets down at their deadlines, from one thread that ends after a time without any. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: dict[object, tuple[float, socket.socket]] = {}
        self._wakeup: float | None = None
        """Monotonic time at which the thread looks again; None without a thread."""

    @contextlib.contextmanager
    def limit(self, opened: socket.socket, seconds: float) -> Iterator[None]:
        """Raise TimeoutError if the block takes longer; what it waits for on the socket ends then."""
        ticket, deadline = object(), time.monotonic() + seconds
        with self._changed:
            self._watched[ticket] = deadline, opened
            if self._wakeup is None:
                threading.Thread(target=self._watch, name="storage heads", daemon=True).start()
                self._wakeup = deadline
            elif deadline < self._wakeup:
                self._changed.notify()
        cause: Exception | None = None
        try:
            yield
        except Exception as error:
            cause = error
        finally:
            with self._changed:
                is_expired = self._watched.pop(ticket, None) is None
        if is_expired:  # without an exception, too: the end of the stream is taken for the end of a head
            raise TimeoutError(f"no response within {seconds:.0f} seconds") from cause
        if cause is not None:
            raise cause

    def _watch(self) -> None:
        is_idle = False
        with self._changed:
            while self._watched or not is_idle:
                is_idle = not self._watched
                now = time.monotonic()
                for ticket, (_, opened) in [item for item in self._watched.items() if item[1][0] <= now]:
                    del self._watched[ticket]
                    with contextlib.suppress(OSError):
                        socket.socket.shutdown(opened, socket.SHUT_RDWR)  # SSLSocket's own is not thread-safe
                deadlines = [deadline for deadline, _ in self._watched.values()]
                self._wakeup = min(deadlines, default=now + IDLE_SECONDS)
                self._changed.wait(self._wakeup - now)
            self._wakeup = None


def limit_heads(client: Any, seconds: float) -> None:
    """Limit request and response head of every request of a boto3 client to `seconds`, plus the time of the upload."""
    from botocore.awsrequest import (
        AWSHTTPConnection,
        AWSHTTPConnectionPool,
        AWSHTTPSConnection,
        AWSHTTPSConnectionPool,
    )

    watchdog = Watchdog()

    class Limited:
        """A connection of botocore with the limit."""

        def request(self: Any, method: str, url: str, body: Any, headers: Any, **more: Any) -> Any:
            if self.sock is None:
                self.connect()  # has a time limit of its own
            allowed = seconds + int((headers or {}).get("Content-Length") or 0) / UPLOAD_RATE
            self.end_of_head = time.monotonic() + allowed
            with watchdog.limit(self.sock, allowed):
                return super().request(method, url, body, headers, **more)  # type: ignore[misc]

        def getresponse(self: Any) -> Any:
            with watchdog.limit(self.sock, self.end_of_head - time.monotonic()):
                return super().getresponse()  # type: ignore[misc]

        def _consume_headers(self, fp: Any) -> None:
            """Read what follows 100 Continue; botocore's own loop never ends if the connection is closed."""
            while line := fp.readline():
                if line == b"\r\n":
                    return
            raise ConnectionError("the connection was closed after 100 Continue")

    class LimitedHTTP(Limited, AWSHTTPConnection):  # type: ignore[misc]
        pass

    class LimitedHTTPS(Limited, AWSHTTPSConnection):  # type: ignore[misc]
        pass

    class HTTPPool(AWSHTTPConnectionPool):  # type: ignore[misc]
        ConnectionCls = LimitedHTTP

    class HTTPSPool(AWSHTTPSConnectionPool):  # type: ignore[misc]
        ConnectionCls = LimitedHTTPS

    client._endpoint.http_session._pool_classes_by_scheme.update(http=HTTPPool, https=HTTPSPool)
