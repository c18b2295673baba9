"""What is known of one object."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["DEFAULT_TYPE", "ObjectInfo", "pack_about", "unpack_row"]

DEFAULT_TYPE = "binary/octet-stream"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as it is stored: `file` is the number of the plain file behind it, negative where there is none (index.py)."""

    bucket: str
    key: str
    size: int
    etag: str  # without quotes: MD5 in hex, or <md5 of md5s>-<parts>
    content_type: str = DEFAULT_TYPE
    modified_ms: int = 0
    file: int = -1
    metadata: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(
        default_factory=dict
    )  # cache-control, content-encoding, ... as they were put
    checksums: dict[str, str] = field(
        default_factory=dict
    )  # CRC32 .. SHA256 -> base64; "type" -> FULL_OBJECT | COMPOSITE
    tags: dict[str, str] = field(default_factory=dict)
    parts: tuple[int, ...] = ()  # sizes of a multipart object's parts, bytes
    acl: str = ""  # canned ACL; "" is private

    @property
    def is_small(self) -> bool:
        """Whether its bytes are in the index, and not in a file."""
        return self.file < 0

    @property
    def modified(self) -> datetime:
        return datetime.fromtimestamp(self.modified_ms / 1000, UTC)


# The members of ObjectInfo that most objects do not have share one JSON column, NULL where all are empty.
ABOUT = ("metadata", "headers", "checksums", "tags", "parts", "acl")


def pack_about(info: ObjectInfo) -> str | None:
    about = {name: value for name in ABOUT if (value := getattr(info, name))}
    return json.dumps(about, separators=(",", ":")) if about else None


def unpack_row(bucket: str, key: str, row: tuple[Any, ...]) -> ObjectInfo:
    """(file, size, etag, modified ms, content type, about) -> ObjectInfo."""
    file, size, etag, modified, content_type, about = row
    if about is None:
        return ObjectInfo(bucket, key, size, etag, content_type, modified, file)
    members = json.loads(about)
    if "parts" in members:
        members["parts"] = tuple(members["parts"])
    return ObjectInfo(bucket, key, size, etag, content_type, modified, file, **members)
