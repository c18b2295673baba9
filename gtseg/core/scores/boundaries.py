"""Boundary F1: agreement of outlines within a tolerance, per image and class; a class's score is the mean over images.

Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013; MATLAB's `bfscore` follows it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gtseg.core.classes import VOID
from gtseg.core.scores.metrics import Mask, check_pair

Bits = NDArray[np.bool_]  # (H, W)
TOLERANCE = 0.0075
"""Tolerance as a share of the image's diagonal, the paper's choice."""


def boundary_f1(truth: Mask, prediction: Mask, classes: int, *, tolerance: float = TOLERANCE) -> NDArray[np.float64]:
    """Return (K,) boundary F1 of one image; NaN for a class that has no boundary in either mask.

    A boundary pixel has a 4-neighbor of another class; the image's edge and void do not count. A pixel is matched if
    the other mask has a boundary pixel of the class within `tolerance` x diagonal (at least one pixel).
    """
    check_pair(truth, prediction)
    reach = max(1, round(tolerance * math.hypot(*truth.shape)))
    void = truth == VOID
    edges = _edges(truth, void), _edges(prediction, void)
    scores = np.full(classes, np.nan)
    for index in range(classes):
        wanted, found = (edge & (mask == index) for edge, mask in zip(edges, (truth, prediction), strict=True))
        if (window := _window(wanted | found, reach)) is not None:
            scores[index] = _score(wanted[window], found[window], reach)
    return scores


def _score(wanted: Bits, found: Bits, reach: int) -> float:
    if not wanted.any() or not found.any():
        return 0.0
    precise = np.count_nonzero(found & grow(wanted, reach)) / np.count_nonzero(found)
    complete = np.count_nonzero(wanted & grow(found, reach)) / np.count_nonzero(wanted)
    return 2 * precise * complete / (precise + complete) if precise + complete else 0.0


def _edges(mask: Mask, void: Bits) -> Bits:
    """Return (H, W) pixels with a 4-neighbor of another class, neither of the two void."""
    edge = np.zeros(mask.shape, np.bool_)
    for one, other in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None),), (slice(None, -1),)),
    ):
        differs = (mask[one] != mask[other]) & ~void[one] & ~void[other]
        edge[one] |= differs
        edge[other] |= differs
    return edge


def _window(bits: Bits, margin: int) -> tuple[slice, slice] | None:
    """Return the bounding box of all set pixels with a margin, None if none is set."""
    rows, columns = np.flatnonzero(bits.any(1)), np.flatnonzero(bits.any(0))
    if not rows.size:
        return None
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def grow(bits: Bits, reach: int) -> Bits:
    """Return (H, W) pixels within Euclidean distance `reach` of a set pixel, one row of the disc at a time."""
    grown = np.zeros_like(bits)
    height = len(bits)
    for offset in range(-min(reach, height - 1), min(reach, height - 1) + 1):
        row = _widen(bits, math.isqrt(reach * reach - offset * offset))
        low, high = max(0, offset), height + min(0, offset)
        grown[low:high] |= row[low - offset : high - offset]
    return grown


def _widen(bits: Bits, width: int) -> Bits:
    """Return (H, W) pixels with a set pixel at most `width` to the left or right, by running sums."""
    sums = np.pad(np.cumsum(bits, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    columns = np.arange(bits.shape[1])
    after, before = np.minimum(columns + width + 1, bits.shape[1]), np.maximum(columns - width, 0)
    return sums[:, after] > sums[:, before]
