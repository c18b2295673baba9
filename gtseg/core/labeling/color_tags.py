"""Tags of a labeling job that tell gtseg's labeling server the display color of each label. AWS ignores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

COLORS_PER_TAG = 23  # "255=d55e00 " 23 times fits into the 256 characters of a tag


def color_tags(labels: Sequence[str], colors: Mapping[str, str]) -> dict[str, str]:
    """Return `gtseg:colors` = "1=d55e00 3=0072b2" (label number = color), then `gtseg:colors-2`, ...

    Labels without a color are omitted.
    """
    words = [f"{n}={colors[label][1:].lower()}" for n, label in enumerate(labels, 1) if label in colors]
    parts = [words[i : i + COLORS_PER_TAG] for i in range(0, len(words), COLORS_PER_TAG)]
    return {f"gtseg:colors-{n}" if n > 1 else "gtseg:colors": " ".join(part) for n, part in enumerate(parts, 1)}
