"""Internal state of a transform job."""

from __future__ import annotations

from typing import Any

from gtseg.local.jobs.queue import QueuedWork
from gtseg.local.jobs.records import Record, Records


class TransformWork(QueuedWork, kw_only=True):
    """Internal state; `stage`: queued, running, ended. Includes the model, which may be deleted in the meantime."""

    container: dict[str, Any]
    """The model's PrimaryContainer."""
    role: str
    """The model's execution role."""


TransformRecord = Record[TransformWork]
TransformRecords = Records[TransformWork]
