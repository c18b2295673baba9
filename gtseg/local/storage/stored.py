"""An object as the data folder keeps it, and its row in the index."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gtseg.local.storage.objects import ObjectInfo

__all__ = ["StoredObject", "pack_about", "unpack_row"]


@dataclass(frozen=True, slots=True)
class StoredObject(ObjectInfo):
    """What the folder and the S3 protocol know of an object beyond what its readers need."""

    file: int = -1
    """Number of the plain file behind it, negative where there is none (index.py)."""
    headers: dict[str, str] = field(default_factory=dict)
    """cache-control, content-encoding, ... as they were put."""
    tags: dict[str, str] = field(default_factory=dict)
    parts: tuple[int, ...] = ()
    """Sizes of a multipart object's parts, bytes."""
    acl: str = ""
    """Canned ACL; "" is private."""
    part_checksums: tuple[str, ...] = ()
    """Base64, in the algorithm of `checksums`; of multipart uploads that have one."""

    @property
    def is_small(self) -> bool:
        """Whether its bytes are in the index, and not in a file."""
        return self.file < 0


# The members that most objects do not have share one JSON column, NULL where all are empty.
ABOUT = ("metadata", "headers", "checksums", "tags", "parts", "acl", "part_checksums")


def pack_about(info: StoredObject) -> str | None:
    about = {name: value for name in ABOUT if (value := getattr(info, name))}
    return json.dumps(about, separators=(",", ":")) if about else None


def unpack_row(bucket: str, key: str, row: tuple[Any, ...]) -> StoredObject:
    """(file, size, etag, modified ms, content type, about) -> StoredObject."""
    file, size, etag, modified, content_type, about = row
    if about is None:
        return StoredObject(bucket, key, size, etag, content_type, modified, file=file)
    members = json.loads(about)
    for name in ("parts", "part_checksums"):
        if name in members:
            members[name] = tuple(members[name])
    return StoredObject(bucket, key, size, etag, content_type, modified, file=file, **members)
