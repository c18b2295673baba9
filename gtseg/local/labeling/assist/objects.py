"""A suggested mask split into objects, so that workers can accept them one by one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

SMALLEST = 0.0003
"""Share of the image below which an object is ignored as noise."""
TOLERANCE = 1.0
"""Largest deviation of a displayed outline from the object, in pixels."""


def split_objects(mask: np.ndarray) -> list[dict[str, Any]]:
    """Split an (H, W) uint8 mask into the connected areas of each label, largest first.

    Each has `label` (from 1), `area` in pixels, `rows` [[y, x0, x1, x0, x1, ...], ...] (x1 exclusive), and `outlines`,
    closed polygons of (x, y) for display.
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
