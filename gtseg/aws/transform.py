"""Transform jobs. Plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from gtseg.aws.calls import TERMINAL, Calls, is_missing
from gtseg.errors import AWSError

__all__ = ["TransformState", "Transforms"]

T = TypeVar("T")


@dataclass(frozen=True)
class TransformState:
    """What DescribeTransformJob says. Times in UTC."""

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
    """Batch transform of one account and region. Throttling and AWS's own faults are waited out; the rest is AWSError."""

    def create_job(self, request: Mapping[str, Any]) -> str:
        """The new job's ARN. AWSError ResourceInUse if the name is taken."""
        operation = "CreateTransformJob"
        return self._call(operation, "create_transform_job", lambda a: str(a["TransformJobArn"]), **request)

    def describe_job(self, name: str) -> TransformState:
        """AWSError with exit code 3 if there is none."""
        return self._call(f"DescribeTransformJob {name}", "describe_transform_job", _state, TransformJobName=name)

    def find_job(self, name: str) -> TransformState | None:
        """The job with its tags, None if there is none."""
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
