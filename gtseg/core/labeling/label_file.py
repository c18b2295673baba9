"""Label category file, data.json, without BACKGROUND: Ground Truth adds it as class 0."""

from __future__ import annotations

import json
from collections.abc import Sequence

DOCUMENT_VERSION = "2018-11-28"


def label_file(labels: Sequence[str]) -> bytes:
    """Return the file for labels in the order of their class index, from 1."""
    document = {"document-version": DOCUMENT_VERSION, "labels": [{"label": label} for label in labels]}
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
