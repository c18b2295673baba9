"""A mask on part of an image, and how window probabilities become one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment import crop
from gtseg.local.labeling.autosegment.crop import Points, Window

__all__ = ["Found", "settle", "without_specks"]

LARGE = 0.25
"""Window pixels per image pixel below which a mask is enlarged in two steps."""
SPECK = 0.02
"""Of the largest part: smaller parts are noise."""


@dataclass(frozen=True)
class Found:
    """(h, w) bool, its first pixel at (left, top) of the image."""

    left: int
    top: int
    mask: NDArray[np.bool_]
    reach: tuple[int, int, int, int] | None = None
    """left, top, right, bottom within which a further click changes this mask; None: anywhere."""

    def whole(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W) bool of the whole image."""
        full = np.zeros(shape, bool)
        full[self.top : self.top + self.mask.shape[0], self.left : self.left + self.mask.shape[1]] = self.mask
        return full

    def rows(self) -> list[list[int]]:
        """[y, x0, x1, x0, x1, ...] for every row with object pixels, x1 excluded."""
        padded = np.zeros((self.mask.shape[0], self.mask.shape[1] + 2), np.int8)
        padded[:, 1:-1] = self.mask
        ys, xs = np.nonzero(np.diff(padded, axis=1))
        rows: dict[int, list[int]] = {}
        for y, x in zip((ys + self.top).tolist(), (xs + self.left).tolist(), strict=True):
            rows.setdefault(y, [y]).append(x)
        return list(rows.values())


def settle(
    probability: NDArray[np.float32],
    window: Window,
    shape: tuple[int, int],
    *,
    limits: Points | None,
    inside: Points,
) -> Found:
    """Window probabilities (S, S) -> the mask in the pixels of an image of `shape`, without specks but those with a click `inside`.

    `limits`: window points whose box, with the clicks `inside`, the object does not leave; None: it may fill the window.
    """
    if limits is not None:
        allowed = crop.box(np.concatenate([limits, inside]), window.size, slack=window.size / 40)
        probability = (probability * allowed).astype(np.float32)
    reach = crop.extent(window, shape)
    if window.scale < LARGE:
        return settle_large(probability, window, reach, inside=inside)
    left, top, values = crop.paste(window, probability, shape)
    clicked = (inside + 0.5) / window.scale + np.array([window.left - left, window.top - top])
    kept = without_specks((values > 0.5).astype(np.uint8), keep=clicked.astype(np.float32))
    return Found(left, top, kept, reach)


def settle_large(
    probability: NDArray[np.float32],
    window: Window,
    reach: tuple[int, int, int, int],
    *,
    inside: Points,
) -> Found:
    """The same for an object of many pixels: specks are found before it is enlarged, and only the box of what is left is."""
    size = window.size * 4
    smooth = cv2.resize(probability, (size, size), interpolation=cv2.INTER_CUBIC)
    kept = without_specks((smooth > 0.5).astype(np.uint8), keep=(4 * (inside + 0.5)).astype(np.float32))
    ys, xs = np.nonzero(kept)
    if not len(xs):
        return Found(reach[0], reach[1], np.zeros((1, 1), bool), reach)
    near = cv2.dilate(kept.astype(np.uint8), np.ones((5, 5), np.uint8))
    fine = np.clip(255 * smooth * near, 0, 255).astype(np.uint8)
    step = window.side / size
    x0, x1 = int(window.left + (xs.min() - 1) * step), int(np.ceil(window.left + (xs.max() + 2) * step))
    y0, y1 = int(window.top + (ys.min() - 1) * step), int(np.ceil(window.top + (ys.max() + 2) * step))
    x0, y0, x1, y1 = max(x0, reach[0]), max(y0, reach[1]), min(x1, reach[2]), min(y1, reach[3])
    back = Window(window.left, window.top, window.side, size).matrix()
    back[:, 2] += back[:, :2] @ np.array([x0, y0], float)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    values = cv2.warpAffine(fine, back, (max(x1 - x0, 1), max(y1 - y0, 1)), flags=flags)
    return Found(x0, y0, values > 127, reach)


def without_specks(mask: NDArray[np.uint8], *, keep: Points | None = None) -> NDArray[np.bool_]:
    """(h, w) 0/1 -> bool, parts much smaller than the largest left out, except where one of the points `keep` lies on them."""
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
