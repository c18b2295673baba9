"""s3:// URIs as Ground Truth writes them: raw keys, never percent-encoded."""

from __future__ import annotations

import mimetypes
import re

from gtseg.errors import SettingsError

_URI = re.compile(r"s3://([a-z0-9A-Z._-]{3,255})(?:/(.*))?", re.DOTALL)


def is_s3_uri(text: str) -> bool:
    return _URI.fullmatch(text) is not None


def split_uri(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/a/b` into `("bucket", "a/b")`; the key is "" for a bucket alone. Raises SettingsError if
    invalid.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise SettingsError(f"{uri!r} is not an S3 URI; write s3://bucket/key")
    return match[1], match[2] or ""


def join_uri(bucket: str, *parts: str) -> str:
    """Join `("b", "p/", "k")` to `s3://b/p/k`. Parts are concatenated as they are, so a prefix needs its own slash."""
    return f"s3://{bucket}/{''.join(parts)}"


def guess_content_type(key: str) -> str:
    if key.endswith((".jsonl", ".manifest")):
        return "application/x-ndjson"
    return mimetypes.guess_type(key)[0] or "application/octet-stream"
