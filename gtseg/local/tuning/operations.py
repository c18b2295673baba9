"""Operations of tuning jobs, and the loop that advances them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from gtseg.local.embedded import Component, Embedded
from gtseg.local.front.protocol import JsonService
from gtseg.local.jobs.pagination import Place, read_paging
from gtseg.local.loop import Loop
from gtseg.local.training import TrainingRecord
from gtseg.local.tuning.jobs import RUNNING, TuningJobs
from gtseg.local.tuning.trials import describe_trial, read_score
from gtseg.local.tuning.work import TuningRecord

POLL_SECONDS = 0.5
logger = logging.getLogger(__name__)


def register(service: JsonService, embedded: Embedded) -> Component:
    """Register the tuning job operations; return the component that runs the jobs."""
    jobs = TuningJobs(embedded)
    name = "HyperParameterTuningJobName"

    @service.operation("CreateHyperParameterTuningJob")
    def create(request: dict[str, Any]) -> dict[str, Any]:
        return {"HyperParameterTuningJobArn": jobs.create(request)}

    @service.operation("DescribeHyperParameterTuningJob")
    def describe(request: dict[str, Any]) -> dict[str, Any]:
        return jobs.describe(request[name])

    @service.operation("StopHyperParameterTuningJob")
    def stop(request: dict[str, Any]) -> None:
        jobs.stop(request[name])

    @service.operation("DeleteHyperParameterTuningJob")
    def delete(request: dict[str, Any]) -> None:
        jobs.delete(request[name])

    @service.operation("ListHyperParameterTuningJobs")
    def list_all(request: dict[str, Any]) -> dict[str, Any]:
        page, token = jobs.records.page(request, descending=True)
        return {
            "HyperParameterTuningJobSummaries": [summarize(jobs, job) for job in page],
            "NextToken": token,
        }

    @service.operation("ListTrainingJobsForHyperParameterTuningJob")
    def list_trials_of(request: dict[str, Any]) -> dict[str, Any]:
        return list_trials(jobs, request)

    return Loop("tuning", partial(_advance_all, jobs), seconds=POLL_SECONDS)


def summarize(jobs: TuningJobs, job: TuningRecord) -> dict[str, Any]:
    members = (
        "HyperParameterTuningJobName",
        "HyperParameterTuningJobArn",
        "HyperParameterTuningJobStatus",
        "CreationTime",
        "HyperParameterTuningEndTime",
        "LastModifiedTime",
    )
    config = job.answer["HyperParameterTuningJobConfig"]
    return {
        **{member: job.answer.get(member) for member in members},
        **jobs.count(job, jobs.training.records.children(job.name)),
        "Strategy": config["Strategy"],
        "ResourceLimits": config["ResourceLimits"],
    }


def list_trials(jobs: TuningJobs, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out ListTrainingJobsForHyperParameterTuningJob; trials without a final value come last in any order."""
    job = jobs.find(request["HyperParameterTuningJobName"])
    trials = jobs.training.records.children(job.name)
    if "StatusEquals" in request:
        trials = [trial for trial in trials if trial.status == request["StatusEquals"]]
    paging, order = read_paging(request, size=10), request.get("SortBy", "Name")
    if order == "FinalObjectiveMetricValue":
        sign = -1 if paging.is_descending else 1
        paging = replace(paging, is_descending=False)
        page, token = paging.select(trials, lambda trial: _place_score(read_score(job, trial), trial, sign))
    else:
        page, token = paging.select(trials, ORDERS[order])
    return {"TrainingJobSummaries": [describe_trial(job, trial) for trial in page], "NextToken": token}


ORDERS: dict[str, Callable[[TrainingRecord], Place]] = {
    "Name": lambda trial: (trial.name,),
    "CreationTime": lambda trial: (trial.answer["CreationTime"].timestamp(), trial.name),
    "Status": lambda trial: (trial.status, trial.name),
}


def _place_score(score: float | None, trial: TrainingRecord, sign: int) -> Place:
    return (1, 0.0, trial.name) if score is None else (0, sign * score, trial.name)


def _advance_all(jobs: TuningJobs) -> None:
    """Advance every running tuning job once."""
    for record in jobs.records.list_by_status(*RUNNING):
        try:
            jobs.advance(record)
        except Exception:
            logger.exception("tuning job %s: a step failed and is retried", record.name)
