"""What the second half of the sentence leaves in run.json: training, tuning, endpoint, evaluation, report."""

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
"""What a SecondaryStatus of a stopped job means (API reference, DescribeTrainingJob)."""
Interval = tuple[float, float] | None
"""95 % interval, None where it is not known."""


class EpochRecord(Frozen):
    """One epoch of a training job; throughput in images per second."""

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
    """As they were sent: what is not here has AWS's default."""
    status: str | None = None
    secondary: str = ""
    """SecondaryStatus: what the status does not say, like MaxRuntimeExceeded."""
    reason: str = ""
    model_artifact: str | None = None
    epochs: tuple[EpochRecord, ...] = ()
    best: EpochRecord | None = None
    """The epoch whose weights are served. FinalMetricDataList of AWS has the last one."""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    billable_seconds: int | None = None
    tuning_job: str | None = None
    """The tuning job that this is the best job of."""
    made_from: Provenance | None = None

    @property
    def has_result(self) -> bool:
        """Whether it is over and AWS has kept a model of it: also of one that was stopped or ended by a time limit."""
        return self.status == "Completed" or self.is_cut_short

    @property
    def is_cut_short(self) -> bool:
        """Whether it has a model, of fewer epochs than were asked for."""
        return self.status == "Stopped" and self.model_artifact is not None

    @property
    def ending(self) -> str:
        """How a job that did not complete came to its end; '' for one that did."""
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
    """Best first."""
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
    """When cleanup deleted it; None: it costs money."""
    made_from: Provenance | None = None


class ClassScores(Frozen):
    """Scores of one class on the evaluated split; None: not known (no such pixel)."""

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
    """`miou` is the headline: the mean over the classes that occur, of the IoU over the whole split."""

    split: str
    images: int
    missing: tuple[str, ...] = ()
    """Images of the split that the endpoint could not answer: they are in no score."""
    miou: float | None = None
    miou_builtin: float | None = None
    miou_per_image: float | None = None
    miou_foreground: float | None = None
    pixel_accuracy: float | None = None
    intervals: dict[str, Interval] = {}
    classes: tuple[ClassScores, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Pixels: rows are the truth, columns the prediction."""
    only_background: bool = False
    pixels: int = 0
    void_pixels: int = 0
    endpoint: str | None = None
    in_batch: bool = False
    """Whether its predictions come from a transform job of the model, not from an endpoint."""
    dataset: str = ""
    """The dataset's fingerprint."""
    predictions: str = ""
    """Folder of the predicted masks."""
    details: str = ""
    """evaluation.json with the scores of each image."""
    made: datetime | None = None
    seconds: float | None = None
    median_latency: float | None = None
    """Seconds from sending an image to having its mask."""
    made_from: Provenance | None = None


class ReportSection(Frozen):
    html: str
    data: str
    """report.json"""
    made: datetime
    evaluation: datetime | None = None
    made_from: Provenance | None = None
