"""The label category file, data.json. BACKGROUND is not in it: Ground Truth adds that itself as class 0."""

from __future__ import annotations

import json
from collections.abc import Sequence

DOCUMENT_VERSION = "2018-11-28"


def label_file(labels: Sequence[str]) -> bytes:
    """The file for labels in the order of their class index, from 1."""
    document = {"document-version": DOCUMENT_VERSION, "labels": [{"label": label} for label in labels]}
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
