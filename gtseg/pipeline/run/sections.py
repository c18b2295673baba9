"""Sections of a run, one per stage (None until the stage has run), and the record of all attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from gtseg.pipeline.run.frozen import Frozen
from gtseg.pipeline.run.label_source import LabelSource
from gtseg.pipeline.run.outcomes import (
    EndpointSection,
    EvaluationSection,
    ReportSection,
    TrainingJobSection,
    TuningJobSection,
)
from gtseg.pipeline.run.provenance import Provenance

VERSION = 1


class Attempt(Frozen):
    """Creating call, recorded before it is made. `outcome` is its result."""

    stage: str
    number: int = Field(ge=1)
    name: str
    fingerprint: str
    recorded: datetime
    outcome: Literal["recorded", "created", "adopted", "taken", "failed"] = "recorded"
    detail: str = ""
    """Reason why an attempt was given up: AWS's reason, or the owner of the name."""


class LabelingJobSection(Frozen):
    name: str
    arn: str
    label_attribute: str
    workforce: str
    objects: int
    estimated_cost: float | None = None
    """USD by published prices; None if a private team is paid otherwise."""
    input_manifest: str = ""
    images: str = ""
    """URI of images.jsonl: size, format and ETag of every object in the manifest's order, then refused images with
    reasons."""
    rejected: int = 0
    """Number of images that could not be labeled; images.jsonl has the reasons."""
    status: str | None = None
    """Last known LabelingJobStatus of Ground Truth."""
    counters: dict[str, int] = {}
    """LabelCounters: TotalLabeled, HumanLabeled, MachineLabeled, FailedNonRetryableError, Unlabeled."""
    output_manifest: str | None = None
    task: str = "SemanticSegmentation"
    """Task type: SemanticSegmentation, AdjustmentSemanticSegmentation."""
    follows: str | None = None
    """Job, model or manifest whose labels the job continues from; None if it starts without labels."""
    made_from: Provenance | None = None


class VerificationSection(Frozen):
    """Last verification job: workers' verdict on each mask of one output manifest."""

    name: str
    arn: str
    label_attribute: str
    source: str
    """Output manifest whose masks are verified."""
    objects: int
    status: str | None = None
    output_manifest: str | None = None
    good: int = 0
    bad: int = 0
    redo: str = ""
    """s3://.../redo.jsonl: the images whose masks must be made again, with the workers' comments."""
    machine: int = 0
    """Size of the random sample of a model's labels that is verified; 0: all masks."""
    share_good: tuple[float, float, float] | None = None
    """For a sample: share of good masks, and the 95 % interval (lower, upper) of the share among all of the model's
    labels."""


class DatasetSection(Frozen):
    channels: str
    """s3://.../channels/: folder of all channels."""
    classes: tuple[str, ...]
    """Names by class index; 0 is BACKGROUND."""
    counts: dict[str, int]
    """Number of objects by train, validation, test, rejected, failed, unlabeled."""
    by_machine: dict[str, int] = {}
    """Number of objects labeled by a model, by split."""
    fingerprint: str
    account: dict[str, Any] = {}
    """Objects and pixels in and out, and every loss with an example (gtseg.core.account)."""
    source: str = ""
    """Output manifest that the dataset was made from."""
    chosen: LabelSource | None = None
    """Options that replaced the run's own labels (--job, --manifest, --rewrite, --colors); reused the next time."""
    made_from: Provenance | None = None


class LearningPoint(Frozen):
    """Score of one model on the test split, with the number of labeled images at that time."""

    labeled: int
    """Images in train and validation."""
    by_machine: int = 0
    """Number of these labeled by a model."""
    miou: float | None = None
    interval: tuple[float, float] | None = None
    test: int
    """Images in test."""
    dataset: str
    """Fingerprint of the dataset."""
    made: datetime


class Run(Frozen):
    """Run. It changes only through `update` and RunFile.save."""

    version: int = VERSION
    name: str
    root: str
    """s3://<bucket>/<prefix><run>/: prefix of all objects of the run."""
    account: str
    region: str
    created: datetime
    project: str = ""
    """[project] name of the settings that started it: `gtseg serve` advances the runs of its own project only."""
    labeling_job: LabelingJobSection | None = None
    verification: VerificationSection | None = None
    dataset: DatasetSection | None = None
    training_job: TrainingJobSection | None = None
    tuning_job: TuningJobSection | None = None
    endpoint: EndpointSection | None = None
    evaluation: EvaluationSection | None = None
    report: ReportSection | None = None
    learning: tuple[LearningPoint, ...] = ()
    """Scores of every evaluated dataset, oldest first."""
    attempts: tuple[Attempt, ...] = ()
    looked: datetime | None = None
    """Time of the last check whether all resources still exist."""

    etag: str | None = Field(default=None, exclude=True)
    """ETag of the run.json that this value was read from; None: there is none yet. Not stored."""

    def update(self, **sections: Any) -> Run:
        """Return a copy with these sections replaced."""
        return self.model_copy(update=sections)

    def attempts_of(self, stage: str) -> tuple[Attempt, ...]:
        return tuple(a for a in self.attempts if a.stage == stage)

    def with_attempt(self, attempt: Attempt) -> Run:
        """Return a copy with this attempt added, or replaced if stage and number exist."""
        key = (attempt.stage, attempt.number)
        others = [a for a in self.attempts if (a.stage, a.number) != key]
        return self.update(attempts=tuple(sorted([*others, attempt], key=lambda a: (a.recorded, a.stage, a.number))))
