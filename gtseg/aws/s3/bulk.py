"""The bulk data plane: thousands of small S3 requests from many threads, each with retries and every byte checked.

botocore costs 0.9 ms of CPU a request under the interpreter's lock, this a fraction of it. What botocore knows better
(endpoints, regions, credentials and their refresh) is asked of botocore.
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

from gtseg.aws.clients import translate
from gtseg.aws.reachability import TRIES, foreign_answer, no_answer
from gtseg.aws.s3.answers import (
    check_body,
    check_copy,
    copied_etag,
    etag_of,
    is_foreign,
    is_of_s3,
    lacks_etag,
    md5_of,
    read_error,
    server_time,
)
from gtseg.aws.s3.bodies import FileBody
from gtseg.aws.s3.bucket_regions import Place, Places
from gtseg.aws.s3.connections import READ_SECONDS, Answer, Connection, Traffic
from gtseg.aws.s3.endpoints import Endpoint
from gtseg.aws.s3.signing import quote_path
from gtseg.aws.s3.uris import guess_content_type, split_uri
from gtseg.errors import AWSError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients

ATTEMPTS = 12
BACKOFF_SECONDS, LONGEST_BACKOFF = 0.05, 5.0
"""Full jitter below 0.05 s x 2^n (AWS Architecture Blog, "Exponential Backoff And Jitter"): 12 attempts take about 15 s."""
RETRIED = frozenset(
    {
        "BandwidthLimitExceeded", "InternalError", "OperationAborted", "RequestLimitExceeded", "RequestThrottled",
        "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests",
    }
)  # fmt: skip
SAME_CLOCK = 30.0
"""Seconds by which two looks at AWS's clock may differ."""
SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired"})


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object's bytes (or the asked range of them), its ETag, its whole size, and its MD5 where S3 tells it."""

    body: bytes
    etag: str
    size: int
    md5: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One S3 request. `check` says (code, message) why a good-looking answer is none, None if it is one."""

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


class Again(Exception):
    """Worth another attempt; `pause` before it, unless the cause is gone already."""

    def __init__(self, error: AWSError, *, pause: bool = True, answer: Answer | None = None) -> None:
        self.error, self.pause, self.answer = error, pause, answer


def foreign(request: Request, url: str, answer: Answer) -> AWSError:
    kind = answer.headers.get("content-type", "")
    return foreign_answer(request.name, url, status=answer.status, kind=kind, body=answer.body)


class Bulk:
    """Every method may be called from any thread; idle connections go to whoever asks next. Raises AWSError."""

    def __init__(self, clients: Clients) -> None:
        self._places, self._contact = Places(clients), clients.contact
        self._encryption = clients.encryption.headers
        self._payer = {"x-amz-request-payer": "requester"} if clients.requester_pays else {}
        self._public: set[str] = set()
        self._heard: set[Endpoint] = set()
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
        """The whole object, or the bytes `span` = (start, end) of it, end excluded.

        A whole body is compared with its MD5 where the ETag is one, or with the CRC-32 that S3 keeps. A bucket that denies
        these credentials may be a public one: the anonymous are tried too.
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
        """Write an object, return its ETag. The signature covers the body: damage on the way is refused by S3."""
        headers = {"content-type": content_type, **self._encryption}
        return etag_of(self.send(Request("PutObject", "PUT", uri, headers, body=body, check=lacks_etag)))

    def copy(self, source: str, target: str, *, if_match: str | None = None) -> str:
        """Copy inside S3, return the new ETag; `if_match` = only this version of the source (else 412 PreconditionFailed).

        What only the anonymous may read (a public data set) cannot be copied with a signature: it goes through here.
        """
        bucket, key = split_uri(source)
        if bucket in self._public:
            return self._carry(source, target, if_match)
        headers = {"x-amz-copy-source": f"/{bucket}/{quote_path(key)}", **self._encryption}
        if if_match:
            headers["x-amz-copy-source-if-match"] = f'"{if_match}"'
        try:
            answer = self.send(Request("CopyObject", "PUT", target, headers, check=check_copy))
        except AWSError as error:
            if error.code != "AccessDenied":
                raise
            return self._carry(source, target, if_match)
        etag = copied_etag(answer)
        # another ETag is right where a KMS key or several parts made it; it goes on record, so it is asked for again
        return etag if etag == if_match else self.head(target)

    def head(self, uri: str) -> str:
        """The object's ETag."""
        return etag_of(self.send(Request("HeadObject", "HEAD", uri, check=lacks_etag)))

    def delete(self, uri: str) -> None:
        """Delete one object; one that is gone already is no error."""
        self.send(Request("DeleteObject", "DELETE", uri))

    def send(self, request: Request) -> Answer:
        """One request until it is answered for good, or AWSError."""
        trouble = AWSError(request.name, "Unknown", "never tried")
        begun = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                return self._try(request)
            except Again as again:
                trouble = again.error
                self.retries += 1
                self._give_up_early(request, again, attempt + 1, seconds=time.monotonic() - begun)
                if again.pause and attempt < ATTEMPTS - 1:
                    time.sleep(random.uniform(0, min(LONGEST_BACKOFF, BACKOFF_SECONDS * 2**attempt)))
        raise trouble

    def _paying(self, request: Request) -> Request:
        """Buckets whose requester pays refuse who does not agree to; the others do not mind."""
        if (
            not self._payer
            or request.is_anonymous
            or not (request.method in ("GET", "HEAD") or "x-amz-copy-source" in request.headers)
        ):
            return request
        return replace(request, headers={**request.headers, **self._payer})

    def _give_up_early(self, request: Request, again: Again, attempts: int, *, seconds: float) -> None:
        """A server that has never answered as S3 does is not S3."""
        if attempts < TRIES and seconds < READ_SECONDS:
            return
        url, trouble = self._url(request), again.error
        if self._contact.has_answered(url):
            return
        if again.answer is not None:
            raise foreign(request, url, again.answer)
        if trouble.code == "ConnectionError":
            raise no_answer(request.name, url, trouble.message)

    def _url(self, request: Request) -> str:
        place = self._places.find(split_uri(request.uri)[0], is_anonymous=request.is_anonymous)
        return f"{place.endpoint.scheme}://{place.endpoint.host_header}"

    def _get(self, request: Request) -> Answer:
        """Signed, then anonymous; the other way round where the anonymous have been let in before."""
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

    def _carry(self, source: str, target: str, if_match: str | None) -> str:
        fetched = self.get(source, if_match=if_match)
        return self.put(target, fetched.body, content_type=guess_content_type(target))

    def _try(self, request: Request) -> Answer:
        """One attempt: an answer, Again, or AWSError."""
        bucket, key = split_uri(request.uri)
        place = self._places.find(bucket, is_anonymous=request.is_anonymous)
        connection = self._take(place.endpoint)
        was_open = connection.is_open
        is_head = request.method == "HEAD"
        with translate(request.name):  # credentials that are asked for anew may be refused
            head = place.head(self._paying(request), key)
        try:
            answer = connection.exchange(head, request.body, is_head=is_head)
        except ssl.SSLCertVerificationError as error:
            raise AWSError(request.name, "ConnectionError", str(error)) from None
        except (OSError, ValueError) as error:
            connection.close()
            self._idle[place.endpoint].append(connection)
            host = place.endpoint.host_header
            # a kept-alive connection that the other side has closed meanwhile costs no patience
            raise Again(AWSError(request.name, "ConnectionError", f"{host}: {error}"), pause=not was_open) from None
        self._idle[place.endpoint].append(connection)
        url = f"{place.endpoint.scheme}://{place.endpoint.host_header}"
        if is_foreign(answer, is_head=is_head):
            raise foreign(request, url, answer)
        if place.endpoint not in self._heard and is_of_s3(answer):
            self._heard.add(place.endpoint)
            self._contact.answered(url)
        if answer.status >= 300:
            raise self._judge(request, place, answer)
        if wrong := request.check(answer):
            raise Again(AWSError(request.name, *wrong), answer=answer)
        return answer

    def _judge(self, request: Request, place: Place, answer: Answer) -> Again | AWSError:
        error = read_error(request.name, answer)
        bucket, _ = split_uri(request.uri)
        if self._places.is_moved(place, answer, error.code):
            self._places.move(bucket, is_anonymous=request.is_anonymous)
            return Again(error)
        if error.code in SKEWED and place.signer:
            offset = server_time(answer) - time.time()
            if abs(offset - place.signer.clock_offset) < SAME_CLOCK:
                return error  # AWS's own time is not right for it either
            place.signer.clock_offset = offset
            return Again(error)
        is_damaged = not re.fullmatch(r"[A-Za-z0-9.]+", error.code)
        if answer.status >= 500 or answer.status == 429 or error.code in RETRIED or is_damaged:
            return Again(error, answer=answer)
        return error

    def _take(self, endpoint: Endpoint) -> Connection:
        """The connection that was used last, or a new one."""
        with contextlib.suppress(IndexError):
            return self._idle[endpoint].pop()
        connection = Connection(endpoint)
        self._connections.append(connection)
        return connection
