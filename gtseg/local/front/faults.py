"""Fault injection: applies the faults of a faults file (fault_file.py) to requests and responses.

Operations have AWS's names; an invocation of an endpoint is `sagemaker:InvokeEndpoint`. The first fault that fires for
a request is applied. A request can select a fault itself with the header `x-gtseg-fault: drop` or `x-gtseg-fault:
delay=0.5`; this requires a faults file, which may be empty.

`GET /_gtseg/faults` returns how often each fault has fired, and for how many operations: {"enabled", "fired": {kind:
times}, "faults": [{..., "matched": operations, "fired": times}]}. A truncation or corruption counts only if there was a
body to change.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.front.fault_file import KINDS, Fault, read_faults
from gtseg.local.s3.request import Receive, Scope, Send

HEADER = "x-gtseg-fault"
DAMAGING = ("drop", "truncate", "corrupt")
DAMAGING_REQUESTS = ("truncate-request", "corrupt-request")


class Faults:
    """The faults of a server and how often each has fired; without a file no fault fires."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._version: tuple[int, int] | None = None
        self._faults: list[Fault] = []
        self._fired: Counter[str] = Counter()
        if path is not None:
            self._reload()

    @property
    def is_enabled(self) -> bool:
        return self._path is not None

    def choose(self, operation: str, headers: dict[str, str], *, resource: str = "") -> Fault | None:
        """Return the fault to apply to this request (`service:Operation`, about `resource`); None if none fires."""
        if self._path is None:
            return None
        asked = headers.get(HEADER)
        if asked is not None:
            return _parse_header(asked)
        with self._lock:
            self._reload()
            return next((fault for fault in self._faults if fault.is_due(operation, resource, headers)), None)

    def count(self, fault: Fault) -> None:
        """Count a fault that has taken effect."""
        with self._lock:
            fault.fired += 1
            self._fired[fault.kind] += 1

    def describe(self) -> dict[str, Any]:
        with self._lock:
            return {
                "enabled": self.is_enabled,
                "fired": {kind: self._fired[kind] for kind in KINDS},
                "faults": [fault.describe() for fault in self._faults],
            }

    async def apply(self, fault: Fault, *, service: str) -> None:
        """Apply a fault before the operation: sleep, or raise ServiceError in its place."""
        if fault.kind in (*DAMAGING, *DAMAGING_REQUESTS, "rewrite"):
            return
        self.count(fault)
        if fault.kind == "answer":
            raise fault.canned.error()
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "throttle" and service == "s3":
            raise ServiceError("SlowDown", "Please reduce your request rate.", 503)
        elif fault.kind == "throttle":
            raise ServiceError("ThrottlingException", "Rate exceeded", 400)
        elif service == "s3":
            raise ServiceError("InternalError", "We encountered an internal error. Please try again.", 500)
        else:
            raise ServiceError("InternalFailure", "The request processing has failed because of a fault.", 500)

    def rewrite(self, fault: Fault | None, status: int, body: bytes) -> bytes:
        """Return the body of a JSON response, changed by a "rewrite" fault."""
        if fault is None or fault.kind != "rewrite" or status != 200:
            return body
        changed = fault.rewrite_rule.apply(body)
        if changed is None:
            return body
        self.count(fault)
        return changed

    def damage_response(self, fault: Fault, scope: Scope, send: Send) -> Send:
        """Return a `send` that damages the response for faults of that kind."""
        return DamagedSend(self, fault, scope, send) if fault.kind in DAMAGING else send

    def damage_request(self, fault: Fault, headers: dict[str, str], receive: Receive) -> Receive:
        """Return a `receive` that damages the request body, if the fault is of that kind and there is a body."""
        length = int(headers.get("content-length", "0"))
        if fault.kind not in DAMAGING_REQUESTS or not length:
            return receive
        return DamagedReceive(self, fault, length, receive)

    def damage_body(self, fault: Fault, body: bytes) -> bytes:
        """Return a request body that has been read, damaged if the fault is of that kind."""
        if fault.kind not in DAMAGING_REQUESTS or not body:
            return body
        self.count(fault)
        return _damage_bytes(fault, body, len(body) // 2)

    def _reload(self) -> None:
        assert self._path is not None
        try:
            found = self._path.stat()
        except OSError as error:
            raise ServiceError("ValidationException", f"faults file {self._path}: {error}") from None
        version = (found.st_mtime_ns, found.st_size)
        if version != self._version:
            self._faults = read_faults(self._path)
            self._version = version


def _parse_header(text: str) -> Fault:
    kind, _, seconds = text.strip().partition("=")
    if kind not in KINDS or kind in ("answer", "rewrite"):
        raise ServiceError("InvalidArgument", f"{HEADER} {text!r} is not one of {', '.join(KINDS)}")
    try:
        return Fault(kind, seconds=float(seconds or 1))
    except ValueError:
        raise ServiceError("InvalidArgument", f"{HEADER} {text!r}: {seconds!r} is not a number of seconds") from None


class DamagedSend:
    """ASGI `send` of a response that is dropped, truncated or corrupted."""

    def __init__(self, faults: Faults, fault: Fault, scope: Scope, send: Send) -> None:
        self._faults, self._fault, self._send = faults, fault, send
        self._transport = scope["gtseg.transport"]
        self._left = 0  # bytes of the body to send before the fault
        self._is_over = False

    async def __call__(self, message: Any) -> None:
        if self._is_over:
            if self._fault.kind == "corrupt":
                await self._send(message)
            return
        if message["type"] == "http.response.start":
            await self._start(message)
        else:
            await self._damage(message)

    async def _start(self, message: Any) -> None:
        if self._fault.kind == "drop":
            await self._cut()
            return
        length = next((int(value) for name, value in message["headers"] if name == b"content-length"), 0)
        self._left = length // 2
        await self._send(message)

    async def _damage(self, message: Any) -> None:
        body = message.get("body", b"")
        if len(body) <= self._left or not body:
            self._left -= len(body)
            await self._send(message)
            return
        if self._fault.kind == "truncate":
            await self._send({"type": "http.response.body", "body": body[: self._left], "more_body": True})
            await self._cut()
            return
        self._is_over = True
        self._faults.count(self._fault)
        await self._send({**message, "body": _damage_bytes(self._fault, body, self._left)})

    async def _cut(self) -> None:
        """Close the connection after sending what was written, and wait until the server has noticed."""
        self._is_over = True
        self._faults.count(self._fault)
        self._transport.close()
        await asyncio.sleep(0.005)


class DamagedReceive:
    """ASGI `receive` of a truncated or corrupted body. The whole body is read, so that the connection stays usable."""

    def __init__(self, faults: Faults, fault: Fault, length: int, receive: Receive) -> None:
        self._faults, self._fault, self._receive = faults, fault, receive
        self._left = length // 2  # bytes of the body to deliver before the fault
        self._is_cut = False

    async def __call__(self) -> Any:
        message = await self._receive()
        body = message.get("body", b"")
        if self._is_cut:
            return {**message, "body": b""}
        if len(body) > self._left >= 0:
            message = {**message, "body": _damage_bytes(self._fault, body, self._left)}
            self._is_cut = self._fault.kind == "truncate-request"
            self._faults.count(self._fault)
        self._left -= len(body)
        return message


def _damage_bytes(fault: Fault, body: bytes, position: int) -> bytes:
    if fault.kind.startswith("truncate"):
        return body[:position]
    return body[:position] + bytes([body[position] ^ 0x55]) + body[position + 1 :]
