"""Operations of transform jobs, and their queue."""

from __future__ import annotations

import threading
from typing import Any

from gtseg.local.embedded import Component, Embedded
from gtseg.local.front.protocol import JsonService
from gtseg.local.hosting.endpoints import Endpoints
from gtseg.local.jobs.queue import JobQueue
from gtseg.local.jobs.requests import invalid, name_taken
from gtseg.local.jobs.tags import store_new
from gtseg.local.transform.execution import Execution
from gtseg.local.transform.requests import begin_answer, check_request
from gtseg.local.transform.work import TransformRecord, TransformRecords, TransformWork


def register(service: JsonService, embedded: Embedded) -> Component:
    """Register the transform job operations; return the component that runs the jobs, one at a time."""
    records = TransformRecords(embedded.store, "transform-job", TransformWork)

    @service.operation("CreateTransformJob")
    def create(request: dict[str, Any]) -> dict[str, Any]:
        return {"TransformJobArn": create_job(embedded, records, request)}

    @service.operation("DescribeTransformJob")
    def describe(request: dict[str, Any]) -> dict[str, Any]:
        return find(records, request["TransformJobName"]).answer

    @service.operation("StopTransformJob")
    def stop(request: dict[str, Any]) -> None:
        stop_job(records, request["TransformJobName"])

    @service.operation("ListTransformJobs")
    def list_jobs(request: dict[str, Any]) -> dict[str, Any]:
        page, token = records.page(request, descending=True)
        members = (
            "TransformJobName",
            "TransformJobArn",
            "CreationTime",
            "TransformEndTime",
            "TransformJobStatus",
            "FailureReason",
        )
        summaries = [{member: record.answer.get(member) for member in members} for record in page]
        return {"TransformJobSummaries": summaries, "NextToken": token}

    def run(name: str, shutdown: threading.Event) -> None:
        Execution(embedded, records, name, shutdown=shutdown).run()

    return JobQueue(records, run, places=1)


def create_job(embedded: Embedded, records: TransformRecords, request: dict[str, Any]) -> str:
    """Check and queue a job, with all that it needs of its model; return its ARN."""
    check_request(request)
    model = Endpoints.of(embedded).models.find(request["ModelName"])
    name = request["TransformJobName"]
    arn = records.arn(name)
    work = TransformWork(container=model.answer["PrimaryContainer"], role=model.answer["ExecutionRoleArn"])
    record = TransformRecord(name, "InProgress", begin_answer(request, arn), work)
    return store_new(records, record, tags=request.get("Tags"), taken=name_taken(arn))


def find(records: TransformRecords, name: str) -> TransformRecord:
    record = records.find(name)
    if record is None:
        raise invalid(f"Could not find requested job with name: {name}")
    return record


def stop_job(records: TransformRecords, name: str) -> None:
    with records.change(name) as record:
        if record is None:
            raise invalid(f"Could not find requested job with name: {name}")
        if record.status != "InProgress":
            raise invalid(f"The request was rejected because the transform job is in status {record.status}.")
        record.status = record.answer["TransformJobStatus"] = "Stopping"
