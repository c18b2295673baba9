"""Number of computing threads, chosen by measurement: on a shared machine, two threads that synchronize at every layer
can be four times slower than one.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

TRIALS = 3
"""Steps measured with each number of threads."""
AGAIN = 60.0
"""Seconds until the next comparison."""


def cores() -> int:
    """Return OMP_NUM_THREADS, else the number of cores that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) else len(os.sched_getaffinity(0))


@dataclass
class Threads:
    """Compares one thread with `most` threads every minute and uses the faster setting in between."""

    most: int
    clock: Callable[[], float] = time.monotonic
    use: Callable[[int], None] = torch.set_num_threads
    times: dict[int, list[float]] = field(default_factory=dict)
    chosen: int = 0
    compared_at: float = 0.0
    steps: int = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run one training step; the first is not timed, because it allocates memory."""
        number = self.next_number()
        self.use(number)
        started = self.clock()
        yield
        if self.steps and not self.chosen:
            self.times.setdefault(number, []).append(self.clock() - started)
        self.steps += 1

    def next_number(self) -> int:
        if self.most == 1:
            return 1
        if self.chosen and self.clock() - self.compared_at > AGAIN:
            self.chosen, self.times = 0, {}
        if self.chosen:
            return self.chosen
        waiting = [n for n in (self.most, 1) if len(self.times.get(n, ())) < TRIALS]
        if waiting:
            return min(waiting, key=lambda n: len(self.times.get(n, ())))
        self.chosen = min(self.times, key=lambda n: statistics.median(self.times[n]))
        self.compared_at = self.clock()
        return self.chosen
