"""YOLO-seg labels from masks: one line per region, `class x1 y1 x2 y2 ...`, coordinates in 0..1 of the image.

Source: Ultralytics documentation, "Instance segmentation datasets format": classes count from 0, no background.
Outlines run along pixel edges and are exact where a region has no hole; the format knows no holes: they are filled,
and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .coco import outlines

__all__ = ["YoloLabel", "from_yolo", "to_yolo"]


@dataclass(frozen=True)
class YoloLabel:
    text: str
    holes: int


def to_yolo(mask: NDArray[np.uint8], classes: int) -> YoloLabel:
    """(H, W) uint8 class indices -> the text of one label file."""
    height, width = mask.shape
    lines, holes = [], 0
    for index in range(1, classes + 1):
        for rings in outlines(mask == index) if (mask == index).any() else []:
            holes += len(rings) - 1
            points = " ".join(f"{x / width:.8g} {y / height:.8g}" for x, y in rings[0][:-1])
            lines.append(f"{index - 1} {points}\n")
    return YoloLabel("".join(lines), holes)


def from_yolo(text: str, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The text of one label file -> (H, W) uint8 class indices."""
    from rasterio.features import rasterize

    height, width = shape
    shapes = []
    for line in text.splitlines():
        index, *values = line.split()
        xy = np.asarray(values, float).reshape(-1, 2) * (width, height)
        ring = [(round(x, 3), round(y, 3)) for x, y in xy]
        shapes.append(({"type": "Polygon", "coordinates": [[*ring, ring[0]]]}, int(index) + 1))
    return rasterize(shapes, out_shape=shape, dtype="uint8") if shapes else np.zeros(shape, np.uint8)
