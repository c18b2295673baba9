"""Faults on purpose, to show that a client survives them. Off unless the server was given a settings file.

The file is TOML, or JSON of the same form (by its suffix .json), and is read again whenever it changes:

    seed = 7                                  # same seed, same sequence of requests: same faults

    [[fault]]
    kind = "throttle"                         # one of the table below
    operations = ["s3:*Object", "sagemaker:Describe*"]     # service:Operation, shell-style; default ["*"]
    resources = ["photos/*"]                  # bucket/key, or the name that a call is about; default ["*"]
    unless = {"x-amz-request-payer" = ""}     # requests with these headers are spared; "" is any value
    rate = 0.2                                # of the operations that match; default 1
    skip = 2                                  # let so many pass first; default 0
    seconds = 0.5                             # of a delay; default 1
    limit = 10                                # fires so often at most; default: no limit
    seed = 3                                  # of this fault alone; default: made from the file's

    [[fault]]
    kind = "answer"                           # whatever AWS may say instead of doing the operation
    operations = ["sagemaker:CreateTrainingJob"]
    status = 400                              # the default
    code = "ResourceLimitExceeded"
    message = "The account-level service limit is 0 Instances."
    fields = {OriginalStatusCode = 500}       # further members of the error
    headers = {Retry-After = "5"}
    body = "<html>blocked</html>"             # instead of an error document, with `type` as its content-type (text/html)

    [[fault]]
    kind = "rewrite"                          # the operation is done, but its JSON answer says something else
    operations = ["sagemaker:DescribeTrainingJob"]
    when = {TrainingJobStatus = "Completed"}  # members that the true answer must have; default {}
    members = {TrainingJobStatus = "Stopped", SecondaryStatus = "MaxRuntimeExceeded"}
    without = ["FailureReason"]               # members that are taken away

| kind | what happens |
|---|---|
| throttle | nothing is done; S3 answers 503 SlowDown, the others 400 ThrottlingException |
| fail | nothing is done; 500 InternalError (S3), InternalFailure (others) |
| answer | nothing is done; the answer is the one that is written here, in the form of the service's protocol |
| rewrite | the operation is done; members of its JSON answer are replaced |
| delay | the operation is done `seconds` later |
| drop | the operation is done, then the connection is closed without an answer |
| truncate | the operation is done; the answer's body stops half-way and the connection is closed |
| corrupt | the operation is done; one byte in the middle of the answer's body is changed |
| truncate-request | half of the request's body arrives, then nothing more |
| corrupt-request | one byte in the middle of the request's body is changed before it is read |

Operations are named as AWS names them; an invocation of an endpoint is `sagemaker:InvokeEndpoint`. The first fault that
fires for a request decides. One request may ask for a fault itself, by the header `x-gtseg-fault: drop` or
`x-gtseg-fault: delay=0.5`; it is obeyed only where there is a settings file, be it empty.

`GET /_gtseg/faults` says how often each has fired, and of how many operations: {"enabled", "fired": {kind: times},
"faults": [{..., "matched": operations, "fired": times}]}. A truncation or corruption counts when a body was there to be spoilt.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Receive, Scope, Send

__all__ = ["HEADER", "KINDS", "Fault", "Faults", "SpoiltReceive", "SpoiltSend", "read_faults"]

HEADER = "x-gtseg-fault"
KINDS = (
    "throttle",
    "fail",
    "delay",
    "drop",
    "truncate",
    "corrupt",
    "truncate-request",
    "corrupt-request",
    "answer",
    "rewrite",
)
SPOILING = ("drop", "truncate", "corrupt")
SPOILING_REQUESTS = ("truncate-request", "corrupt-request")
SETTINGS = {
    "kind": str, "operations": list, "resources": list, "unless": dict, "rate": (int, float), "skip": int,
    "seconds": (int, float), "limit": int, "seed": (int, str), "status": int, "code": str, "message": str, "fields": dict,
    "headers": dict, "body": str, "type": str, "when": dict, "members": dict, "without": list,
}  # fmt: skip
"""The keys of a fault and their types."""


@dataclass(frozen=True)
class Played:
    """What an "answer" says instead of doing anything. `body` None: an error document of the service's protocol."""

    status: int = 400
    code: str = "ValidationException"
    message: str = "no message"
    fields: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def error(self) -> ServiceError:
        return ServiceError(
            self.code,
            self.message,
            self.status,
            fields=dict(self.fields),
            headers=self.headers,
            body=self.body,
        )


@dataclass(frozen=True)
class Rewriting:
    """Members put over those of a JSON answer that has the members of `when`; `without` are taken away."""

    when: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def apply(self, body: bytes) -> bytes | None:
        """The changed answer; None where it is not one that this is for."""
        try:
            answer = json.loads(body)
        except ValueError:
            return None
        if not isinstance(answer, dict) or any(answer.get(key) != value for key, value in self.when.items()):
            return None
        kept = {key: value for key, value in answer.items() if key not in self.without}
        return json.dumps({**kept, **self.members}).encode()


@dataclass
class Fault:
    kind: str
    operations: tuple[str, ...] = ("*",)
    rate: float = 1.0
    seconds: float = 1.0
    limit: int | None = None
    resources: tuple[str, ...] = ("*",)
    unless: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0
    played: Played = field(default_factory=Played)
    rewriting: Rewriting = field(default_factory=Rewriting)
    matched: int = 0
    fired: int = 0
    passed: int = 0
    random: random.Random = field(default_factory=random.Random, repr=False)

    def is_due(self, operation: str, resource: str = "", headers: Mapping[str, str] | None = None) -> bool:
        """Draws once for every operation that matches, fired or not, so that a limit does not shift the sequence."""
        if not self._concerns(operation, resource, headers or {}):
            return False
        self.matched += 1
        drawn = self.random.random() < self.rate
        if drawn and self.passed < self.skip:
            self.passed += 1
            return False
        return drawn and (self.limit is None or self.fired < self.limit)

    def _concerns(self, operation: str, resource: str, headers: Mapping[str, str]) -> bool:
        if not any(fnmatchcase(operation, pattern) for pattern in self.operations):
            return False
        if not any(fnmatchcase(resource, pattern) for pattern in self.resources):
            return False
        spared = all(name in headers and value in ("", headers[name]) for name, value in self.unless.items())
        return not (self.unless and spared)

    def describe(self) -> dict[str, Any]:
        names = ("kind", "operations", "rate", "seconds", "limit", "matched", "fired")
        return {name: getattr(self, name) for name in names}


def read_faults(path: Path) -> list[Fault]:
    """The file's faults. Raises ServiceError ValidationException that names the file and what is wrong in it."""
    try:
        text = path.read_text("utf-8")
        settings = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ServiceError("ValidationException", f"faults file {path}: {error}") from None
    unknown = set(settings) - {"seed", "fault"}
    if unknown:
        raise _wrong(path, f"unknown key {sorted(unknown)[0]!r}; known are seed, fault")
    seed = settings.get("seed", 0)
    return [_read_fault(path, number, entry, seed) for number, entry in enumerate(settings.get("fault", []))]


def _read_fault(path: Path, number: int, entry: dict[str, Any], seed: int) -> Fault:
    if unknown := set(entry) - set(SETTINGS):
        raise _wrong(path, f"unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(SETTINGS))}")
    if entry.get("kind") not in KINDS:
        raise _wrong(path, f"kind {entry.get('kind')!r} is none of {', '.join(KINDS)}")
    rate = entry.get("rate", 1.0)
    if not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise _wrong(path, f"rate {rate!r} is not between 0 and 1")
    for key in ("operations", "resources", "without"):
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(pattern, str) for pattern in value):
            raise _wrong(path, f"{key} {value!r} is not a list of patterns such as 's3:*'")
    for key, value in entry.items():
        if not isinstance(value, SETTINGS[key]):  # type: ignore[arg-type]
            raise _wrong(path, f"{key} {value!r} has the wrong type")
    return Fault(
        entry["kind"],
        tuple(entry.get("operations", ["*"])),
        float(rate),
        float(entry.get("seconds", 1.0)),
        entry.get("limit"),
        tuple(entry.get("resources", ["*"])),
        {name.lower(): value for name, value in entry.get("unless", {}).items()},
        entry.get("skip", 0),
        _read_played(entry),
        Rewriting(entry.get("when", {}), entry.get("members", {}), tuple(entry.get("without", ()))),
        random=random.Random(entry.get("seed", f"{seed}:{number}")),
    )


def _read_played(entry: dict[str, Any]) -> Played:
    given = {key: entry[key] for key in ("status", "code", "message", "fields") if key in entry}
    headers = {name.lower(): str(value) for name, value in entry.get("headers", {}).items()}
    if "body" not in entry:
        return Played(**given, headers=headers)
    kind = {"content-type": entry.get("type", "text/html")}
    return Played(**given, headers=kind | headers, body=entry["body"].encode())


def _wrong(path: Path, reason: str) -> ServiceError:
    return ServiceError("ValidationException", f"faults file {path}: {reason}")


class Faults:
    """The faults of one server and how often each has fired. Without a file it never does anything."""

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
        """The fault that this request (`service:Operation`, about `resource`) is to suffer."""
        if self._path is None:
            return None
        asked = headers.get(HEADER)
        if asked is not None:
            return _parse_header(asked)
        with self._lock:
            self._reload()
            return next((fault for fault in self._faults if fault.is_due(operation, resource, headers)), None)

    def count(self, fault: Fault) -> None:
        """Say that a fault has really happened."""
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

    async def strike(self, fault: Fault, *, service: str) -> None:
        """What happens before the work: a delay, or ServiceError raised instead of it."""
        if fault.kind in (*SPOILING, *SPOILING_REQUESTS, "rewrite"):
            return
        self.count(fault)
        if fault.kind == "answer":
            raise fault.played.error()
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
        """The body of a JSON answer, changed where the fault is of that kind."""
        if fault is None or fault.kind != "rewrite" or status != 200:
            return body
        changed = fault.rewriting.apply(body)
        if changed is None:
            return body
        self.count(fault)
        return changed

    def spoil(self, fault: Fault, scope: Scope, send: Send) -> Send:
        """A `send` that spoils the answer, where the fault is of that kind."""
        return SpoiltSend(self, fault, scope, send) if fault.kind in SPOILING else send

    def spoil_request(self, fault: Fault, headers: dict[str, str], receive: Receive) -> Receive:
        """A `receive` that spoils the request's body, where the fault is of that kind and there is a body."""
        length = int(headers.get("content-length", "0"))
        if fault.kind not in SPOILING_REQUESTS or not length:
            return receive
        return SpoiltReceive(self, fault, length, receive)

    def spoil_body(self, fault: Fault, body: bytes) -> bytes:
        """A request's body that was read already, spoilt where the fault is of that kind."""
        if fault.kind not in SPOILING_REQUESTS or not body:
            return body
        self.count(fault)
        return _spoil_bytes(fault, body, len(body) // 2)

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
        raise ServiceError("InvalidArgument", f"{HEADER} {text!r} is none of {', '.join(KINDS)}")
    try:
        return Fault(kind, seconds=float(seconds or 1))
    except ValueError:
        raise ServiceError("InvalidArgument", f"{HEADER} {text!r}: {seconds!r} is no number of seconds") from None


class SpoiltSend:
    """ASGI `send` of an answer that gets lost, ends early or is not what was stored."""

    def __init__(self, faults: Faults, fault: Fault, scope: Scope, send: Send) -> None:
        self._faults, self._fault, self._send = faults, fault, send
        self._transport = scope["gtseg.transport"]
        self._left = 0  # bytes of the body to pass on before the fault
        self._is_over = False

    async def __call__(self, message: Any) -> None:
        if self._is_over:
            if self._fault.kind == "corrupt":
                await self._send(message)
            return
        if message["type"] == "http.response.start":
            await self._start(message)
        else:
            await self._spoil(message)

    async def _start(self, message: Any) -> None:
        if self._fault.kind == "drop":
            await self._cut()
            return
        length = next((int(value) for name, value in message["headers"] if name == b"content-length"), 0)
        self._left = length // 2
        await self._send(message)

    async def _spoil(self, message: Any) -> None:
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
        await self._send({**message, "body": _spoil_bytes(self._fault, body, self._left)})

    async def _cut(self) -> None:
        """Close the connection (what was written is still sent) and wait until the server has noticed."""
        self._is_over = True
        self._faults.count(self._fault)
        self._transport.close()
        await asyncio.sleep(0.005)


class SpoiltReceive:
    """ASGI `receive` of a body that ends half-way or is not what was sent. All of it is read, so that the connection can go on."""

    def __init__(self, faults: Faults, fault: Fault, length: int, receive: Receive) -> None:
        self._faults, self._fault, self._receive = faults, fault, receive
        self._left = length // 2  # bytes of the body to pass on before the fault
        self._is_cut = False

    async def __call__(self) -> Any:
        message = await self._receive()
        body = message.get("body", b"")
        if self._is_cut:
            return {**message, "body": b""}
        if len(body) > self._left >= 0:
            message = {**message, "body": _spoil_bytes(self._fault, body, self._left)}
            self._is_cut = self._fault.kind == "truncate-request"
            self._faults.count(self._fault)
        self._left -= len(body)
        return message


def _spoil_bytes(fault: Fault, body: bytes, position: int) -> bytes:
    if fault.kind.startswith("truncate"):
        return body[:position]
    return body[:position] + bytes([body[position] ^ 0x55]) + body[position + 1 :]
