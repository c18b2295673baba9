"""Requests to an external S3 service, and the state of the service (available or not).

A failure that a retry may cure without a change to the job makes the storage unavailable: connection errors, time-outs,
throttling, server errors, missing, wrong or expired credentials, damaged bytes. Later requests then fail at once
instead of each waiting for a time-out; only `probe` contacts the service, with reloaded credentials.

A bucket is read with the server's own credentials, else as requester pays, else unsigned; the mode that worked is
remembered for each bucket.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from gtseg.local.errors import ServiceError
from gtseg.local.storage.answers import read_blocks
from gtseg.local.storage.clients import AWS, LIMITS, Clients, Limits, describe
from gtseg.local.storage.failures import Failure, classify
from gtseg.local.storage.objects import StorageUnavailable

READERS, TURN_SECONDS = 24, 5.0
"""Concurrent reads, fewer than the portal's threads: a service that hangs must not keep labels from being stored."""
BLOCK_BYTES = 1 << 18
BODY_RATE = 32 << 10
"""Bytes/s: a body may take its size at this rate beyond Limits.body_seconds."""
REMEMBER_SECONDS = 300.0
"""Time after which a bucket's refusal is forgotten; jobs that wait for the bucket meet it again much more often."""
KEYS = "keys for "
NOTHING = "gtseg-probe/"  # a prefix without objects
Access = Literal["own", "payer", "unsigned"]
WRITES = (
    "put_object",
    "create_multipart_upload",
    "upload_part",
    "complete_multipart_upload",
    "abort_multipart_upload",
)
OBJECT = ("ETag", "LastModified", "ContentLength")
PROOFS = {
    "get_object": OBJECT, "head_object": OBJECT, "put_object": ("ETag",), "upload_part": ("ETag",),
    "create_multipart_upload": ("UploadId",), "complete_multipart_upload": ("ETag",),
    "list_objects_v2": ("IsTruncated",),
}  # fmt: skip
"""Operation -> members that every S3 response to it has.

A successful response of another server (a web page) lacks them.
"""
logger = logging.getLogger(__name__)


class DamagedBytes(StorageUnavailable):
    """The received bytes differ from what the service announced."""


class NoConnection(StorageUnavailable):
    """No connection to the host of the bucket."""


class NoCredentials(StorageUnavailable):
    """No credentials found to sign requests with; public buckets remain readable."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failure that persists: its reason, and when it was met first (epoch) and last (monotonic), in seconds."""

    reason: str
    since: float
    last: float


class Connection:
    """An S3 service with the credentials of one profile. Thread-safe."""

    def __init__(
        self,
        service: str,
        profile: str = "",
        limits: Limits = LIMITS,
        *,
        remember_seconds: float = REMEMBER_SECONDS,
    ) -> None:
        """Connect to `service`: "aws", or the URL of another S3 service. Raises ServiceError for an unknown profile."""
        self.service, self.profile = service, profile
        self._limits = limits
        self._remember_seconds = remember_seconds
        self._readers = threading.BoundedSemaphore(READERS)
        self._lock = threading.Lock()
        self._access: dict[str, Access] = {}
        self._last_bucket = ""
        """Bucket whose host has responded to a signed request; it is asked whether the credentials are accepted."""
        self._readable: dict[str, str] = {}
        """Bucket -> key of the last successful read, which tells a denied object from a denied bucket."""
        self._refusals: dict[str, Refusal] = {}
        """"" (the service), "read BUCKET", "write BUCKET" or "keys for BUCKET" -> failure."""
        self.requests = self.refused = 0
        """Requests sent, and those of them that failed without a conclusive response."""
        self._is_stale = False
        """Whether the credentials must be reloaded before the next probe."""
        self._clients = Clients(service, profile, limits)

    @property
    def endpoint(self) -> str:
        return self._clients.endpoint

    def find_secret(self, access_key: str) -> str | None:
        """Return the secret of the profile's own long-term access key; None for any other key."""
        return self._clients.find_secret(access_key)

    def _client(self, access: Access, *, writes: bool = False) -> Any:
        return self._clients.get(signs=access != "unsigned", writes=writes)

    # --- requests ---

    def read(self, method: str, bucket: str, **parameters: Any) -> Any:
        """Send a read request; return its response. Raises ServiceError or StorageUnavailable."""
        known = self._access.get(bucket)
        refusal: ServiceError | None = None
        for access in (known,) if known else ("own", "payer", "unsigned"):
            try:
                answer = self._send(method, bucket, access, parameters)
            except ServiceError as error:
                if error.code in ("NoSuchKey", "304", "404"):
                    self._access.setdefault(bucket, access)
                if error.code != "AccessDenied" and not isinstance(error, NoCredentials):
                    raise
                refusal = refusal or error
            else:
                self._note_read(bucket, access, parameters.get("Key", ""))
                return answer
        assert refusal is not None
        if isinstance(refusal, NoCredentials) or self._is_closed(bucket):
            reason = f"s3://{bucket} cannot be read: {refusal.message}"
            self._refuse(f"{KEYS if isinstance(refusal, NoCredentials) else 'read '}{bucket}", reason)
            raise StorageUnavailable(reason)
        if known is None and not isinstance(refusal, StorageUnavailable):
            hint = "refused with this server's credentials and without; another account's bucket needs a bucket policy"
            raise ServiceError("AccessDenied", f"{refusal.message} ({hint})", 403)
        raise refusal

    def ask(self, method: str, bucket: str, *, writes: bool = False, **parameters: Any) -> Any:
        """Send a request that tests a permission: denial changes no state. Raises ServiceError."""
        known = self._access.get(bucket)
        refusal: ServiceError | None = None
        for access in (known,) if known else ("own",) if writes else ("own", "payer", "unsigned"):
            try:
                return self._send(method, bucket, access, parameters)
            except ServiceError as error:
                if error.code != "AccessDenied" and not isinstance(error, NoCredentials):
                    raise
                refusal = refusal or error
        assert refusal is not None
        raise ServiceError("AccessDenied", refusal.message, 403)

    def _note_read(self, bucket: str, access: Access, key: str) -> None:
        if access == "payer" and bucket not in self._access:
            logger.warning("s3://%s is a requester-pays bucket: reads are charged to this server's account", bucket)
        self._access[bucket] = access
        if key:
            self._readable[bucket] = key
        self._forget_refusal(f"read {bucket}")
        self._forget_refusal(f"{KEYS}{bucket}")

    def _is_closed(self, bucket: str) -> bool:
        """Return whether a bucket that was readable now denies the last object that was read from it."""
        if bucket not in self._readable:
            return False
        try:
            self._send("head_object", bucket, self._access[bucket], {"Key": self._readable[bucket]})
        except StorageUnavailable:
            return True
        except ServiceError as error:
            return error.code == "AccessDenied"
        return False

    def write(self, method: str, bucket: str, **parameters: Any) -> Any:
        """Send a write request; return its response.

        Raises StorageUnavailable also if the bucket denies it, so that callers retry.
        """
        access: Access = "payer" if self._access.get(bucket) == "payer" else "own"
        try:
            answer = self._send(method, bucket, access, parameters)
        except ServiceError as error:
            if isinstance(error, StorageUnavailable) and not isinstance(error, NoCredentials):
                raise
            reason = f"s3://{bucket} cannot be written to: {error.message} ({error.code})"
            self._refuse(f"write {bucket}", reason)
            raise StorageUnavailable(reason) from None
        self._forget_refusal(f"write {bucket}")
        return answer

    def blocks(self, answer: Any, bucket: str, *, size: int) -> Iterator[bytes]:
        """Yield the bytes of a GetObject response of `size` bytes.

        Raises StorageUnavailable if they end early, are damaged or arrive too slowly.
        """
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        end = time.monotonic() + self._limits.body_seconds + size / BODY_RATE
        try:
            with self._reader():
                for block in read_blocks(answer["Body"]._raw_stream, BLOCK_BYTES):
                    yield block
                    if time.monotonic() > end:
                        raise self._mark_unavailable(f"an object of {size} bytes arrived too slowly and was aborted")
        except (BotoCoreError, HTTPError, OSError) as error:
            raise self.damaged_object_error(bucket, describe(error)) from None
        finally:
            answer["Body"].close()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[None]:
        """Limit the number of concurrent reads. Raises StorageUnavailable."""
        if not self._readers.acquire(timeout=TURN_SECONDS):
            raise StorageUnavailable(f"{self.endpoint}: {READERS} requests are already waiting for a response")
        try:
            yield
        finally:
            self._readers.release()

    def invalid_response_error(self) -> StorageUnavailable:
        """Return the error for a response that is not valid S3."""
        return self._mark_unavailable("the response is not that of an S3 service")

    def damaged_object_error(self, bucket: str, what: str) -> DamagedBytes:
        """Return the error for an object body that is incomplete or damaged."""
        reason = f"{self.endpoint}: an object of s3://{bucket} arrived incomplete or damaged: {what}"
        self._refuse(f"read {bucket}", reason)
        return DamagedBytes(reason)

    def _send(
        self, method: str, bucket: str, access: Access, parameters: dict[str, Any], *, again: bool = False
    ) -> Any:
        """Send one request; record whether the storage is available."""
        refusal = self._refusals.get("")
        if refusal is not None and not again:
            raise StorageUnavailable(refusal.reason)
        self.requests += 1
        payer = {"RequestPayer": "requester"} if access == "payer" and method != "head_bucket" else {}
        writes = method in WRITES
        try:
            with self._translating(bucket), contextlib.nullcontext() if writes else self._reader():
                answer = getattr(self._client(access, writes=writes), method)(Bucket=bucket, **parameters, **payer)
        except NoConnection as error:
            raise self._judge_connection(error, bucket, kind="write" if writes else "read") from None
        except ServiceError as error:
            if access != "unsigned" and error.code != "InvalidBucketName":
                self._last_bucket = bucket
            if not isinstance(error, StorageUnavailable):
                self._forget_refusal("")
            raise
        if access != "unsigned":
            self._last_bucket = bucket
        if not all(member in answer for member in PROOFS.get(method, ())):
            raise self.invalid_response_error()
        self._forget_refusal("")
        return answer

    @contextlib.contextmanager
    def _translating(self, bucket: str) -> Iterator[None]:
        """Convert boto3's errors to ServiceError, or to StorageUnavailable for what a retry may cure."""
        try:
            yield
        except ServiceError:
            raise
        except Exception as error:
            failure = classify(error, bucket)
            self._is_stale |= failure.is_stale
            raise self._convert(failure) from None

    def _convert(self, failure: Failure) -> ServiceError:
        if failure.error is not None:
            return failure.error
        if failure.kind == "absent":
            return NoCredentials(f"{self.endpoint}: {failure.reason}")
        if failure.kind == "network":
            return NoConnection(failure.reason)
        return self._mark_unavailable(failure.reason) if failure.reason else self.invalid_response_error()

    def _judge_connection(self, error: NoConnection, bucket: str, *, kind: str) -> StorageUnavailable:
        """Tell an unreachable service from one bucket's own host, such as an access point's in a region with a typo."""
        if self.service == AWS:
            try:
                self._ask_endpoint()
            except StorageUnavailable as failure:
                return failure
            self.refused += 1
            self._last_bucket = ""
            reason = f"s3://{bucket}: {error.message}"
            self._refuse(f"{kind} {bucket}", reason)
            return StorageUnavailable(reason)
        return self._mark_unavailable(error.message)

    # --- availability ---

    @property
    def refusal(self) -> tuple[str, float]:
        """(reason, epoch seconds) of the oldest failure that persists; ("", 0.0) if there is none."""
        with self._lock:
            earliest = time.monotonic() - self._remember_seconds
            self._refusals = {n: r for n, r in self._refusals.items() if not n or r.last >= earliest}
            first = min(self._refusals.values(), key=lambda refusal: refusal.since, default=None)
        return (first.reason, first.since) if first else ("", 0.0)

    @property
    def is_unavailable(self) -> bool:
        """Whether the service is unavailable, so that requests fail at once."""
        return "" in self._refusals

    def probe(self) -> bool:
        """Contact the service once, with reloaded credentials if necessary; return whether it responded."""
        if self._is_stale:
            try:
                self._clients = Clients(self.service, self.profile, self._limits)
            except ServiceError:
                return False
            self._is_stale = False
        try:
            self._ask()
        except StorageUnavailable:
            return False
        except ServiceError:
            pass  # the service responded; the error concerns one bucket
        self._forget_refusal("")
        for name in [name for name in self._refusals if name.startswith(KEYS) and self._clients.has_keys]:
            self._forget_refusal(name)
        return True

    def _ask(self) -> None:
        if self._last_bucket:  # unlike HeadBucket's, its error response names the credential problem
            access = self._access.get(self._last_bucket, "own")
            self._send("list_objects_v2", self._last_bucket, access, {"Prefix": NOTHING, "MaxKeys": 1}, again=True)
        else:
            self._ask_endpoint()
            with self._translating(""):
                self._clients.load_keys()

    def _ask_endpoint(self) -> None:
        """Send an unsigned request to the service itself. Raises StorageUnavailable."""
        try:
            with self._translating(""):
                status = self._clients.get_status()
        except NoConnection as error:
            raise self._mark_unavailable(error.message) from None
        if status >= 500:
            raise self._mark_unavailable(f"HTTP {status}")

    def _mark_unavailable(self, what: str) -> StorageUnavailable:
        reason = f"{self.endpoint}: {what}"
        self.refused += 1
        self._refuse("", reason)
        return StorageUnavailable(reason)

    def _refuse(self, what: str, reason: str) -> None:
        with self._lock:
            known = self._refusals.get(what)
            since = known.since if known else time.time()
            self._refusals[what] = Refusal(reason, since, time.monotonic())
            is_new = known is None
        if is_new:
            logger.warning("the storage is unavailable: %s", reason)

    def _forget_refusal(self, what: str) -> None:
        if what in self._refusals:
            with self._lock:
                self._refusals.pop(what, None)
            logger.warning("the storage is available again: %s%s", self.endpoint, f" ({what})" if what else "")
