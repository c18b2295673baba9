"""Fingerprint of a request: a resource must carry it to be adopted as this run's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FINGERPRINT_TAG = "gtseg:fingerprint"


def fingerprint(request: Mapping[str, Any], *contents: bytes) -> str:
    """Return 32 hex digits for a request (with a placeholder for its name) and the files that it refers to."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    digest = hashlib.sha256(text.encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]
