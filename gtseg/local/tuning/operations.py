"""The operations of tuning jobs, and the thread that takes them further."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from gtseg.local.embedded import Component, Embedded
from gtseg.local.front.protocol import JsonService
from gtseg.local.jobs.records import Record
from gtseg.local.jobs.requests import invalid
from gtseg.local.tuning.jobs import RUNNING, TuningJobs
from gtseg.local.tuning.trials import describe_trial, read_score

__all__ = ["register"]

POLL_SECONDS = 0.5
logger = logging.getLogger(__name__)


def register(service: JsonService, embedded: Embedded) -> Component:
    """Answer the tuning job operations; the component runs the jobs."""
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

    return Tuner(jobs)


def summarize(jobs: TuningJobs, job: Record) -> dict[str, Any]:
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
    """ListTrainingJobsForHyperParameterTuningJob; trials without a final value come last, whatever the order."""
    job = jobs.find(request["HyperParameterTuningJobName"])
    trials = jobs.training.records.children(job.name)
    if "StatusEquals" in request:
        trials = [trial for trial in trials if trial.status == request["StatusEquals"]]
    keys: dict[str, Callable[[Record], Any]] = {
        "Name": lambda trial: trial.name,
        "CreationTime": lambda trial: trial.answer["CreationTime"],
        "Status": lambda trial: trial.status,
    }
    down = request.get("SortOrder", "Ascending") == "Descending"
    if request.get("SortBy") == "FinalObjectiveMetricValue":
        scored = [(score, trial) for trial in trials if (score := read_score(job, trial)) is not None]
        scored.sort(key=lambda pair: pair[0], reverse=down)
        trials = [trial for _, trial in scored] + [
            trial for trial in trials if read_score(job, trial) is None
        ]
    else:
        trials.sort(key=keys[request.get("SortBy", "Name")], reverse=down)
    start, size = _read_offset(request.get("NextToken")), request.get("MaxResults", 10)
    token = str(start + size) if len(trials) > start + size else None
    summaries = [describe_trial(job, trial) for trial in trials[start : start + size]]
    return {"TrainingJobSummaries": summaries, "NextToken": token}


def _read_offset(token: str | None) -> int:
    if token is not None and not token.isdecimal():
        raise invalid("Invalid NextToken: it was not given out by this operation.")
    return int(token or 0)


class Tuner:
    """The component: a look at every tuning job that runs, twice a second."""

    def __init__(self, jobs: TuningJobs) -> None:
        self.jobs = jobs
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="tuning", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for record in self.jobs.records.having(*RUNNING):
                try:
                    self.jobs.advance(record)
                except Exception:
                    logger.exception("tuning job %s: a step failed; it is tried again", record.name)
            self._stopping.wait(POLL_SECONDS)
