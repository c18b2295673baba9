"""One integer confusion matrix over all pixels of all images, from which every score is derived.

`matrix[t, p]` counts pixels of true class t and predicted class p. Pixels whose truth is 255 are not counted.

Conventions, compared with other libraries:

- IoU, precision, recall, F1 per class: scikit-learn's `jaccard_score`, `precision_score`, ... and torchmetrics' with
  `ignore_index=255`, except that a score without a denominator is NaN here ("not known"); both return 0.
- `miou`, the headline: the mean over the classes that occur, in truth or prediction, of the IoU over the whole data
  set. Equals scikit-learn's `jaccard_score(average="macro")` with its default labels, and torchmetrics' macro
  `JaccardIndex` (1.x), which also ignore classes that do not occur. torchmetrics' `MeanIoU` differs: it is a mean over
  images, like `miou_per_image`.
- `miou_builtin`: the `validation mIOU` of SageMaker's built-in algorithm (gluon-cv's SegmentationMetric): the mean
  over all num_classes, where a class that does not occur counts 0.
- `miou_per_image`: each image's mean over the classes that occur in it, then the mean over images.
- `miou_foreground`: as `miou`, without class 0.
- Pixel accuracy: scikit-learn's `accuracy_score` over the counted pixels; torchmetrics' micro accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gtseg.core.classes import VOID
from gtseg.errors import MaskError

Mask = NDArray[np.uint8]  # (H, W) class indices
Matrix = NDArray[np.int64]  # (K, K) pixels: truth x prediction
Scores = NDArray[np.float64]  # (K,) NaN where not known

BAND = 1 << 18
"""Pixels per band: the arrays of a band fit into the processor's cache, and memory is independent of image size."""


def confusion_matrix(truth: Mask, prediction: Mask, classes: int) -> Matrix:
    """Return (K, K) int64 counts of two (H, W) uint8 masks, K = `classes`; pixels with truth 255 are excluded.

    Masks are runs of equal pixels, so only the places where either mask changes are visited; a noisy band is counted
    pixel by pixel. Raises MaskError if the shapes differ, or a counted pixel's value has no class.
    """
    check_pair(truth, prediction)
    flat_truth, flat_prediction = truth.reshape(-1), prediction.reshape(-1)
    counts = np.zeros(256 * 256, np.int64) if classes > 16 else np.zeros((classes + 1) * 256, np.int64)
    for start in range(0, flat_truth.size, BAND):
        _count_band(
            flat_truth[start : start + BAND],
            flat_prediction[start : start + BAND],
            counts=counts,
            classes=classes,
        )
    table = counts.reshape(-1, 256)[: classes + 1]
    return _inside(table, classes)


def check_pair(truth: Mask, prediction: Mask) -> None:
    """Raise MaskError unless both masks are uint8 class indices of the same shape."""
    if truth.shape != prediction.shape:
        raise MaskError(f"the prediction is {_size(prediction)}, the mask {_size(truth)}: they must have the same size")
    if truth.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise MaskError(f"masks must be uint8 class indices, they are {truth.dtype} and {prediction.dtype}")


def _size(mask: NDArray[np.generic]) -> str:
    return " x ".join(str(side) for side in reversed(mask.shape))


def _count_band(truth: Mask, prediction: Mask, *, counts: Matrix, classes: int) -> None:
    """Add the counts of one band, (N,) each, to `counts` in place: index = row x 256 + prediction, void in row
    `classes`.
    """
    changed = np.empty(truth.size, np.bool_)
    changed[0] = True
    np.not_equal(truth[1:], truth[:-1], out=changed[1:])
    changed[1:] |= prediction[1:] != prediction[:-1]
    starts = np.flatnonzero(changed)
    weights = None
    if starts.size * 3 < truth.size:
        weights = np.diff(starts, append=truth.size)
        truth, prediction = truth[starts], prediction[starts]
    rows = np.minimum(truth, classes).astype(np.uint16)
    if (wrong := (truth >= classes) & (truth != VOID)).any():
        raise MaskError(f"the mask has the value {truth[wrong][0]}; allowed are 0 to {classes - 1}, and 255 for void")
    codes = rows * np.uint16(256) + prediction
    if weights is None:
        counts += np.bincount(codes, minlength=counts.size)
    elif codes.size < counts.size:
        np.add.at(counts, codes, weights)
    else:
        counts += np.bincount(codes, weights=weights, minlength=counts.size).astype(np.int64)


def _inside(table: Matrix, classes: int) -> Matrix:
    """Return the (K, K) part of counts whose last row is void. Raises MaskError if a prediction has no class."""
    if (stray := np.flatnonzero(table[:classes, classes:].sum(0))).size:
        raise MaskError(f"the prediction has the value {stray[0] + classes}; allowed are 0 to {classes - 1}")
    return table[:classes, :classes].copy()


# --- scores per class: (..., K, K) counts -> (..., K) ---


@dataclass(frozen=True)
class Counts:
    """Terms of every score of a matrix, each (..., K): correct pixels, true pixels, predicted pixels."""

    right: NDArray[np.float64]
    truth: NDArray[np.float64]
    predicted: NDArray[np.float64]

    @classmethod
    def of(cls, matrix: NDArray[np.int64]) -> Counts:
        right = np.diagonal(matrix, axis1=-2, axis2=-1)
        return cls(right.astype(float), matrix.sum(-1).astype(float), matrix.sum(-2).astype(float))

    @property
    def union(self) -> NDArray[np.float64]:
        return self.truth + self.predicted - self.right


def iou(counts: Counts) -> Scores:
    return _ratio(counts.right, counts.union)


def precision(counts: Counts) -> Scores:
    return _ratio(counts.right, counts.predicted)


def recall(counts: Counts) -> Scores:
    return _ratio(counts.right, counts.truth)


def f1(counts: Counts) -> Scores:
    return _ratio(2 * counts.right, counts.truth + counts.predicted)


def pixel_accuracy(counts: Counts) -> NDArray[np.float64]:
    """Return (...) the share of counted pixels that are correct; NaN if none is counted."""
    return _ratio(counts.right.sum(-1), counts.truth.sum(-1))


# --- mIoU, in every convention ---


def miou(counts: Counts) -> NDArray[np.float64]:
    """Return (...) mean IoU over the classes that occur in truth or prediction."""
    return _mean_of_known(iou(counts))


def miou_builtin(counts: Counts) -> NDArray[np.float64]:
    """Return (...) gluon-cv's mIoU over all K classes; a class that does not occur counts 0 (spacing(1) in the
    denominator).
    """
    mean: NDArray[np.float64] = (counts.right / (np.spacing(1.0) + counts.union)).mean(-1)
    return mean


def miou_foreground(counts: Counts) -> NDArray[np.float64]:
    """Return (...) miou without class 0."""
    return _mean_of_known(iou(counts)[..., 1:])


def miou_per_image(images: Counts) -> float:
    """Return the mean over images, (I, K) counts, of each image's miou; NaN if no image has a counted pixel."""
    return float(_mean_of_known(miou(images))) if len(images.right) else float("nan")


def predicts_only_background(counts: Counts) -> bool:
    """Return whether every pixel is predicted as class 0 although the truth has other classes."""
    return bool(counts.predicted[1:].sum() == 0 < counts.truth[1:].sum())


def total(matrices: Iterable[Matrix], classes: int) -> Matrix:
    """Accumulates the (K, K) matrix of a data set."""
    result = np.zeros((classes, classes), np.int64)
    for matrix in matrices:
        result += matrix
    return result


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def _mean_of_known(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(scores)
    return _ratio(np.where(known, scores, 0).sum(-1), known.sum(-1).astype(float))
