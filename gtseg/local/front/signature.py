"""Verification of AWS Signature Version 4 in the Authorization header and the presigned query string.

Source: AWS General Reference, "Signature Version 4 signing process"; S3 API Reference, "Authenticating Requests". S3
encodes the path once and keeps `//` and `..`; every other service encodes it twice.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from gtseg.local.errors import ServiceError

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
SKEW_SECONDS = 15 * 60
EXPIRES_MAXIMUM = 7 * 24 * 3600
PLAIN_PATH = re.compile(rb"[A-Za-z0-9_.~/-]*\Z")

Pairs = list[tuple[str, str]]
FindSecret = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Signed:
    """Signature of a request, not yet verified."""

    access_key: str
    date: str
    """YYYYMMDD of the credential scope."""
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str
    time: str
    """YYYYMMDDTHHMMSSZ."""
    expires: int | None = None
    """Validity of a presigned URL in seconds; None for a signed header."""

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def parse_query(query: bytes) -> Pairs:
    """Return decoded (name, value) pairs in order; a name without `=` has the value ''."""
    if not query:
        return []
    pairs = (part.partition("=") for part in query.decode("latin-1").split("&") if part)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


def parse_signed(headers: dict[str, str], query: dict[str, str]) -> Signed | None:
    """Parse the signature in the header or query; None for an anonymous request.

    Raises ServiceError if it is malformed.
    """
    authorization = headers.get("authorization")
    if authorization is not None:
        return _parse_header(authorization, headers)
    if "X-Amz-Signature" in query or "X-Amz-Algorithm" in query:
        return _parse_presigned(query)
    return None


def _parse_header(authorization: str, headers: dict[str, str]) -> Signed:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise ServiceError(
            "InvalidRequest",
            f"The authorization mechanism you have provided ({algorithm}) is not supported. Please use {ALGORITHM}.",
        )
    members = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in rest.split(","))}
    try:
        scope, signature = members["Credential"], members["Signature"]
        names = tuple(members["SignedHeaders"].lower().split(";"))
        access_key, date, region, service, _ = scope.rsplit("/", 4)
    except (KeyError, ValueError):
        raise ServiceError(
            "AuthorizationHeaderMalformed", "The authorization header that you provided is not valid."
        ) from None
    return Signed(access_key, date, region, service, names, signature, _read_time(headers))


def _read_time(headers: dict[str, str]) -> str:
    stamp = headers.get("x-amz-date")
    if stamp is not None:
        return stamp
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (KeyError, ValueError, TypeError):
        raise ServiceError(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", 403
        ) from None


def _parse_presigned(query: dict[str, str]) -> Signed:
    try:
        if query["X-Amz-Algorithm"] != ALGORITHM:
            raise ValueError
        access_key, date, region, service, _ = query["X-Amz-Credential"].rsplit("/", 4)
        names = tuple(query["X-Amz-SignedHeaders"].lower().split(";"))
        expires = int(query["X-Amz-Expires"])
        signed = Signed(
            access_key, date, region, service, names, query["X-Amz-Signature"], query["X-Amz-Date"], expires
        )
    except (KeyError, ValueError):
        raise ServiceError(
            "AuthorizationQueryParametersError",
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        ) from None
    if not 0 <= expires <= EXPIRES_MAXIMUM:
        raise ServiceError(
            "AuthorizationQueryParametersError",
            f"X-Amz-Expires must be non-negative and less than a week (in seconds); the given value {expires} is not.",
        )
    return signed


def verify(
    signed: Signed,
    *,
    method: str,
    raw_path: bytes,
    query: Pairs,
    headers: dict[str, str],
    payload_hash: str,
    find_secret: FindSecret,
    now: datetime,
) -> bytes:
    """Verify a signature and its time; return the signing key, for the chunks of a streamed body.

    Raises ServiceError.
    """
    secret = find_secret(signed.access_key)
    if secret is None:
        raise ServiceError(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            403,
            fields={"AWSAccessKeyId": signed.access_key},
        )
    _check_time(signed, now)
    _check_signed_headers(signed, headers)
    key = derive_key(secret, signed.date, signed.region, signed.service)
    canonical = _canonicalize(signed, method, raw_path, query, headers, payload_hash)
    expected = sign(key, signed, canonical)
    if not hmac.compare_digest(expected, signed.signature.encode("ascii", "replace").decode()):
        raise ServiceError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            403,
            fields={"AWSAccessKeyId": signed.access_key, "CanonicalRequest": canonical},
        )
    return key


def _parse_stamp(stamp: str) -> datetime:
    """Parse `YYYYMMDDTHHMMSSZ` as UTC. Raises ValueError."""
    if len(stamp) != 16 or stamp[8] != "T" or stamp[15] != "Z":
        raise ValueError(stamp)
    day, clock = stamp[:8], stamp[9:15]
    return datetime(
        int(day[:4]), int(day[4:6]), int(day[6:]), int(clock[:2]), int(clock[2:4]), int(clock[4:]), tzinfo=UTC
    )


def _check_time(signed: Signed, now: datetime) -> None:
    try:
        stamp = _parse_stamp(signed.time)
    except ValueError:
        raise ServiceError(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", 403
        ) from None
    age = (now - stamp).total_seconds()
    if signed.date != signed.time[:8]:
        raise ServiceError(
            "SignatureDoesNotMatch", "The date of the credential scope differs from the date of the request.", 403
        )
    if signed.expires is not None and age > signed.expires:
        raise ServiceError(
            "AccessDenied",
            "Request has expired",
            403,
            fields={"X-Amz-Expires": str(signed.expires), "ServerTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"},
        )
    if age < -SKEW_SECONDS or (signed.expires is None and age > SKEW_SECONDS):
        raise ServiceError(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            403,
            fields={
                "RequestTime": signed.time,
                "ServerTime": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "MaxAllowedSkewMilliseconds": str(SKEW_SECONDS * 1000),
            },
        )


def _check_signed_headers(signed: Signed, headers: dict[str, str]) -> None:
    """Check that `host` and every `x-amz-*` header are signed, because an unsigned header could have been added in
    transit.

    The payload hash is exempt: it is in the canonical request whether or not its header is signed.
    """
    unsigned = [
        name
        for name in headers
        if name.startswith("x-amz-") and name != "x-amz-content-sha256" and name not in signed.headers
    ]
    if "host" not in signed.headers:
        unsigned.insert(0, "host")
    if not unsigned:
        return
    if signed.service == "s3":
        raise ServiceError(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            403,
            fields={"HeadersNotSigned": ", ".join(unsigned)},
        )
    named = "'Host' or ':authority'" if unsigned == ["host"] else ", ".join(f"'{name}'" for name in unsigned)
    raise ServiceError("SignatureDoesNotMatch", f"{named} must be a 'SignedHeader' in the AWS Authorization.", 403)


@lru_cache(maxsize=256)
def derive_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Derive the signing key of a day, region and service."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, signed: Signed, canonical: str) -> str:
    """Return the signature of a canonical request in hex."""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    text = f"{ALGORITHM}\n{signed.time}\n{signed.scope}\n{digest}"
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonicalize(
    signed: Signed, method: str, raw_path: bytes, query: Pairs, headers: dict[str, str], payload_hash: str
) -> str:
    lines = "".join(f"{name}:{_collapse_spaces(headers.get(name, ''))}\n" for name in signed.headers)
    return (
        f"{method}\n{_encode_path(raw_path, twice=signed.service != 's3')}\n{_encode_query(query)}\n"
        f"{lines}\n{';'.join(signed.headers)}\n{payload_hash}"
    )


def _collapse_spaces(value: str) -> str:
    return " ".join(value.split(" ")) if "  " not in value else re.sub(" +", " ", value.strip())


def _encode_path(raw_path: bytes, *, twice: bool) -> str:
    if PLAIN_PATH.match(raw_path):
        return raw_path.decode()
    once = quote(unquote_to_bytes(raw_path), safe="/~")
    return quote(once, safe="/~") if twice else once


def _encode_query(query: Pairs) -> str:
    if not query:
        return ""
    encoded = sorted(
        (quote(name, safe="~"), quote(value, safe="~")) for name, value in query if name != "X-Amz-Signature"
    )
    return "&".join(f"{name}={value}" for name, value in encoded)
