"""Early stopping of trials by SageMaker's median rule (DG automatic-model-tuning-early-stopping.md)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

FEWEST = 3
"""Minimum number of completed trials for a meaningful median."""


def is_worse(history: Sequence[float], before: Sequence[Sequence[float]]) -> bool:
    """Return whether to stop a trial after its latest epoch; larger is better.

    True if its latest value is below the median of the earlier trials' running averages up to the same epoch.
    """
    epochs = len(history)
    if not epochs:
        return False
    averages = [fmean(one[:epochs]) for one in before if len(one) >= epochs]
    return len(averages) >= FEWEST and history[-1] < median(averages)
