"""tune: a search for hyperparameters; the best training job that it found becomes the run's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gtseg.aws.training import TuningState
from gtseg.core.training.job import TrainingJob, Tuning, tuning_request
from gtseg.errors import JobFailed, reason_given
from gtseg.pipeline.run import (
    Context,
    Found,
    Resource,
    Run,
    TrainingJobSection,
    TunedJobRecord,
    TuningJobSection,
    begin,
    found,
    with_tags,
)
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.events import ignore
from gtseg.pipeline.run.resuming import follow, how_to_resume
from gtseg.pipeline.stages.train.following import follow_training
from gtseg.pipeline.stages.train.planning import made_from, origin_tags, plan_training

SLACK = 6 * 3600.0
"""Seconds beyond the jobs' own limits."""


def tune(run: Run, context: Context) -> Run:
    """The run with its tuning job, and that job's best training job as its own. Raises as `train` does."""
    context = context.of("tune")
    job = plan_training(run, context)
    run = begin(run, context, TuningResource(run, context, job, _plan(context)))
    if context.dry_run or run.tuning_job is None:
        return run
    meter = Meter(run, context, but=run.tuning_job.name)
    state = _follow(run.tuning_job.name, context, meter)
    return _finish(run, job, state, context, meter=meter)


def _plan(context: Context) -> Tuning:
    wanted = context.settings.tune
    return Tuning(
        objective=wanted.objective,
        strategy=wanted.strategy,
        max_jobs=wanted.max_jobs,
        max_parallel_jobs=wanted.max_parallel_jobs,
        early_stopping=wanted.early_stopping,
        seed=wanted.seed,
        ranges=wanted.ranges,
    )


@dataclass(frozen=True)
class TuningResource(Resource):
    """The run's tuning job."""

    run: Run
    context: Context
    job: TrainingJob
    tuning: Tuning

    stage, what = "tune", "tuning job"
    name_limit = 32
    """It starts its training jobs' names, too (API)."""

    @property
    def origin(self) -> Mapping[str, str]:
        return origin_tags(self.run)

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        return with_tags(tuning_request(name, self.job, self.tuning), tags)

    def find(self, name: str) -> Found | None:
        return found(self.context.training.find_tuning(name))

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        return self.context.training.create_tuning(request)

    def prepare(self, run: Run) -> None:
        hours, jobs = self.job.max_runtime / 3600, self.tuning.max_jobs
        machine = self.job.instance_type
        self.context.agree(
            run, f"Train up to {jobs} times on one {machine}, each for at most {hours:.1f} hours?"
        )

    def keep(self, run: Run, name: str, arn: str) -> Run:
        if run.tuning_job and run.tuning_job.arn == arn:
            return run
        section = TuningJobSection(
            name=name,
            arn=arn,
            objective=self.tuning.objective,
            made_from=made_from(run, self.context, self.job, self.fingerprint, "train", "tune"),
        )
        return run.update(tuning_job=section)


def _follow(name: str, context: Context, meter: Meter) -> TuningState:
    settings = context.settings

    def look() -> TuningState:
        state = context.training.describe_tuning(name)
        done = sum(state.counters.get(key, 0) for key in ("Completed", "Stopped", "NonRetryableError"))
        best = (
            f", best {state.best.value:.4f} ({state.best.name})"
            if state.best and state.best.value is not None
            else ""
        )
        context.progress(f"{name} {state.status}: {done} training jobs done{best}")
        meter.tune(state)
        return state

    return follow(
        look,
        context,
        until=lambda s: s.is_over,
        patience=settings.tune.max_jobs * 2.0 * settings.train.max_runtime + SLACK,
        resume=how_to_resume(name, context, command="gtseg tune"),
        stopped="Stopped following.",
    )


def _finish(run: Run, job: TrainingJob, state: TuningState, context: Context, *, meter: Meter) -> Run:
    assert run.tuning_job is not None
    jobs = context.training.list_tuned_jobs(state.name)
    records = tuple(
        TunedJobRecord(**(asdict(one) | {"hyperparameters": dict(one.hyperparameters)})) for one in jobs
    )
    tuned = run.tuning_job.model_copy(update={"status": state.status, "jobs": records})
    run = run.update(tuning_job=tuned)
    if state.status != "Completed" or state.best is None:
        context.save(run)
        why = (
            f"{state.name} {state.status.lower()} with no best training job: {reason_given(state.reason)}. "
            "Cure that, then `gtseg tune` starts a new attempt."
        )
        raise JobFailed(meter.because(why))
    best = _best_job(state, job, context)
    value = f"{state.best.value:.4f}" if state.best.value is not None else "unknown"
    settings_found = ", ".join(f"{key} {value}" for key, value in sorted(state.best.hyperparameters.items()))
    context.finish(
        f"{state.name}: best is {state.best.name}, {tuned.objective} {value} with {settings_found}"
    )
    return run.update(training_job=best.model_copy(update={"made_from": tuned.made_from}))


def _best_job(state: TuningState, job: TrainingJob, context: Context) -> TrainingJobSection:
    """train's result is the best job of the search, its epochs read from its log."""
    assert state.best is not None
    best = context.training.describe_job(state.best.name)
    section = TrainingJobSection(
        name=best.name,
        arn=best.arn,
        image_uri=job.image_uri,
        instance_type=job.instance_type,
        hyperparameters=dict(best.hyperparameters),
        tuning_job=state.name,
    )
    return follow_training(section, replace(context, notify=ignore), patience=3600.0)[1]
