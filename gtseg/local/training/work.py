"""Internal state of a training job."""

from __future__ import annotations

from typing import Literal

from gtseg.local.jobs.queue import QueuedWork
from gtseg.local.jobs.records import Record


class TrainingWork(QueuedWork):
    """Internal state; `stage`: queued, downloading, running, uploading, ended (execution.py)."""

    stop: Literal["requested", "runtime"] | None = None
    """Why the job is being stopped: by StopTrainingJob, or at its time limit; None if it is not."""
    interrupted: bool = False
    """A stopping server has sent SIGTERM to the process."""
    launched: float | None = None
    """Epoch seconds of the process's last start."""
    ran: float = 0.0
    """Seconds of the time limit that earlier processes used."""
    stream: str = ""
    """Name of the log stream."""
    offset: int = 0
    """Bytes of the process's output that are in the log."""
    history: list[float] = []
    """A trial's objective after each epoch."""
    early: bool = False
    """The tuning job stopped this trial early."""


TrainingRecord = Record[TrainingWork]
