"""Writer of YOLO-seg labels: one line per region, `class x1 y1 x2 y2 ...`, coordinates as fractions of the image size.

Source: Ultralytics documentation, "Instance segmentation datasets format". Classes are numbered from 0, without
background. Polygons follow pixel edges and are exact; regions with holes, which the format cannot express, are divided.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .regions import pieces


@dataclass(frozen=True)
class YoloLabel:
    """Text of a label file, its number of lines, and how many of these are parts of a region with holes."""

    text: str
    lines: int
    cut: int


def to_yolo(mask: NDArray[np.uint8], classes: int) -> YoloLabel:
    """Return the label file of (H, W) uint8 class indices."""
    height, width = mask.shape
    lines, cut = [], 0
    for index in range(1, classes + 1):
        for piece in pieces(mask == index) if (mask == index).any() else []:
            cut += piece.cut
            points = " ".join(f"{x / width:.8g} {y / height:.8g}" for x, y in piece.ring[:-1])
            lines.append(f"{index - 1} {points}\n")
    return YoloLabel("".join(lines), len(lines), cut)


def data_yaml(classes: Sequence[str], parts: dict[str, str]) -> str:
    """Return the text of a `data.yaml`: class names from 0, and the folders of `parts` (train, val, test)."""
    folders: dict[str, Any] = {key: parts[key] for key in ("train", "val", "test") if key in parts}
    lines = ["path: .", *(f"{key}: {value}" for key, value in folders.items()), "names:"]
    return "\n".join([*lines, *(f"  {i}: {json.dumps(name)}" for i, name in enumerate(classes))]) + "\n"
