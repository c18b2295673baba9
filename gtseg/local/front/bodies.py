"""Bodies of requests: read up to a limit and within a time, or thrown away where the request is refused before its body is read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Receive

__all__ = ["drain", "read_limited"]

DRAIN_BYTES = 64 << 20
DRAIN_SECONDS = 10.0


async def read_limited(receive: Receive, headers: Mapping[str, str], *, limit: int, seconds: float) -> bytes:
    """The body. Raises ServiceError TooLarge 413 before it grows past `limit` bytes, RequestTimeout 408 after `seconds`, ClientGone 400."""
    too_large = ServiceError("TooLarge", f"The request has more than {limit} bytes.", 413)
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ServiceError("ClientGone", "The client went away before the end of the body.")
                size += len(message.get("body", b""))
                if size > limit:
                    raise too_large
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise ServiceError(
            "RequestTimeout", f"The request did not arrive within {seconds:.0f} seconds.", 408
        ) from None


async def drain(receive: Receive, headers: Mapping[str, str]) -> bool:
    """Read a short body to its end and keep nothing, so that the client sees the answer and not a broken connection.

    Whether it ended; if not, the connection is to be closed: the body is too long or too slow, or has not been sent yet
    because the client waits for `100 Continue`.
    """
    length = headers.get("content-length", "0")
    if "transfer-encoding" not in headers and length == "0":
        return True
    if "expect" in headers or not length.isdecimal() or int(length) > DRAIN_BYTES:
        return False
    size = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while size <= DRAIN_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return True
    except (TimeoutError, ServiceError):
        pass
    return False
