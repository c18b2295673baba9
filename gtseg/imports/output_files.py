"""One image and its mask as files: JPEG bytes, a consolidated-annotation PNG, and the manifest line of both.

The PNG is what Ground Truth writes: mode P, the value of a pixel is the key of `internal-color-map`, 0 background,
palette entry 0 white, then the classes' colours, white to the end. Void (255) gets the class `void` with a colour
of its own, since Ground Truth's map knows no void.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gtseg.core.classes import BACKGROUND, VOID_NAME
from gtseg.core.files import write_atomically
from gtseg.core.masks import encode_palette_png, hex_color
from gtseg.core.masks.colors import SPARE_COLORS

from .outcomes import Labelled
from .rasterization import VOID

VOID_COLOUR = "#000000"


def colour_of(index: int) -> str:
    """`#rrggbb` of class index 1..254, no two alike: the known colours, then steps around the colour cube."""
    if index <= len(SPARE_COLORS):
        return hex_color(SPARE_COLORS[index - 1])
    step = index * 7919
    return f"#{(step * 37) % 251 + 1:02x}{(step * 91) % 247 + 3:02x}{index:02x}"


def encode_mask(mask: NDArray[np.uint8], classes: int) -> bytes:
    """(H, W) uint8 class indices, 255 void -> PNG bytes; void takes index `classes` + 1."""
    stored = np.where(mask == VOID, classes + 1, mask).astype(np.uint8) if (mask == VOID).any() else mask
    palette = bytearray(b"\xff" * 768)
    for index in range(1, classes + 1):
        palette[3 * index : 3 * index + 3] = bytes.fromhex(colour_of(index)[1:])
    if classes < 254:
        palette[3 * classes + 3 : 3 * classes + 6] = bytes.fromhex(VOID_COLOUR[1:])
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
) -> Labelled:
    """Write images/<name>.jpg and masks/<name>.png; the record of both."""
    write_atomically(folder / "images" / f"{name}.jpg", image)
    write_atomically(folder / "masks" / f"{name}.png", encode_mask(mask, classes))
    values, counts = np.unique(mask, return_counts=True)
    pixels = {int(v): int(c) for v, c in zip(values, counts, strict=True)}
    height, width = mask.shape
    return Labelled(name, source, width, height, pixels, group, dict(extra or {}), dict(used or {}))


def manifest_line(item: Labelled, classes: Sequence[str], *, name: str, created: str) -> str:
    """One line of output.manifest in Ground Truth's form; `name` is the import's, its attribute `<name>-ref`."""
    colours = {"0": {"class-name": BACKGROUND, "hex-color": "#ffffff", "confidence": 0}}
    for index, label in enumerate(classes, 1):
        colours[str(index)] = {"class-name": label, "hex-color": colour_of(index), "confidence": 0}
    if VOID in item.pixels:
        colours[str(len(classes) + 1)] = {"class-name": VOID_NAME, "hex-color": VOID_COLOUR, "confidence": 0}
    metadata = {
        "internal-color-map": colours,
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
