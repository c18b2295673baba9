"""The learning rate as a factor of its start, a pure function of how far the job is.

Progress is the larger of the share of the planned updates and the share of the time budget, so that the rate has come
down when either ends. The built-in algorithm plans T = floor(num_training_samples / mini_batch_size) x epochs updates
(its log prints both) and its poly is (1 - t/T)^0.9: 38 of the 40 rates in a real log fit to the last digit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gtseg.local.algorithm.hyperparameters import Hyperparameters


@dataclass
class Budget:
    """`seconds` of `clock` for the whole job, counted over its resumes; None: no limit. `spent`: before this process.

    `reserve` seconds are kept for the last validation and for saving; training grows it as it measures them.
    """

    seconds: float | None
    clock: Callable[[], float] = time.monotonic
    spent: float = 0.0
    reserve: float = 0.0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def used(self) -> float:
        return self.spent + self.clock() - self.started

    def is_used(self) -> bool:
        """Whether all of it is gone, the reserve too."""
        return self.seconds is not None and self.used() >= self.seconds

    def has_room(self, seconds: float) -> bool:
        """Whether so many seconds more leave the reserve untouched."""
        return self.seconds is None or self.used() + seconds <= self.seconds - self.reserve

    def share(self) -> float:
        """0..1 of the time that training may take."""
        if self.seconds is None:
            return 0.0
        return min(1.0, self.used() / max(self.seconds - self.reserve, 1e-9))


def planned_updates(h: Hyperparameters, batch: int) -> tuple[int, int]:
    """(updates per epoch, updates of the job) as the user's num_training_samples has them."""
    per_epoch = max(1, h.num_training_samples // batch)
    return per_epoch, per_epoch * h.epochs


def rate_factor(name: str, progress: float, h: Hyperparameters) -> float:
    """What to multiply the learning rate by at `progress` (0 at the start, 1 at the planned end)."""
    progress = min(max(progress, 0.0), 1.0)
    if name == "poly":
        return math.pow(1 - progress, 0.9)
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if name == "step":
        epoch = progress * h.epochs
        return h.lr_scheduler_factor ** sum(epoch >= step for step in h.lr_scheduler_step)
    warm = 0.03
    if progress < warm:
        return max(progress / warm, 0.02)
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm))) + 0.005


def crop_at(crops: tuple[int, ...], progress: float) -> int:
    return crops[min(int(progress * len(crops)), len(crops) - 1)]
