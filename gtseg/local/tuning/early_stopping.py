"""Early stopping of trials, SageMaker's median rule (DG automatic-model-tuning-early-stopping.md)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

__all__ = ["is_worse"]

FEWEST = 3  # completed trials to compare with: a median of fewer says little


def is_worse(history: Sequence[float], before: Sequence[Sequence[float]]) -> bool:
    """Whether a trial is to be stopped after its latest epoch; larger is better.

    It is where its latest value is under the median of the earlier trials' running averages up to the same epoch.
    """
    epochs = len(history)
    if not epochs:
        return False
    averages = [fmean(one[:epochs]) for one in before if len(one) >= epochs]
    return len(averages) >= FEWEST and history[-1] < median(averages)
