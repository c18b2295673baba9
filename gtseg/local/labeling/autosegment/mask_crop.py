"""The mask of a segmented object on a part of an image, and its computation from window probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment import crop
from gtseg.local.labeling.autosegment.crop import Points, Window

LARGE = 0.25
"""Window pixels per image pixel below which a mask is computed row by row."""
LOOSE = 1.5
"""Image pixels, beside a fortieth of the window, by which an object may extend beyond points that people set."""
POINT_TOLERANCE = 0.75
"""Distance from a point to its side of the mask up to which a mask fits, in pixels of the image or of the window,
whichever are larger."""
FIT, FIT_LIMIT = 0.4, 1.5
"""Change of the logits per such pixel beyond that distance, and the largest change."""
SPECK = 0.02
"""Parts smaller than this share of the largest part are removed as noise."""


class SegmentedObject(Protocol):
    """A segmented object."""

    @property
    def reach(self) -> tuple[int, int, int, int] | None:
        """left, top, right, bottom of the area where a further click changes this mask; None: the whole image."""

    def full_mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask as (H, W) bool for the whole image."""

    def rows(self) -> list[list[int]]:
        """Return [y, x0, x1, x0, x1, ...] for every row with object pixels; x1 is exclusive."""


@dataclass(frozen=True)
class ObjectMask:
    """An object as a mask (h, w) bool whose first pixel is at (left, top) of the image."""

    left: int
    top: int
    mask: NDArray[np.bool_]
    reach: tuple[int, int, int, int] | None = None

    def full_mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        full = np.zeros(shape, bool)
        full[self.top : self.top + self.mask.shape[0], self.left : self.left + self.mask.shape[1]] = self.mask
        return full

    def rows(self) -> list[list[int]]:
        padded = np.zeros((self.mask.shape[0], self.mask.shape[1] + 2), np.int8)
        padded[:, 1:-1] = self.mask
        ys, xs = np.nonzero(np.diff(padded, axis=1))
        return rows_of(ys + self.top, xs + self.left)


@dataclass(frozen=True)
class ObjectRows:
    """An object of many pixels as its rows, which are faster to compute than its mask."""

    lines: list[list[int]]
    reach: tuple[int, int, int, int] | None = None

    def full_mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        full = np.zeros(shape, bool)
        for y, *ends in self.lines:
            for x0, x1 in zip(ends[::2], ends[1::2], strict=True):
                full[y, x0:x1] = True
        return full

    def rows(self) -> list[list[int]]:
        return self.lines


def rows_of(ys: NDArray[np.int64], xs: NDArray[np.int64]) -> list[list[int]]:
    """Convert (N,) positions where rows enter or leave the object, from left to right, to rows; drop empty rows."""
    rows: dict[int, list[int]] = {}
    for y, x in zip(ys.tolist(), xs.tolist(), strict=True):
        row = rows.setdefault(y, [y])
        if len(row) > 1 and row[-1] == x:
            row.pop()
        else:
            row.append(x)
    return [row for row in rows.values() if len(row) > 1]


def extract_mask(
    probability: NDArray[np.float32],
    window: Window,
    shape: tuple[int, int],
    *,
    limits: Points | None,
    inside: Points,
) -> SegmentedObject:
    """Convert window probabilities (S, S) to a mask in the pixels of an image of `shape`, with noise removed.

    Small parts with a click `inside` are kept. `limits` are window points whose box, extended to the clicks `inside`,
    bounds the object, loosely; None allows the whole window.
    """
    if limits is not None:
        probability = probability * loose_box(np.concatenate([limits, inside]), window)
    reach = crop.extent(window, shape)
    if window.scale < LARGE:
        return extract_large_mask(probability, window, reach, inside=inside)
    left, top, values = crop.paste(window, probability, shape)
    clicked = (inside + 0.5) / window.scale + np.array([window.left - left, window.top - top])
    kept = without_specks((values > 0.5).astype(np.uint8), keep=clicked.astype(np.float32))
    return ObjectMask(left, top, kept, reach)


def loose_box(points: Points, window: Window) -> NDArray[np.float32]:
    """Return the (S, S) 0/1 box that bounds an object loosely, from window points on its sides."""
    return crop.box(points, window.size, slack=window.size / 40 + LOOSE * window.scale).astype(np.float32)


def fit_to_points(probability: NDArray[np.float32], window: Window, points: Points) -> NDArray[np.float32]:
    """Return the probabilities (S, S) changed so that the mask ends nearer to the points.

    `points` are window points on the object's four sides. Pixels become more likely where the mask ends before them and
    less likely where it extends beyond them. Because points may be some pixels off, the change is small and smooth: the
    mean of the four distances for the whole object, and a slope for the difference between opposite sides.
    """
    mask = without_specks((probability * loose_box(points, window) > 0.5).astype(np.uint8))
    if not mask.any():
        return probability
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    low, high = points.min(0), points.max(0)
    half = max(window.scale - 1, 0) / 2  # from the center of the object's last image pixel to that of the window's
    first, last = np.array([x, y]) + half, np.array([x + width, y + height]) - 1 - half
    before, after = (beyond_tolerance(d / max(window.scale, 1)) for d in (low - first, last - high))
    middle, side = (low + high) / 2, np.maximum((high - low) / 2, 4)
    steps = np.arange(window.size)  # -1 and 1 at the sides of the box of the points, not much more beyond it
    across, down = (np.clip((steps - m) / s, -1.3, 1.3) for m, s in zip(middle, side, strict=True))
    slopes = (after - before) / 2
    distance = (before + after).mean() / 2 + slopes[0] * across[None] + slopes[1] * down[:, None]
    odds = np.exp(np.clip(FIT * distance, -FIT_LIMIT, FIT_LIMIT))
    return np.asarray(probability / (probability + (1 - probability) * odds), np.float32)


def beyond_tolerance(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distances reduced by POINT_TOLERANCE toward 0."""
    return np.sign(distances) * np.maximum(np.abs(distances) - POINT_TOLERANCE, 0)


def extract_large_mask(
    probability: NDArray[np.float32],
    window: Window,
    reach: tuple[int, int, int, int],
    *,
    inside: Points,
) -> ObjectRows:
    """Do the same for an object of many pixels, without enlarging its mask horizontally.

    Noise is removed on a copy of four times the window's size. The copy is enlarged vertically to the image's rows.
    Each row is split where it crosses one half, interpolated between two columns of the copy: the result of enlarging
    it horizontally, at the cost of the copy's width.
    """
    size = window.size * 4
    smooth = cv2.resize(probability, (size, size), interpolation=cv2.INTER_CUBIC)
    kept = without_specks((smooth > 0.5).astype(np.uint8), keep=(4 * (inside + 0.5)).astype(np.float32))
    if not kept.any():
        return ObjectRows([], reach)
    near = cv2.dilate(kept.astype(np.uint8), np.ones((5, 5), np.uint8))
    fine = np.clip(255 * smooth * near, 0, 255).astype(np.uint8)
    x, y, across, down = cv2.boundingRect(near)
    step = window.side / size  # image pixels per pixel of the copy
    top = max(reach[1], int(window.top + (y - 1) * step))
    bottom = min(reach[3], int(np.ceil(window.top + (y + down + 1) * step)))
    rows = np.array([[1, 0, x - 1], [0, 1 / step, (top + 0.5 - window.top) / step - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    values = cv2.warpAffine(fine, rows, (across + 2, max(bottom - top, 1)), flags=flags)
    object_there = values > 127
    ys, columns = np.nonzero(object_there[:, 1:] != object_there[:, :-1])
    before, after = values[ys, columns].astype(np.float32), values[ys, columns + 1].astype(np.float32)
    crossing = columns + x - 1 + (127.5 - before) / (after - before)
    xs = np.ceil(window.left + (crossing + 0.5) * step - 0.5).astype(np.int64)
    return ObjectRows(rows_of(ys + top, np.clip(xs, reach[0], reach[2])), reach)


def without_specks(mask: NDArray[np.uint8], *, keep: Points | None = None) -> NDArray[np.bool_]:
    """Return an (h, w) 0/1 mask as bool without parts much smaller than the largest, except at points of `keep`."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count <= 2:
        return mask.astype(bool)
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = np.concatenate([[False], areas >= max(2, SPECK * areas.max())])
    for x, y in np.zeros((0, 2)) if keep is None else keep:
        if 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0]:
            kept[labels[int(y), int(x)]] = True
    kept[0] = False
    return np.asarray(kept[labels], bool)
