"""The front door: whom a request is for, and errors in the words of each protocol."""

from __future__ import annotations

import asyncio  # its loop gets a thread of its own: a browser's may be running in this one
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.etree import ElementTree

import pytest

from gtseg.local.errors import ServiceError
from gtseg.local.front.app import BODY_MAXIMUM, _find_service, _read_body, _rename, render_error

FORM = {"content-type": "application/x-www-form-urlencoded"}
SCOPE = "AWS4-HMAC-SHA256 Credential=AKIA/20261120/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("headers", "query", "service"),
    [
        ({"authorization": SCOPE.format("sagemaker")}, b"", "sagemaker"),
        ({"authorization": SCOPE.format("s3")}, b"", "s3"),
        ({}, b"X-Amz-Credential=AKIA%2F20261120%2Fus-east-1%2Fs3%2Faws4_request", "s3"),
        ({}, b"X-Amz-Credential=nonsense", ""),
        ({"authorization": "Bearer x"}, b"", ""),
        ({"authorization": ""}, b"X-Amz-Credential=a%2Fb%2Fc%2Fs3%2Fd", ""),
        ({}, b"", ""),
    ],
)
def test_the_service_is_that_of_the_credential_scope(
    headers: dict[str, str], query: bytes, service: str
) -> None:
    assert _find_service(headers, query) == service


def test_an_error_is_json_for_json_services_and_xml_for_query_services() -> None:
    error = ServiceError("ResourceNotFound", 'no <job> "x" & more', 404)
    status, headers, body = render_error(error, {})
    assert (status, headers["x-amzn-errortype"], json.loads(body)["message"]) == (
        404,
        "ResourceNotFound",
        'no <job> "x" & more',
    )
    _, headers, body = render_error(error, FORM)
    assert headers["content-type"] == "text/xml"
    assert ElementTree.fromstring(body).findtext("Error/Message") == 'no <job> "x" & more'


@pytest.mark.parametrize(
    ("headers", "name"), [({}, "UnrecognizedClientException"), (FORM, "InvalidClientTokenId")]
)
def test_each_protocol_has_its_own_name_for_an_unknown_key(headers: dict[str, str], name: str) -> None:
    assert _rename(ServiceError("InvalidAccessKeyId", "m", 403), headers).code == name


def read(pieces: list[dict[str, Any]], headers: dict[str, str]) -> bytes:
    left = iter(pieces)

    async def receive() -> dict[str, Any]:
        return next(left)

    return ThreadPoolExecutor(1).submit(asyncio.run, _read_body(receive, headers)).result()  # type: ignore[arg-type]


def test_a_body_is_put_together_and_refused_by_its_length_or_as_it_grows() -> None:
    whole = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b"},
    ]
    assert read(whole, {}) == b"ab"
    with pytest.raises(ServiceError, match="longer than"):
        read([], {"content-length": str(BODY_MAXIMUM + 1)})
    block = {"type": "http.request", "body": bytes(BODY_MAXIMUM // 2 + 1), "more_body": True}
    with pytest.raises(ServiceError, match="longer than"):
        read([block, block], {})
    with pytest.raises(ServiceError, match="went away"):
        read([{"type": "http.disconnect"}], {})
