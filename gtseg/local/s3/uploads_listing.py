"""Handlers of ListParts and ListMultipartUploads."""

from __future__ import annotations

from gtseg.local.errors import ServiceError
from gtseg.local.s3.listing import read_encoder, read_maximum, render_owner
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, format_time, wrap

Found = tuple[bytes, str, int]
"""(key, upload ID, start in ms)."""


def list_parts(s3: S3, request: Request) -> Answer:
    query = request.query
    upload = s3.uploads.find(request.bucket, request.key, query["uploadId"])
    limit, encode = read_maximum(query, "max-parts"), read_encoder(query)
    marker = query.get("part-number-marker") or "0"
    if not marker.isdecimal():
        raise ServiceError("InvalidArgument", f"part-number-marker {marker!r} is not an integer")
    parts = s3.uploads.list_parts(upload.id, after=int(marker), limit=limit + 1)
    shown = parts[:limit]
    described = [
        element("Bucket", request.bucket),
        element("Key", encode(request.key)),
        element("UploadId", upload.id),
        render_owner(s3, "Initiator"),
        render_owner(s3),
        element("StorageClass", "STANDARD"),
        element("PartNumberMarker", marker),
        element("MaxParts", limit),
        element("IsTruncated", "true" if len(parts) > limit else "false"),
    ]
    if shown:
        described.append(element("NextPartNumberMarker", shown[-1].number))
    if upload.algorithm:
        described += [
            element("ChecksumAlgorithm", upload.algorithm),
            element("ChecksumType", upload.checksum_type),
        ]
    for part in shown:
        sums = "".join(element(f"Checksum{name}", value) for name, value in part.checksums.items())
        described.append(
            f"<Part>{element('PartNumber', part.number)}{element('LastModified', format_time(part.modified_ms))}"
            f"<ETag>&quot;{part.etag}&quot;</ETag>{element('Size', part.size)}{sums}</Part>"
        )
    return Answer(body=wrap("ListPartsResult", *described))


def list_uploads(s3: S3, request: Request) -> Answer:
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    key_marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "")
    limit, encode = read_maximum(query, "max-uploads"), read_encoder(query)
    s3.objects.index.check_bucket(request.bucket)
    found = s3.uploads.list_uploads(request.bucket, prefix.encode())
    entries = _group(found, prefix.encode(), delimiter.encode())
    entries = _skip(entries, key_marker.encode(), id_marker)
    shown = entries[:limit]
    described = [
        element("Bucket", request.bucket),
        element("KeyMarker", encode(key_marker)),
        element("UploadIdMarker", id_marker),
        element("Prefix", encode(prefix)),
        element("MaxUploads", limit),
        element("IsTruncated", "true" if len(entries) > limit else "false"),
    ]
    if delimiter:
        described.append(element("Delimiter", encode(delimiter)))
    if "encoding-type" in query:
        described.append(element("EncodingType", query["encoding-type"]))
    if shown and len(entries) > limit:
        described.append(element("NextKeyMarker", encode(shown[-1][0].decode())))
        described.append(element("NextUploadIdMarker", shown[-1][1]))
    for key, identity, started in shown:
        text = encode(key.decode())
        if not identity:
            described.append(f"<CommonPrefixes>{element('Prefix', text)}</CommonPrefixes>")
            continue
        described.append(
            f"<Upload>{element('Key', text)}{element('UploadId', identity)}{render_owner(s3, 'Initiator')}"
            f"{render_owner(s3)}{element('StorageClass', 'STANDARD')}"
            f"{element('Initiated', format_time(started))}</Upload>"
        )
    return Answer(body=wrap("ListMultipartUploadsResult", *described))


def _group(found: list[Found], prefix: bytes, delimiter: bytes) -> list[Found]:
    """Group uploads in order: those under a common prefix become one entry (prefix, '', 0)."""
    if not delimiter:
        return found
    entries: list[Found] = []
    for key, identity, started in found:
        cut = key.find(delimiter, len(prefix))
        entry = (key, identity, started) if cut < 0 else (key[: cut + len(delimiter)], "", 0)
        if not entries or entry != entries[-1]:
            entries.append(entry)
    return entries


def _skip(entries: list[Found], key_marker: bytes, id_marker: str) -> list[Found]:
    """Return the entries after the markers.

    Uploads of one key are sorted by time, and the marker is the last one shown.
    """
    if not key_marker:
        return entries
    after = [entry for entry in entries if entry[0] > key_marker]
    if not id_marker:
        return after
    same = [entry for entry in entries if entry[0] == key_marker]
    shown = next((number for number, entry in enumerate(same) if entry[1] == id_marker), len(same))
    return same[shown + 1 :] + after
