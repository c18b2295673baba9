"""Composition of s3:// URIs, and content types. `gtseg.core.s3_uris` parses URIs."""

from __future__ import annotations

import mimetypes


def join_uri(bucket: str, *parts: str) -> str:
    """Join `("b", "p/", "k")` to `s3://b/p/k`. Parts are concatenated as they are, so a prefix needs its own slash."""
    return f"s3://{bucket}/{''.join(parts)}"


def guess_content_type(key: str) -> str:
    if key.endswith((".jsonl", ".manifest")):
        return "application/x-ndjson"
    return mimetypes.guess_type(key)[0] or "application/octet-stream"
