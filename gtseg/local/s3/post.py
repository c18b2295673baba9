"""Handler of PostObject: a browser form with a signed policy (S3 API Reference, "Browser-based uploads using POST")."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from datetime import datetime
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import ALGORITHM, derive_key
from gtseg.local.s3.access import denied
from gtseg.local.s3.form import Form
from gtseg.local.s3.metadata import (
    read_acl,
    read_content_type,
    read_metadata,
    read_system_headers,
    refuse_unsupported,
)
from gtseg.local.s3.ownership import refuse_disabled_acl
from gtseg.local.s3.presigned_v2 import sign_text
from gtseg.local.s3.put import store
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.request_body import SIZE_MAXIMUM, Digests, iterate_body
from gtseg.local.s3.service import S3
from gtseg.local.s3.tags import read_tag_document
from gtseg.local.s3.xml import element, wrap
from gtseg.local.storage.index import read_clock_ms
from gtseg.local.storage.stored import StoredObject

Fields = dict[str, str]
EXPIRATION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")  # "ISO 8601 GMT date format"
REQUIRED_4 = ("x-amz-credential", "x-amz-date", "x-amz-signature")
REQUIRED_2 = ("awsaccesskeyid", "signature")
"""Required fields of a form with a policy, for Signature Version 4 and 2."""
UNCOVERED = ("policy", "x-amz-signature", "signature", "awsaccesskeyid", "file", "bucket")
"""Fields that need not be covered by a condition."""


async def post_object(s3: S3, request: Request) -> Answer:
    s3.objects.index.check_bucket(request.bucket)
    form = Form(request.headers.get("content-type", ""), iterate_body(request))
    await form.read_fields()
    fields = form.fields
    key = _read_key(fields, form.filename)
    smallest, largest = _authorize(s3, request, {**fields, "key": key})
    refuse_unsupported(fields)
    acl = {"x-amz-acl": fields.get("acl", fields.get("x-amz-acl", "bucket-owner-full-control"))}
    refuse_disabled_acl(s3, request.bucket, acl)
    digests = Digests(fields)
    with await s3.intake.take_stream(form.read_file(), digests, decoder=None, length=None, limit=largest) as taken:
        if taken.size < smallest:
            raise ServiceError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        info = StoredObject(
            request.bucket,
            key,
            taken.size,
            taken.md5,
            read_content_type(fields),
            read_clock_ms(),
            read_metadata(fields),
            taken.checksums,
            file=taken.file,
            headers=read_system_headers(fields),
            tags=read_tag_document(fields["tagging"].encode(), limit=10) if "tagging" in fields else {},
            acl=read_acl(acl),
        )
        await store(s3, info, taken, None)
    return _render(request, info, fields)


def _read_key(fields: Fields, filename: str) -> str:
    key = fields.get("key")
    if not key:
        raise ServiceError("InvalidArgument", "Bucket POST must contain a field named 'key'.")
    return key.replace("${filename}", filename.replace("\\", "/").rpartition("/")[2])


def _authorize(s3: S3, request: Request, fields: Fields) -> tuple[int, int]:
    """Return the (smallest, largest) size in bytes that the policy allows. Raises ServiceError."""
    if "policy" not in fields:
        raise denied()
    given, expected = _sign_policy(s3, fields)
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise ServiceError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            403,
        )
    return check_policy(fields["policy"], {**fields, "bucket": request.bucket}, now=s3.read_clock())


def _sign_policy(s3: S3, fields: Fields) -> tuple[str, str]:
    """Return (given, expected) signature by Signature Version 4, or by Version 2, boto3's default in us-east-1."""
    is_version_4 = "x-amz-algorithm" in fields
    for name in REQUIRED_4 if is_version_4 else REQUIRED_2:
        if not fields.get(name):
            raise ServiceError(
                "InvalidArgument",
                f"Bucket POST must contain a field named '{name}'.  "
                "If it is specified, please check the order of the fields.",
                fields={"ArgumentName": name, "ArgumentValue": ""},
            )
    if is_version_4 and fields["x-amz-algorithm"] != ALGORITHM:
        raise ServiceError("InvalidRequest", f"x-amz-algorithm must be {ALGORITHM}.")
    scope = fields.get("x-amz-credential", "").rsplit("/", 4)
    access_key = scope[0] if is_version_4 else fields.get("awsaccesskeyid", "")
    secret = s3.find_secret(access_key)
    if secret is None or (is_version_4 and len(scope) != 5):
        raise ServiceError(
            "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403
        )
    if not is_version_4:
        return fields.get("signature", ""), sign_text(secret, fields["policy"])
    key = derive_key(secret, scope[1], scope[2], scope[3])
    return fields.get("x-amz-signature", ""), hmac.digest(key, fields["policy"].encode(), "sha256").hex()


def check_policy(encoded: str, fields: Fields, *, now: datetime) -> tuple[int, int]:
    """Return the (smallest, largest) allowed size. Raises ServiceError if the policy expired or a condition fails."""
    try:
        policy = json.loads(base64.b64decode(encoded, validate=True))
        expires = datetime.fromisoformat(EXPIRATION.fullmatch(policy["expiration"])[0])  # type: ignore[index]
        conditions = [_read_condition(condition) for condition in policy["conditions"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, binascii.Error, RecursionError):
        raise ServiceError("InvalidPolicyDocument", "Invalid Policy: Invalid JSON.") from None
    if now >= expires:
        raise ServiceError("AccessDenied", "Invalid according to Policy: Policy expired.", 403)
    smallest, largest = 0, SIZE_MAXIMUM
    covered = set(UNCOVERED)
    for operator, name, value in conditions:
        if operator == "content-length-range":
            smallest, largest = max(smallest, int(name)), min(largest, int(value))
            continue
        covered.add(name)
        present = fields.get(name, "")
        if not (present == value if operator == "eq" else present.startswith(value)):
            raise _violated(f'Policy Condition failed: ["{operator}", "${name}", "{value}"]')
    extra = sorted(name for name in fields if name not in covered and not name.startswith("x-ignore-"))
    if extra:
        raise _violated(f"Extra input fields: {', '.join(extra)}")
    return smallest, largest


def _read_condition(condition: Any) -> tuple[str, str, str]:
    """Return (operator, field without `$`, value), or ("content-length-range", smallest, largest)."""
    if isinstance(condition, dict):
        ((name, value),) = condition.items()
        return "eq", name.lower(), str(value)
    operator, name, value = condition
    operator = operator.lower()
    if operator == "content-length-range":
        return operator, str(int(name)), str(int(value))
    if operator not in ("eq", "starts-with") or not name.startswith("$"):
        raise ValueError(condition)
    return operator, name[1:].lower(), str(value)


def _violated(reason: str) -> ServiceError:
    return ServiceError("AccessDenied", f"Invalid according to Policy: {reason}", 403)


def _render(request: Request, info: StoredObject, fields: Fields) -> Answer:
    location = f"http://{request.headers.get('host', '')}/{info.bucket}/{info.key}"
    headers = {"etag": f'"{info.etag}"', "location": location.encode("ascii", "replace").decode()}
    redirect = fields.get("success_action_redirect") or fields.get("redirect")
    if redirect:
        joint = "&" if "?" in redirect else "?"
        return Answer(303, headers | {"location": f"{redirect}{joint}bucket={info.bucket}&etag=%22{info.etag}%22"})
    status = {"200": 200, "201": 201}.get(fields.get("success_action_status", ""), 204)
    if status != 201:
        return Answer(status, headers)
    parts = [element("Location", location), element("Bucket", info.bucket), element("Key", info.key)]
    return Answer(201, headers, wrap("PostResponse", *parts, element("ETag", f'"{info.etag}"')))
