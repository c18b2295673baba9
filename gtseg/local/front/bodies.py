"""Request bodies within limits of size and time: read, spooled to disk until authenticated, or discarded.

At most a few kilobytes of an unauthenticated request's body are in memory: the rest goes to an unnamed file, within an
allowance per address and in total. Bodies of authenticated requests wait in a queue for memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from concurrent.futures import Executor
from pathlib import Path
from typing import IO, Any

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Receive

DRAIN_BYTES = 64 << 20
DRAIN_SECONDS = 10.0
DRAIN_SILENCE = 2.0
ANONYMOUS_SECONDS = 10.0
"""Time limit for an unauthenticated body, plus one second for each BYTES_PER_SECOND."""
BYTES_PER_SECOND = 16 << 10
INLINE_BYTES = 16 << 10
"""Bytes of a body that are held in memory before it is authenticated."""
ANONYMOUS_BYTES = 1 << 30
"""Disk space for all unauthenticated bodies."""
ANONYMOUS_ADDRESS_BYTES = 256 << 20
"""Disk space for the unauthenticated bodies of one address."""
AUTHENTICATED_BYTES = 256 << 20
"""Memory for the bodies of all authenticated requests."""
TURN_SECONDS = 60.0


def mark_authenticated(scope: MutableMapping[str, Any]) -> None:
    """Mark the request as authenticated; its connection is not closed to make room for others (connections.py)."""
    mark = scope.get("gtseg.mark_authenticated")
    if mark is not None:
        mark()


class TimeLimitedReceive:
    """A `receive` that raises ServiceError RequestTimeout after `seconds` without data; slow bodies are accepted."""

    def __init__(self, receive: Receive, seconds: float) -> None:
        self.receive, self.seconds = receive, seconds
        self.is_over = False
        """Whether the body has arrived completely; the next message is the client's disconnect."""

    async def __call__(self) -> MutableMapping[str, Any]:
        if self.is_over:
            return await self.receive()
        try:
            async with asyncio.timeout(self.seconds):
                message = await self.receive()
        except TimeoutError:
            raise ServiceError(
                "RequestTimeout",
                "Your socket connection to the server was not read from or written to within the timeout period.",
            ) from None
        self.is_over = not message.get("more_body", False)
        return message


class Allowance:
    """Limit of bytes held at once, per address and in total. Used by one event loop."""

    def __init__(self, total: int, per_address: int) -> None:
        self.total, self.per_address = total, per_address
        self.held: Counter[str] = Counter()

    def take(self, address: str, size: int) -> None:
        """Reserve `size` bytes. Raises ServiceError SlowDown 503 if the limit is exceeded."""
        if self.held[address] + size > self.per_address or sum(self.held.values()) + size > self.total:
            raise ServiceError("SlowDown", "Please reduce your request rate.", 503)
        self.held[address] += size

    def release(self, address: str, size: int) -> None:
        self.held[address] -= size
        if self.held[address] <= 0:
            del self.held[address]


class FairSemaphore:
    """FIFO semaphore over units of a resource; releasing units wakes only the next waiter. Used by one event loop."""

    def __init__(self, units: int) -> None:
        self.units, self.free = units, units
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def hold(self, size: int, *, seconds: float = TURN_SECONDS) -> AsyncIterator[None]:
        """Hold `size` units (all of them for a larger size). Raises ServiceError SlowDown 503 after `seconds`."""
        size = min(size, self.units)
        await self._take(size, seconds)
        try:
            yield
        finally:
            self.free += size
            self._serve()

    async def _take(self, size: int, seconds: float) -> None:
        if not self.waiting and size <= self.free:
            self.free -= size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self.waiting.append(entry)
        try:
            await asyncio.wait_for(asyncio.shield(turn), seconds)
        except BaseException as error:
            if turn.done():
                self.free += size
            else:
                self.waiting.remove(entry)
            self._serve()
            if isinstance(error, TimeoutError):
                raise ServiceError("SlowDown", "Please reduce your request rate.", 503) from None
            raise

    def _serve(self) -> None:
        while self.waiting and self.waiting[0][0] <= self.free:
            size, turn = self.waiting.popleft()
            self.free -= size
            turn.set_result(None)


class Spooled:
    """A body that has arrived completely: size and SHA-256; small bodies are in memory, larger ones in a file."""

    def __init__(self) -> None:
        self.size = 0
        self.hash = hashlib.sha256()
        self.parts: list[bytes] = []
        self.file: IO[bytes] | None = None
        self.release: Callable[[], None] = lambda: None
        """Release the allowance for unauthenticated bodies; called when the request is authenticated."""

    @property
    def sha256(self) -> str:
        return self.hash.hexdigest()

    def write(self, block: bytes, folder: Path) -> None:
        self.size += len(block)
        self.hash.update(block)
        if self.file is None and self.size <= INLINE_BYTES:
            self.parts.append(block)
            return
        if self.file is None:
            self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by close)
            self.file.write(b"".join(self.parts))
            self.parts.clear()
        self.file.write(block)

    def read(self) -> bytes:
        if self.file is None:
            return b"".join(self.parts)
        self.file.flush()
        return os.pread(self.file.fileno(), self.size, 0)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


class Bodies:
    """Bodies of requests whose signature covers the body, which must be read before the request is authenticated."""

    def __init__(self, folder: Path, pool: Executor | None = None) -> None:
        self.folder, self.pool = folder, pool
        self.anonymous = Allowance(ANONYMOUS_BYTES, ANONYMOUS_ADDRESS_BYTES)
        self.authenticated = FairSemaphore(AUTHENTICATED_BYTES)

    @contextlib.asynccontextmanager
    async def spool(
        self,
        receive: Receive,
        headers: Mapping[str, str],
        *,
        limit: int,
        client_address: str | None = None,
        seconds: float | None = None,
        too_large: str = "TooLarge",
    ) -> AsyncIterator[Spooled]:
        """Yield the body, kept until the block ends; `client_address`: the address of an unauthenticated client.

        Raises ServiceError SlowDown 503, RequestTimeout 408, `too_large` 413.
        """
        declared, address = int(headers.get("content-length", "0")), client_address or ""
        refusal = ServiceError(too_large, f"The request body is larger than {limit} bytes.", 413)
        if declared > limit:
            raise refusal
        body, taken = Spooled(), declared
        allowance = self.anonymous if client_address is not None else Allowance(limit, limit)

        def release() -> None:
            nonlocal taken
            allowance.release(address, taken)
            taken = 0

        allowance.take(address, taken)
        body.release = release
        try:
            async with _bound_time(
                ANONYMOUS_SECONDS + (declared or limit) / BYTES_PER_SECOND if seconds is None else seconds
            ):
                async for block in iterate(receive):
                    if body.size + len(block) > limit:
                        raise refusal
                    if (more := body.size + len(block) - taken) > 0:
                        allowance.take(address, more)
                        taken += more
                    if body.size + len(block) <= INLINE_BYTES:
                        body.write(block, self.folder)
                    else:
                        loop = asyncio.get_running_loop()
                        await loop.run_in_executor(self.pool, body.write, block, self.folder)
            yield body
        finally:
            body.close()
            release()


@contextlib.asynccontextmanager
async def _bound_time(seconds: float) -> AsyncIterator[None]:
    """Raise ServiceError RequestTimeout 408 if the block takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ServiceError(
            "RequestTimeout", f"The request body did not arrive within {seconds:.0f} seconds.", 408
        ) from None


async def iterate(receive: Receive) -> AsyncIterator[bytes]:
    """Yield a body's blocks. Raises ServiceError RequestTimeoutException if the client disconnects."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ServiceError("RequestTimeoutException", "The client closed the connection.")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


async def read_limited(receive: Receive, headers: Mapping[str, str], *, limit: int, seconds: float) -> bytes:
    """Return the body. Raises ServiceError TooLarge 413 beyond `limit` bytes, RequestTimeout 408 after `seconds`."""
    too_large = ServiceError("TooLarge", f"The request body is larger than {limit} bytes.", 413)
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    async with _bound_time(seconds):
        async for block in iterate(receive):
            size += len(block)
            if size > limit:
                raise too_large
            parts.append(block)
    return b"".join(parts)


async def drain(receive: Receive, headers: Mapping[str, str]) -> bool:
    """Read and discard the rest of a short body, so that the client sees the response instead of a broken connection.

    Return whether the end of the body was reached. If not, close the connection: the body is too long or too slow, or
    has not been sent because the client waits for `100 Continue`.
    """
    length = headers.get("content-length", "0")
    if getattr(receive, "is_over", False) or ("transfer-encoding" not in headers and length == "0"):
        return True
    if "expect" in headers or not length.isdecimal() or int(length) > DRAIN_BYTES:
        return False
    size, incoming = 0, TimeLimitedReceive(receive, DRAIN_SILENCE)
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            async for block in iterate(incoming):
                size += len(block)
                if size > DRAIN_BYTES:
                    return False
    except (TimeoutError, ServiceError):
        return False
    return True
