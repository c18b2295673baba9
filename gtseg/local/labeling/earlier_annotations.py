"""Annotations of an earlier job in the manifest lines of adjustment and verification jobs.

Source: developer guide, "Verify and adjust labels": the job needs a new attribute name, a label category file with all
original labels, and a `hex-color` in the earlier `internal-color-map`; otherwise job setup fails. A line without an
annotation fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gtseg.local.labeling.masks import BACKGROUND


def find_priors(entry: dict[str, Any], attribute: str) -> list[str]:
    """Return the attributes of the line, without this job's, that hold a semantic segmentation annotation."""
    return [
        name
        for name in entry
        if name not in ("source-ref", attribute)
        and isinstance(entry.get(f"{name}-metadata"), dict)
        and isinstance(entry[f"{name}-metadata"].get("internal-color-map"), dict)
    ]


def find_setup_fault(entry: dict[str, Any], attribute: str, labels: Iterable[str] | None) -> str:
    """Return the reason why this line makes the job's setup fail, '' if there is none.

    `labels` are the names that the line's classes must be among, or None for any.
    """
    priors = find_priors(entry, attribute)
    if attribute in entry and not priors:
        return f"has no annotation other than {attribute!r} itself; use a new LabelAttributeName"
    known = {BACKGROUND, *labels} if labels is not None else None
    for name in priors:
        classes = [item for item in entry[f"{name}-metadata"]["internal-color-map"].values() if isinstance(item, dict)]
        if any("hex-color" not in item for item in classes):
            return f"has an internal-color-map of {name!r} without hex-color"
        missing = sorted({str(item.get("class-name")) for item in classes} - (known or set()))
        if known and missing:
            return f"has the class {missing[0]!r} in {name!r}, which is not in the label category file"
    return ""
