"""PUT of an object."""

from __future__ import annotations

from gtseg.local.s3.checksums import render
from gtseg.local.s3.conditions import make_write_condition
from gtseg.local.s3.intake import Taken
from gtseg.local.s3.metadata import (
    read_acl,
    read_content_type,
    read_metadata,
    read_system_headers,
)
from gtseg.local.s3.ownership import refuse_disabled_acl
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.tagging import read_tag_header
from gtseg.local.storage.files import SMALL_BYTES
from gtseg.local.storage.index import Condition, read_clock_ms
from gtseg.local.storage.stored import StoredObject

__all__ = ["put_object", "store"]


async def put_object(s3: S3, request: Request) -> Answer:
    headers = request.headers
    condition = make_write_condition(headers)
    metadata, system = read_metadata(headers), read_system_headers(headers)
    tags, acl = read_tag_header(headers), read_acl(headers)
    s3.objects.index.check_bucket(request.bucket)
    refuse_disabled_acl(s3, request.bucket, headers)
    taken = await s3.intake.take(request, small_bytes=SMALL_BYTES)
    info = StoredObject(
        request.bucket,
        request.key,
        taken.size,
        taken.md5,
        read_content_type(headers),
        read_clock_ms(),
        metadata,
        taken.checksums,
        file=taken.file,
        headers=system,
        tags=tags,
        acl=acl,
    )
    store(s3, info, taken, condition)
    return Answer(200, {"etag": f'"{info.etag}"', **render(info.checksums)})


def store(s3: S3, info: StoredObject, taken: Taken, condition: Condition | None) -> None:
    """Commit a body; its file is removed if the index refuses it."""
    try:
        s3.objects.index.replace(info, condition=condition, content=taken.content)
    except BaseException:
        s3.objects.files.remove(taken.file)
        raise
