"""Handlers of GetObject and HeadObject: ranges and conditions."""

from __future__ import annotations

import asyncio
import os
import re

from gtseg.local.errors import ServiceError
from gtseg.local.s3.checksums import render
from gtseg.local.s3.conditions import check_read
from gtseg.local.s3.metadata import describe, is_checksum_asked
from gtseg.local.s3.request import Answer, FileSlice, Request
from gtseg.local.s3.service import S3
from gtseg.local.storage.stored import StoredObject

RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
INLINE_BYTES = 64 * 1024


async def get_object(s3: S3, request: Request) -> Answer:
    info, content = s3.objects.find_small(request.bucket, request.key)
    if content is not None:
        answer, start, length = plan_read(info, request)
        if answer.status != 304:
            answer.body = content[start : start + length]
        return answer
    info, descriptor = s3.objects.open_descriptor(request.bucket, request.key, is_checked=False)
    try:
        if s3.objects.is_checked(info, descriptor) or info.is_small:
            check_known(s3, info, descriptor)
        else:  # the first check of a file reads all of it
            await asyncio.get_running_loop().run_in_executor(s3.pool, s3.objects.check_bytes, info, descriptor)
        answer, start, length = plan_read(info, request)
        if answer.status == 304 or not length:
            os.close(descriptor)
        elif length <= INLINE_BYTES:
            answer.body = os.pread(descriptor, length, start)
            os.close(descriptor)
        else:
            answer.file = FileSlice(descriptor, start, length)
    except BaseException:
        os.close(descriptor)
        raise
    return answer


def check_known(s3: S3, info: StoredObject, descriptor: int) -> None:
    """Raise ServiceError for a file known to be damaged; bytes of small objects were checked when they were read."""
    if not info.is_small:
        s3.objects.check_bytes(info, descriptor)


def head_object(s3: S3, request: Request) -> Answer:
    answer, _, _ = plan_read(s3.objects.find(request.bucket, request.key), request)
    return answer


def plan_read(info: StoredObject, request: Request) -> tuple[Answer, int, int]:
    """Return the response without its body, and the range (start, length) of the bytes to send."""
    headers = describe(info, request)
    if not check_read(info, request.headers):
        return Answer(304, {name: headers[name] for name in ("etag", "last-modified")}), 0, 0
    start, length, status, sums = 0, info.size, 200, {}
    asked = request.headers.get("range")
    if "partNumber" in request.query:
        start, length = find_part(info, request.query["partNumber"])
        status = 206
        if is_checksum_asked(request):
            sums = render(find_part_checksums(info, int(request.query["partNumber"])))
        headers["content-range"] = f"bytes {start}-{start + length - 1}/{info.size}"
        if info.parts:
            headers["x-amz-mp-parts-count"] = str(len(info.parts))
    elif asked is not None and (span := parse_range(asked, info.size)) is not None:
        start, length = span
        status = 206
        headers["content-range"] = f"bytes {start}-{start + length - 1}/{info.size}"
    headers["content-length"] = str(length)
    if status == 206:  # the object's checksum does not apply to a range
        headers = {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum-")}
        headers |= sums
    return Answer(status, headers), start, length


def find_part(info: StoredObject, text: str) -> tuple[int, int]:
    """Return (start, length) of a part; an object stored in one piece has one.

    Raises ServiceError InvalidPartNumber.
    """
    parts = info.parts or (info.size,)
    if not text.isdecimal() or not 1 <= int(text) <= len(parts):
        raise ServiceError(
            "InvalidPartNumber",
            "The requested partnumber is not satisfiable",
            416,
            fields={"PartNumberRequested": text, "ActualPartCount": str(len(parts))},
        )
    return sum(parts[: int(text) - 1]), parts[int(text) - 1]


def find_part_checksums(info: StoredObject, number: int) -> dict[str, str]:
    """Return the checksums of a part, with the type of the whole object's; {} if there are none."""
    if not info.parts:
        return info.checksums
    if not info.part_checksums:
        return {}
    algorithm = next(name for name in info.checksums if name != "type")
    return {algorithm: info.part_checksums[number - 1], "type": info.checksums["type"]}


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """Parse a Range header into (start, length); None if S3 ignores it. Raises ServiceError InvalidRange."""
    found = RANGE.match(text.strip().replace(" ", ""))
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        start, stop = size - length, size
    else:
        start = int(found[1])
        stop = min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= stop:
        raise ServiceError(
            "InvalidRange",
            "The requested range is not satisfiable",
            416,
            fields={"RangeRequested": text, "ActualObjectSize": str(size)},
        )
    return start, stop - start
