"""Object attributes as request and response headers."""

from __future__ import annotations

import base64

from gtseg.local.errors import ServiceError
from gtseg.local.s3.checksums import render
from gtseg.local.s3.request import Request
from gtseg.local.s3.xml import format_http_time
from gtseg.local.storage.objects import DEFAULT_TYPE
from gtseg.local.storage.stored import StoredObject

SYSTEM_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-website-redirect-location",
)
PREFIX = "x-amz-meta-"
METADATA_BYTES_MAXIMUM = 2048
OVERRIDES = {
    "response-content-type": "content-type",
    "response-content-language": "content-language",
    "response-expires": "expires",
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
}


def read_content_type(headers: dict[str, str]) -> str:
    return headers.get("content-type") or DEFAULT_TYPE


def read_metadata(headers: dict[str, str]) -> dict[str, str]:
    """Return user metadata.

    Raises ServiceError MetadataTooLarge over 2 KB (S3 User Guide, "Working with object metadata").
    """
    metadata = {name[len(PREFIX) :]: value for name, value in headers.items() if name.startswith(PREFIX)}
    if metadata:
        size = sum(len(name) + len(value.encode("utf-8", "surrogateescape")) for name, value in metadata.items())
        if size > METADATA_BYTES_MAXIMUM:
            raise ServiceError(
                "MetadataTooLarge",
                "Your metadata headers exceed the maximum allowed metadata size",
                fields={"Size": str(size), "MaxSizeAllowed": str(METADATA_BYTES_MAXIMUM)},
            )
    return metadata


def _encode_word(value: str) -> str:
    """Encode non-ASCII text as one RFC 2047 word, the form in which S3 returns it."""
    return f"=?UTF-8?B?{base64.b64encode(value.encode('utf-8', 'surrogateescape')).decode()}?="


def read_system_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers that S3 stores and returns; `aws-chunked` belongs to the transfer and is removed."""
    kept = {name: headers[name] for name in SYSTEM_HEADERS if headers.get(name)}
    encoding = kept.get("content-encoding")
    if encoding is not None and "aws-chunked" in encoding:
        codings = [coding for part in encoding.split(",") if (coding := part.strip()) != "aws-chunked"]
        kept["content-encoding"] = ",".join(codings)
        if not codings:
            del kept["content-encoding"]
    return kept | read_storage_class(headers)


CANNED_ACLS = ("private", "public-read", "bucket-owner-full-control", "bucket-owner-read")
STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY")
STORAGE_CLASS = "x-amz-storage-class"
UNSUPPORTED = (
    "x-amz-server-side-encryption-customer-",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context",
    "x-amz-copy-source-server-side-encryption-customer-",
    "x-amz-object-lock-",
    "x-amz-grant-",
    "x-amz-write-offset-bytes",
    "x-amz-optional-object-attributes",
    "x-amz-if-match-initiated-time",
    "x-amz-object-annotation-directive",
    "x-amz-checksum-sha512",
    "x-amz-checksum-md5",
    "x-amz-checksum-xxhash",
)
IGNORED = {
    "x-amz-request-payer": "Requests are free of charge.",
    "x-amz-mfa": "MFA delete requires versioning, which is rejected.",
    "x-amz-bypass-governance-retention": "There is no object retention to bypass.",
    "x-amz-confirm-remove-self-bucket-access": "No accepted policy removes the owner's access.",
}
"""Headers that no handler reads -> why they have no effect."""
NEUTRAL = {
    "x-amz-server-side-encryption": "AES256",  # the default of every bucket on AWS
    "x-amz-server-side-encryption-bucket-key-enabled": "false",
    "x-amz-bucket-object-lock-enabled": "false",
    "x-amz-bucket-namespace": "global",
}
"""Headers of unimplemented features -> the value that is accepted because it requests nothing."""


def read_acl(headers: dict[str, str]) -> str:
    """Return the canned ACL; "" if it means private. Raises ServiceError for one that is not implemented."""
    acl = headers.get("x-amz-acl", "")
    if acl and acl not in CANNED_ACLS:
        raise ServiceError("NotImplemented", f"The canned ACL {acl!r} is not implemented by this server.", 501)
    return "public-read" if acl == "public-read" else ""


def refuse_unsupported(headers: dict[str, str]) -> None:
    """Raise ServiceError NotImplemented for a header that requests an unimplemented feature."""
    for name in headers:
        if not name.startswith("x-amz-"):
            continue
        neutral = NEUTRAL.get(name)
        if name.startswith(UNSUPPORTED) or (neutral is not None and headers[name].lower() != neutral.lower()):
            raise _not_implemented(name)


def check_owners(headers: dict[str, str], account: str) -> None:
    """Raise ServiceError AccessDenied if the request expects a bucket owner other than `account`."""
    for name in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        if headers.get(name, account) != account:
            raise ServiceError("AccessDenied", "Access Denied", 403)


def _not_implemented(header: str) -> ServiceError:
    return ServiceError(
        "NotImplemented",
        "A header you provided implies functionality that is not implemented",
        501,
        fields={"Header": header},
    )


def read_storage_class(headers: dict[str, str]) -> dict[str, str]:
    """Return the storage class header as it is stored and returned; {} for STANDARD."""
    chosen = headers.get(STORAGE_CLASS, "STANDARD")
    if chosen in ("GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE"):
        raise _not_implemented(STORAGE_CLASS)
    if chosen not in STORAGE_CLASSES:
        raise ServiceError("InvalidStorageClass", "The storage class you specified is not valid")
    return {} if chosen == "STANDARD" else {STORAGE_CLASS: chosen}


def describe(info: StoredObject, request: Request) -> dict[str, str]:
    """Return the headers of GET and HEAD responses except Content-Length and Content-Range."""
    headers = {
        "content-type": info.content_type,
        "etag": f'"{info.etag}"',
        "last-modified": format_http_time(info.modified_ms),
        "accept-ranges": "bytes",
    }
    headers.update(info.headers)
    for name, value in info.metadata.items():
        headers[PREFIX + name] = value if value.isascii() else _encode_word(value)
    if info.tags:
        headers["x-amz-tagging-count"] = str(len(info.tags))
    if info.checksums and is_checksum_asked(request):
        headers.update(render(info.checksums))
    if request.query:
        _override(headers, request)
    return headers


def is_checksum_asked(request: Request) -> bool:
    return request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"


def _override(headers: dict[str, str], request: Request) -> None:
    for parameter, header in OVERRIDES.items():
        if parameter in request.query:
            if request.signed is None:
                raise ServiceError(
                    "InvalidRequest",
                    "Request specific response headers cannot be used for anonymous GET requests.",
                )
            headers[header] = request.query[parameter]
