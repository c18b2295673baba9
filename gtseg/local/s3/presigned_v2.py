"""Presigned URLs of Signature Version 2, boto3's default for us-east-1.

Source: S3 User Guide, "Signing and authenticating REST requests", query string authentication. Requests with a version
2 Authorization header are rejected, as in newer AWS regions.
"""

from __future__ import annotations

import base64
import hmac
import re

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import Signed
from gtseg.local.s3.request import Request
from gtseg.local.s3.service import S3

EXPIRES = re.compile(r"[0-9]{1,18}")  # epoch seconds
SUBRESOURCES = frozenset(
    [
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "delete",
        "encryption",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "select",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    ]
)


def is_presigned_v2(request: Request) -> bool:
    return "Signature" in request.query and "AWSAccessKeyId" in request.query


def verify_v2(s3: S3, request: Request) -> Signed:
    """Verify the signature and expiry. Raises ServiceError."""
    query = request.query
    access_key = query["AWSAccessKeyId"]
    secret = s3.find_secret(access_key)
    if secret is None:
        raise ServiceError(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            403,
            fields={"AWSAccessKeyId": access_key},
        )
    if any(name.lower() == "x-amz-security-token" for name in query):
        # The signature does not cover it, and this server issues no session tokens.
        raise ServiceError("AccessDenied", "The security token of the request is not signed.", 403)
    expires = query.get("Expires", "")
    if not EXPIRES.fullmatch(expires):
        raise ServiceError("AccessDenied", f"Invalid date (should be seconds since epoch): {expires[:100]}", 403)
    if s3.read_clock().timestamp() > int(expires):
        raise ServiceError("AccessDenied", "Request has expired", 403, fields={"Expires": expires})
    expected = sign_text(secret, _describe(request, expires))
    if not hmac.compare_digest(expected.encode(), query["Signature"].encode("utf-8", "replace")):
        raise ServiceError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            403,
            fields={"AWSAccessKeyId": access_key},
        )
    return Signed(access_key, "", s3.region, "s3", (), query["Signature"], "", 0)


def sign_text(secret: str, text: str) -> str:
    """Return the Signature Version 2 of a text (HMAC-SHA1, base64)."""
    return base64.b64encode(hmac.digest(secret.encode(), text.encode("utf-8", "surrogateescape"), "sha1")).decode()


def _describe(request: Request, expires: str) -> str:
    headers = request.headers
    amazon = "".join(
        f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers) if name.startswith("x-amz-")
    )
    chosen = sorted((name, value) for name, value in request.pairs if name in SUBRESOURCES)
    query = "&".join(f"{name}={value}" if value else name for name, value in chosen)
    resource = request.raw_path.decode("latin-1") + (f"?{query}" if query else "")
    parts = (request.method, headers.get("content-md5", ""), headers.get("content-type", ""), expires)
    return "\n".join(parts) + f"\n{amazon}{resource}"
