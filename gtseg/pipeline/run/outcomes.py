"""Sections of run.json for training, tuning, endpoint, evaluation and report."""

from __future__ import annotations

from datetime import datetime

from gtseg.core.plurals import counted
from gtseg.pipeline.run.frozen import Frozen
from gtseg.pipeline.run.provenance import Provenance

ENDINGS = {
    "MaxRuntimeExceeded": "ended by [train] max_runtime",
    "MaxWaitTimeExceeded": "ended by [train] max_wait",
    "Interrupted": "interrupted",
}
"""Meaning of a stopped job's SecondaryStatus (API reference, DescribeTrainingJob)."""
Interval = tuple[float, float] | None
"""95 % interval, None if unknown."""


class EpochRecord(Frozen):
    """Epoch of a training job; throughput in images per second."""

    number: int
    train_loss: float | None = None
    train_throughput: float | None = None
    miou: float | None = None
    pixel_accuracy: float | None = None
    validation_throughput: float | None = None


class TrainingJobSection(Frozen):
    name: str
    arn: str
    image_uri: str
    instance_type: str
    hyperparameters: dict[str, str]
    """Hyperparameters as sent; AWS's defaults apply to the others."""
    status: str | None = None
    secondary: str = ""
    """SecondaryStatus, which adds details to the status, like MaxRuntimeExceeded."""
    reason: str = ""
    model_artifact: str | None = None
    epochs: tuple[EpochRecord, ...] = ()
    best: EpochRecord | None = None
    """Epoch whose weights are served. AWS's FinalMetricDataList has the last epoch instead."""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    billable_seconds: int | None = None
    tuning_job: str | None = None
    """Tuning job whose best training job this is."""
    made_from: Provenance | None = None

    @property
    def has_result(self) -> bool:
        """Return whether the job is over and AWS has its model, including jobs that were stopped or reached a time
        limit."""
        return self.status == "Completed" or self.is_cut_short

    @property
    def is_cut_short(self) -> bool:
        """Return whether it has a model with fewer epochs than requested."""
        return self.status == "Stopped" and self.model_artifact is not None

    @property
    def ending(self) -> str:
        """Describe how a job that did not complete ended; '' for a completed one."""
        if self.status != "Stopped":
            return ""
        by = ENDINGS.get(self.secondary, "stopped")
        epochs = f" after {counted(len(self.epochs), 'epoch')}" if self.epochs else ""
        return f"{by}{epochs}"


class TunedJobRecord(Frozen):
    name: str
    status: str
    value: float | None = None
    hyperparameters: dict[str, str] = {}
    started: datetime | None = None
    ended: datetime | None = None


class TuningJobSection(Frozen):
    name: str
    arn: str
    objective: str
    status: str | None = None
    jobs: tuple[TunedJobRecord, ...] = ()
    """Training jobs, best first."""
    made_from: Provenance | None = None


class EndpointSection(Frozen):
    name: str
    arn: str
    config: str
    model: str
    model_data: str
    image_uri: str
    instance_type: str
    instance_count: int = 1
    content_type: str = "image/jpeg"
    accept: str = "image/png"
    training_job: str | None = None
    status: str | None = None
    since: datetime | None = None
    ready: datetime | None = None
    expires: datetime | None = None
    deleted: datetime | None = None
    """Time at which cleanup deleted it; None while it costs money."""
    made_from: Provenance | None = None


class ClassScores(Frozen):
    """Scores of one class on the evaluated split; None if unknown (no such pixel)."""

    name: str
    iou: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    boundary_f1: float | None = None
    truth_pixels: int = 0
    predicted_pixels: int = 0
    intervals: dict[str, Interval] = {}


class EvaluationSection(Frozen):
    """Scores on a split; `miou` is the mean, over the classes that occur, of the IoU of all pixels of the split."""

    split: str
    images: int
    missing: tuple[str, ...] = ()
    """Images of the split that the endpoint could not predict; they are not scored."""
    miou: float | None = None
    miou_builtin: float | None = None
    miou_per_image: float | None = None
    miou_foreground: float | None = None
    pixel_accuracy: float | None = None
    intervals: dict[str, Interval] = {}
    classes: tuple[ClassScores, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Confusion matrix in pixels: rows are the labels, columns the predictions."""
    only_background: bool = False
    pixels: int = 0
    void_pixels: int = 0
    endpoint: str | None = None
    in_batch: bool = False
    """Whether the predictions come from a transform job instead of an endpoint."""
    dataset: str = ""
    """Fingerprint of the dataset."""
    predictions: str = ""
    """Folder of the predicted masks."""
    details: str = ""
    """URI of evaluation.json with the scores of each image."""
    made: datetime | None = None
    seconds: float | None = None
    median_latency: float | None = None
    """Median seconds from sending an image to receiving its mask."""
    made_from: Provenance | None = None


class ReportSection(Frozen):
    html: str
    data: str
    """report.json"""
    made: datetime
    evaluation: datetime | None = None
    made_from: Provenance | None = None
