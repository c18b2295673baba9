"""Requests to an S3 service, and what a refusal means: that an object is not there, or that the storage is away for now.

Away is whatever another try may mend without anybody changing the job: no connection, time-outs, throttling, errors of the
service, credentials that are missing, wrong or expired, bytes that arrive damaged. From then on requests are refused at
once, so that nobody waits for time-outs in a row; `probe` alone asks again, with credentials read anew.

A bucket is read with the server's own credentials, else as a requester who pays, else unsigned; what worked is remembered.
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
from gtseg.local.storage.answers import limit_answers, read_blocks
from gtseg.local.storage.objects import StorageAway
from gtseg.local.storage.rights import S3_ACTIONS

__all__ = ["Connection", "WrongBytes"]

AWS = "aws"
CONNECT_SECONDS, ATTEMPTS, POOL = 5, 2, 64
READ_SECONDS, WRITE_SECONDS = (
    10.0,
    120.0,
)  # for the first byte of an answer; a service may put an object's parts together
READERS, TURN_SECONDS = (
    24,
    5.0,
)  # fewer than the portal has threads: a service that hangs must not keep answers from arriving
BLOCK_BYTES = 1 << 18
BODY_SECONDS, BODY_RATE = 30.0, 32 << 10
"""An object takes at most so long, and as long as this many bytes a second take: one that drips in must not keep a thread."""
ANSWER_BYTES = 16 << 20  # of an answer that is no object: a listing of 1,000 keys at most, an error
NOTHING = "gtseg-probe/"  # a prefix that lists nothing
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
"""Errors that other credentials, or a right clock, mend. The answer to a HEAD has no code: 400 is an expired token's status."""
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
"""What every answer of S3 to a request has, and a page of somebody else's has not, however successful."""
logger = logging.getLogger(__name__)


class WrongBytes(StorageAway):
    """What arrived is not what the service says it sent."""


class NoCredentials(StorageAway):
    """Nothing to sign with; a bucket that is open to everybody can be read all the same."""


class Connection:
    """One S3 service with the credentials of one profile. Safe in several threads."""

    def __init__(
        self,
        service: str,
        profile: str = "",
        *,
        read_seconds: float = READ_SECONDS,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        """`service`: "aws", or the URL of another S3 service. Raises ServiceError for a profile that is none."""
        self.service, self.profile = service, profile
        self._read_seconds, self._body_seconds = read_seconds, body_seconds
        self._readers = threading.BoundedSemaphore(READERS)
        self._lock = threading.Lock()
        self._access: dict[str, Access] = {}
        self._last_bucket = ""
        self._readable: dict[str, str] = {}
        """Bucket -> the key that was read last: whether another one is refused alone, or the whole bucket."""
        self._refusals: dict[str, tuple[str, float]] = {}
        """"" (the service), "read BUCKET", "write BUCKET" -> (reason, epoch seconds since when)."""
        self.requests = self.refused = 0
        """Sent, and of these without an answer that says anything of the object."""
        self._is_stale = False
        """Whether what was refused may be allowed with credentials that are read anew."""
        self._session, self._config = self._connect()
        self._clients: dict[tuple[bool, bool], Any] = {}
        """(signs, writes) -> a client, made when it is needed."""
        self._client("own")

    # ---------------------------------------------------------------- clients

    @property
    def endpoint(self) -> str:
        return self.service if self.service != AWS else str(self._client("own").meta.endpoint_url)

    def find_secret(self, access_key: str) -> str | None:
        """The secret of the profile's own key, if it is this one and no session's; None for any other."""
        keys = self._keys.get_frozen_credentials() if self._keys is not None else None
        if keys is None or keys.token or keys.access_key != access_key:
            return None
        return str(keys.secret_key)

    def _connect(self) -> tuple[Any, Any]:
        """A boto3 session with the credentials as they are now, and the configuration of its clients."""
        import boto3
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ProfileNotFound

        core = botocore.session.Session(profile=self.profile or None)
        try:
            session = boto3.Session(botocore_session=core)
            self._keys = session.get_credentials()
            style = (core.get_scoped_config().get("s3") or {}).get("addressing_style")
            more: dict[str, Any] = {"s3": {"addressing_style": style or ("auto" if self.service == AWS else "path")}}
            config = Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=self._read_seconds,
                retries={"mode": "standard", "max_attempts": ATTEMPTS},
                max_pool_connections=POOL,
                request_checksum_calculation="when_required",  # Content-MD5, which every S3 service knows, covers uploads
                ignore_configured_endpoint_urls=True,
                user_agent_extra="gtseg-local",
                **more,
            )
        except ProfileNotFound:
            raise ServiceError(
                "NoProfile", f"The AWS profile {self.profile!r} (--s3-profile) does not exist."
            ) from None
        except (BotoCoreError, ValueError) as error:
            raise self._invalid(error) from None
        return session, config

    def _client(self, access: Access, *, writes: bool = False) -> Any:
        signs = access != "unsigned"
        with self._lock:
            if (signs, writes) not in self._clients:
                self._clients[signs, writes] = self._make_client(signs, writes)
            return self._clients[signs, writes]

    def _make_client(self, signs: bool, writes: bool) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = self._config if signs else self._config.merge(Config(signature_version=UNSIGNED))
        try:
            client = self._session.client(
                "s3",
                endpoint_url=None if self.service == AWS else self.service,
                region_name=self._session.region_name or "us-east-1",
                config=config.merge(Config(read_timeout=WRITE_SECONDS)) if writes else config,
            )
        except (BotoCoreError, ValueError) as error:
            raise self._invalid(error) from None
        client.meta.events.register("before-call.s3", check_listed)
        limit_answers(client, ANSWER_BYTES, seconds=self._body_seconds)
        return client

    def _invalid(self, error: Exception) -> ServiceError:
        return ServiceError("NoStorage", f"--s3 {self.service}: {describe(error)}")

    # ---------------------------------------------------------------- requests

    def read(self, method: str, bucket: str, **parameters: Any) -> Any:
        """The answer to a reading request. Raises ServiceError, StorageAway."""
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
            raise StorageAway(reason)
        raise refusal

    def ask(self, method: str, bucket: str, *, writes: bool = False, **parameters: Any) -> Any:
        """The answer to a request that only asks what is allowed: a refusal changes nothing. Raises ServiceError, StorageAway."""
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
            logger.warning("s3://%s is a requester pays bucket: this server's account pays for what it reads", bucket)
        self._access[bucket] = access
        if key:
            self._readable[bucket] = key
        self._forget_refusal(f"read {bucket}")

    def _is_closed(self, bucket: str) -> bool:
        """Whether a bucket from which objects have been read refuses the last of them too."""
        if bucket not in self._readable:
            return False
        try:
            self._send("head_object", bucket, self._access[bucket], {"Key": self._readable[bucket]})
        except StorageAway:
            return True
        except ServiceError as error:
            return error.code == "AccessDenied"
        return False

    def write(self, method: str, bucket: str, **parameters: Any) -> Any:
        """The answer to a writing request. Raises StorageAway also for a bucket that refuses: what is written waits."""
        access: Access = "payer" if self._access.get(bucket) == "payer" else "own"
        try:
            answer = self._send(method, bucket, access, parameters)
        except ServiceError as error:
            if isinstance(error, StorageAway) and not isinstance(error, NoCredentials):
                raise
            reason = f"s3://{bucket} does not take what is written: {error.message} ({error.code})"
            self._refuse(f"write {bucket}", reason)
            raise StorageAway(reason) from None
        self._forget_refusal(f"write {bucket}")
        return answer

    def blocks(self, answer: Any, bucket: str, *, size: int) -> Iterator[bytes]:
        """The bytes of a GetObject answer that announces `size`. Raises StorageAway where they end early, are damaged or drip in."""
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        end = time.monotonic() + self._body_seconds + size / BODY_RATE
        try:
            with self._reader():
                for block in read_blocks(answer["Body"]._raw_stream, BLOCK_BYTES):
                    yield block
                    if time.monotonic() > end:
                        raise self._lose(f"an object of {size} bytes came too slowly and was given up")
        except (BotoCoreError, HTTPError, OSError) as error:
            raise self.damaged_object_error(bucket, describe(error)) from None
        finally:
            answer["Body"].close()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[None]:
        """One of the few that may wait for the service at once. Raises StorageAway."""
        if not self._readers.acquire(timeout=TURN_SECONDS):
            raise StorageAway(f"{self.endpoint}: {READERS} requests wait for its answers already")
        try:
            yield
        finally:
            self._readers.release()

    def not_s3_error(self) -> StorageAway:
        """The error for an answer that S3 does not give."""
        return self._lose("what answers is not S3")

    def damaged_object_error(self, bucket: str, what: str) -> WrongBytes:
        """The error for bytes that are not those of the object."""
        reason = f"{self.endpoint}: an object of s3://{bucket} did not arrive whole: {what}"
        self._refuse(f"read {bucket}", reason)
        return WrongBytes(reason)

    def _send(
        self, method: str, bucket: str, access: Access, parameters: dict[str, Any], *, again: bool = False
    ) -> Any:
        """One request, and whether the storage answers at all."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

        refusal = self._refusals.get("")
        if refusal is not None and not again:
            raise StorageAway(refusal[0])
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
            raise NoCredentials(f"{self.endpoint}: this server has no credentials") from None
        except ClientError as error:
            failure = self._translate(error, bucket)
            if not isinstance(failure, StorageAway):
                self._forget_refusal("")
            raise failure from None
        except (BotoCoreError, OSError) as error:
            self._is_stale |= re.search("Credential|Token|SSO", type(error).__name__) is not None
            raise self._lose(describe(error)) from None
        except (KeyError, TypeError, ValueError, RecursionError):  # botocore's, of what it cannot read
            raise self.not_s3_error() from None
        if not all(member in answer for member in PROOFS.get(method, ())):
            raise self.not_s3_error()
        self._forget_refusal("")
        return answer

    def _translate(self, error: Any, bucket: str) -> ServiceError:
        """boto3's ClientError as what it means here."""
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        if code == "304" or status == 304:
            return ServiceError("304", "Not Modified", 304)
        if code in CREDENTIALS or "Token" in code or status == 403:
            self._is_stale = True
        if status >= 500 or status == 429 or code in THROTTLED or code in CREDENTIALS or "Token" in code:
            return self._lose(f"{message} ({code})" if message else code)
        if code in DENIED or status == 403:
            return ServiceError("AccessDenied", message if message not in ("", "Forbidden") else "Access Denied", 403)
        if code in ("404", "NotFound"):
            return ServiceError("404", f"There is no such bucket or object in s3://{bucket}.", 404)
        return ServiceError(code, message or code, status or 400)

    # ---------------------------------------------------------------- away and back

    @property
    def refusal(self) -> tuple[str, float]:
        """(reason, epoch seconds) of what is refused for the longest time; ("", 0.0) if nothing is."""
        with self._lock:
            return min(self._refusals.values(), key=lambda item: item[1], default=("", 0.0))

    @property
    def is_away(self) -> bool:
        """Whether requests are refused at once."""
        return "" in self._refusals

    def probe(self) -> bool:
        """Ask once more, with credentials read anew; whether the storage answers."""
        if self._is_stale:
            try:
                self._session, self._config = self._connect()
            except ServiceError:
                return False
            self._clients, self._is_stale = {}, False
        try:
            self._ask()
        except StorageAway:
            return False
        except ServiceError:
            pass  # it answers; what it refuses concerns one bucket
        self._forget_refusal("")
        return True

    def _ask(self) -> None:
        if self._last_bucket:  # unlike HeadBucket's, its answer says what is wrong with credentials
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
            raise self._lose(describe(error)) from None
        finally:
            session.close()
        if answer.status_code >= 500:
            raise self._lose(f"HTTP {answer.status_code}")

    def _lose(self, what: str) -> StorageAway:
        reason = f"{self.endpoint}: {what}"
        self.refused += 1
        self._refuse("", reason)
        return StorageAway(reason)

    def _refuse(self, what: str, reason: str) -> None:
        with self._lock:
            since = self._refusals[what][1] if what in self._refusals else time.time()
            is_new = what not in self._refusals
            self._refusals[what] = (reason, since)
        if is_new:
            logger.warning("the storage is away: %s", reason)

    def _forget_refusal(self, what: str) -> None:
        if what in self._refusals:
            with self._lock:
                self._refusals.pop(what, None)
            logger.warning("the storage is back: %s%s", self.endpoint, f" ({what})" if what else "")


def check_listed(model: Any, **_: Any) -> None:
    """Refuse to send what the rights of the server do not name; boto3's own requests, such as for a redirect, included."""
    if model.name not in S3_ACTIONS:
        raise AssertionError(f"{model.name} is not in S3_ACTIONS")


def describe(error: Exception) -> str:
    """An error of botocore in one line."""
    return " ".join(str(error).split())[:300]
