"""Consolidation of several workers' masks into one mask by a vote per pixel, with a confidence.

Pixels on which all workers agree are kept. At any other pixel, each class that a worker gave it scores its number of
votes there plus SMOOTHING times its mean votes in a WINDOW x WINDOW neighborhood, so that the undisputed neighborhood
decides ties at borders. The result does not depend on the order of the workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

WINDOW = 7
"""Side of the smoothing window in pixels."""
SMOOTHING = 0.3
"""Weight of the window relative to the votes at the pixel itself."""
BAND_PIXELS = 1 << 20
"""Pixels processed at a time in bands of rows, which bounds the memory for large images."""


@dataclass(frozen=True)
class Consolidated:
    """The consolidated mask, (H, W) uint8 class indices, and its confidence, 0 to 1.

    The confidence is the mean share of workers who gave the winning class, over the pixels that a worker marked with a
    class. It is 0 for a single worker, as AWS writes it.
    """

    mask: np.ndarray
    confidence: float


def consolidate(masks: Sequence[np.ndarray]) -> Consolidated:
    """Consolidate 1 to 9 masks (H, W) uint8 of one size. Raises ValueError for no masks or masks of different sizes."""
    if not masks or any(mask.shape != masks[0].shape for mask in masks):
        raise ValueError("consolidation requires at least one mask, and all masks of the same size")
    if len(masks) == 1:
        return Consolidated(masks[0], 0.0)
    height, width = masks[0].shape
    result = masks[0].copy()
    rows = max(1, BAND_PIXELS // max(1, width))
    marked = agreeing = 0
    for top in range(0, height, rows):
        band_marked, band_agreeing = consolidate_band(masks, result, slice(top, min(top + rows, height)))
        marked, agreeing = marked + band_marked, agreeing + band_agreeing
    return Consolidated(result, agreeing / (marked * len(masks)) if marked else 1.0)


def consolidate_band(masks: Sequence[np.ndarray], result: np.ndarray, rows: slice) -> tuple[int, int]:
    """Decide the disputed pixels of some rows in place; return (marked pixels, votes there that match the result)."""
    disputed, marked = compare(masks, rows)
    if disputed.any():
        ys, xs = np.nonzero(disputed)
        top, left = rows.start + ys.min(), xs.min()
        box = (slice(top, rows.start + ys.max() + 1), slice(left, xs.max() + 1))
        local = disputed[box[0].start - rows.start : box[0].stop - rows.start, box[1]]
        result[box][local] = vote(masks, box, local)
    agreeing = sum(int(np.count_nonzero((mask[rows] == result[rows]) & marked)) for mask in masks)
    return int(np.count_nonzero(marked)), agreeing


def compare(masks: Sequence[np.ndarray], rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return two (h, w) bool masks: where workers disagree, and where at least one worker marked a class."""
    first = masks[0][rows]
    disputed, marked = np.zeros(first.shape, bool), first != 0
    for mask in masks[1:]:
        disputed |= mask[rows] != first
        marked |= mask[rows] != 0
    return disputed, marked


def vote(masks: Sequence[np.ndarray], box: tuple[slice, slice], disputed: np.ndarray) -> np.ndarray:
    """Return the winning class of each disputed pixel of the box, (n,) uint8 in row order.

    Votes are counted in a frame around the box, so that the smoothing window is complete at its edges.
    """
    height, width = masks[0].shape
    reach = WINDOW // 2
    top, left = max(0, box[0].start - reach), max(0, box[1].start - reach)
    frame = (slice(top, min(height, box[0].stop + reach)), slice(left, min(width, box[1].stop + reach)))
    inner = (slice(box[0].start - top, box[0].stop - top), slice(box[1].start - left, box[1].stop - left))
    votes = np.stack([mask[box][disputed] for mask in masks])  # (workers, n)
    winner = np.zeros(votes.shape[1], np.uint8)
    best = np.full(votes.shape[1], -1.0, np.float32)
    for label in np.unique(votes):
        count = np.zeros((frame[0].stop - top, frame[1].stop - left), np.uint8)
        for mask in masks:
            count += mask[frame] == label
        around = cv2.boxFilter(count, cv2.CV_32F, (WINDOW, WINDOW), borderType=cv2.BORDER_REPLICATE)[inner][disputed]
        own = np.count_nonzero(votes == label, axis=0).astype(np.float32)
        score = np.where(own > 0, own + SMOOTHING * around, np.float32(-2))
        better = score > best
        winner[better], best[better] = label, score[better]
    return winner
