"""What a run knows: one section per stage (None until the stage has left it) and every attempt ever made."""

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
    """A creating call that was about to be made. `outcome` is what became of it."""

    stage: str
    number: int = Field(ge=1)
    name: str
    fingerprint: str
    recorded: datetime
    outcome: Literal["recorded", "created", "adopted", "taken", "failed"] = "recorded"
    detail: str = ""
    """Why an attempt was given up: AWS's reason, or who owns the name."""


class LabelingJobSection(Frozen):
    name: str
    arn: str
    label_attribute: str
    workforce: str
    objects: int
    estimated_cost: float | None = None
    """USD, by the published prices; None where a private team is paid otherwise."""
    input_manifest: str = ""
    images: str = ""
    """s3://.../images.jsonl: size, format and ETag of every object, in the manifest's order; then what was refused and why."""
    rejected: int = 0
    """Images that could not be labeled; images.jsonl has each with its reason."""
    status: str | None = None
    """Ground Truth's LabelingJobStatus as last seen by watch."""
    counters: dict[str, int] = {}
    """LabelCounters: TotalLabeled, HumanLabeled, MachineLabeled, FailedNonRetryableError, Unlabeled."""
    output_manifest: str | None = None
    task: str = "SemanticSegmentation"
    """What its workers do: SemanticSegmentation, AdjustmentSemanticSegmentation."""
    follows: str | None = None
    """The job (or model, or manifest) whose labels it goes on from; None: it labels from nothing."""
    made_from: Provenance | None = None


class VerificationSection(Frozen):
    """The last verification job: people's word on each mask of one output manifest."""

    name: str
    arn: str
    label_attribute: str
    source: str
    """The output manifest whose masks are judged."""
    objects: int
    status: str | None = None
    output_manifest: str | None = None
    good: int = 0
    bad: int = 0
    redo: str = ""
    """s3://.../redo.jsonl: the images whose masks are to be made again, with the workers' comments."""
    machine: int = 0
    """Size of the random sample of a model's labels that are judged; 0: all masks are."""
    share_good: tuple[float, float, float] | None = None
    """Of a sample: the share of good masks, and the 95 % interval (lower, upper) of that of all of the model's labels."""


class DatasetSection(Frozen):
    channels: str
    """s3://.../channels/ : the folder of all channels."""
    classes: tuple[str, ...]
    """Names by class index; 0 is BACKGROUND."""
    counts: dict[str, int]
    """train, validation, test, rejected, failed, unlabeled: numbers of objects."""
    by_machine: dict[str, int] = {}
    """How many of a part's objects a model labeled."""
    fingerprint: str
    account: dict[str, Any] = {}
    """Objects and pixels that came in and went out, and every loss with an example (gtseg.core.account)."""
    source: str = ""
    """The output manifest that it was made from."""
    chosen: LabelSource | None = None
    """What was chosen instead of the run's own labels (--job, --manifest, --rewrite, --colors): taken again next time."""
    made_from: Provenance | None = None


class LearningPoint(Frozen):
    """One model's score on the test split, against how much was labeled when it was made."""

    labeled: int
    """Images in train and validation."""
    by_machine: int = 0
    """How many of them a model labeled."""
    miou: float | None = None
    interval: tuple[float, float] | None = None
    test: int
    """Images in test."""
    dataset: str
    """The dataset's fingerprint."""
    made: datetime


class Run(Frozen):
    """One run. Values move forward only by `update` and RunFile.save."""

    version: int = VERSION
    name: str
    root: str
    """s3://<bucket>/<prefix><run>/ : everything of the run is below it."""
    account: str
    region: str
    created: datetime
    project: str = ""
    """[project] name of the settings that began it: `gtseg serve` advances its own project's runs only."""
    labeling_job: LabelingJobSection | None = None
    verification: VerificationSection | None = None
    dataset: DatasetSection | None = None
    training_job: TrainingJobSection | None = None
    tuning_job: TuningJobSection | None = None
    endpoint: EndpointSection | None = None
    evaluation: EvaluationSection | None = None
    report: ReportSection | None = None
    learning: tuple[LearningPoint, ...] = ()
    """Every evaluation of a newer dataset, the oldest first: what further labels brought."""
    attempts: tuple[Attempt, ...] = ()
    looked: datetime | None = None
    """When AWS was last asked whether all of it is still there."""

    etag: str | None = Field(default=None, exclude=True)
    """The state of run.json that this value was read from; None: there is no run.json yet. Never written."""

    def update(self, **sections: Any) -> Run:
        """A copy with these sections replaced."""
        return self.model_copy(update=sections)

    def attempts_of(self, stage: str) -> tuple[Attempt, ...]:
        return tuple(a for a in self.attempts if a.stage == stage)

    def with_attempt(self, attempt: Attempt) -> Run:
        """A copy with this attempt added, or replaced where stage and number are known."""
        key = (attempt.stage, attempt.number)
        others = [a for a in self.attempts if (a.stage, a.number) != key]
        return self.update(attempts=tuple(sorted([*others, attempt], key=lambda a: (a.recorded, a.stage, a.number))))
