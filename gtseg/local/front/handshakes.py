"""TLS handshakes, counted in the same limits as plain connections from their acceptance.

uvicorn sees a connection only after its handshake. Connections are therefore accepted here; each counts as an idle
unauthenticated connection until its handshake is complete, so that a client that stalls many handshakes has them
closed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from gtseg.local.front.connections import CLOSED, Connections

HANDSHAKE_SECONDS = 10.0
PAUSE_SECONDS = 0.5
"""Pause before accepting again when no descriptor is left."""
logger = logging.getLogger(__name__)


class Handshake:
    """A connection from its acceptance until the protocol made by `make()` takes it over."""

    rank = CLOSED

    def __init__(self, accepted: socket.socket, address: str, admitted: Connections) -> None:
        self.address = address
        self._socket, self._admitted = accepted, admitted
        self._task: asyncio.Task[None] | None = None

    def begin(self, make: Callable[[], asyncio.Protocol], context: ssl.SSLContext) -> None:
        if not self._admitted.admit(self):
            self._socket.close()
            return
        self._task = asyncio.get_running_loop().create_task(self._complete(make, context))

    def disconnect(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _complete(self, make: Callable[[], asyncio.Protocol], context: ssl.SSLContext) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                make, self._socket, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except (OSError, asyncio.CancelledError):  # not TLS, aborted, timed out, or closed to make room
            self._socket.close()
        finally:
            self._admitted.place(self, CLOSED)


async def accept_all(
    listener: socket.socket,
    make: Callable[[], asyncio.Protocol],
    *,
    context: ssl.SSLContext,
    admitted: Connections,
) -> None:
    """Accept connections until the task is canceled."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        try:
            accepted, peer = await loop.sock_accept(listener)
        except OSError as error:  # no descriptor is left, or the client disconnected
            logger.warning("cannot accept a connection: %s", error)
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        Handshake(accepted, str(peer[0]) if peer else "", admitted).begin(make, context)
