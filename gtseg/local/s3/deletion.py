"""DELETE of one object, and of up to a thousand in one request."""

from __future__ import annotations

from gtseg.local.errors import ServiceError
from gtseg.local.s3.conditions import make_delete_condition
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, malformed, parse, wrap

__all__ = ["delete_object", "delete_objects"]

KEYS_MAXIMUM = 1000


def delete_object(s3: S3, request: Request) -> Answer:
    s3.objects.index.delete(request.bucket, request.key, condition=make_delete_condition(request.headers))
    return Answer(204)


def delete_objects(s3: S3, request: Request) -> Answer:
    """All in one transaction; a key whose ETag condition fails is reported and the others go."""
    tree = parse(request.body, "Delete")
    wanted = [(node.findtext("Key") or "", node.findtext("ETag")) for node in tree.findall("Object")]
    if not 1 <= len(wanted) <= KEYS_MAXIMUM or not all(key for key, _ in wanted):
        raise malformed()
    if not any(name in request.headers for name in INTEGRITY):
        raise ServiceError(
            "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        )
    quiet = tree.findtext("Quiet") == "true"
    results: list[str] = []
    with s3.objects.index.database.write():
        s3.objects.index.check_bucket(request.bucket)
        for key, etag in wanted:
            error = _delete_one(s3, request.bucket, key, etag)
            if error is not None:
                results.append(_render_error(key, error))
            elif not quiet:
                results.append(f"<Deleted>{element('Key', key)}</Deleted>")
    return Answer(body=wrap("DeleteResult", *results))


# One of these has to vouch for the list of keys.
INTEGRITY = (
    "content-md5",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-trailer",
)


def _delete_one(s3: S3, bucket: str, key: str, etag: str | None) -> ServiceError | None:
    condition = make_delete_condition({"if-match": etag}) if etag is not None else None
    try:
        s3.objects.index.delete(bucket, key, condition=condition)
    except ServiceError as error:
        return error
    return None


def _render_error(key: str, error: ServiceError) -> str:
    return f"<Error>{element('Key', key)}{element('Code', error.code)}{element('Message', error.message)}</Error>"
