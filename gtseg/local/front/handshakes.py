"""TLS connections before there is any: counted in the same limits as plain ones from their first instant.

uvicorn hears of a connection only when its handshake is done. So connections are accepted here, and each is counted as a stranger's
idle one until its handshake is: whoever keeps many of them in the middle of their handshakes makes room like anybody else.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from gtseg.local.front.connections import CLOSED, Connections

__all__ = ["HANDSHAKE_SECONDS", "Handshake", "accept_all"]

HANDSHAKE_SECONDS = 10.0
PAUSE_SECONDS = 0.5  # without a descriptor left
logger = logging.getLogger(__name__)


class Handshake:
    """One connection from its acceptance until `make()`'s protocol has it."""

    rank = CLOSED

    def __init__(self, accepted: socket.socket, address: str, admitted: Connections) -> None:
        self.address = address
        self._socket, self._admitted = accepted, admitted
        self._task: asyncio.Task[None] | None = None

    def begin(self, make: Callable[[], asyncio.Protocol], context: ssl.SSLContext) -> None:
        if not self._admitted.admit(self):
            self._socket.close()
            return
        self._task = asyncio.get_running_loop().create_task(self._shake(make, context))

    def hang_up(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _shake(self, make: Callable[[], asyncio.Protocol], context: ssl.SSLContext) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                make, self._socket, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except (OSError, asyncio.CancelledError):  # no TLS, given up, out of time, or it had to make room
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
    """Accept connections until the task is cancelled."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        try:
            accepted, peer = await loop.sock_accept(listener)
        except OSError as error:  # no descriptor is left, or the client has gone
            logger.warning("a connection could not be accepted: %s", error)
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        Handshake(accepted, str(peer[0]) if peer else "", admitted).begin(make, context)
