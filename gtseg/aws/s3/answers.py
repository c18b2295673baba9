"""What S3's answers say: errors, ETags, and whether a body is the object that was asked for."""

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
    """The error in an answer's XML; a bodyless answer's status is its code."""
    code, message = _CODE.search(answer.body), _MESSAGE.search(answer.body)
    text = html.unescape(message[1].decode("utf-8", "replace")) if message else f"HTTP status {answer.status}"
    name = code[1].decode("utf-8", "replace") if code else str(answer.status)
    return refusal(operation, name, text, date=answer.headers.get("date", ""))


def is_foreign(answer: Answer, *, is_head: bool) -> bool:
    """Whether nobody of S3 wrote it: no request id, and a page for people or an error without a code.

    Faults of what stands before S3 (5xx) pass by themselves and are not judged here.
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


def is_of_s3(answer: Answer) -> bool:
    """Whether an answer shows that S3 wrote it: a request id, an ETag or a document of its own."""
    if "etag" in answer.headers or any(name.startswith("x-amz-") for name in answer.headers):
        return True
    return b"<Code>" in answer.body or answer.body.startswith((b"<?xml", b"<ListBucketResult", b"<CopyObjectResult"))


def lacks_etag(answer: Answer) -> tuple[str, str] | None:
    """Every object that S3 reads or writes has an ETag."""
    return None if answer.headers.get("etag") else ("InternalError", "the answer is not S3's: it has no ETag")


def etag_of(answer: Answer) -> str:
    return answer.headers.get("etag", "").strip('"')


def copied_etag(answer: Answer) -> str:
    """The ETag in a CopyObject's XML."""
    found = _ETAG.search(answer.body)
    return html.unescape(found[1].decode()).strip('"') if found else ""


def server_time(answer: Answer) -> float:
    """S3's clock, seconds since 1970; this machine's where the answer has no date."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return time.time()


def check_body(answer: Answer) -> tuple[str, str] | None:
    """Why the body is not the object; a part of it cannot be told."""
    if missing := lacks_etag(answer):
        return missing
    if not is_whole(answer):
        return None
    headers = answer.headers
    stored = headers.get("x-amz-checksum-crc32", "-")
    if "-" not in stored:  # "...-3" is the checksum of three parts' checksums
        actual = binascii.b2a_base64(zlib.crc32(answer.body).to_bytes(4, "big"), newline=False).decode()
        return None if actual == stored else ("DamagedBody", "its CRC-32 is not the one that S3 keeps")
    if (wanted := md5_of(answer)) and hashlib.md5(answer.body, usedforsecurity=False).hexdigest() != wanted:
        return "DamagedBody", "its MD5 is not its ETag"
    return None


def is_whole(answer: Answer) -> bool:
    """A range that covers everything is the whole object too."""
    size = len(answer.body)
    return answer.status != 206 or answer.headers.get("content-range") == f"bytes 0-{size - 1}/{size}"


def md5_of(answer: Answer) -> str:
    """The whole object's MD5, '' where its ETag is something else: a KMS key, a customer's key or several parts made it."""
    headers, etag = answer.headers, etag_of(answer)
    plain = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    own_key = "x-amz-server-side-encryption-customer-algorithm" in headers
    return etag if plain and not own_key and _MD5.fullmatch(etag) else ""


def check_copy(answer: Answer) -> tuple[str, str] | None:
    """S3 answers 200 before it copies, and may put an error into the body afterwards (API reference, CopyObject)."""
    if _ETAG.search(answer.body) and answer.body.isascii():
        return None
    code = _CODE.search(answer.body)
    return code[1].decode("ascii", "replace") if code else "InternalError", "the copy's answer names no ETag"
