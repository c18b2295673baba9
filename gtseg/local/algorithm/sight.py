"""How large a picture has to be seen, read off the annotations before training.

A compact network answers on a grid of a quarter of its input. So the finest mask that it could draw is the annotation
averaged over that grid and enlarged again; the mIoU of that with the annotation is the best it can score at that size.
Photographs of one animal lose nothing at 128 pixels, streets seen from a satellite lose half: time goes where it pays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from gtseg.local.algorithm.pairs import VOID

SIZES = (128, 160, 192, 256)  # long sides, pixels
ENOUGH = 0.93  # mIoU: finer pictures cost as much time again as they are larger
STRIDE = 4


@dataclass
class Detail:
    """Intersections and unions per size and class, over the masks added."""

    num_classes: int
    inter: np.ndarray = field(init=False)  # (sizes, C)
    union: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.inter = np.zeros((len(SIZES), self.num_classes))
        self.union = np.zeros((len(SIZES), self.num_classes))

    def add(self, mask: np.ndarray) -> None:
        """(H, W) uint8 class indices."""
        step = max(1, max(mask.shape) // 640)
        mask = np.ascontiguousarray(mask[::step, ::step])
        counted = mask != VOID
        for row, size in enumerate(SIZES):
            drawn = best_drawn(mask, size)
            for c in np.unique(mask[counted]):
                truth, guess = (mask == c) & counted, (drawn == c) & counted
                self.inter[row, c] += np.count_nonzero(truth & guess)
                self.union[row, c] += np.count_nonzero(truth | guess)

    def ceilings(self) -> np.ndarray:
        """(sizes,) the best mIoU over the classes present; 1 where there are none."""
        present = self.union[0] > 0
        if not present.any():
            return np.ones(len(SIZES))
        return np.asarray((self.inter[:, present] / np.maximum(self.union[:, present], 1)).mean(1))

    def sight(self) -> int:
        """The smallest size that costs less than 1 - ENOUGH, or the largest there is."""
        enough = np.flatnonzero(self.ceilings() >= ENOUGH)
        return SIZES[int(enough[0])] if len(enough) else SIZES[-1]


def best_drawn(mask: np.ndarray, size: int) -> np.ndarray:
    """(H, W) uint8 -> (H, W) uint8: the mask as a network that sees `size` pixels could draw it at best; void is drawn as nothing."""
    height, width = mask.shape
    scale = size / STRIDE / max(height, width)
    grid = (max(1, round(width * scale)), max(1, round(height * scale)))
    best, drawn = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.uint8)
    for c in np.unique(mask[mask != VOID]):
        share = cv2.resize((mask == c).astype(np.float32), grid, interpolation=cv2.INTER_AREA)
        share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
        drawn[share > best] = c
        np.maximum(best, share, out=best)
    return drawn
