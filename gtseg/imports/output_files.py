"""Output files of an import: JPEG images, masks like Ground Truth's consolidated annotations, and manifest lines.

A mask is a PNG of mode P. A pixel's value is a key of `internal-color-map`, with 0 for the background. Palette entry 0
is white, the next entries are the classes' colors, all others are white. Void (255) is stored as an additional class
`void` after the last class, because Ground Truth's color map has no void.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gtseg.core.classes import BACKGROUND, VOID, VOID_NAME
from gtseg.core.files import write_atomically
from gtseg.core.masks import encode_palette_png, hex_color
from gtseg.core.masks.colors import SPARE_COLORS

from .outcomes import Labeled

VOID_COLOR = "#000000"


def class_color(index: int) -> str:
    """Return the unique `#rrggbb` color of class index 1 to 254: Ground Truth's colors first, then computed ones."""
    if index <= len(SPARE_COLORS):
        return hex_color(SPARE_COLORS[index - 1])
    step = index * 7919
    return f"#{(step * 37) % 251 + 1:02x}{(step * 91) % 247 + 3:02x}{index:02x}"


def encode_mask(mask: NDArray[np.uint8], classes: int) -> bytes:
    """Encode (H, W) uint8 class indices, 255 void, as PNG; void is stored as `classes` + 1."""
    stored = np.where(mask == VOID, classes + 1, mask).astype(np.uint8) if (mask == VOID).any() else mask
    palette = bytearray(b"\xff" * 768)
    for index in range(1, classes + 1):
        palette[3 * index : 3 * index + 3] = bytes.fromhex(class_color(index)[1:])
    if classes < 254:
        palette[3 * classes + 3 : 3 * classes + 6] = bytes.fromhex(VOID_COLOR[1:])
    height, width = mask.shape
    return encode_palette_png(stored, width, height, palette=bytes(palette))


def write_pair(
    folder: Path,
    name: str,
    image: bytes,
    mask: NDArray[np.uint8],
    *,
    classes: int,
    source: str,
    group: str | None = None,
    extra: dict[str, object] | None = None,
    used: dict[str, int] | None = None,
) -> Labeled:
    """Write images/<name>.jpg and masks/<name>.png, and return their record."""
    write_atomically(folder / "images" / f"{name}.jpg", image)
    write_atomically(folder / "masks" / f"{name}.png", encode_mask(mask, classes))
    values, counts = np.unique(mask, return_counts=True)
    pixels = {int(v): int(c) for v, c in zip(values, counts, strict=True)}
    height, width = mask.shape
    return Labeled(name, source, width, height, pixels, group, dict(extra or {}), dict(used or {}))


def manifest_line(item: Labeled, classes: Sequence[str], *, name: str, created: str) -> str:
    """Return a line of output.manifest in Ground Truth's format; the label attribute is `<name>-ref`."""
    colors = {"0": {"class-name": BACKGROUND, "hex-color": "#ffffff", "confidence": 0}}
    for index, label in enumerate(classes, 1):
        colors[str(index)] = {"class-name": label, "hex-color": class_color(index), "confidence": 0}
    if VOID in item.pixels:
        colors[str(len(classes) + 1)] = {"class-name": VOID_NAME, "hex-color": VOID_COLOR, "confidence": 0}
    metadata = {
        "internal-color-map": colors,
        "type": "groundtruth/semantic-segmentation",
        "human-annotated": "yes",
        "creation-date": created,
        "job-name": f"labeling-job/{name.lower()}",
    }
    line = {
        "source-ref": f"images/{item.name}.jpg",
        f"{name}-ref": f"masks/{item.name}.png",
        f"{name}-ref-metadata": metadata,
    }
    if item.group:
        line["gtseg-group"] = item.group
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False)
