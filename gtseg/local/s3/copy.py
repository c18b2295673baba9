"""Handler of CopyObject: server-side copy, with metadata and tags copied or replaced."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import unquote_plus

from gtseg.local.errors import ServiceError
from gtseg.local.s3 import checksums
from gtseg.local.s3.conditions import check_copy_source, make_write_condition
from gtseg.local.s3.metadata import (
    STORAGE_CLASS,
    read_acl,
    read_content_type,
    read_metadata,
    read_storage_class,
    read_system_headers,
)
from gtseg.local.s3.ownership import refuse_disabled_acl
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.tags import read_tag_header
from gtseg.local.s3.xml import element, format_time, wrap
from gtseg.local.storage.index import read_clock_ms
from gtseg.local.storage.intents import Intent
from gtseg.local.storage.stored import StoredObject

SIZE_MAXIMUM = 5 << 30
BLOCK_BYTES = 1 << 20


def copy_object(s3: S3, request: Request) -> Answer:
    headers = request.headers
    condition = make_write_condition(headers)
    bucket, key = parse_source(headers["x-amz-copy-source"])
    replaces = _read_directive(headers, "x-amz-metadata-directive") == "REPLACE"
    source, content = s3.objects.find_small(bucket, key)
    descriptor = None
    if content is None:
        source, descriptor = s3.objects.open_descriptor(bucket, key)
    try:
        check_copy_source(source, headers)
        _check_source(source, request, replaces=replaces)
        s3.objects.index.check_bucket(request.bucket)
        refuse_disabled_acl(s3, request.bucket, headers)
        if descriptor is None:
            number = -s3.objects.files.allocate()
            info = _describe_copy(s3, source, request, number, content, replaces=replaces)
            s3.objects.index.replace(info, condition=condition, content=content)
        else:
            with s3.objects.files.begin() as draft:
                draft.append(descriptor, start=0, length=source.size)
                info = _describe_copy(s3, source, request, draft.number, None, replaces=replaces)
                s3.objects.commit(draft, Intent(info.bucket, info.key, info), condition=condition)
    finally:
        if descriptor is not None:
            os.close(descriptor)
    described = [element("LastModified", format_time(info.modified_ms)), element("ETag", f'"{info.etag}"')]
    described += [
        element("ChecksumType" if name == "type" else f"Checksum{name}", value)
        for name, value in info.checksums.items()
    ]
    return Answer(body=wrap("CopyObjectResult", *described), is_on_disk=not info.is_small)


def _check_source(source: StoredObject, request: Request, *, replaces: bool) -> None:
    if source.size > SIZE_MAXIMUM:
        raise ServiceError(
            "InvalidRequest",
            f"The specified copy source is larger than the maximum allowable size: {SIZE_MAXIMUM}",
        )
    is_same = (source.bucket, source.key) == (request.bucket, request.key)
    if is_same and not replaces and STORAGE_CLASS not in request.headers:
        raise ServiceError(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )


def _describe_copy(
    s3: S3, source: StoredObject, request: Request, number: int, content: bytes | None, *, replaces: bool
) -> StoredObject:
    """Return the attributes of the copy: a single part, with an MD5 as ETag even if the source is a
    multipart object.
    """
    headers = request.headers
    info = replace(
        source,
        bucket=request.bucket,
        key=request.key,
        modified_ms=read_clock_ms(),
        file=number,
        parts=(),
        part_checksums=(),
        acl=read_acl(headers),
        headers={name: value for name, value in source.headers.items() if name != STORAGE_CLASS},
    )
    info = replace(info, headers=info.headers | read_storage_class(headers))
    asked = headers.get("x-amz-checksum-algorithm", "")
    algorithm = checksums.read_algorithm(asked) if asked else next(iter(source.checksums), "")
    if "-" in source.etag or (asked and algorithm not in source.checksums):
        etag, sums = hash_file(s3, number, algorithm) if content is None else _hash_blocks([content], algorithm)
        info = replace(info, etag=etag, checksums=sums)
    if replaces:
        info = replace(
            info,
            content_type=read_content_type(headers),
            metadata=read_metadata(headers),
            headers=read_system_headers(headers),
        )
    if _read_directive(headers, "x-amz-tagging-directive") == "REPLACE":
        info = replace(info, tags=read_tag_header(headers))
    return info


def _read_directive(headers: dict[str, str], name: str) -> str:
    directive = headers.get(name, "COPY")
    if directive not in ("COPY", "REPLACE"):
        raise ServiceError(
            "InvalidArgument",
            f"Unknown {name.removeprefix('x-amz-').replace('-', ' ')}.",
            fields={"ArgumentName": name, "ArgumentValue": directive},
        )
    return directive


def parse_source(text: str) -> tuple[str, str]:
    """Parse `[/]bucket/key[?versionId=null]`, percent-encoded with `+` for a space, into (bucket, key)."""
    path, _, version = text.partition("?versionId=")
    if version not in ("", "null"):
        raise ServiceError("NoSuchVersion", "The specified version does not exist.", 404)
    bucket, _, key = unquote_plus(path).removeprefix("/").partition("/")
    if not bucket or not key:
        raise ServiceError(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            fields={"ArgumentName": "x-amz-copy-source", "ArgumentValue": text},
        )
    return bucket, key


def hash_file(s3: S3, number: int, algorithm: str) -> tuple[str, dict[str, str]]:
    """Return (MD5 in hex, checksums) of a stored file; no checksums if `algorithm` is ''."""
    with open(s3.objects.files.locate(number), "rb") as file:
        return _hash_blocks(iter(lambda: file.read(BLOCK_BYTES), b""), algorithm)


def _hash_blocks(blocks: Iterable[bytes], algorithm: str) -> tuple[str, dict[str, str]]:
    md5 = hashlib.md5(usedforsecurity=False)
    checksum = checksums.make_checksum(algorithm) if algorithm else None
    for block in blocks:
        md5.update(block)
        if checksum is not None:
            checksum.update(block)
    return md5.hexdigest(), {algorithm: checksums.encode(checksum.digest())} if checksum is not None else {}
