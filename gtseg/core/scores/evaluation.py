"""Evaluation of a split: masks and predictions, image by image, to scores with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gtseg.core.classes import VOID
from gtseg.core.scores import metrics
from gtseg.core.scores.boundaries import TOLERANCE, boundary_f1
from gtseg.core.scores.intervals import RESAMPLES, Interval, bootstrap, bootstrap_mean
from gtseg.core.scores.metrics import Counts, Mask, Matrix, confusion_matrix
from gtseg.errors import MaskError


@dataclass(frozen=True)
class ImageScores:
    """One image: (K,) correct pixels, true pixels, predicted pixels; (K,) boundary F1."""

    name: str
    right: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    boundary: NDArray[np.float64]
    void: int

    @property
    def counts(self) -> Counts:
        return Counts(self.right.astype(float), self.truth.astype(float), self.predicted.astype(float))

    @property
    def miou(self) -> float | None:
        return known(metrics.miou(self.counts))

    @property
    def pixel_accuracy(self) -> float | None:
        return known(metrics.pixel_accuracy(self.counts))


@dataclass
class Tally:
    """Accumulates images: one confusion matrix, and each image's counts for the intervals."""

    classes: int
    tolerance: float = TOLERANCE
    matrix: Matrix = field(init=False)
    images: list[ImageScores] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.matrix = np.zeros((self.classes, self.classes), np.int64)

    def add(self, name: str, truth: Mask, prediction: Mask) -> ImageScores:
        """Add one image. Raises MaskError with its name if sizes differ or a value has no class."""
        try:
            matrix = confusion_matrix(truth, prediction, self.classes)
        except MaskError as error:
            raise MaskError(f"{name}: {error}") from None
        self.matrix += matrix
        scores = ImageScores(
            name,
            np.diagonal(matrix).copy(),
            matrix.sum(1),
            matrix.sum(0),
            boundary_f1(truth, prediction, self.classes, tolerance=self.tolerance),
            int(np.count_nonzero(truth == VOID)),
        )
        self.images.append(scores)
        return scores


@dataclass(frozen=True)
class ClassResult:
    """Scores of one class; None if undefined. `intervals`: by score name."""

    iou: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    boundary_f1: float | None
    truth_pixels: int
    predicted_pixels: int
    intervals: Mapping[str, Interval | None]


@dataclass(frozen=True)
class Result:
    """All scores of one split, by the conventions of `gtseg.core.scores.metrics`; `miou` is the headline."""

    images: int
    miou: float | None
    miou_builtin: float | None
    miou_per_image: float | None
    miou_foreground: float | None
    pixel_accuracy: float | None
    intervals: Mapping[str, Interval | None]
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    only_background: bool
    pixels: int
    void_pixels: int


_POOLED = {
    "miou": metrics.miou,
    "miou_builtin": metrics.miou_builtin,
    "miou_foreground": metrics.miou_foreground,
    "pixel_accuracy": metrics.pixel_accuracy,
}
_PER_CLASS = {"iou": metrics.iou, "precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}


def conclude(tally: Tally, *, seed: int = 0, resamples: int = RESAMPLES) -> Result:
    """Return scores and 95 % intervals of the added images, in the order of their names."""
    images = sorted(tally.images, key=lambda image: image.name)
    each = _stack(images, tally.classes)
    counts = Counts.of(tally.matrix)
    spans = bootstrap(each, _POOLED | _PER_CLASS, seed=seed, resamples=resamples)
    own = np.array([metrics.miou(image.counts) for image in images], float)
    spans["miou_per_image"] = bootstrap_mean(own, seed=seed, resamples=resamples)
    boundary = np.array([image.boundary for image in images], float).reshape(-1, tally.classes)
    spans["boundary_f1"] = bootstrap_mean(boundary, seed=seed, resamples=resamples)
    pooled = {name: known(score(counts)) for name, score in _POOLED.items()}
    return Result(
        images=len(images),
        **pooled,
        miou_per_image=known(metrics.miou_per_image(each)),
        intervals={name: _interval(spans[name]) for name in (*_POOLED, "miou_per_image")},
        classes=_class_results(counts, boundary, spans),
        confusion=tuple(tuple(row) for row in tally.matrix.tolist()),
        only_background=metrics.predicts_only_background(counts),
        pixels=int(tally.matrix.sum()),
        void_pixels=sum(image.void for image in images),
    )


def known(value: NDArray[np.float64] | float) -> float | None:
    """Return a number for JSON, None if it is NaN."""
    number = float(value)
    return None if np.isnan(number) else number


def _stack(images: list[ImageScores], classes: int) -> Counts:
    shape = (len(images), classes)
    rows = ([getattr(image, name) for image in images] for name in ("right", "truth", "predicted"))
    return Counts(*(np.array(part, float).reshape(shape) for part in rows))


def _class_results(
    counts: Counts, boundary: NDArray[np.float64], spans: Mapping[str, NDArray[np.float64]]
) -> tuple[ClassResult, ...]:
    scores = {name: score(counts) for name, score in _PER_CLASS.items()}
    scores["boundary_f1"] = _mean(boundary)
    return tuple(
        ClassResult(
            **{name: known(values[index]) for name, values in scores.items()},
            truth_pixels=int(counts.truth[index]),
            predicted_pixels=int(counts.predicted[index]),
            intervals={name: _interval(spans[name][:, index]) for name in scores},
        )
        for index in range(len(counts.right))
    )


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (K,) mean of (I, K) values, ignoring NaN."""
    seen = ~np.isnan(values)
    sums, number = np.where(seen, values, 0).sum(0), seen.sum(0)
    mean = np.full(values.shape[1], np.nan)
    np.divide(sums, number, out=mean, where=number > 0)
    return mean


def _interval(span: NDArray[np.float64]) -> Interval | None:
    low, high = (float(edge) for edge in span)
    return None if np.isnan(low) or np.isnan(high) else (low, high)
