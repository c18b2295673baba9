"""Retries of damaged responses: botocore accepts a truncated body as complete.

TLS makes damage rare, a proxy or a plain connection does not. Bodies of objects are not checked here: they have
checksums.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping
from typing import Any
from xml.etree import ElementTree

from gtseg.aws.reachability import TRIES, Contact, foreign_answer, no_answer

MAX_ATTEMPTS = {
    "ConnectTimeoutError": 2,
    "ReadTimeoutError": 1,
    "EndpointConnectionError": TRIES,
    "ConnectionClosedError": TRIES,
    "ProxyConnectionError": 2,
    "ConnectionError": TRIES,
    "HTTPClientError": TRIES,
    "SSLError": 2,
}
"""Attempts that fail with each botocore exception before a server that has never responded is given up."""

CODE = re.compile(r"[A-Za-z0-9._]+")
RETRIED_STATUSES = (429, 500, 502, 503, 504, 509)
"""HTTP statuses that botocore retries."""


def watch_answers(events: Any, contact: Contact) -> None:
    """Retry damaged responses and reject foreign ones, in every client of a session. `events`: its event emitter."""
    watch = _ResponseHandlers(contact)
    events.register("before-send.*.*", watch.begin)
    events.register("before-parse.*.*", watch.check_response)
    events.register("needs-retry.*.*", watch.check_retry)  # the longer event name runs before the service's own handler


def is_foreign(operation: Any, status: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether a response is not from AWS: an HTML page, a missing body, or an error without a code.

    Temporary failures of a server or of a proxy before it are retried and do not count as foreign.
    """
    if status in RETRIED_STATUSES or any(name.startswith(("x-amz-", "x-amzn-")) for name in headers):
        return False
    if status >= 500:  # 511 Network Authentication Required (RFC 6585): a network that asks users to sign in
        return not _is_signed_by_aws(body, headers)
    kind, protocol = headers.get("content-type", ""), operation.service_model.resolved_protocol
    if operation.http.get("method") == "HEAD":
        lacks_etag = operation.name == "HeadObject" and status < 300 and "etag" not in headers
        return lacks_etag or ("html" in kind and (status >= 300 or operation.name == "HeadBucket"))
    if "html" in kind or _looks_like_page(body):
        return True
    if protocol == "json":
        return _is_foreign_json(operation, status, body)
    if protocol in ("query", "ec2"):
        begun = body.lstrip()[:500]
        roots = (f"<{operation.name}Response".encode(), b"<ErrorResponse", b"<Response")
        return not any(root in begun for root in roots)
    if status >= 300:
        return protocol == "rest-json" or b"<Code>" not in body
    if operation.name in ("PutObject", "UploadPart"):
        return "etag" not in headers
    return protocol == "rest-xml" and not body.lstrip().startswith(b"<") and _has_document(operation)


def _is_signed_by_aws(body: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether an error response has a request ID or an error code."""
    return any(name.startswith(("x-amz-", "x-amzn-")) for name in headers) or b"<Code>" in body or b'"__type"' in body


def _looks_like_page(body: bytes) -> bool:
    return body[:100].lstrip().lower().startswith((b"<!doctype", b"<html"))


def _is_foreign_json(operation: Any, status: int, body: bytes) -> bool:
    """Return whether JSON is not from AWS: no member of the operation's output shape, or an error without a type."""
    try:
        answer = json.loads(body or b"null")
    except ValueError:
        return True
    if status < 300:
        members = operation.output_shape.members if operation.output_shape else {}
        return bool(members) and not (isinstance(answer, dict) and answer.keys() & members.keys())
    return not isinstance(answer, dict) or not (answer.get("__type") or answer.get("code"))


def _has_document(operation: Any) -> bool:
    """Return whether an S3 operation responds with an XML document rather than headers only or an object's bytes."""
    shape = operation.output_shape
    if shape is None or operation.has_streaming_output:
        return False
    return any(not member.serialization.get("location") for member in shape.members.values())


class _ResponseHandlers:
    """botocore event handlers that share one Contact."""

    def __init__(self, contact: Contact) -> None:
        self.contact = contact

    def begin(self, request: Any, **_: Any) -> None:
        self.contact.begin(request.url)

    def check_response(self, operation_model: Any, response_dict: MutableMapping[str, Any], **_: Any) -> None:
        """Mark a damaged response as status 500 so that botocore retries it, and raise AWSError for a foreign one.

        botocore does the same for S3 errors inside a response of status 200.
        """
        status, body, headers = (response_dict[key] for key in ("status_code", "body", "headers"))
        if not isinstance(body, bytes):
            return
        is_head = operation_model.http.get("method") == "HEAD"
        if not is_head and is_damaged(status, body, headers):
            response_dict["status_code"], response_dict["body"] = 500, b""
        elif is_foreign(operation_model, status, body, headers):
            kind, url = headers.get("content-type", ""), self.contact.last
            place = self.contact.place_of(url)
            raise foreign_answer(operation_model.name, url, status=status, kind=kind, body=body, place=place)
        elif status < 500 or _is_signed_by_aws(body, headers):
            self.contact.answered()

    def check_retry(self, response: Any, operation: Any, attempts: int, caught_exception: Any = None, **_: Any) -> None:
        """Pass the corrected status to botocore's retry handler, and give up early on a server that has never
        responded.
        """
        if response is not None:
            answer, parsed = response
            answer.status_code = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", answer.status_code)
        if self.contact.has_answered():
            return
        url = self.contact.last
        place = self.contact.place_of(url)
        attempts = max(attempts, self.contact.count_try(url))
        if response is not None and attempts > TRIES:
            kind = answer.headers.get("content-type", "")
            body = answer.content if isinstance(answer.content, bytes) else b""
            raise foreign_answer(operation.name, url, status=answer.status_code, kind=kind, body=body, place=place)
        name = type(caught_exception).__name__
        if url and name in MAX_ATTEMPTS and attempts >= MAX_ATTEMPTS[name]:
            raise no_answer(operation.name, url, " ".join(str(caught_exception).split()), place=place)


def is_damaged(status: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether a response is truncated, not the XML or JSON that it claims to be, or an error without a code."""
    length = headers.get("content-length", "")
    if "content-encoding" not in headers and length.isdecimal() and int(length) != len(body):
        return True
    kind, is_error = headers.get("content-type", ""), status >= 400
    try:
        if body and "xml" in kind:
            tree = ElementTree.fromstring(body)
            return is_error and not CODE.fullmatch(tree.findtext(".//{*}Code") or "")
        if body and "json" in kind:
            answer = json.loads(body)
            return is_error and "x-amz-json" in kind and not _names_its_error(answer, headers)
    except (ElementTree.ParseError, ValueError, RecursionError):
        return True
    return False


def _names_its_error(answer: Any, headers: Mapping[str, str]) -> bool:
    """Return whether an AWS JSON error names its type, the same in body and header if both are present.

    The body has `__type`, some services also send a header; a `prefix#` may precede the name. Source: Smithy, "AWS JSON
    1.1 protocol", operation error serialization.
    """
    name = answer.get("__type") if isinstance(answer, dict) else None
    if not isinstance(name, str):
        return False
    said = headers.get("x-amzn-errortype", name)
    return name.rpartition("#")[2] == said.partition(":")[0].rpartition("#")[2]
