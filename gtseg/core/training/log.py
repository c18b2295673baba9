"""Parser of the built-in algorithm's log in CloudWatch: lines to epochs.

The expressions match the complete log of a real job of April 2020 (AWS's Pascal VOC example notebook). Note the dot
after `#quality_metric` and the space before the closing dot of a value: other built-in algorithms write colons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

METRICS = {
    "train:loss": r"#quality_metric\. host: \S+, epoch: \d+, train loss: (\S+)",
    "train:throughput": r"#throughput_metric\. host: \S+, epoch: \d+, train throughput: (\S+) samples/sec",
    "validation:mIOU": r"#quality_metric\. host: \S+, epoch: \d+, validation mIOU: (\S+)",
    "validation:pixel_accuracy": r"#quality_metric\. host: \S+, epoch: \d+, validation pixel_accuracy: (\S+)",
    "validation:throughput": r"#throughput_metric\. host: \S+, epoch: \d+, validation throughput: (\S+) samples/sec",
    "train:progress": r"#progress_metric: host=\S+, completed (\S+) %",
}
"""Published metric names and the expressions of their values."""

_EPOCH_VALUE = re.compile(
    r"#(?:quality|throughput)_metric\. host: \S+, epoch: (\d+), "
    r"(train|validation) (loss|throughput|mIOU|pixel_accuracy): (\S+)"
)
_PROGRESS = re.compile(METRICS["train:progress"])
_FIELDS = {
    ("train", "loss"): "train_loss",
    ("train", "throughput"): "train_throughput",
    ("validation", "mIOU"): "miou",
    ("validation", "pixel_accuracy"): "pixel_accuracy",
    ("validation", "throughput"): "validation_throughput",
}


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data, counted from 0. None: not logged yet. Throughput in images per second."""

    number: int
    train_loss: float | None = None
    train_throughput: float | None = None
    miou: float | None = None
    pixel_accuracy: float | None = None
    validation_throughput: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the epoch is fully logged: its validation throughput comes last."""
        return self.validation_throughput is not None


@dataclass(frozen=True)
class Reading:
    """State of a log. `progress`: percent of the epochs, None before the first."""

    epochs: tuple[Epoch, ...] = ()
    progress: float | None = None
    _by_number: dict[int, Epoch] = field(default_factory=dict, repr=False, compare=False)

    def read(self, lines: Iterable[str]) -> Reading:
        """Return the state after more lines. An epoch that is logged again (a job resumed from a checkpoint) is
        replaced.
        """
        epochs, progress = dict(self._by_number), self.progress
        for line in lines:
            if match := _EPOCH_VALUE.search(line):
                number, value = int(match[1]), _number(match[4])
                if value is not None:
                    name = _FIELDS.get((match[2], match[3]), "")
                    epochs[number] = _put(epochs.get(number, Epoch(number)), name, value)
            elif match := _PROGRESS.search(line):
                progress = _number(match[1]) if _number(match[1]) is not None else progress
        return Reading(tuple(epochs[number] for number in sorted(epochs)), progress, epochs)

    @property
    def best(self) -> Epoch | None:
        return best_epoch(self.epochs)


def parse_log(lines: Iterable[str]) -> Reading:
    """Return all epochs of a log."""
    return Reading().read(lines)


def best_epoch(epochs: Iterable[Epoch]) -> Epoch | None:
    """Return the first epoch with the highest validation mIOU, whose weights are `model_best.params` and are deployed.

    None if no epoch was validated. SageMaker's FinalMetricDataList has the last epoch, not the best.
    """
    known = [epoch for epoch in epochs if epoch.miou is not None and not math.isnan(epoch.miou)]
    return max(known, key=lambda epoch: (epoch.miou, -epoch.number), default=None)


def _put(epoch: Epoch, name: str, value: float) -> Epoch:
    values: dict[str, Any] = {name: value} if name else {}
    return replace(epoch, **values)


def _number(text: str) -> float | None:
    """Parse the value of a line, without the sentence's closing dot if no space precedes it."""
    try:
        return float(text)
    except ValueError:
        return None
