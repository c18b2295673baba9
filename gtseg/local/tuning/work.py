"""Internal state of a tuning job."""

from __future__ import annotations

from typing import Any

from gtseg.local.jobs.records import Record, Work


class TuningWork(Work):
    """Internal state of a tuning job."""

    request: dict[str, Any]
    """The CreateHyperParameterTuningJob request, from which the trials' requests are made."""


TuningRecord = Record[TuningWork]
