"""Checks of S3 responses: errors, ETags, and whether a body is the complete object."""

from __future__ import annotations

import binascii
import hashlib
import html
import re
import time
import zlib
from email.utils import parsedate_to_datetime

from gtseg.aws.refusals import refusal
from gtseg.aws.s3.connections import Answer
from gtseg.errors import AWSError

PAGES = (b"<!doctype", b"<html")
_MD5 = re.compile(r"[0-9a-f]{32}")
_CODE, _MESSAGE, _ETAG = (
    re.compile(rf"<{tag}>(.*?)</{tag}>".encode(), re.DOTALL) for tag in ("Code", "Message", "ETag")
)


def read_error(operation: str, answer: Answer) -> AWSError:
    """Return the error in a response's XML. A response without a body has its status as the code."""
    code, message = _CODE.search(answer.body), _MESSAGE.search(answer.body)
    text = html.unescape(message[1].decode("utf-8", "replace")) if message else f"HTTP status {answer.status}"
    name = code[1].decode("utf-8", "replace") if code else str(answer.status)
    return refusal(operation, name, text, date=answer.headers.get("date", ""))


def is_foreign(answer: Answer, *, is_head: bool) -> bool:
    """Return whether a response is not from S3: no request ID, and an HTML page or an error without a code.

    Failures of a proxy before S3 (5xx) are temporary and do not count.
    """
    headers = answer.headers
    if (
        answer.status >= 500
        or answer.status == 429
        or any(name.startswith("x-amz-") for name in headers)
        or "etag" in headers
    ):
        return False
    if "html" in headers.get("content-type", "") or answer.body[:100].lstrip().lower().startswith(PAGES):
        return not (is_head and answer.status == 404)
    return answer.status >= 300 and not is_head and _CODE.search(answer.body) is None


def is_from_s3(answer: Answer) -> bool:
    """Return whether a response is from S3: it has a request ID, an ETag or one of S3's documents."""
    if "etag" in answer.headers or any(name.startswith("x-amz-") for name in answer.headers):
        return True
    return b"<Code>" in answer.body or answer.body.startswith((b"<?xml", b"<ListBucketResult", b"<CopyObjectResult"))


def lacks_etag(answer: Answer) -> tuple[str, str] | None:
    """Return an error if a response has no ETag; S3 returns one for every object read or written."""
    return None if answer.headers.get("etag") else ("InternalError", "the response is not from S3: it has no ETag")


def etag_of(answer: Answer) -> str:
    return answer.headers.get("etag", "").strip('"')


def copied_etag(answer: Answer) -> str:
    """Return the ETag in the XML of CopyObject."""
    found = _ETAG.search(answer.body)
    return html.unescape(found[1].decode()).strip('"') if found else ""


def server_time(answer: Answer) -> float:
    """Return S3's clock in seconds since 1970; this machine's if the response has no date."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return time.time()


def check_body(answer: Answer) -> tuple[str, str] | None:
    """Return (code, message) if the body is not the object's, None if it is or is only a part of it."""
    if missing := lacks_etag(answer):
        return missing
    if not is_complete(answer):
        return None
    headers = answer.headers
    stored = headers.get("x-amz-checksum-crc32", "-")
    if "-" not in stored:  # "...-3" is the checksum of three parts' checksums
        actual = binascii.b2a_base64(zlib.crc32(answer.body).to_bytes(4, "big"), newline=False).decode()
        return None if actual == stored else ("DamagedBody", "its CRC-32 differs from the one that S3 stores")
    if (wanted := md5_of(answer)) and hashlib.md5(answer.body, usedforsecurity=False).hexdigest() != wanted:
        return "DamagedBody", "its MD5 differs from its ETag"
    return None


def is_complete(answer: Answer) -> bool:
    """Return whether the body is the complete object; a range may cover it all."""
    size = len(answer.body)
    return answer.status != 206 or answer.headers.get("content-range") == f"bytes 0-{size - 1}/{size}"


def md5_of(answer: Answer) -> str:
    """Return the object's MD5, '' if its ETag is none: encrypted with KMS or a customer key, or a multipart upload."""
    headers, etag = answer.headers, etag_of(answer)
    plain = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    own_key = "x-amz-server-side-encryption-customer-algorithm" in headers
    return etag if plain and not own_key and _MD5.fullmatch(etag) else ""


def check_copy(answer: Answer) -> tuple[str, str] | None:
    """Return (code, message) if the copy failed: S3 may send status 200 first and an error in the body (CopyObject
    API).
    """
    if _ETAG.search(answer.body) and answer.body.isascii():
        return None
    code = _CODE.search(answer.body)
    return code[1].decode("ascii", "replace") if code else "InternalError", "the response to the copy has no ETag"
