"""Training and tuning API, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from gtseg.aws.calls import TERMINAL, Calls, is_missing
from gtseg.errors import AWSError

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingState:
    """A training job as DescribeTrainingJob returns it. Times in UTC; `billable` in seconds."""

    name: str
    arn: str
    status: str
    secondary: str
    hyperparameters: Mapping[str, str]
    instance_type: str
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    billable: int | None = None
    model_artifact: str | None = None
    image_uri: str = ""
    reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    @property
    def has_result(self) -> bool:
        """Whether the job is over and AWS has kept a model of it, also if it was stopped or hit its time limit."""
        return self.status == "Completed" or (self.status == "Stopped" and self.model_artifact is not None)


@dataclass(frozen=True)
class TunedJob:
    """A training job of a tuning job. `value`: its last objective value, None before the first. Times in UTC."""

    name: str
    status: str
    value: float | None
    hyperparameters: Mapping[str, str]
    started: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True)
class TuningState:
    """A tuning job as DescribeHyperParameterTuningJob returns it. `counters`: number of training jobs by status."""

    name: str
    arn: str
    status: str
    counters: Mapping[str, int]
    best: TunedJob | None = None
    created: datetime | None = None
    reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL


class Training(Calls):
    """Training API of one account and region. Retries throttling and server errors; other errors raise AWSError."""

    def create_job(self, request: Mapping[str, Any]) -> str:
        """Create the job and return its ARN. Raises AWSError ResourceInUse if the name is taken."""
        return self._call("CreateTrainingJob", "create_training_job", lambda a: str(a["TrainingJobArn"]), **request)

    def describe_job(self, name: str) -> TrainingState:
        """Describe a job. Raises AWSError with exit code 3 if there is none."""
        return self._call(f"DescribeTrainingJob {name}", "describe_training_job", _training_state, TrainingJobName=name)

    def find_job(self, name: str) -> TrainingState | None:
        """Return the job with its tags, or None if there is none."""
        try:
            state = self.describe_job(name)
        except AWSError as error:
            if is_missing(error):
                return None
            raise
        return replace(state, tags=self.tags(state.arn))

    def stop_job(self, name: str) -> None:
        self._call(f"StopTrainingJob {name}", "stop_training_job", dict, TrainingJobName=name)

    def list_jobs(self, *, contains: str = "") -> Iterator[tuple[str, str, str]]:
        """Iterate over (name, ARN, status), newest first."""
        filters = {"NameContains": contains} if contains else {}
        names = ("TrainingJobName", "TrainingJobArn", "TrainingJobStatus")

        def read(item: Any) -> tuple[str, str, str]:
            name, arn, status = (str(item[key]) for key in names)
            return name, arn, status

        yield from self._pages("list_training_jobs", "TrainingJobSummaries", read, MaxResults=100, **filters)

    def create_tuning(self, request: Mapping[str, Any]) -> str:
        operation, method = "CreateHyperParameterTuningJob", "create_hyper_parameter_tuning_job"
        return self._call(operation, method, lambda a: str(a["HyperParameterTuningJobArn"]), **request)

    def describe_tuning(self, name: str) -> TuningState:
        return self._call(
            f"DescribeHyperParameterTuningJob {name}",
            "describe_hyper_parameter_tuning_job",
            _tuning_state,
            HyperParameterTuningJobName=name,
        )

    def find_tuning(self, name: str) -> TuningState | None:
        try:
            state = self.describe_tuning(name)
        except AWSError as error:
            if is_missing(error):
                return None
            raise
        return replace(state, tags=self.tags(state.arn))

    def list_tuned_jobs(self, name: str) -> list[TunedJob]:
        """Return every training job of a tuning job, best first."""
        found = self._pages(
            "list_training_jobs_for_hyper_parameter_tuning_job",
            "TrainingJobSummaries",
            _tuned_job,
            HyperParameterTuningJobName=name,
        )
        return sorted(found, key=lambda job: (job.value is None, -(job.value or 0)))

    def stop_tuning(self, name: str) -> None:
        self._call(
            f"StopHyperParameterTuningJob {name}",
            "stop_hyper_parameter_tuning_job",
            dict,
            HyperParameterTuningJobName=name,
        )

    def _pages(self, method: str, items: str, read: Callable[[Any], T], **filters: Any) -> Iterator[T]:
        def read_page(answer: Any) -> tuple[list[T], str | None]:
            return [read(item) for item in answer.get(items, [])], answer.get("NextToken")

        token: str | None = None
        while True:
            page = {"NextToken": token} if token else {}
            found, token = self._call(method, method, read_page, **filters, **page)
            yield from found
            if not token:
                return


def image_uri_of_sdk(region: str) -> str | None:
    """Return the algorithm's image URI of the SageMaker SDK, or None if it is not installed or lacks the region."""
    try:
        from sagemaker.core import image_uris
    except ImportError:
        return None
    try:
        return str(image_uris.retrieve("semantic-segmentation", region))
    except ValueError:
        return None


def _training_state(answer: Mapping[str, Any]) -> TrainingState:
    return TrainingState(
        name=answer["TrainingJobName"],
        arn=answer["TrainingJobArn"],
        status=answer["TrainingJobStatus"],
        secondary=answer.get("SecondaryStatus", ""),
        hyperparameters=dict(answer.get("HyperParameters", {})),
        instance_type=answer.get("ResourceConfig", {}).get("InstanceType", ""),
        created=answer.get("CreationTime"),
        started=answer.get("TrainingStartTime"),
        ended=answer.get("TrainingEndTime"),
        billable=answer.get("BillableTimeInSeconds"),
        model_artifact=answer.get("ModelArtifacts", {}).get("S3ModelArtifacts") or None,
        image_uri=answer.get("AlgorithmSpecification", {}).get("TrainingImage", ""),
        reason=answer.get("FailureReason", ""),
    )


def _tuning_state(answer: Mapping[str, Any]) -> TuningState:
    best = answer.get("BestTrainingJob")
    return TuningState(
        name=answer["HyperParameterTuningJobName"],
        arn=answer["HyperParameterTuningJobArn"],
        status=answer["HyperParameterTuningJobStatus"],
        counters=dict(answer.get("TrainingJobStatusCounters", {})),
        best=_tuned_job(best) if best else None,
        created=answer.get("CreationTime"),
        reason=answer.get("FailureReason", ""),
    )


def _tuned_job(item: Mapping[str, Any]) -> TunedJob:
    objective = item.get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    return TunedJob(
        item["TrainingJobName"],
        item["TrainingJobStatus"],
        objective.get("Value"),
        dict(item.get("TunedHyperParameters", {})),
        item.get("TrainingStartTime"),
        item.get("TrainingEndTime"),
    )
