"""The objects of the embedded AWS as its own services see them: one interface, whatever holds the bytes.

Labeling, training, hosting and transform work with `Objects` and do not know its implementation: `folder.py` keeps objects
in the data folder. Nothing here assumes that an object has a path: whoever needs one asks for a `file` while they read it,
or for a copy (`download`). Every method can be answered by an S3 service through boto3 (head_object, get_object,
list_objects_v2, upload_fileobj, which sends large bodies in parts, copy and delete_object).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, Self

from gtseg.local.errors import ServiceError

__all__ = [
    "DEFAULT_TYPE",
    "MEMORY_BYTES",
    "ObjectInfo",
    "ObjectStream",
    "Objects",
    "Readable",
    "Right",
    "StorageAway",
    "StorageState",
    "check_size",
    "split_uri",
]

DEFAULT_TYPE = "binary/octet-stream"
MEMORY_BYTES = 64 << 20
"""Of an object that is read into memory: more than an image, a mask or an answer may have."""


class StorageAway(ServiceError):
    """The storage cannot be reached, or refuses for now: work waits and goes on when it answers again."""

    def __init__(self, reason: str) -> None:
        super().__init__("StorageUnavailable", reason, 503)


@dataclass(frozen=True, slots=True)
class StorageState:
    """Where objects are, and whether they can be reached now."""

    kind: Literal["folder", "s3"]
    endpoint: str = ""
    """URL of the S3 service; "" for the data folder."""
    reason: str = ""
    """Why it cannot be reached; "" if it can."""
    since: float = 0.0
    """Epoch seconds of the first refusal without an answer since; 0 if it can be reached."""

    def describe(self) -> dict[str, Any]:
        """As JSON has it."""
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
    """One permission at one place, as it was tried: `problem` is "" where it is there."""

    action: str
    """As IAM names it: s3:GetObject."""
    place: str
    """s3://bucket/prefix"""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object. What a listing does not tell (content type, metadata, checksums) has its default in a listing."""

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
    """An object that is being read: `body` holds exactly the version that `info` describes."""

    info: ObjectInfo
    body: BinaryIO
    """An open file, or bytes in memory."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.body.close()

    def blocks(self, size: int = 1 << 18) -> Iterator[bytes]:
        """The bytes in blocks of at most `size`; the stream is closed at the end."""
        with self:
            while block := self.body.read(size):
                yield block


class Objects(Protocol):
    """Buckets and objects, as far as the services need them: none of them makes a bucket or deletes an object.

    Every method raises ServiceError with S3's own codes (NoSuchBucket, NoSuchKey, ...), or StorageAway.
    """

    def state(self) -> StorageState:
        """Where the objects are and whether they can be reached; answers at once, whatever the storage does."""
        ...

    def figures(self) -> Mapping[str, float]:
        """Numbers for whoever watches the server; names that end with _total only grow."""
        ...

    def try_rights(self, bucket: str, prefix: str, *, writes: bool) -> list[Right]:
        """Try what is needed to read below a prefix, and to write there; nothing is left behind. Raises StorageAway."""
        ...

    def bucket_exists(self, bucket: str) -> bool: ...

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """Describe an object; None if there is none."""

    def get(self, bucket: str, key: str, *, limit: int = MEMORY_BYTES) -> bytes:
        """Read a whole object into memory. Raises ServiceError EntityTooLarge, before reading, for one of more than `limit` bytes."""
        ...

    def open(self, bucket: str, key: str) -> ObjectStream:
        """Read an object as a stream. The caller closes it (`with`)."""
        ...

    def file(self, bucket: str, key: str) -> AbstractContextManager[Path]:
        """A file with the object's bytes, to read and never to write, for as long as the block lasts."""
        ...

    def download(self, bucket: str, key: str, target: Path, *, shared: bool = False) -> ObjectInfo:
        """Put an object's bytes into the new file `target`, with the folders above it. Raises FileExistsError.

        `shared`: nobody will ever write the file, so that it may be a hard link to the stored bytes.
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
        """Store an object atomically; the file of a path is copied.

        `kms_key`: an S3 service encrypts it with this key (ID, alias or ARN); the data folder encrypts nothing.
        """
        ...

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """List objects under a prefix, sorted by the UTF-8 bytes of their keys, in constant memory."""
        ...


def check_size(info: ObjectInfo, limit: int | None) -> None:
    """Raises ServiceError EntityTooLarge for an object of more than `limit` bytes."""
    if limit is not None and info.size > limit:
        place = f"s3://{info.bucket}/{info.key}"
        raise ServiceError(
            "EntityTooLarge", f"{place} has {info.size} bytes, and {limit} is the most that is read of it."
        )


def split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/key` -> (bucket, key); the bucket may be an access point's ARN. Raises ServiceError ValidationException for anything else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if bucket.startswith("arn:") and bucket.endswith(":accesspoint"):  # .../NAME/key
        name, _, key = key.partition("/")
        bucket = f"{bucket}/{name}"
    if scheme != "s3" or not bucket:
        raise ServiceError("ValidationException", f"{uri!r} is not an S3 URI (s3://bucket/key)")
    return bucket, key
