"""Trials of a tuning job: scores, counters, the best one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gtseg.local.training import TrainingRecord
from gtseg.local.tuning.work import TuningRecord


def read_score(job: TuningRecord, trial: TrainingRecord) -> float | None:
    """Return the final objective of a trial that completed or was stopped early, else None; larger is better."""
    if trial.status != "Completed" and not (trial.status == "Stopped" and trial.work.early):
        return None
    metric = job.answer["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    found = [item for item in trial.answer.get("FinalMetricDataList", []) if item["MetricName"] == metric]
    return float(found[0]["Value"]) if found else None


def _judge_objective(job: TuningRecord, trial: TrainingRecord) -> str:
    """Return the ObjectiveStatus of a trial."""
    if trial.status in ("InProgress", "Stopping"):
        return "Pending"
    return "Failed" if read_score(job, trial) is None else "Succeeded"


def count_statuses(trials: Sequence[TrainingRecord]) -> dict[str, int]:
    statuses = [trial.status for trial in trials]
    return {
        "Completed": statuses.count("Completed"),
        "InProgress": statuses.count("InProgress") + statuses.count("Stopping"),
        "RetryableError": 0,
        "NonRetryableError": statuses.count("Failed"),
        "Stopped": statuses.count("Stopped"),
    }


def count_objectives(job: TuningRecord, trials: Sequence[TrainingRecord]) -> dict[str, int]:
    found = [_judge_objective(job, trial) for trial in trials]
    return {status: found.count(status) for status in ("Succeeded", "Pending", "Failed")}


def find_best(job: TuningRecord, trials: Sequence[TrainingRecord]) -> TrainingRecord | None:
    scored = [(score, trial) for trial in trials if (score := read_score(job, trial)) is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def describe_trial(job: TuningRecord, trial: TrainingRecord) -> dict[str, Any]:
    """Return the HyperParameterTrainingJobSummary of a trial."""
    config = job.answer["HyperParameterTuningJobConfig"]
    ranges = config["ParameterRanges"]
    tuned = {given["Name"] for member in ranges.values() for given in member}
    score = read_score(job, trial)
    objective = config["HyperParameterTuningJobObjective"]
    members = (
        "TrainingJobName",
        "TrainingJobArn",
        "CreationTime",
        "TrainingStartTime",
        "TrainingEndTime",
        "TrainingJobStatus",
        "FailureReason",
    )
    summary: dict[str, Any] = {member: trial.answer.get(member) for member in members}
    given = trial.answer.get("HyperParameters", {})
    summary["TunedHyperParameters"] = {name: value for name, value in given.items() if name in tuned}
    summary["ObjectiveStatus"] = _judge_objective(job, trial)
    definition = job.answer["TrainingJobDefinition"].get("DefinitionName")
    if definition:
        summary["TrainingJobDefinitionName"] = definition
    if score is not None:
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "MetricName": objective["MetricName"],
            "Value": score,
        }
    return summary
