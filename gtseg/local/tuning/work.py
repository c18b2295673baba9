"""What only this server needs of a tuning job while it runs."""

from __future__ import annotations

from typing import Any

from gtseg.local.jobs.records import Record, Work

__all__ = ["TuningRecord", "TuningWork"]


class TuningWork(Work):
    request: dict[str, Any]
    """CreateHyperParameterTuningJob's request, from which every trial's request is made."""


TuningRecord = Record[TuningWork]
