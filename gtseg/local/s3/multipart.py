"""Handlers for multipart uploads: create, upload or copy parts, list, complete, abort."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from itertools import pairwise

from gtseg.local.errors import ServiceError
from gtseg.local.s3 import checksums
from gtseg.local.s3.conditions import check_copy_source, make_write_condition
from gtseg.local.s3.copy import hash_file, parse_source
from gtseg.local.s3.metadata import (
    read_acl,
    read_content_type,
    read_metadata,
    read_system_headers,
)
from gtseg.local.s3.ownership import refuse_disabled_acl
from gtseg.local.s3.put import commit
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.tags import read_tag_header
from gtseg.local.s3.xml import element, format_time, malformed, parse, wrap
from gtseg.local.storage.files import Draft
from gtseg.local.storage.index import read_clock_ms
from gtseg.local.storage.intents import Intent
from gtseg.local.storage.stored import StoredObject
from gtseg.local.storage.uploads import Part, Upload

PART_NUMBER_MAXIMUM = 10_000
PART_BYTES_MINIMUM = 5 << 20
SOURCE_RANGE = re.compile(r"bytes=(\d+)-(\d+)\Z")


@dataclass(frozen=True, slots=True)
class ListedPart:
    """A part in a CompleteMultipartUpload request."""

    number: int
    etag: str
    checksums: dict[str, str]


def create_upload(s3: S3, request: Request) -> Answer:
    headers = request.headers
    refuse_disabled_acl(s3, request.bucket, headers)
    algorithm = headers.get("x-amz-checksum-algorithm", "")
    algorithm = checksums.read_algorithm(algorithm) if algorithm else ""
    kind = headers.get("x-amz-checksum-type", "").upper() or (checksums.default_type(algorithm) if algorithm else "")
    _check_type(algorithm, kind)
    upload = Upload(
        request.bucket,
        request.key,
        content_type=read_content_type(headers),
        metadata=read_metadata(headers),
        headers=read_system_headers(headers),
        tags=read_tag_header(headers),
        acl=read_acl(headers),
        algorithm=algorithm,
        checksum_type=kind,
    )
    identity = s3.uploads.begin(upload)
    declared = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind} if algorithm else {}
    parts = [element("Bucket", request.bucket), element("Key", request.key), element("UploadId", identity)]
    return Answer(200, declared, wrap("InitiateMultipartUploadResult", *parts))


def _check_type(algorithm: str, kind: str) -> None:
    wrong = (algorithm.startswith("SHA") and kind == "FULL_OBJECT") or (
        algorithm == "CRC64NVME" and kind == "COMPOSITE"
    )
    if wrong or kind not in ("", "FULL_OBJECT", "COMPOSITE"):
        raise ServiceError(
            "InvalidRequest",
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.",
        )


async def put_part(s3: S3, request: Request) -> Answer:
    upload, number = _find_upload(s3, request), _read_number(request)
    with await s3.intake.take(request, algorithm=upload.algorithm) as taken:
        part = Part(number, taken.file, taken.size, taken.md5, read_clock_ms(), taken.checksums)
        assert taken.draft is not None  # parts always have a file
        await commit(s3, taken.draft, Intent(upload.bucket, upload.key, part, upload.id))
    shown = {checksums.header_of(name): value for name, value in part.checksums.items()}
    return Answer(200, {"etag": f'"{part.etag}"', **shown}, is_on_disk=True)


def copy_part(s3: S3, request: Request) -> Answer:
    upload, number = _find_upload(s3, request), _read_number(request)
    bucket, key = parse_source(request.headers["x-amz-copy-source"])
    source, descriptor = s3.objects.open_descriptor(bucket, key)
    try:
        check_copy_source(source, request.headers)
        start, length = _read_source_range(request, source)
        with s3.objects.files.begin() as draft:
            draft.append(descriptor, start=start, length=length)
            md5, sums = hash_file(s3, draft.number, upload.algorithm)
            part = Part(number, draft.number, length, md5, read_clock_ms(), sums)
            s3.objects.commit(draft, Intent(upload.bucket, upload.key, part, upload.id))
    finally:
        os.close(descriptor)
    shown = [element(f"Checksum{name}", value) for name, value in part.checksums.items()]
    described = [element("LastModified", format_time(part.modified_ms)), element("ETag", f'"{part.etag}"')]
    return Answer(body=wrap("CopyPartResult", *described, *shown), is_on_disk=True)


def complete_upload(s3: S3, request: Request) -> Answer:
    identity = request.query["uploadId"]
    condition = make_write_condition(request.headers)
    done = s3.uploads.find_completed(request.bucket, request.key, identity)
    if done is not None:
        present = s3.objects.index.find(request.bucket, request.key)
        is_same = present is not None and present.etag == done
        return _render_completed(s3, request, done, present.checksums if present and is_same else {})
    upload = _find_upload(s3, request)
    parts = _choose_parts(s3, upload, _read_wanted(request.body))
    if condition is not None:
        condition(s3.objects.index.find(request.bucket, request.key))  # check early; checked again when committed
    _check_declared_type(request, upload)
    with s3.objects.files.begin() as draft:
        info = _check_declared(s3, request, _assemble(s3, upload, parts, draft))
        s3.objects.commit(draft, Intent(info.bucket, info.key, info, upload.id), condition=condition)
    return replace(_render_completed(s3, request, info.etag, info.checksums), is_on_disk=True)


def abort_upload(s3: S3, request: Request) -> Answer:
    s3.uploads.abort(_find_upload(s3, request))
    return Answer(204)


def _find_upload(s3: S3, request: Request) -> Upload:
    return s3.uploads.find(request.bucket, request.key, request.query["uploadId"])


def _read_number(request: Request) -> int:
    text = request.query.get("partNumber", "")
    if not text.isdecimal() or not 1 <= int(text) <= PART_NUMBER_MAXIMUM:
        raise ServiceError(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {PART_NUMBER_MAXIMUM}, inclusive",
            fields={"ArgumentName": "partNumber", "ArgumentValue": text},
        )
    return int(text)


def _read_source_range(request: Request, source: StoredObject) -> tuple[int, int]:
    """Return (start, length) of x-amz-copy-source-range; the whole source without it."""
    text = request.headers.get("x-amz-copy-source-range")
    if text is None:
        return 0, source.size
    found = SOURCE_RANGE.match(text)
    if found is None or int(found[2]) < int(found[1]):
        raise ServiceError(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            fields={"ArgumentName": "x-amz-copy-source-range", "ArgumentValue": text},
        )
    start, last = int(found[1]), int(found[2])
    if last >= source.size:
        raise ServiceError(
            "InvalidRange", f"Range specified is not valid for source object of size: {source.size}", 416
        )
    return start, last - start + 1


def _read_wanted(document: bytes) -> list[ListedPart]:
    wanted = []
    members = ("Part", "PartNumber", "ETag", *(f"Checksum{name}" for name in checksums.ALGORITHMS))
    for node in parse(document, "CompleteMultipartUpload", *members).findall("Part"):
        number, etag = node.findtext("PartNumber") or "", (node.findtext("ETag") or "").strip().strip('"')
        if not number.isdecimal() or not etag:
            raise malformed()
        given = {name: value for name in checksums.ALGORITHMS if (value := node.findtext(f"Checksum{name}"))}
        wanted.append(ListedPart(int(number), etag, given))
    if not wanted:
        raise malformed()
    if any(later.number <= earlier.number for earlier, later in pairwise(wanted)):
        raise ServiceError(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
        )
    return wanted


def _choose_parts(s3: S3, upload: Upload, wanted: list[ListedPart]) -> list[Part]:
    """Return the stored parts that the request lists. Raises ServiceError InvalidPart or EntityTooSmall."""
    stored = {part.number: part for part in s3.uploads.list_parts(upload.id)}
    chosen = []
    for want in wanted:
        part = stored.get(want.number)
        if part is None or part.etag != want.etag or not want.checksums.items() <= part.checksums.items():
            raise ServiceError(
                "InvalidPart",
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
                "specified entity tag may not match the part's entity tag.",
                fields={"UploadId": upload.id, "PartNumber": str(want.number), "ETag": want.etag},
            )
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < PART_BYTES_MINIMUM:
            raise ServiceError(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                fields={
                    "ProposedSize": str(part.size),
                    "MinSizeAllowed": str(PART_BYTES_MINIMUM),
                    "PartNumber": str(part.number),
                    "ETag": part.etag,
                },
            )
    return chosen


def _assemble(s3: S3, upload: Upload, parts: list[Part], draft: Draft) -> StoredObject:
    """Concatenate the parts in a new file, copied by the kernel; return the object."""
    try:
        for part in parts:
            s3.objects.check_part(part)
        s3.objects.files.append_files(draft, [(part.file, part.size) for part in parts])
    except FileNotFoundError:  # completed or aborted concurrently
        s3.uploads.find(upload.bucket, upload.key, upload.id)
        raise
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False)
    return StoredObject(
        upload.bucket,
        upload.key,
        sum(part.size for part in parts),
        f"{digest.hexdigest()}-{len(parts)}",
        upload.content_type,
        read_clock_ms(),
        upload.metadata,
        _combine_checksums(upload, parts),
        file=draft.number,
        headers=upload.headers,
        tags=upload.tags,
        parts=tuple(part.size for part in parts),
        acl=upload.acl,
        part_checksums=tuple(part.checksums.get(upload.algorithm, "") for part in parts) if upload.algorithm else (),
    )


def _combine_checksums(upload: Upload, parts: list[Part]) -> dict[str, str]:
    if not upload.algorithm:
        return {}
    sums = [(part.checksums[upload.algorithm], part.size) for part in parts]
    combined = checksums.combine_parts(upload.algorithm, upload.checksum_type, sums)
    return {upload.algorithm: combined, "type": upload.checksum_type}


def _check_declared_type(request: Request, upload: Upload) -> None:
    """Check that the declared checksum algorithm and type are those that the upload was created with."""
    kind = request.headers.get("x-amz-checksum-type", "").upper()
    if kind and kind != (upload.checksum_type or "FULL_OBJECT"):
        raise ServiceError(
            "InvalidRequest",
            f"The upload was created using the {upload.checksum_type or 'FULL_OBJECT'} checksum mode. "
            f"The complete request must use the same checksum mode.",
        )
    for name in checksums.ALGORITHMS:
        if checksums.header_of(name) not in request.headers:
            continue
        if upload.algorithm not in ("", name) or (not upload.algorithm and name.startswith("SHA")):
            raise ServiceError(
                "InvalidRequest",
                f"The upload was created using the {upload.algorithm.lower() or 'null'} checksum algorithm. "
                f"The complete request must not declare a {name.lower()} checksum.",
            )


def _check_declared(s3: S3, request: Request, info: StoredObject) -> StoredObject:
    """Check the declared checksums and size of the whole object; store a checksum that only this request has."""
    for name in checksums.ALGORITHMS:
        declared = request.headers.get(checksums.header_of(name))
        if declared is None:
            continue
        if name not in info.checksums:
            _, sums = hash_file(s3, info.file, name)
            info = replace(info, checksums={**sums, "type": "FULL_OBJECT"})
        if declared.partition("-")[0] != info.checksums[name].partition("-")[0]:
            raise ServiceError("BadDigest", f"The {name} you specified did not match the calculated checksum.")
    size = request.headers.get("x-amz-mp-object-size")
    if size is not None and size != str(info.size):
        raise ServiceError(
            "InvalidRequest",
            f"The provided 'x-amz-mp-object-size' header value {size} does not match {info.size}.",
        )
    return info


def _render_completed(s3: S3, request: Request, etag: str, sums: dict[str, str]) -> Answer:
    location = f"http://{request.headers.get('host', '')}{request.raw_path.decode('latin-1')}"
    parts = [
        element("Location", location),
        element("Bucket", request.bucket),
        element("Key", request.key),
        element("ETag", f'"{etag}"'),
    ]
    parts += [element("ChecksumType" if name == "type" else f"Checksum{name}", value) for name, value in sums.items()]
    return Answer(body=wrap("CompleteMultipartUploadResult", *parts))
