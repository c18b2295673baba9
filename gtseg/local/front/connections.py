"""One HTTP connection with bounds: the size of a request's head, the time a client may take to send it, and its silence after that."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Receive

__all__ = ["BoundedProtocol", "bound_heads", "bound_receive"]

HEAD_BYTES_MAXIMUM = (
    64 * 1024
)  # S3's own limit is 8 KB; presigned URLs and session tokens of the services behind are longer


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol; a head that is too long is answered 431, one that never ends closes the connection.

    The scope carries the transport, for answers that are to get lost (faults.py).
    """

    head_seconds = 30.0
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.head_seconds, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)
        super().on_message_begin()
        self.scope["gtseg.transport"] = self.transport  # type: ignore[typeddict-unknown-key]

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAXIMUM and not self.transport.is_closing():
            self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def bound_heads(seconds: float) -> type[BoundedProtocol]:
    """The protocol with another bound on the time that a request's head may take."""
    return type("BoundedProtocol", (BoundedProtocol,), {"head_seconds": seconds})


def bound_receive(receive: Receive, seconds: float) -> Receive:
    """A `receive` that raises ServiceError RequestTimeout when nothing of a body comes for so long; slow is not silent."""

    async def receive_in_time() -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await receive()
        except TimeoutError:
            raise ServiceError(
                "RequestTimeout",
                "Your socket connection to the server was not read from or written to within the timeout period.",
            ) from None

    return receive_in_time
