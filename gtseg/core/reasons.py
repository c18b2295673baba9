"""Grouping of reasons that differ only in numbers and names."""

from __future__ import annotations

import re

_DETAILS = re.compile(
    r"s3://\S+|'[^']*'|\"[^\"]*\"|#[0-9a-fA-F]{6}\b|\b[\w./ -]*\.(?:png|jpe?g|tiff?)\b|\d[\d.,]*(?:x\d+)?"
)


def kind_of(reason: str) -> str:
    """Return the part of a reason that is not specific to one object: two clauses without numbers, colors and names."""
    clauses = ": ".join(reason.split(": ")[:2])
    return " ".join(_DETAILS.sub("...", clauses).split())
