"""Stored objects of the data folder and their rows in the index."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gtseg.local.storage.objects import ObjectInfo


@dataclass(frozen=True, slots=True)
class StoredObject(ObjectInfo):
    """Attributes of an object that only the data folder and the S3 protocol use, beyond `ObjectInfo`."""

    file: int = -1
    """Number of the file with its bytes; negative for a small object without a file (index.py)."""
    headers: dict[str, str] = field(default_factory=dict)
    """Cache-Control, Content-Encoding, ... as given in the upload."""
    tags: dict[str, str] = field(default_factory=dict)
    parts: tuple[int, ...] = ()
    """Sizes of a multipart object's parts in bytes."""
    acl: str = ""
    """Canned ACL; "" means private."""
    part_checksums: tuple[str, ...] = ()
    """Base64, in the algorithm of `checksums`; only for multipart uploads with checksums."""

    @property
    def is_small(self) -> bool:
        """Whether its bytes are in the index instead of a file."""
        return self.file < 0


ABOUT = ("metadata", "headers", "checksums", "tags", "parts", "acl", "part_checksums")
"""Members that most objects lack; stored in one JSON column, NULL if all are empty."""


def pack_about(info: StoredObject) -> str | None:
    """Return the JSON text of the members in ABOUT; None if all are empty."""
    about = {name: value for name in ABOUT if (value := getattr(info, name))}
    return json.dumps(about, separators=(",", ":")) if about else None


def unpack_row(bucket: str, key: str, row: tuple[Any, ...]) -> StoredObject:
    """Convert a row (file, size, etag, modified ms, content type, about) to a StoredObject."""
    file, size, etag, modified, content_type, about = row
    if about is None:
        return StoredObject(bucket, key, size, etag, content_type, modified, file=file)
    members = json.loads(about)
    for name in ("parts", "part_checksums"):
        if name in members:
            members[name] = tuple(members[name])
    return StoredObject(bucket, key, size, etag, content_type, modified, file=file, **members)
