"""A suggested mask as a page takes it: object by object, so that a person accepts one after the other."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

__all__ = ["split_objects"]

SMALLEST = 0.0003  # share of the image: what is smaller is noise
TOLERANCE = 1.0  # pixels by which an outline that is only shown may differ from the object


def split_objects(mask: np.ndarray) -> list[dict[str, Any]]:
    """Connected areas of one label of a (H, W) uint8 mask, the largest first.

    Each has `label` (from 1), `area` in pixels, `rows` [[y, x0, x1, x0, x1, ...], ...] (x1 exclusive), and `outlines`, closed lines
    of (x, y) to show it by.
    """
    found = []
    for label in np.unique(mask[mask > 0]):
        plane = (mask == label).astype(np.uint8)
        count, numbers, stats, _ = cv2.connectedComponentsWithStats(plane, connectivity=4)
        for number in range(1, count):
            if stats[number, cv2.CC_STAT_AREA] >= max(1, SMALLEST * mask.size):
                found.append(describe_object(numbers, number, stats[number], int(label)))
    return sorted(found, key=lambda item: -int(item["area"]))


def describe_object(numbers: np.ndarray, number: int, stats: np.ndarray, label: int) -> dict[str, Any]:
    x, y, width, height, area = (int(value) for value in stats)
    part = np.ascontiguousarray(numbers[y : y + height, x : x + width] == number).astype(np.uint8)
    contours, _ = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlines = [(cv2.approxPolyDP(line, TOLERANCE, closed=True)[:, 0] + (x, y) + 0.5).tolist() for line in contours]
    padded = np.pad(part, ((0, 0), (1, 1)))
    rows = []
    for offset, row in enumerate(padded):
        ends = np.flatnonzero(np.diff(row.astype(np.int8)))
        if len(ends):
            rows.append([y + offset, *(int(end) + x for end in ends)])
    return {"label": label, "area": area, "rows": rows, "outlines": outlines}
