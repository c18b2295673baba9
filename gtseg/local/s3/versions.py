"""Handler of ListObjectVersions without versioning: every object has the single version `null`."""

from __future__ import annotations

from gtseg.local.s3.listing import list_page, read_encoder, read_maximum, render_owner
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, format_time, wrap


def list_versions(s3: S3, request: Request) -> Answer:
    query = request.query
    prefix, delimiter, marker = (
        query.get("prefix", ""),
        query.get("delimiter", ""),
        query.get("key-marker", ""),
    )
    limit, encode = read_maximum(query, "max-keys"), read_encoder(query)
    s3.objects.index.check_bucket(request.bucket)
    page = list_page(
        s3.objects.index,
        request.bucket,
        prefix=prefix.encode(),
        delimiter=delimiter.encode(),
        after=marker.encode(),
        limit=limit,
    )
    parts = [
        element("Name", request.bucket),
        element("Prefix", encode(prefix)),
        element("KeyMarker", encode(marker)),
        element("VersionIdMarker", query.get("version-id-marker", "")),
        element("MaxKeys", limit),
        element("IsTruncated", "true" if page.truncated else "false"),
    ]
    if delimiter:
        parts.append(element("Delimiter", encode(delimiter)))
    if "encoding-type" in query:
        parts.append(element("EncodingType", query["encoding-type"]))
    if page.truncated:
        parts += [
            element("NextKeyMarker", encode(page.last.decode())),
            element("NextVersionIdMarker", "null"),
        ]
    owner = render_owner(s3)
    parts += [
        f"<Version>{element('Key', encode(key.decode()))}<VersionId>null</VersionId><IsLatest>true</IsLatest>"
        f"{element('LastModified', format_time(modified))}<ETag>&quot;{etag}&quot;</ETag>{element('Size', size)}"
        f"<StorageClass>STANDARD</StorageClass>{owner}</Version>"
        for key, _, size, etag, modified, _, _ in page.rows
    ]
    parts += [
        f"<CommonPrefixes>{element('Prefix', encode(common.decode()))}</CommonPrefixes>" for common in page.prefixes
    ]
    return Answer(body=wrap("ListVersionsResult", *parts))
