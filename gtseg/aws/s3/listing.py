"""Object listings: ListObjectsV2 page by page, parsed by one regular expression instead of an XML tree."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from gtseg.aws.s3.bulk import Bulk, Request
from gtseg.aws.s3.connections import Answer
from gtseg.aws.s3.signing import quote_query
from gtseg.aws.s3.uris import join_uri
from gtseg.core.s3_uris import split_uri

_CONTENTS = re.compile(
    rb"<Contents><Key>([^<]+)</Key><LastModified>([^<]+)</LastModified><ETag>([^<]+)</ETag>"
    rb"(?:<Checksum\w+>[^<]*</Checksum\w+>)*<Size>(\d+)</Size>"
)
_FOLDER = re.compile(rb"<CommonPrefixes><Prefix>([^<]+)</Prefix></CommonPrefixes>")
_TOKEN = re.compile(rb"<NextContinuationToken>([^<]+)</NextContinuationToken>")


class Listed(NamedTuple):
    """One object of a listing; `etag` without quotes, `modified` in UTC."""

    key: str
    size: int
    etag: str
    modified: datetime


def list_pages(bulk: Bulk, uri: str, *, start_after: str = "", is_flat: bool = False) -> Iterator[list[Listed]]:
    """Iterate over the objects whose key starts with the URI's key, in key order, a thousand per page.

    `is_flat` omits objects in subfolders. Keys may contain any character: S3 percent-encodes them in the response.
    """
    bucket, prefix = split_uri(uri)
    query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
    query |= {"start-after": start_after} if start_after else {}
    query |= {"delimiter": "/"} if is_flat else {}
    while True:
        request = Request("ListObjectsV2", "GET", join_uri(bucket), query=quote_query(query), check=check_page)
        body = bulk.send(request).body
        yield read_page(body)
        if (token := _TOKEN.search(body)) is None:
            return
        query["continuation-token"] = html.unescape(token[1].decode())


def list_folder(bulk: Bulk, uri: str) -> tuple[list[Listed], list[str]]:
    """Return the objects directly in a folder and the keys of its direct subfolders, up to a thousand."""
    bucket, prefix = split_uri(uri)
    query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "delimiter": "/"}
    body = bulk.send(Request("ListObjectsV2", "GET", join_uri(bucket), query=quote_query(query), check=check_page)).body
    return read_page(body), [_key(folder.decode()) for folder in _FOLDER.findall(body)]


def check_page(answer: Answer) -> tuple[str, str] | None:
    """Check that the XML is complete; with encoding-type=url every response is ASCII."""
    if not answer.body.isascii() or not answer.body.rstrip().endswith(b"</ListBucketResult>"):
        return "DamagedBody", "the listing's XML is damaged"
    try:
        ElementTree.fromstring(answer.body) if b"<Contents>" not in answer.body else read_page(answer.body)
    except (ValueError, KeyError, ElementTree.ParseError) as error:
        return "DamagedBody", f"the listing's XML is damaged: {error}"
    return None


def read_page(body: bytes) -> list[Listed]:
    """Return the objects of one response with encoding-type=url."""
    found = _CONTENTS.findall(body)
    if len(found) != body.count(b"<Contents>"):  # written in another element order than AWS's
        return _read_tree(body)
    return [
        Listed(_key(key.decode()), int(size), _etag(etag), datetime.fromisoformat(time.decode()))
        for key, time, etag, size in found
    ]


def _key(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _etag(text: bytes) -> str:
    return text.decode().replace("&quot;", "").replace("&#34;", "").strip('"')


def _read_tree(body: bytes) -> list[Listed]:
    items = []
    for contents in ElementTree.fromstring(body).iter():
        if contents.tag.rpartition("}")[2] == "Contents":
            member = {child.tag.rpartition("}")[2]: child.text or "" for child in contents}
            time = datetime.fromisoformat(member["LastModified"])
            items.append(Listed(_key(member["Key"]), int(member["Size"]), member["ETag"].strip('"'), time))
    return items
