"""Ground Truth: labeling jobs and workteams. Plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gtseg.aws.clients import Clients, translate
from gtseg.aws.waiting import persist
from gtseg.errors import AWSError

TERMINAL = frozenset({"Completed", "Failed", "Stopped"})


@dataclass(frozen=True)
class JobState:
    """What DescribeLabelingJob says. `counters` are LabelCounters; `created` and `modified` UTC."""

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
    def total(self) -> int:
        return sum(
            self.counters.get(key, 0) for key in ("TotalLabeled", "FailedNonRetryableError", "Unlabeled")
        )


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
    """Host name of the workers' portal, '' where AWS gives none."""


class GroundTruth:
    """Ground Truth of one account and region. Throttling and AWS's own faults are waited out; the rest is AWSError."""

    def __init__(self, clients: Clients, *, sleep: Callable[[float], None] | None = None) -> None:
        self._clients = clients
        self._options: dict[str, Any] = {"sleep": sleep} if sleep else {}

    def create_job(self, request: Mapping[str, Any]) -> str:
        """The new job's ARN. AWSError ResourceInUse if the name is taken: also when a repeated call finds its own first."""
        return str(self._call("CreateLabelingJob", "create_labeling_job", **request)["LabelingJobArn"])

    def describe_job(self, name: str) -> JobState:
        """AWSError ResourceNotFound if there is none."""
        return _state(
            self._call(f"DescribeLabelingJob {name}", "describe_labeling_job", LabelingJobName=name)
        )

    def find_job(self, name: str) -> JobState | None:
        """The job with its tags, None if there is none."""
        try:
            state = self.describe_job(name)
        except AWSError as error:
            if error.code in {"ResourceNotFound", "ResourceNotFoundException"}:
                return None
            raise
        return state if state.tags else replace(state, tags=self._tags(state.arn))

    def stop_job(self, name: str) -> None:
        self._call(f"StopLabelingJob {name}", "stop_labeling_job", LabelingJobName=name)

    def list_jobs(self, *, contains: str | None = None, limit: int = 100) -> Iterator[JobSummary]:
        """Newest first, at most `limit`."""
        filters: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending"}
        if contains:
            filters["NameContains"] = contains
        for item in self._pages("list_labeling_jobs", "LabelingJobSummaryList", limit, filters):
            counters = item.get("LabelCounters", {})
            yield JobSummary(
                item["LabelingJobName"],
                item["LabelingJobArn"],
                item["LabelingJobStatus"],
                item["CreationTime"],
                counters.get("TotalLabeled", 0),
                counters.get("FailedNonRetryableError", 0),
                counters.get("Unlabeled", 0),
            )

    def list_workteams(self) -> list[Workteam]:
        """Private teams of this account and region, by name (an account has at most 25)."""
        teams = self._pages("list_workteams", "Workteams", 1000, {"SortBy": "Name", "SortOrder": "Ascending"})
        return [Workteam(t["WorkteamName"], t["WorkteamArn"], t.get("SubDomain", "")) for t in teams]

    def _tags(self, arn: str) -> dict[str, str]:
        answer = self._call("ListTags", "list_tags", ResourceArn=arn)
        return {tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])}

    def _pages(self, operation: str, items: str, limit: int, filters: Mapping[str, Any]) -> Iterator[Any]:
        token: str | None = None
        while limit > 0:
            page = {"MaxResults": min(limit, 100)} | ({"NextToken": token} if token else {})
            answer = self._call(operation, operation, **filters, **page)
            found = answer.get(items, [])[:limit]
            yield from found
            limit -= len(found)
            if not (token := answer.get("NextToken")):
                return

    def _call(self, operation: str, method: str, **request: Any) -> Any:
        def call() -> Any:
            with translate(operation):
                return getattr(self._clients.sagemaker, method)(**request)

        return persist(call, **self._options)


def _state(answer: Mapping[str, Any]) -> JobState:
    return JobState(
        name=answer["LabelingJobName"],
        arn=answer["LabelingJobArn"],
        status=answer["LabelingJobStatus"],
        label_attribute=answer.get("LabelAttributeName", ""),
        counters=dict(answer.get("LabelCounters", {})),
        output=answer["OutputConfig"]["S3OutputPath"],
        input_manifest=answer["InputConfig"]
        .get("DataSource", {})
        .get("S3DataSource", {})
        .get("ManifestS3Uri", ""),
        created=answer["CreationTime"],
        modified=answer["LastModifiedTime"],
        reason=answer.get("FailureReason", ""),
        output_manifest=answer.get("LabelingJobOutput", {}).get("OutputDatasetS3Uri") or None,
        tags={tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])},
    )
