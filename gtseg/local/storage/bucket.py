"""Objects in the buckets of an external S3 service: `storage.objects.Objects` over boto3.

Reads go through the disk cache: an object is fetched once and never held in memory as a whole. Writes are atomic: after
StorageUnavailable the caller still has the bytes and writes them to the same key later.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar

from gtseg.local.errors import ServiceError
from gtseg.local.loop import Loop
from gtseg.local.storage.cache import RESERVE_BYTES, Cache
from gtseg.local.storage.connection import Connection, DamagedBytes
from gtseg.local.storage.objects import (
    DEFAULT_TYPE,
    MEMORY_BYTES,
    ObjectInfo,
    ObjectStream,
    Readable,
    Right,
    StorageState,
    StorageUnavailable,
    check_size,
)

PART_BYTES = 16 << 20
"""Part size of a multipart upload; one part is held in memory while it is sent."""
MAX_PARTS = 10_000
COPY_BYTES = 1 << 20
UNASKED_BYTES = 64 << 20
"""Objects up to this size are fetched without a check of the free disk space."""
PROBE_SECONDS, PROBE_AWAY_SECONDS = 30.0, 1.0
"""PROBE_AWAY_SECONDS is much shorter than the retries of clients, which wait for random times, so that a command sent
after a recovery of S3 succeeds.
"""
WATCH_SECONDS = 0.25
list_of = list  # the class has a method of that name
CHECK_NAME = "gtseg-rights-check"
Result = TypeVar("Result")
PLAIN_ETAG = re.compile(r"[0-9a-f]{32}\Z")


class BucketObjects:
    """Objects in all buckets that the connection's credentials, or anonymous requests, can access. Thread-safe."""

    def __init__(self, connection: Connection, cache: Cache) -> None:
        self.connection, self.cache = connection, cache
        self.hits = self.misses = 0
        self._probed = float("-inf")  # the first probe is immediate
        self._loop = Loop("storage", self._watch, seconds=WATCH_SECONDS)

    # --- component ---

    def start(self) -> None:
        """Probe the storage now, then every second while it is unavailable, and every 30 seconds otherwise."""
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop(1.0)

    def close(self) -> None:
        self.cache.close()

    def _watch(self) -> None:
        is_unavailable = bool(self.connection.refusal[0])
        if time.monotonic() - self._probed < (PROBE_AWAY_SECONDS if is_unavailable else PROBE_SECONDS):
            return
        self.connection.probe()
        self._probed = time.monotonic()

    # --- interface of storage.objects ---

    def state(self) -> StorageState:
        reason, since = self.connection.refusal
        return StorageState("s3", self.connection.endpoint, reason, since)

    def figures(self) -> dict[str, float]:
        return {
            "requests_total": self.connection.requests,
            "refused_requests_total": self.connection.refused,
            "cache_bytes": self.cache.size,
            "cache_limit_bytes": self.cache.limit,
            "cache_hits_total": self.hits,
            "cache_misses_total": self.misses,
        }

    def check_rights(self, bucket: str, prefix: str, *, writes: bool) -> list_of[Right]:
        """Test access by listing, reading an object (a missing one if the prefix is empty), and starting and aborting
        an upload.
        """
        found: list_of[Right] = []
        ask = self.connection.ask

        def attempt(action: str, request: Callable[[], Any]) -> Any:
            problem, answer = "", None
            try:
                answer = request()
            except StorageUnavailable:
                raise
            except ServiceError as error:
                problem = (
                    "" if error.code in ("NoSuchKey", "404", "InvalidRange") else f"{error.message} ({error.code})"
                )
            found.append(Right(action, f"s3://{bucket}/{prefix}", problem))
            return answer

        page = attempt("s3:ListBucket", lambda: ask("list_objects_v2", bucket, Prefix=prefix, MaxKeys=10))
        keys = [entry["Key"] for entry in (page or {}).get("Contents", []) if not entry["Key"].endswith("/")]
        key = keys[0] if keys else f"{prefix}{CHECK_NAME}"
        attempt("s3:GetObject", lambda: ask("head_object", bucket, Key=key))
        if writes:
            place = {"Key": f"{prefix}{CHECK_NAME}"}
            upload = attempt("s3:PutObject", lambda: ask("create_multipart_upload", bucket, writes=True, **place))
            if upload is not None:
                place["UploadId"] = upload["UploadId"]
                attempt(
                    "s3:AbortMultipartUpload",
                    lambda: ask("abort_multipart_upload", bucket, writes=True, **place),
                )
        return found

    def bucket_exists(self, bucket: str) -> bool:
        """Return whether the bucket exists; a bucket that may be written but not listed counts as existing."""
        try:
            self.connection.read("head_bucket", bucket)
        except StorageUnavailable:
            raise
        except ServiceError as error:
            return error.code == "AccessDenied"
        return True

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        try:
            return self._info(bucket, key, self.connection.read("head_object", bucket, Key=key))
        except StorageUnavailable:
            if kept := self.cache.find(bucket, key):
                return kept
            raise
        except ServiceError as error:
            if error.code in ("404", "NoSuchKey", "NoSuchBucket"):
                return None
            raise

    def get(self, bucket: str, key: str, *, limit: int = MEMORY_BYTES) -> bytes:
        _, file = self._fetch(bucket, key, limit=limit)
        with file:
            return file.read()

    def open(self, bucket: str, key: str) -> ObjectStream:
        """Open the current object, from the cache if its ETag is unchanged.

        While the storage is unavailable, the cached version is returned.
        """
        info, file = self._fetch(bucket, key)
        return ObjectStream(info, file)

    @contextlib.contextmanager
    def file(self, bucket: str, key: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="file-", dir=self.cache.folder) as folder:
            path = Path(folder) / "object"
            self.download(bucket, key, path, shared=True)
            yield path

    def download(self, bucket: str, key: str, target: Path, *, shared: bool = False) -> ObjectInfo:
        """See `Objects.download`.

        An uncached object is written to `target` only, so that training data does not evict images.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.cache.turn(bucket, key), self._hold_kept(bucket, key) as (kept, source):
            answer = self._get(bucket, key, kept)
            if answer is not None:
                return self._try(answer, lambda answer: self._write(answer, bucket, key, target), bucket, key)
            assert kept is not None
            assert source is not None
            if not (shared and self.cache.link(bucket, key, target)):
                with target.open("xb") as file:
                    _copy_whole(source, file, target)
            return kept

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
        """Store an object atomically. Raises StorageUnavailable, also if the bucket denies the write: retry later."""
        about: dict[str, Any] = {"ContentType": content_type or DEFAULT_TYPE, "Metadata": metadata or {}}
        about |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        if isinstance(body, bytes | bytearray | memoryview):
            return self._put_small(bucket, key, bytes(body), about)
        with _open_body(body, self.cache.folder) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= PART_BYTES:
                return self._put_small(bucket, key, file.read(), about)
            return self._put_parts(bucket, key, file, size=size, about=about)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        token: dict[str, str] = {}
        while True:
            page = self.connection.read("list_objects_v2", bucket, Prefix=prefix, **token)
            for entry in page.get("Contents", []):
                if not str(entry.get("Key", "")).startswith(prefix):
                    raise self.connection.invalid_response_error()
                yield self._info(bucket, entry["Key"], entry | {"ContentLength": entry.get("Size")})
            if not page.get("IsTruncated"):
                return
            following = page.get("NextContinuationToken")
            if not following or following in token.values():  # the listing would never end
                raise self.connection.invalid_response_error()
            token = {"ContinuationToken": following}

    # --- reading ---

    def _info(self, bucket: str, key: str, answer: Any) -> ObjectInfo:
        """Return the object's attributes. Raises StorageUnavailable if `answer` is not a valid S3 response."""
        try:
            return _read_info(bucket, key, answer)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            raise self.connection.invalid_response_error() from None

    def _check_room(self, info: ObjectInfo, folder: Path) -> None:
        """Raise StorageUnavailable if a large object would leave the disk of `folder` with less than RESERVE_BYTES."""
        free = self.cache.measure_free() if folder == self.cache.folder else shutil.disk_usage(folder).free
        if info.size > UNASKED_BYTES and info.size + RESERVE_BYTES > free:
            raise StorageUnavailable(
                f"s3://{info.bucket}/{info.key} has {info.size} bytes, but the disk of {folder} has only {free} free"
            )

    def _fetch(self, bucket: str, key: str, *, limit: int | None = None) -> tuple[ObjectInfo, BinaryIO]:
        with self.cache.turn(bucket, key), self._hold_kept(bucket, key) as (kept, source):
            answer = self._get(bucket, key, kept)
            if answer is not None:
                return self._try(answer, lambda answer: self._keep(answer, bucket, key, limit=limit), bucket, key)
            assert kept is not None
            check_size(kept, limit)
            assert source is not None
            return kept, os.fdopen(os.dup(source.fileno()), "rb")

    @contextlib.contextmanager
    def _hold_kept(self, bucket: str, key: str) -> Iterator[tuple[ObjectInfo | None, BinaryIO | None]]:
        """Yield the cached attributes and the opened cached file, which stays readable if it is evicted; None, None if
        not cached.
        """
        info = self.cache.find(bucket, key)
        file = self.cache.open(bucket, key) if info is not None else None
        if info is None or file is None:
            yield None, None
            return
        with file:
            yield info, file

    def _try(self, answer: Any, take: Callable[[Any], Result], bucket: str, key: str) -> Result:
        """Return `take(answer)`; repeat the request once if the body does not arrive intact."""
        try:
            return take(answer)
        except DamagedBytes:
            again = self._get(bucket, key, None)
            return take(again)

    def _get(self, bucket: str, key: str, kept: ObjectInfo | None) -> Any:
        """Return the response of GetObject; None if the cached version is current, or the only one available."""
        condition = {"IfNoneMatch": f'"{kept.etag}"'} if kept is not None else {}
        try:
            answer = self.connection.read("get_object", bucket, Key=key, **condition)
            self.misses += 1
        except StorageUnavailable:
            if kept is None:
                raise
            self.hits += 1
            return None
        except ServiceError as error:
            if error.code == "304" and kept is not None:
                self.hits += 1
                return None
            if error.code in ("NoSuchKey", "404", "NoSuchBucket", "AccessDenied"):
                self.cache.forget(bucket, key)
            raise
        return answer

    def _keep(self, answer: Any, bucket: str, key: str, *, limit: int | None) -> tuple[ObjectInfo, BinaryIO]:
        """Write a response's body to the cache, or to an unnamed temporary file if it does not fit."""
        info = self._info(bucket, key, answer)
        with contextlib.closing(answer["Body"]), contextlib.ExitStack() as held:
            check_size(info, limit)
            draft = held.enter_context(self.cache.draft(info.size))
            self._check_room(info, self.cache.folder)
            digest = self._receive(answer, info, draft.file)
            self.cache.keep(draft, info, digest)
            return info, draft.path.open("rb")

    def _write(self, answer: Any, bucket: str, key: str, target: Path) -> ObjectInfo:
        info = self._info(bucket, key, answer)
        with contextlib.closing(answer["Body"]), target.open("xb") as file:
            try:
                self._check_room(info, target.parent)
                self._receive(answer, info, file)
            except BaseException:
                target.unlink(missing_ok=True)
                raise
        return info

    def _receive(self, answer: Any, info: ObjectInfo, file: IO[bytes]) -> str:
        """Write the body to `file`; return its MD5 in hex.

        Raises DamagedBytes if it differs from the announced size or ETag.
        """
        size, md5 = 0, hashlib.md5(usedforsecurity=False)
        for block in self.connection.blocks(answer, info.bucket, size=info.size):
            md5.update(block)
            size += len(block)
            if size > info.size:
                raise self.connection.damaged_object_error(info.bucket, f"more than its {info.size} bytes")
            file.write(block)
        digest = md5.hexdigest()
        if size != info.size:
            raise self.connection.damaged_object_error(info.bucket, f"{size} of {info.size} bytes")
        if is_digest(answer, info.etag) and info.etag != digest:
            raise self.connection.damaged_object_error(info.bucket, f"its MD5 is {digest}, its ETag {info.etag}")
        return digest

    # --- writing ---

    def _put_small(self, bucket: str, key: str, body: bytes, about: dict[str, Any]) -> ObjectInfo:
        md5 = hashlib.md5(body, usedforsecurity=False)
        answer = self.connection.write(
            "put_object", bucket, Key=key, Body=body, ContentMD5=encode(md5.digest()), **about
        )
        etag = str(answer.get("ETag", "")).strip('"')
        if is_digest(answer, etag) and etag != md5.hexdigest():
            raise self.connection.damaged_object_error(bucket, f"the stored bytes of {key} differ from those sent")
        return _make_info(bucket, key, len(body), etag, about)

    def _put_parts(self, bucket: str, key: str, file: IO[bytes], *, size: int, about: dict[str, Any]) -> ObjectInfo:
        """Upload in parts, one after the other; abort the multipart upload if interrupted."""
        length = max(PART_BYTES, -(-size // MAX_PARTS))
        upload = self.connection.write("create_multipart_upload", bucket, Key=key, **about)["UploadId"]
        place = {"Key": key, "UploadId": upload}
        try:
            parts = []
            for number, block in enumerate(iter(lambda: file.read(length), b""), 1):
                md5 = encode(hashlib.md5(block, usedforsecurity=False).digest())
                sent = self.connection.write(
                    "upload_part", bucket, PartNumber=number, Body=block, ContentMD5=md5, **place
                )
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            answer = self.connection.write(
                "complete_multipart_upload", bucket, MultipartUpload={"Parts": parts}, **place
            )
        except BaseException:
            with contextlib.suppress(ServiceError):
                self.connection.write("abort_multipart_upload", bucket, **place)
            raise
        return _make_info(bucket, key, size, str(answer.get("ETag", "")).strip('"'), about)


# --- helpers ---


def _read_info(bucket: str, key: str, answer: Any) -> ObjectInfo:
    """Convert a GetObject or HeadObject response, or an entry of a listing.

    Raises ValueError, KeyError and others if it is invalid.
    """
    size, etag = int(answer["ContentLength"]), str(answer["ETag"]).strip('"')
    if size < 0 or not etag.isascii() or not etag.isprintable():
        raise ValueError(f"an object of {size} bytes with the ETag {etag!r}")
    return ObjectInfo(
        bucket,
        key,
        size,
        etag,
        answer.get("ContentType") or DEFAULT_TYPE,
        int(answer["LastModified"].timestamp() * 1000),
        dict(answer.get("Metadata", {})),
    )


def _make_info(bucket: str, key: str, size: int, etag: str, about: dict[str, Any]) -> ObjectInfo:
    now = int(time.time() * 1000)
    return ObjectInfo(bucket, key, size, etag, about["ContentType"], now, dict(about["Metadata"]))


def is_digest(answer: Any, etag: str) -> bool:
    """Return whether an ETag is the object's MD5: not for multipart uploads, nor for encryption with a KMS or client
    key.
    """
    is_encrypted = str(answer.get("ServerSideEncryption", "")).startswith("aws:") or "SSECustomerAlgorithm" in answer
    return not is_encrypted and PLAIN_ETAG.match(etag) is not None


def encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@contextlib.contextmanager
def _open_body(body: Readable | Path, folder: Path) -> Iterator[BinaryIO]:
    """Yield a body as a file, positioned at its start."""
    if isinstance(body, Path):
        with body.open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile(dir=folder) as spool:
        while block := body.read(COPY_BYTES):
            spool.write(block)
        spool.seek(0)
        yield spool


def _copy_whole(source: BinaryIO, file: BinaryIO, target: Path) -> None:
    """Copy into the new file `target`, which is removed if the copy fails."""
    try:
        shutil.copyfileobj(source, file, COPY_BYTES)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
