"""Object storage interface of the embedded AWS's own services, independent of where the bytes are.

Labeling, training, hosting and transform use `Objects` and do not depend on its implementation. No object is assumed to
have a path: callers that need one use `file` while they read it, or a copy (`download`). Every method can be
implemented on an S3 service through boto3 (head_object, get_object, list_objects_v2, upload_fileobj, which sends large
bodies in parts, copy and delete_object).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, Self

from gtseg.local.errors import ServiceError

DEFAULT_TYPE = "binary/octet-stream"
MEMORY_BYTES = 64 << 20
"""Limit of an object that is read into memory, larger than any valid image, mask or answer."""


class StorageUnavailable(ServiceError):
    """The storage is unavailable or denies requests for now: work waits and resumes when it is available again."""

    def __init__(self, reason: str) -> None:
        super().__init__("StorageUnavailable", reason, 503)


@dataclass(frozen=True, slots=True)
class StorageState:
    """Location of the objects and availability of the storage."""

    kind: Literal["folder", "s3"]
    endpoint: str = ""
    """URL of the S3 service; "" for the data folder."""
    reason: str = ""
    """Why it is unavailable; "" if it is available."""
    since: float = 0.0
    """Epoch seconds of the first failure since the last response; 0 if available."""

    def describe(self) -> dict[str, Any]:
        """Return the state as JSON members."""
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if self.since else None
        return {
            "kind": self.kind,
            "endpoint": self.endpoint or None,
            "reachable": not self.reason,
            "reason": self.reason or None,
            "since": since,
        }


@dataclass(frozen=True, slots=True)
class Right:
    """Result of a permission check at one place: `problem` is "" if the permission is granted."""

    action: str
    """IAM action: s3:GetObject."""
    place: str
    """s3://bucket/prefix"""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Attributes of an object.

    Those that a listing lacks (content type, metadata, checksums) have their defaults there.
    """

    bucket: str
    key: str
    size: int
    """Bytes."""
    etag: str
    """Without quotes: MD5 in hex, or <MD5 of MD5s>-<parts>."""
    content_type: str = DEFAULT_TYPE
    modified_ms: int = 0
    """Milliseconds since 1970."""
    metadata: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    """CRC32, CRC32C, CRC64NVME, SHA1 or SHA256 -> base64; "type" -> FULL_OBJECT or COMPOSITE."""

    @property
    def modified(self) -> datetime:
        return datetime.fromtimestamp(self.modified_ms / 1000, UTC)


class Readable(Protocol):
    """A stream of bytes: a file, or the body of boto3's get_object."""

    def read(self, size: int = ..., /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ObjectStream:
    """An object opened for reading: `body` is exactly the version that `info` describes."""

    info: ObjectInfo
    body: BinaryIO
    """An open file, or bytes in memory."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.body.close()

    def blocks(self, size: int = 1 << 18) -> Iterator[bytes]:
        """Yield the bytes in blocks of at most `size`; the stream is closed at the end."""
        with self:
            while block := self.body.read(size):
                yield block


class Objects(Protocol):
    """Bucket and object operations that the services need; none of them creates a bucket or deletes an object.

    Every method raises ServiceError with S3's error codes (NoSuchBucket, NoSuchKey, ...), or StorageUnavailable.
    """

    def state(self) -> StorageState:
        """Return the location and availability of the storage, without a request to it."""
        ...

    def figures(self) -> Mapping[str, float]:
        """Return metrics of the storage; names that end with _total are counters."""
        ...

    def check_rights(self, bucket: str, prefix: str, *, writes: bool) -> list[Right]:
        """Test the permissions to read, and to write, below a prefix; nothing is stored. Raises StorageUnavailable."""
        ...

    def bucket_exists(self, bucket: str) -> bool: ...

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """Return the attributes of an object; None if it does not exist."""

    def get(self, bucket: str, key: str, *, limit: int = MEMORY_BYTES) -> bytes:
        """Read a whole object into memory. Raises ServiceError EntityTooLarge if it has more than `limit` bytes."""
        ...

    def open(self, bucket: str, key: str) -> ObjectStream:
        """Read an object as a stream. The caller closes it (`with`)."""
        ...

    def file(self, bucket: str, key: str) -> AbstractContextManager[Path]:
        """Yield the path of a file with the object's bytes, read-only, valid for the duration of the block."""
        ...

    def download(self, bucket: str, key: str, target: Path, *, shared: bool = False) -> ObjectInfo:
        """Write an object's bytes to the new file `target`; create its parent folders. Raises FileExistsError.

        `shared`: the file will never be written to, so that it may be a hard link to the stored bytes.
        """
        ...

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes | Readable | Path,
        *,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        kms_key: str = "",
    ) -> ObjectInfo:
        """Store an object atomically; a body given as a path is copied.

        `kms_key`: ID, alias or ARN of the key with which an S3 service encrypts it; the data folder does not encrypt.
        """
        ...

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """List objects under a prefix, sorted by the UTF-8 bytes of their keys, in constant memory."""
        ...


def check_size(info: ObjectInfo, limit: int | None) -> None:
    """Raise ServiceError EntityTooLarge for an object of more than `limit` bytes."""
    if limit is not None and info.size > limit:
        place = f"s3://{info.bucket}/{info.key}"
        raise ServiceError(
            "EntityTooLarge", f"{place} has {info.size} bytes, and {limit} is the most that is read of it."
        )


def split_uri(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/key` into (bucket, key); the bucket may be an access point's ARN.

    Raises ServiceError ValidationException for anything else.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if bucket.startswith("arn:") and bucket.endswith(":accesspoint"):  # .../NAME/key
        name, _, key = key.partition("/")
        bucket = f"{bucket}/{name}"
    if scheme != "s3" or not bucket:
        raise ServiceError("ValidationException", f"{uri!r} is not an S3 URI (s3://bucket/key)")
    return bucket, key
