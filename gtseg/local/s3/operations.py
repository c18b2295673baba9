"""Table of the S3 operations by method, level and subresource; other requests are rejected as on AWS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from gtseg.local.errors import ServiceError
from gtseg.local.s3 import (
    access,
    attributes,
    buckets,
    copy,
    cors,
    deletion,
    get,
    listing,
    multipart,
    ownership,
    post,
    put,
    settings,
    tags,
    uploads_listing,
    versions,
)
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3

Place = Literal["inline", "pool", "stream"]
"""inline: on the event loop (microseconds); pool: in a worker thread.

Stream: a coroutine that reads the body itself.
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """An S3 operation; `takes_document`: its body is read into memory before the handler is called."""

    name: str
    handler: Callable[[S3, Request], Any]
    place: Place = "pool"
    takes_document: bool = False


SERVICE, BUCKET, OBJECT = 0, 1, 2
Table = dict[tuple[str, int, str], Operation]


def _document(name: str, handler: Callable[[S3, Request], Answer]) -> Operation:
    return Operation(name, handler, takes_document=True)


BUCKETS: Table = {
    ("GET", SERVICE, ""): Operation("ListBuckets", buckets.list_buckets),
    ("PUT", BUCKET, ""): _document("CreateBucket", buckets.create_bucket),
    ("HEAD", BUCKET, ""): Operation("HeadBucket", buckets.head_bucket, "inline"),
    ("DELETE", BUCKET, ""): Operation("DeleteBucket", buckets.delete_bucket),
    ("GET", BUCKET, "location"): Operation("GetBucketLocation", buckets.get_location),
    ("GET", BUCKET, "cors"): Operation("GetBucketCors", cors.get_cors),
    ("PUT", BUCKET, "cors"): _document("PutBucketCors", cors.put_cors),
    ("DELETE", BUCKET, "cors"): Operation("DeleteBucketCors", cors.delete_cors),
    ("GET", BUCKET, "tagging"): Operation("GetBucketTagging", tags.get_bucket_tags),
    ("PUT", BUCKET, "tagging"): _document("PutBucketTagging", tags.put_bucket_tags),
    ("DELETE", BUCKET, "tagging"): Operation("DeleteBucketTagging", tags.delete_bucket_tags),
    ("GET", BUCKET, "policy"): Operation("GetBucketPolicy", access.get_policy),
    ("PUT", BUCKET, "policy"): _document("PutBucketPolicy", access.put_policy),
    ("DELETE", BUCKET, "policy"): Operation("DeleteBucketPolicy", access.delete_policy),
    ("GET", BUCKET, "policyStatus"): Operation("GetBucketPolicyStatus", access.get_policy_status),
    ("GET", BUCKET, "acl"): Operation("GetBucketAcl", access.get_bucket_acl),
    ("PUT", BUCKET, "acl"): _document("PutBucketAcl", access.put_bucket_acl),
    ("GET", BUCKET, "ownershipControls"): Operation("GetBucketOwnershipControls", ownership.get_ownership),
    ("PUT", BUCKET, "ownershipControls"): _document("PutBucketOwnershipControls", ownership.put_ownership),
    ("DELETE", BUCKET, "ownershipControls"): Operation("DeleteBucketOwnershipControls", ownership.delete_ownership),
    ("PUT", BUCKET, "versioning"): _document("PutBucketVersioning", settings.put_versioning),
    **{
        ("GET", BUCKET, name): Operation(operation, settings.answer_absent(code, message))
        for name, (operation, code, message) in settings.ABSENT.items()
    },
    **{
        ("GET", BUCKET, name): Operation(operation, settings.answer_empty(root, content))
        for name, (operation, root, content) in settings.EMPTY.items()
    },
}
LISTINGS: Table = {
    ("GET", BUCKET, ""): Operation("ListObjects", listing.list_objects),
    ("GET", BUCKET, "list-type"): Operation("ListObjectsV2", listing.list_objects_v2),
    ("GET", BUCKET, "versions"): Operation("ListObjectVersions", versions.list_versions),
    ("GET", BUCKET, "uploads"): Operation("ListMultipartUploads", uploads_listing.list_uploads),
    ("GET", OBJECT, "uploadId"): Operation("ListParts", uploads_listing.list_parts),
}
OBJECTS: Table = {
    ("GET", OBJECT, ""): Operation("GetObject", get.get_object, "stream"),
    ("HEAD", OBJECT, ""): Operation("HeadObject", get.head_object, "inline"),
    ("PUT", OBJECT, ""): Operation("PutObject", put.put_object, "stream"),
    ("DELETE", OBJECT, ""): Operation("DeleteObject", deletion.delete_object, "inline"),
    ("POST", BUCKET, "delete"): _document("DeleteObjects", deletion.delete_objects),
    ("POST", BUCKET, ""): Operation("PostObject", post.post_object, "stream"),
    ("GET", OBJECT, "attributes"): Operation("GetObjectAttributes", attributes.get_attributes),
    ("GET", OBJECT, "tagging"): Operation("GetObjectTagging", tags.get_object_tags),
    ("PUT", OBJECT, "tagging"): _document("PutObjectTagging", tags.put_object_tags),
    ("DELETE", OBJECT, "tagging"): Operation("DeleteObjectTagging", tags.delete_object_tags),
    ("GET", OBJECT, "acl"): Operation("GetObjectAcl", access.get_object_acl),
    ("PUT", OBJECT, "acl"): _document("PutObjectAcl", access.put_object_acl),
    ("POST", OBJECT, "uploads"): Operation("CreateMultipartUpload", multipart.create_upload),
    ("PUT", OBJECT, "uploadId"): Operation("UploadPart", multipart.put_part, "stream"),
    ("POST", OBJECT, "uploadId"): _document("CompleteMultipartUpload", multipart.complete_upload),
    ("DELETE", OBJECT, "uploadId"): Operation("AbortMultipartUpload", multipart.abort_upload),
    ("OPTIONS", BUCKET, ""): Operation("PreflightRequest", cors.answer_preflight),
    ("OPTIONS", OBJECT, ""): Operation("PreflightRequest", cors.answer_preflight),
}
OPERATIONS: Table = BUCKETS | LISTINGS | OBJECTS
COPIES = {
    "PutObject": Operation("CopyObject", copy.copy_object),
    "UploadPart": Operation("UploadPartCopy", multipart.copy_part),
}
SIGNED_IN_FORM = ("PostObject",)
"""Operations whose signature is in the form instead of a header or the query."""

SUBRESOURCES = frozenset(
    [
        "accelerate",
        "acl",
        "analytics",
        "attributes",
        "cors",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "list-type",
        "location",
        "logging",
        "metadataConfiguration",
        "metadataTable",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "renameObject",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "session",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versioning",
        "versions",
        "website",
    ]
)
"""Query names that select an operation; those without an entry in OPERATIONS are not implemented."""


def find_operation(request: Request) -> Operation:
    """Return the operation of a request. Raises ServiceError NotImplemented, MethodNotAllowed or NoSuchVersion."""
    level = OBJECT if request.key else BUCKET if request.bucket else SERVICE
    subresource = ""
    if request.query and request.method != "OPTIONS":
        subresource = next((name for name in request.query if name in SUBRESOURCES), "")
        if request.query.get("versionId", "null") != "null":
            raise ServiceError("NoSuchVersion", "The specified version does not exist.", 404)
    operation = OPERATIONS.get((request.method, level, subresource))
    if operation is None:
        raise _refuse(request, subresource)
    if "x-amz-copy-source" in request.headers:
        return COPIES.get(operation.name, operation)
    return operation


def _refuse(request: Request, subresource: str) -> ServiceError:
    if subresource:
        return ServiceError(
            "NotImplemented", f"{request.method} ?{subresource} is not implemented by this server.", 501
        )
    return ServiceError(
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
        405,
        fields={"Method": request.method},
    )
