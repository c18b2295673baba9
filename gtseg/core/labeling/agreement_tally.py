"""Agreement statistics: workers against each other, the consolidated mask and gold masks, one image at a time.

Overlap is the mean IoU over classes without background. Scores of workers and classes come from pixels summed over all
images; an image's own score is the mean over its pairs of workers.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gtseg.core.labeling.agreement import (
    Identity,
    WorkerAnswer,
    compare,
    overlap_of,
    pairwise_agreement,
)
from gtseg.core.scores.metrics import Counts, Mask, Matrix, iou

SLOW = 2.0
"""A worker is slow if their median task time exceeds SLOW x the median of all workers' medians."""
OFF = 0.1
"""A worker is off if their overlap is more than OFF below the median of all workers."""
ENOUGH = 3
"""Minimum number of answers before a worker is marked."""


@dataclass(frozen=True)
class WorkerScore:
    """Scores of one worker. An overlap is None if there was nothing to compare with."""

    worker: str
    answers: int
    seconds: float | None
    """Median of timeSpentInSeconds."""
    others: float | None
    consolidated: float | None
    gold: float | None
    gold_images: int
    is_slow: bool = False
    is_off: bool = False
    identity: Identity | None = None
    name: str = ""
    """Name of the person, '' if unknown."""

    @property
    def score(self) -> float | None:
        """The most meaningful overlap available: with gold, other workers, or the consolidated mask, in this order."""
        return next((v for v in (self.gold, self.others, self.consolidated) if v is not None), None)


@dataclass(frozen=True)
class ClassAgreement:
    """IoU of one class, pixels summed over all pairs; None if the class does not occur."""

    name: str
    others: float | None
    consolidated: float | None
    gold: float | None


@dataclass(frozen=True)
class ImageAgreement:
    """One image: overlap of its workers, None for a single answer; `seconds`: median task time."""

    image: str
    answers: int
    others: float | None
    pixels: float | None
    consolidated: float | None
    gold: float | None
    seconds: float | None


@dataclass(frozen=True)
class Agreement:
    """Agreement of all images, lowest first, and of all workers, by name."""

    images: tuple[ImageAgreement, ...]
    workers: tuple[WorkerScore, ...]
    classes: tuple[ClassAgreement, ...]
    suggested: int = 0
    """Number of answers from workers who were shown a model's mask; they are not compared."""

    def with_names(self, names: Mapping[Identity, str]) -> Agreement:
        """Return a copy with the workers' names."""
        workers = [
            replace(worker, name=names.get(worker.identity, "")) if worker.identity else worker
            for worker in self.workers
        ]
        return replace(self, workers=tuple(workers))

    @property
    def miou(self) -> float | None:
        """Mean over the images that several workers labeled."""
        return mean_of(image.others for image in self.images)

    @property
    def pixels(self) -> float | None:
        return mean_of(image.pixels for image in self.images)


@dataclass
class _Sums:
    """Confusion matrices summed over images, by reference (other workers, consolidated, gold)."""

    others: Matrix
    consolidated: Matrix
    gold: Matrix
    gold_images: int = 0
    answers: int = 0
    seconds: list[float] = field(default_factory=list)
    identity: Identity | None = None

    @classmethod
    def empty(cls, classes: int) -> _Sums:
        none = np.zeros((classes, classes), np.int64)
        return cls(none, none.copy(), none.copy())


class Tally:
    """Accumulates images one by one without keeping masks. `classes`: names by index, BACKGROUND first."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._workers: dict[str, _Sums] = {}
        self._all = _Sums.empty(len(self.classes))
        self._images: list[ImageAgreement] = []
        self.suggested = 0

    def add(
        self,
        image: str,
        answers: Sequence[WorkerAnswer],
        *,
        consolidated: Mask | None = None,
        gold: Mask | None = None,
    ) -> None:
        """Add one image's answers, all masks (H, W) class indices; 255 in `gold` is excluded from every score.

        Answers of workers who were shown a model's mask are counted but not compared. With a single answer the
        consolidated mask equals it and is not compared either.
        """
        for answer in answers:
            sums = self._of(answer.worker)
            sums.answers += 1
            sums.identity = sums.identity or answer.identity
            if answer.seconds is not None:
                sums.seconds.append(float(answer.seconds))
        self.suggested += sum(bool(answer.suggested_by) for answer in answers)
        given, answers = answers, [answer for answer in answers if not answer.suggested_by]
        self._compare_pairs(answers)
        known = consolidated if len(answers) > 1 else None
        with_consolidated = self._compare_with(known, answers, "consolidated")
        with_gold = self._compare_with(gold, answers, "gold")
        pair = pairwise_agreement([answer.mask for answer in answers], len(self.classes))
        seconds = [float(answer.seconds) for answer in given if answer.seconds is not None]
        self._images.append(
            ImageAgreement(
                image,
                len(given),
                pair[0] if pair else None,
                pair[1] if pair else None,
                with_consolidated,
                with_gold,
                statistics.median(seconds) if seconds else None,
            )
        )

    def _of(self, worker: str) -> _Sums:
        return self._workers.setdefault(worker, _Sums.empty(len(self.classes)))

    def _compare_pairs(self, answers: Sequence[WorkerAnswer]) -> None:
        for one, other in itertools.combinations(answers, 2):
            matrix = compare(one.mask, other.mask, len(self.classes))
            if matrix is not None:
                for sums in (self._of(one.worker), self._of(other.worker), self._all):
                    sums.others += matrix

    def _compare_with(self, truth: Mask | None, answers: Sequence[WorkerAnswer], what: str) -> float | None:
        if truth is None:
            return None
        scores = []
        for answer in answers:
            matrix = compare(truth, answer.mask, len(self.classes))
            if matrix is None:
                continue
            scores.append(overlap_of(matrix))
            for sums in (self._of(answer.worker), self._all):
                getattr(sums, what).__iadd__(matrix)
                sums.gold_images += what == "gold"
        return mean_of(scores)

    def result(self) -> Agreement:
        workers = [_score_worker(name, sums) for name, sums in sorted(self._workers.items())]
        columns = [_class_scores(m) for m in (self._all.others, self._all.consolidated, self._all.gold)]
        classes = [ClassAgreement(name, *scores) for name, *scores in zip(self.classes, *columns, strict=True)]
        images = sorted(self._images, key=lambda image: (_hardness(image), image.image))
        return Agreement(tuple(images), tuple(_mark_outliers(workers)), tuple(classes), self.suggested)


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are not None."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _hardness(image: ImageAgreement) -> float:
    known = [value for value in (image.others, image.gold, image.consolidated) if value is not None]
    return known[0] if known else 2.0


def _score_worker(name: str, sums: _Sums) -> WorkerScore:
    return WorkerScore(
        worker=name,
        answers=sums.answers,
        seconds=statistics.median(sums.seconds) if sums.seconds else None,
        others=_overlap(sums.others),
        consolidated=_overlap(sums.consolidated),
        gold=_overlap(sums.gold),
        gold_images=sums.gold_images,
        identity=sums.identity,
    )


def _overlap(matrix: Matrix) -> float | None:
    return overlap_of(matrix) if matrix.sum() else None


def _class_scores(matrix: Matrix) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in iou(Counts.of(matrix))]


def _mark_outliers(workers: Sequence[WorkerScore]) -> list[WorkerScore]:
    """Mark workers who differ from the median worker; needs at least two workers."""
    times = [worker.seconds for worker in workers if worker.seconds is not None]
    scores = [worker.score for worker in workers if worker.score is not None]
    if len(workers) < 2:
        return list(workers)
    pace = statistics.median(times) if times else 0.0
    usual = statistics.median(scores) if scores else 0.0
    return [_mark(worker, pace=pace, usual=usual) for worker in workers]


def _mark(worker: WorkerScore, *, pace: float, usual: float) -> WorkerScore:
    if worker.answers < ENOUGH:
        return worker
    is_slow = worker.seconds is not None and pace > 0 and worker.seconds > SLOW * pace
    is_off = worker.score is not None and worker.score < usual - OFF
    return WorkerScore(**{**vars(worker), "is_slow": is_slow, "is_off": is_off})
