"""Reasons that differ only in their numbers and names are one reason."""

from __future__ import annotations

import re

_DETAILS = re.compile(
    r"s3://\S+|'[^']*'|\"[^\"]*\"|#[0-9a-fA-F]{6}\b|\b[\w./ -]*\.(?:png|jpe?g|tiff?)\b|\d[\d.,]*(?:x\d+)?"
)


def kind_of(reason: str) -> str:
    """What a reason says without what it says of one object: its first two clauses, numbers, colors and names left out."""
    clauses = ": ".join(reason.split(": ")[:2])
    return " ".join(_DETAILS.sub("...", clauses).split())
