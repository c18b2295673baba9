"""Signature Version 4 against what botocore signs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import parse_query, parse_signed, verify

KEYS = Credentials("AKIAEXAMPLE", "secret")
TEXTS = st.text(alphabet="ab é/+%&=?~*'()\t:", max_size=8)


def sign(service: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> AWSRequest:
    request = AWSRequest("PUT", url, headers=headers or {}, data=body)
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    kind(KEYS, service, "us-east-1").add_auth(request)
    return request


def check(request: AWSRequest, *, now: datetime | None = None, path: str | None = None, secret: str = "secret") -> None:
    parts = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": parts.netloc}
    pairs = parse_query(parts.query.encode())
    signed = parse_signed(headers, dict(pairs))
    assert signed is not None
    import hashlib

    verify(
        signed,
        method="PUT",
        raw_path=(path or parts.path).encode(),
        query=pairs,
        headers=headers,
        payload_hash=headers.get("x-amz-content-sha256") or hashlib.sha256(request.data or b"").hexdigest(),
        find_secret=lambda key: secret if key == "AKIAEXAMPLE" else None,
        now=now or datetime.now(UTC),
    )


@given(
    key=TEXTS,
    query=st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=3),
    value=st.text(alphabet="ab  ", max_size=6),
)
def test_requests_signed_by_botocore_are_accepted(key: str, query: dict[str, str], value: str) -> None:
    from urllib.parse import quote

    encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(text, safe='-_.~')}" for name, text in query.items())
    url = f"http://localhost:1/bucket/{quote(key, safe='/-_.~')}?{encoded}"
    check(sign("s3", url, {"x-amz-meta-a": f"x{value}y"}))


@pytest.mark.parametrize("service", ["s3", "sagemaker"])
def test_a_changed_path_a_wrong_secret_and_an_old_request_are_refused(service: str) -> None:
    request = sign(service, "http://localhost:1/endpoints/a%20b/invocations")
    check(request)
    with pytest.raises(ServiceError, match="SignatureDoesNotMatch"):
        check(request, path="/endpoints/other/invocations")
    with pytest.raises(ServiceError, match="SignatureDoesNotMatch"):
        check(request, secret="other")
    for minutes in (-16, 16):
        with pytest.raises(ServiceError, match="RequestTimeTooSkewed"):
            check(request, now=datetime.now(UTC) + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    "header",
    [
        "Basic abc",
        "AWS4-HMAC-SHA256 nonsense",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=x, Signature=y",
    ],
)
def test_malformed_authorization_is_a_client_error(header: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse_signed({"authorization": header, "x-amz-date": "20261120T000000Z"}, {})
    assert 400 <= refusal.value.status < 500


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("s3", "x-amz-copy-source"),
        ("s3", "x-amz-acl"),
        ("s3", "x-amz-security-token"),
        ("sagemaker", "x-amz-target"),
        ("sagemaker", "x-amz-security-token"),
    ],
)
def test_a_header_added_after_signing_is_refused(service: str, name: str) -> None:
    request = sign(service, "http://localhost:1/bucket/key", {"x-amz-meta-a": "b"})
    check(request)
    request.headers[name] = "added"
    with pytest.raises(ServiceError) as refusal:
        check(request)
    assert refusal.value.status == 403
    if service == "s3":
        assert (refusal.value.code, refusal.value.fields) == ("AccessDenied", {"HeadersNotSigned": name})


def test_an_unsigned_payload_hash_is_accepted_and_an_unsigned_host_is_refused() -> None:
    request = sign("s3", "http://localhost:1/bucket/key")
    parts = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": parts.netloc}
    signed = parse_signed(headers, {})
    assert signed is not None
    for left_out, code in (("x-amz-content-sha256", "SignatureDoesNotMatch"), ("host", "AccessDenied")):
        kept = tuple(name for name in signed.headers if name != left_out)
        with pytest.raises(ServiceError, match=code):  # the first is judged by its signature alone
            verify(
                replace(signed, headers=kept),
                method="PUT",
                raw_path=parts.path.encode(),
                query=[],
                headers=headers,
                payload_hash=headers["x-amz-content-sha256"],
                find_secret=lambda key: "secret",
                now=datetime.now(UTC),
            )
