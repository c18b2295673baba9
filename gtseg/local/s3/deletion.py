"""Handlers of DeleteObject and DeleteObjects (up to 1,000 keys)."""

from __future__ import annotations

from dataclasses import dataclass

from gtseg.local.errors import ServiceError
from gtseg.local.s3.conditions import make_delete_condition
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, malformed, parse, wrap

KEYS_MAXIMUM = 1000
MEMBERS = ("Key", "VersionId", "ETag", "Size", "LastModifiedTime")


@dataclass(frozen=True, slots=True)
class DeletedObject:
    """Entry of a DeleteObjects request."""

    key: str | None
    version: str | None
    etag: str | None
    size: str | None
    modified: str | None


def delete_object(s3: S3, request: Request) -> Answer:
    headers = request.headers
    condition = make_delete_condition(
        headers.get("if-match"),
        size=headers.get("x-amz-if-match-size"),
        modified=headers.get("x-amz-if-match-last-modified-time"),
    )
    s3.objects.index.delete(request.bucket, request.key, condition=condition)
    return Answer(204)


def delete_objects(s3: S3, request: Request) -> Answer:
    """Delete objects in one transaction; a key whose condition fails is reported, the others are deleted."""
    tree = parse(request.body, "Delete", "Object", "Quiet", *MEMBERS)
    wanted = [DeletedObject(*(node.findtext(name) for name in MEMBERS)) for node in tree.findall("Object")]
    if not 1 <= len(wanted) <= KEYS_MAXIMUM or not all(want.key for want in wanted):
        raise malformed()
    if not any(name in request.headers for name in INTEGRITY):
        raise ServiceError(
            "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        )
    quiet = tree.findtext("Quiet") == "true"
    results: list[str] = []
    with s3.objects.index.database.write():
        s3.objects.index.check_bucket(request.bucket)
        for want in wanted:
            error = _delete_one(s3, request.bucket, want)
            if error is not None:
                results.append(_render_error(want, error))
            elif not quiet:
                results.append(f"<Deleted>{_name(want)}</Deleted>")
    return Answer(body=wrap("DeleteResult", *results))


INTEGRITY = (
    "content-md5",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-trailer",
)
"""Headers of which DeleteObjects requires one, to protect the list of keys."""


def _delete_one(s3: S3, bucket: str, want: DeletedObject) -> ServiceError | None:
    if want.version not in (None, "null"):
        return ServiceError("NoSuchVersion", "The specified version does not exist.", 404)
    try:
        condition = make_delete_condition(want.etag, size=want.size, modified=want.modified)
        s3.objects.index.delete(bucket, want.key or "", condition=condition)
    except ServiceError as error:
        return error
    return None


def _name(want: DeletedObject) -> str:
    return element("Key", want.key) + (element("VersionId", want.version) if want.version else "")


def _render_error(want: DeletedObject, error: ServiceError) -> str:
    return f"<Error>{_name(want)}{element('Code', error.code)}{element('Message', error.message)}</Error>"
