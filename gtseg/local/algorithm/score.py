"""gluon-cv's segmentation metrics: pixel accuracy, and mIOU = mean over all classes of inter / (eps + union).

Accumulated over the whole set at the annotations' own size; 255 counts nowhere. A class that is neither predicted nor
present contributes 0, so that an empty class drags mIOU down, as it does in the built-in algorithm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from gtseg.local.algorithm.pairs import VOID


@dataclass
class Score:
    num_classes: int
    confusion: np.ndarray = field(init=False)  # (C, C) int64, rows truth, columns prediction

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.num_classes, self.num_classes), np.int64)

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """(H, W) uint8 both."""
        c, rows = self.num_classes, max(1, 2**23 // truth.shape[1])  # float32 counts exactly up to 2^24
        for top in range(0, len(truth), rows):
            pair = [truth[top : top + rows], predicted[top : top + rows]]
            joint = cv2.calcHist(pair, [0, 1], None, [256, c], [0, 256, 0, c])  # (256, C)
            self.confusion += joint[:c].astype(np.int64)

    @property
    def pixel_accuracy(self) -> float:
        return float(np.diag(self.confusion).sum() / (np.spacing(1) + self.confusion.sum()))

    @property
    def miou(self) -> float:
        inter = np.diag(self.confusion)
        union = self.confusion.sum(0) + self.confusion.sum(1) - inter
        return float((inter / (np.spacing(1) + union)).mean())


def to_mask(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C, h, w) float32 -> (H, W) uint8: the likeliest class of every pixel, enlarged bilinearly first."""
    if probabilities.shape[1:] == size:
        return np.asarray(probabilities.argmax(0), np.uint8)
    best = cv2.resize(probabilities[0], size[::-1], interpolation=cv2.INTER_LINEAR)
    mask = np.zeros(size, np.uint8)
    for c in range(1, len(probabilities)):  # class by class: (C, H, W) never has to exist
        other = cv2.resize(probabilities[c], size[::-1], interpolation=cv2.INTER_LINEAR)
        mask[other > best] = c
        np.maximum(best, other, out=best)
    return mask


__all__ = ["VOID", "Score", "to_mask"]
