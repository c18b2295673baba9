"""Handlers of ListObjectsV2 and ListObjects: prefix, delimiter, paging."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, escape, format_time, wrap
from gtseg.local.storage.index import Index, Row, successor

KEYS_MAXIMUM = 1000


@dataclass(frozen=True)
class Page:
    """Page of a listing; `last` is its last key or common prefix, set if `truncated`."""

    rows: list[Row]
    prefixes: list[bytes]
    truncated: bool
    last: bytes


def list_page(index: Index, bucket: str, *, prefix: bytes, delimiter: bytes, after: bytes, limit: int) -> Page:
    """Return keys and common prefixes greater than `after`, at most `limit` together, in order."""
    rows: list[Row] = []
    prefixes: list[bytes] = []
    last = b""
    if limit == 0:
        return Page(rows, prefixes, False, last)
    for found in _walk(index, bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit + 1):
        if len(rows) + len(prefixes) == limit:
            return Page(rows, prefixes, True, last)
        if isinstance(found, bytes):
            prefixes.append(found)
            last = found
        else:
            rows.append(found)
            last = found[0]
    return Page(rows, prefixes, False, last)


def _walk(
    index: Index, bucket: str, *, prefix: bytes, delimiter: bytes, after: bytes, limit: int
) -> Iterator[Row | bytes]:
    """Yield rows and common prefixes in order; the keys below a common prefix are skipped without being read."""
    end = successor(prefix)
    start = max(prefix, after + b"\0") if after else prefix
    if delimiter and after.startswith(prefix) and after.endswith(delimiter) and len(after) > len(prefix):
        start = successor(after) or start  # `after` was a common prefix: continue after all its keys
    while True:
        rows = index.read_page(bucket, start, end, limit=limit)
        is_skipped = False
        for row in rows:
            cut = row[0].find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                yield row
                continue
            common = row[0][: cut + len(delimiter)]
            yield common
            following = successor(common)
            if following is None:
                return
            start, is_skipped = following, True
            break
        if is_skipped:
            continue
        if len(rows) < limit:
            return
        start = rows[-1][0] + b"\0"


def list_objects_v2(s3: S3, request: Request) -> Answer:
    query = request.query
    prefix, delimiter, limit = (
        query.get("prefix", ""),
        query.get("delimiter", ""),
        read_maximum(query, "max-keys"),
    )
    token, start_after = query.get("continuation-token"), query.get("start-after", "")
    encode = read_encoder(query)
    s3.objects.index.check_bucket(request.bucket)
    page = list_page(
        s3.objects.index,
        request.bucket,
        prefix=prefix.encode(),
        delimiter=delimiter.encode(),
        after=start_after.encode() if token is None else _decode_token(token),
        limit=limit,
    )
    owner = render_owner(s3) if query.get("fetch-owner") == "true" else ""
    parts = [
        element("Name", request.bucket),
        element("Prefix", encode(prefix)),
        element("KeyCount", len(page.rows) + len(page.prefixes)),
        element("MaxKeys", limit),
        element("IsTruncated", "true" if page.truncated else "false"),
    ]
    if token is not None:
        parts.append(element("ContinuationToken", token))
    if page.truncated:
        parts.append(element("NextContinuationToken", base64.urlsafe_b64encode(page.last).decode()))
    if start_after:
        parts.append(element("StartAfter", encode(start_after)))
    parts += _render_page(page, encode, delimiter=delimiter, query=query, owner=owner)
    return Answer(body=wrap("ListBucketResult", *parts))


def list_objects(s3: S3, request: Request) -> Answer:
    query = request.query
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("marker", "")
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
        element("Prefix", prefix),  # V1 encodes keys, markers and delimiters, but not the prefix
        element("Marker", encode(marker)),
        element("MaxKeys", limit),
        element("IsTruncated", "true" if page.truncated else "false"),
    ]
    if page.truncated and delimiter:
        parts.append(element("NextMarker", encode(page.last.decode())))
    parts += _render_page(page, encode, delimiter=delimiter, query=query, owner=render_owner(s3))
    return Answer(body=wrap("ListBucketResult", *parts))


def read_maximum(query: dict[str, str], name: str) -> int:
    text = query.get(name) or str(KEYS_MAXIMUM)
    try:
        limit = int(text)
    except ValueError:
        raise ServiceError(
            "InvalidArgument",
            f"Provided {name} not an integer or within integer range",
            fields={"ArgumentName": name, "ArgumentValue": text},
        ) from None
    if not 0 <= limit <= 2147483647:
        raise ServiceError(
            "InvalidArgument",
            f"Argument {name} must be an integer between 0 and 2147483647",
            fields={"ArgumentName": name, "ArgumentValue": text},
        )
    return min(limit, KEYS_MAXIMUM)


def read_encoder(query: dict[str, str]) -> Callable[[str], str]:
    """Return the encoder of keys in the response: percent-encoding for encoding-type=url, else identity."""
    kind = query.get("encoding-type")
    if kind is None:
        return str
    if kind != "url":
        raise ServiceError(
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
            fields={"ArgumentName": "encoding-type", "ArgumentValue": kind},
        )
    return lambda text: quote(text, safe="/-._*")  # characters that S3 does not encode


def _decode_token(token: str) -> bytes:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ServiceError(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            fields={"ArgumentName": "continuation-token"},
        ) from None


def render_owner(s3: S3, name: str = "Owner") -> str:
    return f"<{name}>{element('ID', s3.account)}{element('DisplayName', 'gtseg')}</{name}>"


def _render_page(
    page: Page, encode: Callable[[str], str], *, delimiter: str, query: dict[str, str], owner: str
) -> list[str]:
    parts = [element("Delimiter", encode(delimiter))] if delimiter else []
    if "encoding-type" in query:
        parts.append(element("EncodingType", query["encoding-type"]))
    parts += [
        f"<Contents><Key>{escape(encode(key.decode()))}</Key><LastModified>{format_time(modified)}</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>{owner}"
        f"<StorageClass>{_find_class(about)}</StorageClass></Contents>"
        for key, _, size, etag, modified, _, about in page.rows
    ]
    parts += [
        f"<CommonPrefixes>{element('Prefix', encode(common.decode()))}</CommonPrefixes>" for common in page.prefixes
    ]
    return parts


def _find_class(about: str | None) -> str:
    """Return the storage class; parses `about` only if it has one, which is rare."""
    if about is None or "x-amz-storage-class" not in about:
        return "STANDARD"
    return str(json.loads(about)["headers"].get("x-amz-storage-class", "STANDARD"))
