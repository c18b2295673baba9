"""What only this server needs of a transform job while it runs."""

from __future__ import annotations

from typing import Any

from gtseg.local.jobs.queue import QueuedWork
from gtseg.local.jobs.records import Record, Records

__all__ = ["TransformRecord", "TransformRecords", "TransformWork"]


class TransformWork(QueuedWork, kw_only=True):
    """`stage` goes from queued over running to ended. The model may be deleted meanwhile: this is all of it."""

    container: dict[str, Any]
    """The model's PrimaryContainer."""
    role: str
    """The model's execution role."""


TransformRecord = Record[TransformWork]
TransformRecords = Records[TransformWork]
