"""What only this server needs of a training job while it runs."""

from __future__ import annotations

from typing import Literal

from gtseg.local.jobs.queue import QueuedWork
from gtseg.local.jobs.records import Record

__all__ = ["TrainingRecord", "TrainingWork"]


class TrainingWork(QueuedWork):
    """`stage` goes from queued over downloading, running and uploading to ended (execution.py)."""

    stop: Literal["requested", "runtime"] | None = None
    """Why the job is being stopped: by StopTrainingJob, or at its time limit."""
    interrupted: bool = False
    """A server that stopped has asked the process to end."""
    launched: float | None = None
    """When the process was started last, epoch seconds."""
    ran: float = 0.0
    """Seconds that earlier processes had used of the time limit."""
    stream: str = ""
    """Name of the log stream."""
    offset: int = 0
    """Bytes of the process's output that are in the log."""
    history: list[float] = []
    """A trial's objective after each epoch."""
    early: bool = False
    """The tuning job stopped this trial early."""


TrainingRecord = Record[TrainingWork]
