"""Ground Truth API: labeling jobs and workteams, as plain values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from gtseg.aws.calls import TERMINAL, Calls, is_missing
from gtseg.errors import AWSError

T = TypeVar("T")

MAX_CONFIRMATIONS = 10
OUTPUT_MANIFEST = "manifests/output/output.manifest"
"""Path of Ground Truth's output manifest below the job's folder (developer guide, sms-data-output)."""


@dataclass(frozen=True)
class JobState:
    """A labeling job as DescribeLabelingJob returns it. `counters`: LabelCounters; `created` and `modified` in UTC."""

    name: str
    arn: str
    status: str
    label_attribute: str
    counters: Mapping[str, int]
    output: str
    input_manifest: str
    created: datetime
    modified: datetime
    reason: str = ""
    output_manifest: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    @property
    def manifest(self) -> str:
        """URI of the output manifest, or of where it will be written."""
        return self.output_manifest or f"{self.output.rstrip('/')}/{self.name}/{OUTPUT_MANIFEST}"

    @property
    def total(self) -> int:
        return sum(self.counters.get(key, 0) for key in ("TotalLabeled", "FailedNonRetryableError", "Unlabeled"))


@dataclass(frozen=True)
class JobSummary:
    name: str
    arn: str
    status: str
    created: datetime
    labeled: int
    failed: int
    unlabeled: int


@dataclass(frozen=True)
class Workteam:
    name: str
    arn: str
    portal: str
    """Host name of the worker portal, '' if AWS returns none."""


class GroundTruth(Calls):
    """Ground Truth API at the labeling endpoint. Retries throttling and server errors; other errors raise AWSError."""

    @property
    def _client(self) -> Any:
        return self._clients.labeling

    def create_job(self, request: Mapping[str, Any]) -> str:
        """Create the job and return its ARN.

        Raises AWSError ResourceInUse if the name is taken, also by an earlier attempt of the same call.
        """
        name = request["LabelingJobName"]

        def read(answer: Any) -> str:
            return _check_arn(answer["LabelingJobArn"], f"labeling-job/{name}")

        return self._call("CreateLabelingJob", "create_labeling_job", read, **request)

    def describe_job(self, name: str) -> JobState:
        """Describe a job. Raises AWSError ResourceNotFound if there is none.

        Responses have no checksum, and later stages depend on the final state: a terminal state is accepted only if two
        responses agree.
        """
        state = self._describe(name)
        for _ in range(MAX_CONFIRMATIONS):
            if not state.is_over or (retry := self._describe(name)) == state:
                break
            state = retry
        return state

    def _describe(self, name: str) -> JobState:
        operation = f"DescribeLabelingJob {name}"
        return self._call(operation, "describe_labeling_job", _state, LabelingJobName=name)

    def find_job(self, name: str) -> JobState | None:
        """Return the job with its tags, or None if there is none."""
        try:
            state = self.describe_job(name)
        except AWSError as error:
            if error.code in {"ResourceNotFound", "ResourceNotFoundException"}:
                return None
            raise
        return state if state.tags else replace(state, tags=self.tags(state.arn))

    def stop_job(self, name: str) -> None:
        self._call(f"StopLabelingJob {name}", "stop_labeling_job", dict, LabelingJobName=name)

    def find_model_artifact(self, name: str) -> str | None:
        """Return a model's artifact address where labeling jobs run: '' if it has none, None without a model."""

        def read(answer: Any) -> str:
            return str((answer.get("PrimaryContainer") or {}).get("ModelDataUrl") or "")

        try:
            return self._call(f"DescribeModel {name}", "describe_model", read, ModelName=name)
        except AWSError as error:
            if is_missing(error):
                return None
            raise

    def list_jobs(self, *, contains: str | None = None, limit: int = 100) -> Iterator[JobSummary]:
        """Iterate over labeling jobs, newest first, at most `limit`."""
        filters: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending"}
        if contains:
            filters["NameContains"] = contains
        yield from self._pages("list_labeling_jobs", "LabelingJobSummaryList", limit, filters, read=_summary)

    def list_workteams(self) -> list[Workteam]:
        """Return the private workteams of this account and region by name (an account has at most 25)."""
        order = {"SortBy": "Name", "SortOrder": "Ascending"}
        return list(self._pages("list_workteams", "Workteams", 1000, order, read=_workteam))

    def _pages(
        self, operation: str, items: str, limit: int, filters: Mapping[str, Any], *, read: Callable[[Any], T]
    ) -> Iterator[T]:
        def read_page(answer: Any) -> tuple[list[T], str | None]:
            if set(answer) - {items, "NextToken", "ResponseMetadata"}:
                raise ValueError(f"it has {', '.join(answer)} instead of {items}")
            return [read(item) for item in answer.get(items, [])], answer.get("NextToken")

        token: str | None = None
        while limit > 0:
            page = {"MaxResults": min(limit, 100)} | ({"NextToken": token} if token else {})
            found, token = self._call(operation, operation, read_page, **filters, **page)
            yield from found[:limit]
            limit -= len(found)
            if not token:
                return


def _tags(answer: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])}


def _summary(item: Mapping[str, Any]) -> JobSummary:
    counters = item.get("LabelCounters", {})
    return JobSummary(
        item["LabelingJobName"],
        item["LabelingJobArn"],
        item["LabelingJobStatus"],
        item["CreationTime"],
        counters.get("TotalLabeled", 0),
        counters.get("FailedNonRetryableError", 0),
        counters.get("Unlabeled", 0),
    )


def _workteam(item: Mapping[str, Any]) -> Workteam:
    name = item["WorkteamName"]
    arn = _check_arn(item["WorkteamArn"], f"workteam/private-crowd/{name}")
    return Workteam(name, arn, item.get("SubDomain", ""))


def _check_arn(arn: str, resource: str) -> str:
    """Return the ARN. Raises ValueError if it is not a SageMaker ARN of this resource (compared without case)."""
    if not re.fullmatch(rf"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{{12}}:{re.escape(resource)}", arn, re.IGNORECASE):
        raise ValueError(f"{arn!r} is not an ARN of {resource}")
    return arn


def _state(answer: Mapping[str, Any]) -> JobState:
    return JobState(
        name=answer["LabelingJobName"],
        arn=_check_arn(answer["LabelingJobArn"], f"labeling-job/{answer['LabelingJobName']}"),
        status=answer["LabelingJobStatus"],
        label_attribute=answer.get("LabelAttributeName", ""),
        counters=dict(answer.get("LabelCounters", {})),
        output=answer["OutputConfig"]["S3OutputPath"],
        input_manifest=answer["InputConfig"].get("DataSource", {}).get("S3DataSource", {}).get("ManifestS3Uri", ""),
        created=answer["CreationTime"],
        modified=answer["LastModifiedTime"],
        reason=answer.get("FailureReason", ""),
        output_manifest=answer.get("LabelingJobOutput", {}).get("OutputDatasetS3Uri") or None,
        tags=_tags(answer),
    )
