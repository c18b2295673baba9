"""State of a run: run.json beside its data, conditional writes, an attempt recorded before every creating call."""

from __future__ import annotations

from gtseg.pipeline.run.attempts import STAND_IN, Found, Resource, create_once, found, next_name
from gtseg.pipeline.run.context import Context
from gtseg.pipeline.run.creation import begin
from gtseg.pipeline.run.file import RunFile, list_runs, locate
from gtseg.pipeline.run.fingerprint import FINGERPRINT_TAG, fingerprint
from gtseg.pipeline.run.frozen import Frozen
from gtseg.pipeline.run.label_source import OWN_LABELS, LabelSource
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
from gtseg.pipeline.run.provenance import (
    EXPIRES_TAG,
    ROOT_TAG,
    RUN_TAG,
    Provenance,
    lineage_tags,
    provenance,
    with_tags,
)
from gtseg.pipeline.run.sections import (
    Attempt,
    DatasetSection,
    LabelingJobSection,
    LearningPoint,
    Run,
    VerificationSection,
)

__all__ = [
    "EXPIRES_TAG",
    "FINGERPRINT_TAG",
    "OWN_LABELS",
    "ROOT_TAG",
    "RUN_TAG",
    "STAND_IN",
    "Attempt",
    "ClassScores",
    "Context",
    "DatasetSection",
    "EndpointSection",
    "EpochRecord",
    "EvaluationSection",
    "Found",
    "Frozen",
    "LabelSource",
    "LabelingJobSection",
    "LearningPoint",
    "Provenance",
    "ReportSection",
    "Resource",
    "Run",
    "RunFile",
    "TrainingJobSection",
    "TunedJobRecord",
    "TuningJobSection",
    "VerificationSection",
    "begin",
    "create_once",
    "fingerprint",
    "found",
    "lineage_tags",
    "list_runs",
    "locate",
    "next_name",
    "provenance",
    "with_tags",
]
