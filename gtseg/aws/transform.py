"""Batch transform API, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from gtseg.aws.calls import TERMINAL, Calls, is_missing
from gtseg.errors import AWSError

T = TypeVar("T")


@dataclass(frozen=True)
class TransformState:
    """A transform job as DescribeTransformJob returns it. Times in UTC."""

    name: str
    arn: str
    status: str
    output: str
    instance_type: str
    instance_count: int
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL


class Transforms(Calls):
    """Batch transform API of one account and region.

    Retries throttling and server errors; other errors raise AWSError.
    """

    def create_job(self, request: Mapping[str, Any]) -> str:
        """Create the job and return its ARN. Raises AWSError ResourceInUse if the name is taken."""
        operation = "CreateTransformJob"
        return self._call(operation, "create_transform_job", lambda a: str(a["TransformJobArn"]), **request)

    def describe_job(self, name: str) -> TransformState:
        """Describe a job. Raises AWSError with exit code 3 if there is none."""
        return self._call(f"DescribeTransformJob {name}", "describe_transform_job", _state, TransformJobName=name)

    def find_job(self, name: str) -> TransformState | None:
        """Return the job with its tags, or None if there is none."""
        try:
            state = self.describe_job(name)
        except AWSError as error:
            if is_missing(error):
                return None
            raise
        return replace(state, tags=self.tags(state.arn))

    def stop_job(self, name: str) -> None:
        self._call(f"StopTransformJob {name}", "stop_transform_job", dict, TransformJobName=name)


def _state(answer: Mapping[str, Any]) -> TransformState:
    resources = answer.get("TransformResources", {})
    return TransformState(
        name=answer["TransformJobName"],
        arn=answer["TransformJobArn"],
        status=answer["TransformJobStatus"],
        output=answer.get("TransformOutput", {}).get("S3OutputPath", ""),
        instance_type=resources.get("InstanceType", ""),
        instance_count=int(resources.get("InstanceCount", 1)),
        created=answer.get("CreationTime"),
        started=answer.get("TransformStartTime"),
        ended=answer.get("TransformEndTime"),
        reason=answer.get("FailureReason", ""),
    )
