"""The state of one run: run.json beside its data, conditional writes, an attempt recorded before every creating call."""

from __future__ import annotations

from gtseg.pipeline.run.attempts import Creation, Found, create_once, next_name, standing
from gtseg.pipeline.run.file import RunFile, list_runs, locate
from gtseg.pipeline.run.fingerprint import FINGERPRINT_TAG, fingerprint
from gtseg.pipeline.run.outcomes import (
    ClassScores,
    EndpointSection,
    EpochRecord,
    EvaluationSection,
    ReportSection,
    TrainingJobSection,
    TunedJobRecord,
    TuningJobSection,
)
from gtseg.pipeline.run.provenance import Provenance, lineage_tags, provenance, with_tags
from gtseg.pipeline.run.sections import (
    Attempt,
    DatasetSection,
    Frozen,
    LabelingJobSection,
    Run,
    VerificationSection,
)

__all__ = [
    "FINGERPRINT_TAG",
    "Attempt",
    "ClassScores",
    "Creation",
    "DatasetSection",
    "EndpointSection",
    "EpochRecord",
    "EvaluationSection",
    "Found",
    "Frozen",
    "LabelingJobSection",
    "Provenance",
    "ReportSection",
    "Run",
    "RunFile",
    "TrainingJobSection",
    "TunedJobRecord",
    "TuningJobSection",
    "VerificationSection",
    "create_once",
    "fingerprint",
    "lineage_tags",
    "list_runs",
    "locate",
    "next_name",
    "provenance",
    "standing",
    "with_tags",
]
