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
import re
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

from gtseg.local.errors import ServiceError
from gtseg.local.storage.answers import read_blocks
from gtseg.local.storage.clients import CONNECT_SECONDS, READ_SECONDS, Clients, describe
from gtseg.local.storage.objects import StorageUnavailable

READERS, TURN_SECONDS = 24, 5.0
"""Concurrent reads, fewer than the portal's threads: a service that hangs must not keep labels from being stored."""
BLOCK_BYTES = 1 << 18
BODY_SECONDS, BODY_RATE = 30.0, 32 << 10
"""Time limit of a body in seconds, plus its size at this rate in bytes/s: a slow body must not block a thread."""
NOTHING = "gtseg-probe/"  # a prefix without objects
Access = Literal["own", "payer", "unsigned"]
DENIED = ("AccessDenied", "403", "Forbidden", "AllAccessDisabled", "401", "Unauthorized")
THROTTLED = (
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "RequestTimeout",
)
CREDENTIALS = (
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "InvalidClientTokenId",
    "400",
)
"""Error codes that new credentials or a correct clock cure.

HEAD responses carry no code: 400 is the status of an expired token.
"""
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


class NoCredentials(StorageUnavailable):
    """No credentials found to sign requests with; public buckets remain readable."""


class Connection:
    """An S3 service with the credentials of one profile. Thread-safe."""

    def __init__(
        self,
        service: str,
        profile: str = "",
        *,
        read_seconds: float = READ_SECONDS,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        """Connect to `service`: "aws", or the URL of another S3 service. Raises ServiceError for an unknown profile."""
        self.service, self.profile = service, profile
        self._read_seconds, self._body_seconds = read_seconds, body_seconds
        self._readers = threading.BoundedSemaphore(READERS)
        self._lock = threading.Lock()
        self._access: dict[str, Access] = {}
        self._last_bucket = ""
        self._readable: dict[str, str] = {}
        """Bucket -> key of the last successful read, which tells a denied object from a denied bucket."""
        self._refusals: dict[str, tuple[str, float]] = {}
        """"" (the service), "read BUCKET" or "write BUCKET" -> (reason, epoch seconds of the first failure)."""
        self.requests = self.refused = 0
        """Requests sent, and those of them that failed without a conclusive response."""
        self._is_stale = False
        """Whether the credentials must be reloaded before the next probe."""
        self._clients = Clients(service, profile, read_seconds=read_seconds, body_seconds=body_seconds)

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
            self._refuse(f"read {bucket}", reason)
            raise StorageUnavailable(reason)
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

        end = time.monotonic() + self._body_seconds + size / BODY_RATE
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
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

        refusal = self._refusals.get("")
        if refusal is not None and not again:
            raise StorageUnavailable(refusal[0])
        if access != "unsigned":
            self._last_bucket = bucket
        self.requests += 1
        payer = {"RequestPayer": "requester"} if access == "payer" and method != "head_bucket" else {}
        writes = method in WRITES
        try:
            with contextlib.nullcontext() if writes else self._reader():
                answer = getattr(self._client(access, writes=writes), method)(Bucket=bucket, **parameters, **payer)
        except ParamValidationError as error:
            raise ServiceError("InvalidBucketName", describe(error)) from None
        except NoCredentialsError:
            self._is_stale = True
            raise NoCredentials(
                f"{self.endpoint}: no AWS credentials were found for this server (--s3-profile)"
            ) from None
        except ClientError as error:
            failure = self._translate(error, bucket)
            if not isinstance(failure, StorageUnavailable):
                self._forget_refusal("")
            raise failure from None
        except (BotoCoreError, OSError) as error:
            self._is_stale |= re.search("Credential|Token|SSO", type(error).__name__) is not None
            raise self._mark_unavailable(describe(error)) from None
        except (KeyError, TypeError, ValueError, RecursionError):  # raised by botocore for a response it cannot parse
            raise self.invalid_response_error() from None
        if not all(member in answer for member in PROOFS.get(method, ())):
            raise self.invalid_response_error()
        self._forget_refusal("")
        return answer

    def _translate(self, error: Any, bucket: str) -> ServiceError:
        """Convert boto3's ClientError to a ServiceError or StorageUnavailable."""
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        if code == "304" or status == 304:
            return ServiceError("304", "Not Modified", 304)
        if code in CREDENTIALS or "Token" in code or status == 403:
            self._is_stale = True
        if status >= 500 or status == 429 or code in THROTTLED or code in CREDENTIALS or "Token" in code:
            return self._mark_unavailable(f"{message} ({code})" if message else code)
        if code in DENIED or status == 403:
            return ServiceError("AccessDenied", message if message not in ("", "Forbidden") else "Access Denied", 403)
        if code in ("404", "NotFound"):
            return ServiceError("404", f"The bucket s3://{bucket} or the object in it does not exist.", 404)
        return ServiceError(code, message or code, status or 400)

    # --- availability ---

    @property
    def refusal(self) -> tuple[str, float]:
        """(reason, epoch seconds) of the oldest failure that persists; ("", 0.0) if there is none."""
        with self._lock:
            return min(self._refusals.values(), key=lambda item: item[1], default=("", 0.0))

    @property
    def is_unavailable(self) -> bool:
        """Whether the service is unavailable, so that requests fail at once."""
        return "" in self._refusals

    def probe(self) -> bool:
        """Contact the service once, with reloaded credentials if necessary; return whether it responded."""
        if self._is_stale:
            try:
                self._clients = Clients(
                    self.service, self.profile, read_seconds=self._read_seconds, body_seconds=self._body_seconds
                )
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
        return True

    def _ask(self) -> None:
        if self._last_bucket:  # unlike HeadBucket's, its error response names the credential problem
            access = self._access.get(self._last_bucket, "own")
            self._send("list_objects_v2", self._last_bucket, access, {"Prefix": NOTHING, "MaxKeys": 1}, again=True)
            return
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
        from botocore.httpsession import URLLib3Session

        session = URLLib3Session(timeout=(CONNECT_SECONDS, READ_SECONDS))
        try:
            answer = session.send(AWSRequest("GET", self.endpoint).prepare())
        except (BotoCoreError, OSError) as error:
            raise self._mark_unavailable(describe(error)) from None
        finally:
            session.close()
        if answer.status_code >= 500:
            raise self._mark_unavailable(f"HTTP {answer.status_code}")

    def _mark_unavailable(self, what: str) -> StorageUnavailable:
        reason = f"{self.endpoint}: {what}"
        self.refused += 1
        self._refuse("", reason)
        return StorageUnavailable(reason)

    def _refuse(self, what: str, reason: str) -> None:
        with self._lock:
            since = self._refusals[what][1] if what in self._refusals else time.time()
            is_new = what not in self._refusals
            self._refusals[what] = (reason, since)
        if is_new:
            logger.warning("the storage is unavailable: %s", reason)

    def _forget_refusal(self, what: str) -> None:
        if what in self._refusals:
            with self._lock:
                self._refusals.pop(what, None)
            logger.warning("the storage is available again: %s%s", self.endpoint, f" ({what})" if what else "")
