"""S3 requests and responses."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import Pairs, Signed, parse_query

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

KEY_BYTES_MAXIMUM = 1024


@dataclass(slots=True)
class Request:
    """An S3 request. `bucket` '': the service; `key` '': a bucket. `query` has the last value of each name."""

    method: str
    bucket: str
    key: str
    raw_path: bytes
    pairs: Pairs
    query: dict[str, str]
    headers: dict[str, str]
    receive: Receive
    id: str
    signed: Signed | None = None
    """The verified signature; None for an anonymous request."""
    signing_key: bytes = b""
    is_admitted: bool = False
    """Whether the request is authenticated, or allowed to anonymous clients."""
    is_read: bool = False
    """Whether the body has arrived completely."""
    body: bytes = b""
    """Body of an operation that takes a document."""

    @property
    def resource(self) -> str:
        return f"/{self.bucket}/{self.key}" if self.key else f"/{self.bucket}"


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes start .. start + length of an open file; the sender closes the descriptor."""

    descriptor: int
    start: int
    length: int


@dataclass(slots=True)
class Answer:
    """An S3 response."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: FileSlice | None = None
    is_on_disk: bool = False
    """Whether everything it reports is on disk, so that it need not wait for a sync."""


def read_headers(scope: Scope) -> dict[str, str]:
    """Return the headers with lower-case names; repeated ones joined by a comma.

    Non-ASCII bytes are decoded as UTF-8; invalid ones become surrogates.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("utf-8", "surrogateescape")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def parse_request(scope: Scope, receive: Receive, headers: dict[str, str]) -> Request:
    """Parse a path-style request (/bucket/key). Raises ServiceError for a key that is not UTF-8 or too long."""
    raw_path: bytes = scope["raw_path"]
    raw_bucket, _, raw_key = raw_path[1:].partition(b"/")
    bucket, key = _decode(raw_bucket), _decode(raw_key)
    pairs = parse_query(scope["query_string"])
    request = Request(
        scope["method"],
        bucket,
        key,
        raw_path,
        pairs,
        dict(pairs),
        headers,
        receive,
        f"{random.getrandbits(64):016X}",
    )
    if len(key) > KEY_BYTES_MAXIMUM // 4 and len(key.encode()) > KEY_BYTES_MAXIMUM:
        raise ServiceError(
            "KeyTooLongError",
            "Your key is too long",
            fields={"Size": str(len(key.encode())), "MaxSizeAllowed": str(KEY_BYTES_MAXIMUM)},
        )
    return request


def _decode(raw: bytes) -> str:
    try:
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError:
        raise ServiceError("InvalidURI", "Couldn't parse the specified URI: it is not UTF-8.") from None
