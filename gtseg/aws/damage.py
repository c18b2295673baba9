"""Answers that got damaged on their way are asked for again: botocore takes whatever part of a body arrives for the whole.

TLS makes that rare, a proxy or a plain connection does not. Objects' own bodies are not looked at here: they have checksums.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping
from typing import Any
from xml.etree import ElementTree

__all__ = ["is_damaged", "watch_answers"]

CODE = re.compile(r"[A-Za-z0-9._]+")


def watch_answers(events: Any) -> None:
    """Let every client of a session (its event emitter) retry a damaged answer as it retries an error 500."""
    events.register("before-parse", _call_it_an_error)
    events.register(
        "needs-retry.*.*", _tell_the_status
    )  # the longer name comes before the service's own handler


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


def _call_it_an_error(operation_model: Any, response_dict: MutableMapping[str, Any], **_: Any) -> None:
    """botocore retries by status, and does the same itself where S3 puts an error into an answer 200."""
    status, body = response_dict["status_code"], response_dict["body"]
    is_head = operation_model.http.get("method") == "HEAD"
    if isinstance(body, bytes) and not is_head and is_damaged(status, body, response_dict["headers"]):
        response_dict["status_code"], response_dict["body"] = 500, b""


def _tell_the_status(response: Any, **_: Any) -> None:
    """What decides on a retry looks at the answer as it came."""
    if response is not None:
        answer, parsed = response
        answer.status_code = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", answer.status_code)
