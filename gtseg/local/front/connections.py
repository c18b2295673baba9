"""Limits of HTTP connections: size and arrival time of a request's head, idle time, and the number of connections.

When a new connection exceeds the number per address or in total, an old one is closed: first an idle one that was never
authenticated, then one whose request is not authenticated, then an idle one. A connection with an authenticated request
in progress is never closed.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES_MAXIMUM = 64 * 1024
"""S3's own limit is 8 KB; presigned URLs and session tokens of other services are longer."""
BACKLOG = 128
"""Connections that the kernel accepts before the server does; each takes a descriptor."""
CONNECTIONS = 2000
RESERVED_FILES = 640
"""Share of the open file limit for databases (a few per thread), objects, tests and plugins."""
FEWEST = 64
JOINED_BYTES = 64 * 1024
CLOSED = 4
"""Rank of a closed connection. Connections with lower ranks are closed first to make room."""
ANONYMOUS_IDLE, ANONYMOUS_BUSY, AUTHENTICATED_IDLE, AUTHENTICATED_BUSY = range(CLOSED)


class Connection(Protocol):
    """A counted connection: established, or in its TLS handshake (handshakes.py)."""

    rank: int
    address: str

    def disconnect(self) -> None: ...


class Connections:
    """The open connections of a server. Used by one event loop."""

    def __init__(self, total: int, per_address: int) -> None:
        self.total, self.per_address, self.count = total, per_address, 0
        self.addresses: dict[str, list[dict[Connection, None]]] = {}

    def admit(self, connection: Connection) -> bool:
        """Count a new connection, closing another one if a limit is reached; return False if none can be closed."""
        ranks = self.addresses.get(connection.address, [])
        if sum(map(len, ranks)) >= self.per_address:
            victims = ranks
        elif self.count >= self.total:
            victims = max(self.addresses.values(), key=lambda ranks: sum(map(len, ranks)))
        else:
            self.place(connection, ANONYMOUS_IDLE)
            return True
        victim = next((next(iter(rank)) for rank in victims[:AUTHENTICATED_BUSY] if rank), None)
        if victim is None:
            return False
        self.place(victim, CLOSED)
        victim.disconnect()
        self.place(connection, ANONYMOUS_IDLE)
        return True

    def place(self, connection: Connection, rank: int) -> None:
        """Move a connection to the end of a rank, or remove it (CLOSED)."""
        if connection.rank != CLOSED:
            ranks = self.addresses[connection.address]
            del ranks[connection.rank][connection]
            self.count -= 1
            if not any(ranks):
                del self.addresses[connection.address]
        connection.rank = rank
        if rank != CLOSED:
            ranks = self.addresses.setdefault(connection.address, [{} for _ in range(CLOSED)])
            ranks[rank][connection] = None
            self.count += 1


class JoinedWrites:
    """Transport that joins a short write with the next one, so that a response's head and body need one system call.

    A write without a successor is sent in the next iteration of the event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            if len(data) > JOINED_BYTES:
                self._transport.writelines((held, data))
            else:
                self._transport.write(held + data)
        elif 0 < len(data) <= JOINED_BYTES:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._held = b""
        self._transport.abort()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with limits: 431 for a head that is too long, closing for one that is too slow.

    The scope has the transport, which faults.py closes, and a function that marks the request as authenticated
    (bodies.py, mark_authenticated).
    """

    head_seconds = 30.0
    admitted = Connections(CONNECTIONS, CONNECTIONS)
    rank = CLOSED
    address = ""
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = cast(asyncio.Transport, JoinedWrites(transport, self.loop))
        self.address = self.client[0] if self.client else ""
        if not self.admitted.admit(self):
            self._refuse(503)
            return
        self._head_timer = self.loop.call_later(self.head_seconds, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.admitted.place(self, CLOSED)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)
        super().on_message_begin()
        self.scope["gtseg.transport"] = self.transport  # type: ignore[typeddict-unknown-key]
        self.scope["gtseg.mark_authenticated"] = self._mark_authenticated  # type: ignore[typeddict-unknown-key]

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            if self.rank != CLOSED:
                self.admitted.place(self, ANONYMOUS_BUSY)
            super().on_headers_complete()

    def on_response_complete(self) -> None:
        if self.rank != CLOSED and not self.pipeline:
            self.admitted.place(self, AUTHENTICATED_IDLE if self.rank == AUTHENTICATED_BUSY else ANONYMOUS_IDLE)
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)

    def disconnect(self) -> None:
        self.transport.abort()

    def _mark_authenticated(self) -> None:
        if self.rank == ANONYMOUS_BUSY:
            self.admitted.place(self, AUTHENTICATED_BUSY)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAXIMUM and not self.transport.is_closing():
            self._refuse(431)

    def _refuse(self, status: int) -> None:
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def bound_connections(head_seconds: float) -> type[BoundedProtocol]:
    """Return the protocol class of a server with its time limit for heads and the connections its open file limit
    allows.
    """
    total = _find_room()
    fields = {"head_seconds": head_seconds, "admitted": Connections(total, total * 3 // 4)}
    return type("BoundedProtocol", (BoundedProtocol,), fields)


def _find_room() -> int:
    """Return the maximum number of connections, after raising the open file limit as far as permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + RESERVED_FILES + BACKLOG
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS
    return max(FEWEST, min(CONNECTIONS, soft - RESERVED_FILES - BACKLOG))
