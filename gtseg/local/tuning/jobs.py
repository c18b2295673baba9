"""Tuning jobs: create, find, describe, stop, delete, and the step that advances each of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.jobs.records import Records, now
from gtseg.local.jobs.requests import invalid
from gtseg.local.jobs.tags import forget, store_new
from gtseg.local.training import TrainingJobs, TrainingRecord
from gtseg.local.tuning.early_stopping import is_worse
from gtseg.local.tuning.requests import begin_answer, check_tuning_request, make_training_request
from gtseg.local.tuning.search import Trial, count_grid, read_ranges, suggest
from gtseg.local.tuning.trials import count_objectives, count_statuses, describe_trial, find_best, read_score
from gtseg.local.tuning.work import TuningRecord, TuningWork

RUNNING = ("InProgress", "Stopping")
HOPELESS = 5
"""The job fails when this many trials have ended and all of them failed."""


class TuningJobs:
    """The tuning jobs; all state is in the store: the job's record, and its trials, which are training jobs."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        self.records = Records(embedded.store, "hyper-parameter-tuning-job", TuningWork)
        self.training = TrainingJobs(embedded)

    def create(self, request: Mapping[str, Any]) -> str:
        check_tuning_request(self.embedded, request)
        name = request["HyperParameterTuningJobName"]
        arn = self.records.arn(name)
        record = TuningRecord(name, "InProgress", begin_answer(request, arn), TuningWork(dict(request)))
        taken = ServiceError(
            "ResourceInUse",
            f"Hyperparameter tuning job names must be unique within an AWS account and region: {arn} exists",
        )
        return store_new(self.records, record, tags=request.get("Tags"), taken=taken)

    def find(self, name: str) -> TuningRecord:
        record = self.records.find(name)
        if record is None:
            raise ServiceError("ResourceNotFound", f"Amazon SageMaker can't find a tuning job with the name {name}.")
        return record

    def describe(self, name: str) -> dict[str, Any]:
        record = self.find(name)
        trials = self.training.records.children(name)
        best = find_best(record, trials)
        answer = {**record.answer, **self.count(record, trials)}
        if best is not None:
            answer["BestTrainingJob"] = describe_trial(record, best)
        end = record.answer.get("HyperParameterTuningEndTime") or now()
        seconds = round((end - record.answer["CreationTime"]).total_seconds())
        answer["ConsumedResources"] = {"RuntimeInSeconds": seconds}
        return answer

    def count(self, record: TuningRecord, trials: Sequence[TrainingRecord]) -> dict[str, Any]:
        """Return the counters of a job's trials by status and by objective."""
        return {
            "TrainingJobStatusCounters": count_statuses(trials),
            "ObjectiveStatusCounters": count_objectives(record, trials),
        }

    def stop(self, name: str) -> None:
        self.find(name)
        with self.records.change(name) as record:
            if record is None or record.status != "InProgress":
                state = record.status if record else "Deleting"
                raise invalid(f"The request was rejected because the tuning job is in status {state}.")
            _settle(record, "Stopping")

    def delete(self, name: str) -> None:
        record = self.find(name)
        if record.status in RUNNING:
            raise invalid(f"The request was rejected because the tuning job is in status {record.status}.")
        forget(self.records, name)

    # --- progress ---

    def advance(self, record: TuningRecord) -> None:
        """Stop bad trials, start new ones or end the job, as its state requires; called periodically."""
        trials = self.training.records.children(record.name)
        running = [trial for trial in trials if trial.status in RUNNING]
        if record.status == "Stopping" or self._is_over(record, trials):
            self._finish_job(record, trials, running)
            return
        self._stop_bad_trials(record, trials, running)
        limits = record.answer["HyperParameterTuningJobConfig"]["ResourceLimits"]
        free = limits["MaxParallelTrainingJobs"] - len(running)
        for _ in range(min(free, self._count_planned(record) - len(trials))):
            self._launch(record)

    def _finish_job(
        self, record: TuningRecord, trials: Sequence[TrainingRecord], running: Sequence[TrainingRecord]
    ) -> None:
        for trial in running:
            self._stop_trial(trial)
        if running:
            return
        failed = bool(trials) and all(trial.status == "Failed" for trial in trials)
        with self.records.change(record.name) as changed:
            if changed is None:
                return
            changed.answer["HyperParameterTuningEndTime"] = now()
            if changed.status == "Stopping" or self._is_late(record):
                _settle(changed, "Stopped")
            elif failed:
                changed.answer["FailureReason"] = (
                    "All training jobs failed. Please take a look at the training jobs failures to get more details."
                )
                _settle(changed, "Failed")
            else:
                _settle(changed, "Completed")

    def _is_over(self, record: TuningRecord, trials: Sequence[TrainingRecord]) -> bool:
        """Return whether all trials are done, a completion criterion is met, only failures occurred, or time is up."""
        ended = [trial for trial in trials if trial.status not in RUNNING]
        if len(ended) >= self._count_planned(record) or self._is_late(record):
            return True
        if len(ended) >= HOPELESS and all(trial.status == "Failed" for trial in ended):
            return True
        criteria = record.answer["HyperParameterTuningJobConfig"].get("TuningJobCompletionCriteria", {})
        scores = [score for trial in ended if (score := read_score(record, trial)) is not None]
        if "TargetObjectiveMetricValue" in criteria and scores:
            return bool(max(scores) >= criteria["TargetObjectiveMetricValue"])
        patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
        return bool(patience and scores and len(scores) - 1 - scores.index(max(scores)) >= patience)

    def _is_late(self, record: TuningRecord) -> bool:
        limit = record.answer["HyperParameterTuningJobConfig"]["ResourceLimits"].get("MaxRuntimeInSeconds")
        return limit is not None and time.time() - record.answer["CreationTime"].timestamp() > limit

    def _count_planned(self, record: TuningRecord) -> int:
        config = record.answer["HyperParameterTuningJobConfig"]
        if config["Strategy"] == "Grid":
            return count_grid(read_ranges(config["ParameterRanges"]))
        return int(config["ResourceLimits"]["MaxNumberOfTrainingJobs"])

    def _launch(self, record: TuningRecord) -> None:
        """Start the next trial.

        Its name is derived from its number, so that a step repeated after a kill creates no duplicate.
        """
        trials = self.training.records.children(record.name)
        config = record.answer["HyperParameterTuningJobConfig"]
        parameters = read_ranges(config["ParameterRanges"])
        names = [parameter.name for parameter in parameters]
        seen = [
            Trial({name: trial.answer["HyperParameters"][name] for name in names}, read_score(record, trial))
            for trial in trials
            if trial.status != "Failed"
        ]
        failed = [Trial({}, None) for trial in trials if trial.status == "Failed"]
        history = seen if config["Strategy"] == "Bayesian" else [*seen, *failed]
        seed = config.get("RandomSeed", int.from_bytes(hashlib.sha256(record.name.encode()).digest()[:4]))
        if config["Strategy"] == "Bayesian":
            seed += len(failed)
        values = suggest(config["Strategy"], parameters, history, seed=seed)
        number = len(trials) + 1
        digest = hashlib.sha256(f"{record.name}/{record.answer['CreationTime']}/{number}".encode()).hexdigest()[:8]
        name = f"{record.name}-{number:03d}-{digest}"
        request = make_training_request(record.work.request, name, values)
        self.training.create(request, parent=record.name, parent_arn=record.answer["HyperParameterTuningJobArn"])

    def _stop_bad_trials(
        self, record: TuningRecord, trials: Sequence[TrainingRecord], running: Sequence[TrainingRecord]
    ) -> None:
        config = record.answer["HyperParameterTuningJobConfig"]
        if config.get("TrainingJobEarlyStoppingType", "Off") == "Off":
            return
        before = [trial.work.history for trial in trials if trial.status == "Completed"]
        for trial in running:
            if trial.status == "InProgress" and is_worse(trial.work.history, before):
                self._stop_trial(trial, early=True)

    def _stop_trial(self, trial: TrainingRecord, *, early: bool = False) -> None:
        if trial.status != "InProgress":
            return
        try:
            self.training.stop(trial.name)
        except ServiceError:
            return  # it has ended
        if early:
            with self.training.records.change(trial.name) as changed:
                if changed is not None:
                    changed.work.early = True


def _settle(record: TuningRecord, status: str) -> None:
    """Set a tuning job's status."""
    record.status = record.answer["HyperParameterTuningJobStatus"] = status
