"""Middleware that delays successful responses until the changes they report are on disk.

Every successful response to a request that may have changed something waits for the barrier (storage/sync.py), which
returns at once if nothing was written. Responses to read requests do not wait.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from gtseg.local.s3.request import Receive, Scope, Send
from gtseg.local.storage.sync import Barrier, DiskError

READING_METHODS = ("GET", "HEAD", "OPTIONS")
READING_OPERATIONS = (b"Describe", b"List", b"Get", b"Search", b"Filter")
logger = logging.getLogger(__name__)


class Acknowledgment:
    """ASGI middleware around `application`."""

    def __init__(self, application: Callable[[Scope, Receive, Send], Awaitable[None]], barrier: Barrier) -> None:
        self._application, self._barrier = application, barrier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _reads_only(scope):
            await self._application(scope, receive, send)
            return
        refused = False

        async def acknowledge(message: Scope) -> None:
            nonlocal refused
            is_answer = message["type"] == "http.response.start" and message["status"] < 400
            if is_answer and not scope.get("gtseg.is_on_disk"):  # a handler that synced its own data sets this
                try:
                    await self._barrier.wait()
                except DiskError as error:
                    logger.error("%s", error)
                    refused = True
                    await _send_failure(scope, send)
            if not refused:
                await send(message)

        await self._application(scope, receive, acknowledge)


def _reads_only(scope: Scope) -> bool:
    """Return whether a request changes nothing, judged by its method or the operation that its header names."""
    if scope["method"] in READING_METHODS:
        return True
    for name, value in scope["headers"]:
        if name == b"x-amz-target":
            return bool(value.rpartition(b".")[2].startswith(READING_OPERATIONS))
    return bool(scope["path"].startswith("/endpoints/"))


async def _send_failure(scope: Scope, send: Send) -> None:
    """Send a 500 response in the client's protocol: XML for S3, JSON for the services and the portal."""
    message = "The server's disk cannot store data; requests fail until the server is restarted."
    if scope["path"].startswith("/_"):
        kind, text = b"application/json", json.dumps({"error": "InternalError", "message": message})
    elif any(name == b"x-amz-target" for name, _ in scope["headers"]):
        kind, text = (
            b"application/x-amz-json-1.1",
            json.dumps({"__type": "InternalFailure", "message": message}),
        )
    else:
        kind, text = (
            b"application/xml",
            f"<Error><Code>InternalError</Code><Message>{message}</Message></Error>",
        )
    body = text.encode()
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
