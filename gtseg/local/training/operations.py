"""Operations of training jobs, and their queue."""

from __future__ import annotations

import threading
from typing import Any

from gtseg.local.embedded import Component, Embedded
from gtseg.local.front.protocol import JsonService
from gtseg.local.jobs.queue import JobQueue
from gtseg.local.training.execution import Execution
from gtseg.local.training.jobs import TrainingJobs
from gtseg.local.training.requests import enter


def register(service: JsonService, embedded: Embedded) -> Component:
    """Register the training job operations; return the component that runs the jobs."""
    jobs = TrainingJobs(embedded)

    @service.operation("CreateTrainingJob")
    def create(request: dict[str, Any]) -> dict[str, Any]:
        return {"TrainingJobArn": jobs.create(request)}

    @service.operation("DescribeTrainingJob")
    def describe(request: dict[str, Any]) -> dict[str, Any]:
        return jobs.find(request["TrainingJobName"]).answer

    @service.operation("StopTrainingJob")
    def stop(request: dict[str, Any]) -> None:
        jobs.stop(request["TrainingJobName"])

    @service.operation("DeleteTrainingJob")
    def delete(request: dict[str, Any]) -> None:
        jobs.delete(request["TrainingJobName"])

    @service.operation("ListTrainingJobs")
    def list_jobs(request: dict[str, Any]) -> dict[str, Any]:
        if request.get("WarmPoolStatusEquals") or request.get("TrainingPlanArnEquals"):
            return {"TrainingJobSummaries": []}  # no job has either
        page, token = jobs.records.page(request)
        members = (
            "TrainingJobName",
            "TrainingJobArn",
            "CreationTime",
            "TrainingEndTime",
            "LastModifiedTime",
            "TrainingJobStatus",
            "SecondaryStatus",
        )
        summaries = [{member: record.answer.get(member) for member in members} for record in page]
        return {"TrainingJobSummaries": summaries, "NextToken": token}

    def run(name: str, shutdown: threading.Event) -> None:
        Execution(jobs, name, shutdown=shutdown).run()

    def hold(name: str) -> None:
        if jobs.find(name).answer["SecondaryStatus"] == "Pending":
            return
        with jobs.records.change(name) as record:
            if record is not None and record.status == "InProgress":
                enter(record, "Pending", "Training job waiting for capacity")

    return JobQueue(jobs.records, run, places=max(1, embedded.options.max_jobs), hold=hold)
