"""Answers that got damaged on their way are asked for again: botocore takes whatever part of a body arrives for the whole.

TLS makes that rare, a proxy or a plain connection does not. Objects' own bodies are not looked at here: they have checksums.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping
from typing import Any
from xml.etree import ElementTree

from gtseg.aws.reachability import TRIES, Contact, foreign_answer, no_answer

__all__ = ["is_damaged", "is_foreign", "watch_answers"]

GIVEN_UP = {
    "ConnectTimeoutError": 2,
    "ReadTimeoutError": 1,
    "EndpointConnectionError": TRIES,
    "ConnectionClosedError": TRIES,
    "ProxyConnectionError": 2,
    "ConnectionError": TRIES,
    "HTTPClientError": TRIES,
    "SSLError": 2,
}
"""Attempts that failed like this (the names of botocore's exceptions) before a server that has never answered is given up."""

CODE = re.compile(r"[A-Za-z0-9._]+")
PASSING = (429, 500, 502, 503, 504, 509)
"""Statuses that botocore tries again."""


def watch_answers(events: Any, contact: Contact) -> None:
    """Let every client of a session (its event emitter) retry a damaged answer, and end with one that is not AWS's."""
    watch = _Watch(contact)
    events.register("before-send.*.*", watch.begin)
    events.register("before-parse.*.*", watch.judge)
    events.register("needs-retry.*.*", watch.decide)  # the longer name comes before the service's own handler


def is_foreign(operation: Any, status: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether nobody of AWS wrote it: a page for people, nothing where something must be, or an error without a code.

    Faults of a server or of what stands before it that pass by themselves are tried again, and not judged here.
    """
    if status in PASSING or any(name.startswith(("x-amz-", "x-amzn-")) for name in headers):
        return False
    if status >= 500:  # 511 is what a network says that wants people to sign in (RFC 6585)
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
    """Whether an error has a request id or a code."""
    return any(name.startswith(("x-amz-", "x-amzn-")) for name in headers) or b"<Code>" in body or b'"__type"' in body


def _looks_like_page(body: bytes) -> bool:
    return body[:100].lstrip().lower().startswith((b"<!doctype", b"<html"))


def _is_foreign_json(operation: Any, status: int, body: bytes) -> bool:
    """An answer of an operation that has members has one of them; an error has a name."""
    try:
        answer = json.loads(body or b"null")
    except ValueError:
        return True
    if status < 300:
        members = operation.output_shape.members if operation.output_shape else {}
        return bool(members) and not (isinstance(answer, dict) and answer.keys() & members.keys())
    return not isinstance(answer, dict) or not (answer.get("__type") or answer.get("code"))


def _has_document(operation: Any) -> bool:
    """Whether an S3 operation answers with XML, and not by headers alone or with an object's bytes."""
    shape = operation.output_shape
    if shape is None or operation.has_streaming_output:
        return False
    return any(not member.serialization.get("location") for member in shape.members.values())


class _Watch:
    """botocore's handlers for one Contact."""

    def __init__(self, contact: Contact) -> None:
        self.contact = contact

    def begin(self, request: Any, **_: Any) -> None:
        self.contact.begin(request.url)

    def judge(self, operation_model: Any, response_dict: MutableMapping[str, Any], **_: Any) -> None:
        """botocore retries by status, and does the same itself where S3 puts an error into an answer 200."""
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

    def decide(self, response: Any, operation: Any, attempts: int, caught_exception: Any = None, **_: Any) -> None:
        """What decides on a retry looks at the answer as it was judged; a server that never answered is soon given up."""
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
        if url and name in GIVEN_UP and attempts >= GIVEN_UP[name]:
            raise no_answer(operation.name, url, " ".join(str(caught_exception).split()), place=place)


def is_damaged(status: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether it is shorter than it was said to be, no XML or JSON where it was said to be that, or an error without its code."""
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
    """The AWS JSON protocols name an error in the body's `__type`, some services in a header too; `prefix#` may come before it.

    Source: Smithy, "AWS JSON 1.1 protocol", operation error serialization.
    """
    name = answer.get("__type") if isinstance(answer, dict) else None
    if not isinstance(name, str):
        return False
    said = headers.get("x-amzn-errortype", name)
    return name.rpartition("#")[2] == said.partition(":")[0].rpartition("#")[2]
