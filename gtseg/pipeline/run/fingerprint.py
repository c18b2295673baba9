"""The fingerprint of a request: what a resource must carry to be adopted as this run's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FINGERPRINT_TAG = "gtseg:fingerprint"


def fingerprint(request: Mapping[str, Any], *contents: bytes) -> str:
    """32 hex digits of a request (built with a fixed stand-in for its name) and of the files that it points to."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    digest = hashlib.sha256(text.encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]
