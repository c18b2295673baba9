"""Handler of PutObject."""

from __future__ import annotations

import asyncio
import functools

from gtseg.local.s3.checksums import render
from gtseg.local.s3.conditions import make_write_condition
from gtseg.local.s3.metadata import (
    read_acl,
    read_content_type,
    read_metadata,
    read_system_headers,
)
from gtseg.local.s3.ownership import refuse_disabled_acl
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.request_body import ReceivedBody
from gtseg.local.s3.service import S3
from gtseg.local.s3.tags import read_tag_header
from gtseg.local.storage.files import SMALL_BYTES, Draft
from gtseg.local.storage.index import Condition, read_clock_ms
from gtseg.local.storage.intents import Intent
from gtseg.local.storage.stored import StoredObject


async def put_object(s3: S3, request: Request) -> Answer:
    headers = request.headers
    condition = make_write_condition(headers)
    metadata, system = read_metadata(headers), read_system_headers(headers)
    tags, acl = read_tag_header(headers), read_acl(headers)
    s3.objects.index.check_bucket_early(request.bucket)
    refuse_disabled_acl(s3, request.bucket, headers)
    with await s3.intake.take(request, small_bytes=SMALL_BYTES) as taken:
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
        is_on_disk = await store(s3, info, taken, condition)
    return Answer(200, {"etag": f'"{info.etag}"', **render(info.checksums)}, is_on_disk=is_on_disk)


async def store(s3: S3, info: StoredObject, taken: ReceivedBody, condition: Condition | None) -> bool:
    """Store a received body as an object; return whether it is on disk. Raises ServiceError if the index rejects it."""
    if taken.draft is None:
        s3.objects.index.replace(info, condition=condition, content=taken.content)
        if taken.content is not None:
            s3.objects.files.checked.trust_small(info.file, taken.content)
        return False
    await commit(s3, taken.draft, Intent(info.bucket, info.key, info), condition=condition)
    return True


async def commit(s3: S3, draft: Draft, intent: Intent, *, condition: Condition | None = None) -> None:
    """Commit a file in a worker thread, which waits for the disk."""
    work = functools.partial(s3.objects.commit, draft, intent, condition=condition)
    await asyncio.get_running_loop().run_in_executor(s3.pool, work)
