"""An object's headers: what a client puts and gets back."""

from __future__ import annotations

import base64

from gtseg.local.errors import ServiceError
from gtseg.local.s3.checksums import render
from gtseg.local.s3.request import Request
from gtseg.local.s3.xml import format_http_time
from gtseg.local.storage.objects import DEFAULT_TYPE
from gtseg.local.storage.stored import StoredObject

__all__ = [
    "IGNORED",
    "check_owners",
    "describe",
    "is_checksum_asked",
    "read_acl",
    "read_content_type",
    "read_metadata",
    "read_storage_class",
    "read_system_headers",
    "refuse_unsupported",
]

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
    """User metadata. Raises ServiceError MetadataTooLarge beyond 2 KB (S3 User Guide, "Working with object metadata")."""
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


def encode_word(value: str) -> str:
    """Text beyond ASCII as one RFC 2047 word, the form in which S3 returns it; headers carry nothing else safely."""
    return f"=?UTF-8?B?{base64.b64encode(value.encode('utf-8', 'surrogateescape')).decode()}?="


def read_system_headers(headers: dict[str, str]) -> dict[str, str]:
    """Those that S3 keeps and sends back; `aws-chunked` is the transfer's and is not kept."""
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
# Headers that nothing here reads, and why that changes no answer.
IGNORED = {
    "x-amz-request-payer": "Nobody is charged here.",
    "x-amz-mfa": "MFA delete needs versioning, which is refused.",
    "x-amz-bypass-governance-retention": "No object is retained: there is nothing to bypass.",
    "x-amz-confirm-remove-self-bucket-access": "No policy that is accepted takes the owner's access away.",
}
# A value of these that asks for nothing is accepted.
NEUTRAL = {
    "x-amz-server-side-encryption": "AES256",  # what every bucket of AWS does by default
    "x-amz-server-side-encryption-bucket-key-enabled": "false",
    "x-amz-bucket-object-lock-enabled": "false",
    "x-amz-bucket-namespace": "global",
}


def read_acl(headers: dict[str, str]) -> str:
    """The canned ACL. Raises ServiceError for one that is not implemented; "" where access stays private."""
    acl = headers.get("x-amz-acl", "")
    if acl and acl not in CANNED_ACLS:
        raise ServiceError("NotImplemented", f"The canned ACL {acl!r} is not implemented by this server.", 501)
    return "public-read" if acl == "public-read" else ""


def refuse_unsupported(headers: dict[str, str]) -> None:
    """Raises ServiceError NotImplemented for a header that asks for what is not done here."""
    for name in headers:
        if not name.startswith("x-amz-"):
            continue
        neutral = NEUTRAL.get(name)
        if name.startswith(UNSUPPORTED) or (neutral is not None and headers[name].lower() != neutral.lower()):
            raise not_implemented(name)


def check_owners(headers: dict[str, str], account: str) -> None:
    """Raises ServiceError AccessDenied where a bucket is expected to be somebody else's."""
    for name in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        if headers.get(name, account) != account:
            raise ServiceError("AccessDenied", "Access Denied", 403)


def not_implemented(header: str) -> ServiceError:
    return ServiceError(
        "NotImplemented",
        "A header you provided implies functionality that is not implemented",
        501,
        fields={"Header": header},
    )


def read_storage_class(headers: dict[str, str]) -> dict[str, str]:
    """{} for STANDARD, else the header as it is kept and sent back."""
    chosen = headers.get(STORAGE_CLASS, "STANDARD")
    if chosen in ("GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE"):
        raise not_implemented(STORAGE_CLASS)
    if chosen not in STORAGE_CLASSES:
        raise ServiceError("InvalidStorageClass", "The storage class you specified is not valid")
    return {} if chosen == "STANDARD" else {STORAGE_CLASS: chosen}


def describe(info: StoredObject, request: Request) -> dict[str, str]:
    """The headers of GET and HEAD, Content-Length and Content-Range aside."""
    headers = {
        "content-type": info.content_type,
        "etag": f'"{info.etag}"',
        "last-modified": format_http_time(info.modified_ms),
        "accept-ranges": "bytes",
    }
    headers.update(info.headers)
    for name, value in info.metadata.items():
        headers[PREFIX + name] = value if value.isascii() else encode_word(value)
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
