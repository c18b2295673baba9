"""Bulk transfers: thousands of small S3 requests from many threads, each retried and every byte verified.

botocore costs 0.9 ms of CPU per request under the interpreter lock, this module a fraction of it. Endpoints, regions,
credentials and their refresh come from botocore.
"""

from __future__ import annotations

import contextlib
import random
import re
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gtseg.aws.failures import translate
from gtseg.aws.reachability import TRIES, foreign_answer, no_answer
from gtseg.aws.s3.answers import (
    check_body,
    check_copy,
    copied_etag,
    etag_of,
    is_foreign,
    is_from_s3,
    lacks_etag,
    md5_of,
    read_error,
    server_time,
)
from gtseg.aws.s3.bodies import FileBody
from gtseg.aws.s3.bucket_regions import Route, Routes
from gtseg.aws.s3.connections import READ_SECONDS, Answer, Connection, Traffic
from gtseg.aws.s3.endpoints import Endpoint
from gtseg.aws.s3.signing import quote_path
from gtseg.aws.s3.uris import guess_content_type
from gtseg.core.s3_uris import split_uri
from gtseg.errors import AWSError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients

ATTEMPTS = 12
BACKOFF_SECONDS, LONGEST_BACKOFF = 0.05, 5.0
"""Full jitter below 0.05 s x 2^n (AWS Architecture Blog, "Exponential Backoff And Jitter"): 12 attempts take about 15
s.
"""
RETRIED = frozenset(
    {
        "BandwidthLimitExceeded", "InternalError", "OperationAborted", "RequestLimitExceeded", "RequestThrottled",
        "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests",
    }
)  # fmt: skip
SAME_CLOCK = 30.0
"""Seconds by which two readings of AWS's clock may differ."""
SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired"})


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object's bytes (or a range of them), its ETag, its total size, and its MD5 if S3 gives it."""

    body: bytes
    etag: str
    size: int
    md5: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One S3 request.

    `check` returns (code, message) for a successful response that is invalid, None if it is valid.
    """

    operation: str
    method: str
    uri: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    body: bytes | FileBody = b""
    check: Callable[[Answer], tuple[str, str] | None] = lambda answer: None
    is_anonymous: bool = False

    @property
    def name(self) -> str:
        return f"{self.operation} {self.uri}"


class Retry(Exception):
    """The request is worth another attempt; after a pause unless the cause is already removed."""

    def __init__(self, error: AWSError, *, pause: bool = True, answer: Answer | None = None) -> None:
        self.error, self.pause, self.answer = error, pause, answer


def foreign(request: Request, url: str, answer: Answer) -> AWSError:
    kind = answer.headers.get("content-type", "")
    return foreign_answer(request.name, url, status=answer.status, kind=kind, body=answer.body)


class Bulk:
    """Thread-safe bulk client that reuses idle connections. Methods raise AWSError."""

    def __init__(self, clients: Clients) -> None:
        self._routes, self._contact = Routes(clients), clients.contact
        self._encryption = clients.encryption.headers
        self._payer = {"x-amz-request-payer": "requester"} if clients.requester_pays else {}
        self._public: set[str] = set()
        self._responding: set[Endpoint] = set()
        self._idle: defaultdict[Endpoint, list[Connection]] = defaultdict(list)
        self._connections: list[Connection] = []
        self.retries = 0

    def __enter__(self) -> Bulk:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    @property
    def traffic(self) -> Traffic:
        """The sum over all connections so far."""
        all_of = [connection.traffic for connection in self._connections]
        return Traffic(*(sum(getattr(t, name) for t in all_of) for name in ("requests", "sent", "received")))

    def get(self, uri: str, *, span: tuple[int, int] | None = None, if_match: str | None = None) -> Fetched:
        """Return the object, or its bytes `span` = (start, end), end excluded.

        A complete body is verified by MD5 if the ETag is one, or by the CRC-32 that S3 stores. If the bucket denies
        these credentials, the request is repeated unsigned: the bucket may be public.
        """
        headers = {"x-amz-checksum-mode": "ENABLED"}
        if span:
            headers["range"] = f"bytes={span[0]}-{span[1] - 1}"
        if if_match:
            headers["if-match"] = f'"{if_match}"'
        answer = self._get(Request("GetObject", "GET", uri, headers, check=check_body))
        size = answer.headers.get("content-range", "").rpartition("/")[2]
        return Fetched(answer.body, etag_of(answer), int(size) if size.isdigit() else len(answer.body), md5_of(answer))

    def put(self, uri: str, body: bytes | FileBody, *, content_type: str) -> str:
        """Write an object and return its ETag. The signature covers the body, so S3 rejects a damaged one."""
        headers = {"content-type": content_type, **self._encryption}
        return etag_of(self.send(Request("PutObject", "PUT", uri, headers, body=body, check=lacks_etag)))

    def copy(self, source: str, target: str, *, if_match: str | None = None) -> str:
        """Copy an object within S3 and return the new ETag. `if_match`: source version, else 412 PreconditionFailed.

        An object that only unsigned requests may read (a public data set) cannot be copied by a signed request: it is
        downloaded and uploaded.
        """
        bucket, key = split_uri(source)
        if bucket in self._public:
            return self._copy_through_client(source, target, if_match)
        headers = {"x-amz-copy-source": f"/{bucket}/{quote_path(key)}", **self._encryption}
        if if_match:
            headers["x-amz-copy-source-if-match"] = f'"{if_match}"'
        try:
            answer = self.send(Request("CopyObject", "PUT", target, headers, check=check_copy))
        except AWSError as error:
            if error.code != "AccessDenied":
                raise
            return self._copy_through_client(source, target, if_match)
        etag = copied_etag(answer)
        # with a KMS key or a multipart upload the ETag differs from the source's; HeadObject confirms it for the record
        return etag if etag == if_match else self.head(target)

    def head(self, uri: str) -> str:
        """Return the object's ETag."""
        return etag_of(self.send(Request("HeadObject", "HEAD", uri, check=lacks_etag)))

    def delete(self, uri: str) -> None:
        """Delete one object; a missing one is not an error."""
        self.send(Request("DeleteObject", "DELETE", uri))

    def send(self, request: Request) -> Answer:
        """Send a request until its response is final. Raises AWSError."""
        trouble = AWSError(request.name, "Unknown", "never tried")
        begun = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                return self._try(request)
            except Retry as retry:
                trouble = retry.error
                self.retries += 1
                self._raise_if_not_s3(request, retry, attempt + 1, seconds=time.monotonic() - begun)
                if retry.pause and attempt < ATTEMPTS - 1:
                    time.sleep(random.uniform(0, min(LONGEST_BACKOFF, BACKOFF_SECONDS * 2**attempt)))
        raise trouble

    def _with_requester_pays(self, request: Request) -> Request:
        """Add the requester pays header, which such buckets require and others ignore."""
        if (
            not self._payer
            or request.is_anonymous
            or not (request.method in ("GET", "HEAD") or "x-amz-copy-source" in request.headers)
        ):
            return request
        return replace(request, headers={**request.headers, **self._payer})

    def _raise_if_not_s3(self, request: Request, retry: Retry, attempts: int, *, seconds: float) -> None:
        """Raise the error for a server that has never responded as S3 does: it is not S3."""
        if attempts < TRIES and seconds < READ_SECONDS:
            return
        url, trouble = self._url(request), retry.error
        if self._contact.has_answered(url):
            return
        if retry.answer is not None:
            raise foreign(request, url, retry.answer)
        if trouble.code == "ConnectionError":
            raise no_answer(request.name, url, trouble.message)

    def _url(self, request: Request) -> str:
        route = self._routes.find(split_uri(request.uri)[0], is_anonymous=request.is_anonymous)
        return f"{route.endpoint.scheme}://{route.endpoint.host_header}"

    def _get(self, request: Request) -> Answer:
        """Send a read signed, then unsigned; in the other order if the bucket accepted unsigned reads before."""
        bucket, _ = split_uri(request.uri)
        is_public = bucket in self._public
        try:
            return self.send(replace(request, is_anonymous=True) if is_public else request)
        except AWSError as error:
            if error.code != "AccessDenied":
                raise
            second = replace(request, is_anonymous=not is_public)
            try:
                answer = self.send(second)
            except AWSError:
                raise error from None
        (self._public.add if second.is_anonymous else self._public.discard)(bucket)
        return answer

    def _copy_through_client(self, source: str, target: str, if_match: str | None) -> str:
        fetched = self.get(source, if_match=if_match)
        return self.put(target, fetched.body, content_type=guess_content_type(target))

    def _try(self, request: Request) -> Answer:
        """Make one attempt. Raises Retry or AWSError."""
        bucket, key = split_uri(request.uri)
        route = self._routes.find(bucket, is_anonymous=request.is_anonymous)
        connection = self._take(route.endpoint)
        was_open = connection.is_open
        is_head = request.method == "HEAD"
        with translate(request.name):  # refreshing the credentials may fail
            head = route.head(self._with_requester_pays(request), key)
        try:
            answer = connection.exchange(head, request.body, is_head=is_head)
        except ssl.SSLCertVerificationError as error:
            raise AWSError(request.name, "ConnectionError", str(error)) from None
        except (OSError, ValueError) as error:
            connection.close()
            self._idle[route.endpoint].append(connection)
            host = route.endpoint.host_header
            # no pause if the server merely closed an idle connection
            raise Retry(AWSError(request.name, "ConnectionError", f"{host}: {error}"), pause=not was_open) from None
        self._idle[route.endpoint].append(connection)
        url = f"{route.endpoint.scheme}://{route.endpoint.host_header}"
        if is_foreign(answer, is_head=is_head):
            raise foreign(request, url, answer)
        if route.endpoint not in self._responding and is_from_s3(answer):
            self._responding.add(route.endpoint)
            self._contact.answered(url)
        if answer.status >= 300:
            raise self._judge(request, route, answer)
        if wrong := request.check(answer):
            raise Retry(AWSError(request.name, *wrong), answer=answer)
        return answer

    def _judge(self, request: Request, route: Route, answer: Answer) -> Retry | AWSError:
        error = read_error(request.name, answer)
        bucket, _ = split_uri(request.uri)
        if self._routes.is_redirected(route, answer, error.code):
            self._routes.move(bucket, is_anonymous=request.is_anonymous)
            return Retry(error)
        if error.code in SKEWED and route.signer:
            offset = server_time(answer) - time.time()
            if abs(offset - route.signer.clock_offset) < SAME_CLOCK:
                return error  # the request is refused even with AWS's time
            route.signer.clock_offset = offset
            return Retry(error)
        is_damaged = not re.fullmatch(r"[A-Za-z0-9.]+", error.code)
        if answer.status >= 500 or answer.status == 429 or error.code in RETRIED or is_damaged:
            return Retry(error, answer=answer)
        return error

    def _take(self, endpoint: Endpoint) -> Connection:
        """Return the most recently used idle connection, or a new one."""
        with contextlib.suppress(IndexError):
            return self._idle[endpoint].pop()
        connection = Connection(endpoint)
        self._connections.append(connection)
        return connection
