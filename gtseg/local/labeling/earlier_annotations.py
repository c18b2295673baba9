"""Adjustment and verification jobs: the annotations that a manifest line brings from an earlier job.

Source: developer guide, "Verify and adjust labels": a new attribute name, a label file with all original labels, and a
`hex-color` in the earlier `internal-color-map`, else job setup ends with an error. A line without an annotation fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gtseg.local.labeling.masks import BACKGROUND

__all__ = ["find_priors", "find_setup_fault"]


def find_priors(entry: dict[str, Any], attribute: str) -> list[str]:
    """Attributes of the line, other than this job's, that hold a semantic segmentation annotation."""
    return [
        name
        for name in entry
        if name not in ("source-ref", attribute)
        and isinstance(entry.get(f"{name}-metadata"), dict)
        and isinstance(entry[f"{name}-metadata"].get("internal-color-map"), dict)
    ]


def find_setup_fault(entry: dict[str, Any], attribute: str, labels: Iterable[str] | None) -> str:
    """What about this line ends the setup of the job; '' for nothing. `labels`: those that its classes must be among."""
    priors = find_priors(entry, attribute)
    if attribute in entry and not priors:
        return f"has no annotation but {attribute!r} itself; the job needs a new LabelAttributeName"
    known = {BACKGROUND, *labels} if labels is not None else None
    for name in priors:
        classes = [item for item in entry[f"{name}-metadata"]["internal-color-map"].values() if isinstance(item, dict)]
        if any("hex-color" not in item for item in classes):
            return f"has an internal-color-map of {name!r} without hex-color"
        missing = sorted({str(item.get("class-name")) for item in classes} - (known or set()))
        if known and missing:
            return f"has the class {missing[0]!r} in {name!r}, which the label category file lacks"
    return ""
