"""tune: search hyperparameters; the best training job becomes the run's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gtseg.aws.training import TunedJob, TuningState
from gtseg.core.plurals import counted
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
from gtseg.pipeline.run.freshness import staleness
from gtseg.pipeline.run.pending_jobs import follow, how_to_resume
from gtseg.pipeline.stages.train.monitor import follow_training
from gtseg.pipeline.stages.train.outcome import leaves_model
from gtseg.pipeline.stages.train.plan import made_from, origin_tags, plan_training

SLACK = 6 * 3600.0
"""Seconds beyond the jobs' own limits."""


def tune(run: Run, context: Context) -> Run:
    """Return the run with its tuning job, and that job's best training job as its own. Raises the errors of `train`."""
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
    """Tuning job of the run."""

    run: Run
    context: Context
    job: TrainingJob
    tuning: Tuning

    stage, what = "tune", "tuning job"
    name_limit = 32
    """Maximum length of its name, which is the prefix of its training jobs' names (API)."""

    def is_replaceable(self, found: Found) -> bool:
        """Return whether a finished search is outdated, so that the next name is used."""
        stale = staleness(self.run, self.context.settings, "train")
        return found.status == "Completed" and stale is not None

    @property
    def origin(self) -> Mapping[str, str]:
        return origin_tags(self.run)

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        return with_tags(tuning_request(name, self.job, self.tuning), tags)

    def find(self, name: str) -> Found | None:
        """Return the search; one that stopped or failed with a best training job counts as completed."""
        state = self.context.training.find_tuning(name)
        there = found(state)
        lives = state is not None and (state.status == "Stopping" or state.best is not None)
        return replace(there, status="Completed") if there and lives and there.is_dead else there

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        return self.context.training.create_tuning(request)

    def prepare(self, run: Run) -> None:
        hours, jobs = self.job.max_runtime / 3600, self.tuning.max_jobs
        machine = self.job.instance_type
        self.context.agree(run, f"Train up to {jobs} times on one {machine}, each for at most {hours:.1f} hours?")

    def record(self, run: Run, name: str, arn: str) -> Run:
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

    def read_state() -> TuningState:
        state = context.training.describe_tuning(name)
        done = sum(state.counters.get(key, 0) for key in ("Completed", "Stopped", "NonRetryableError"))
        best = (
            f", best {state.best.value:.4f} ({state.best.name})" if state.best and state.best.value is not None else ""
        )
        context.progress(f"{name} {state.status}: {done} training jobs done{best}")
        meter.tune(state)
        return state

    return follow(
        read_state,
        context,
        until=lambda s: s.is_over,
        patience=settings.tune.max_jobs * 2.0 * settings.train.max_runtime + SLACK,
        resume=how_to_resume(name, context, command="gtseg tune"),
        stopped="Stopped following.",
    )


def _finish(run: Run, job: TrainingJob, state: TuningState, context: Context, *, meter: Meter) -> Run:
    assert run.tuning_job is not None
    jobs = context.training.list_tuned_jobs(state.name)
    records = tuple(TunedJobRecord(**(asdict(one) | {"hyperparameters": dict(one.hyperparameters)})) for one in jobs)
    tuned = run.tuning_job.model_copy(update={"status": state.status, "jobs": records})
    run = run.update(tuning_job=tuned)
    best = _best_job(state, jobs, job, context)
    if best is None:
        context.save(run)
        why = (
            f"{state.name} {state.status.lower()} and none of its {counted(len(jobs), 'training job')} has a model: "
            f"{reason_given(state.reason)}. Fix this and start a new attempt with `gtseg tune`."
        )
        raise JobFailed(meter.because(why))
    value = next((f"{one.value:.4f}" for one in jobs if one.name == best.name and one.value is not None), "unknown")
    found_settings = ", ".join(
        f"{key} {value}" for one in jobs if one.name == best.name for key, value in sorted(one.hyperparameters.items())
    )
    ended = "" if state.status == "Completed" else f" ({state.status.lower()} early)"
    words = f"{state.name}{ended}: best is {best.name}, {tuned.objective} {value} with {found_settings}"
    context.finish(meter.because(words))
    return run.update(training_job=best.model_copy(update={"made_from": tuned.made_from}))


def _best_job(
    state: TuningState, jobs: list[TunedJob], job: TrainingJob, context: Context
) -> TrainingJobSection | None:
    """Return the best training job that has a model, with the epochs of its log; None if there is none.

    A search that was stopped, failed or reached a limit has a result if one of its jobs has.
    """
    names = [state.best.name] if state.best else []
    names += [one.name for one in jobs if one.value is not None and one.name not in names]
    for name in names:
        there = context.training.describe_job(name)
        if there.is_over and leaves_model(there, context):
            section = TrainingJobSection(
                name=there.name,
                arn=there.arn,
                image_uri=job.image_uri,
                instance_type=job.instance_type,
                hyperparameters=dict(there.hyperparameters),
                tuning_job=state.name,
            )
            return follow_training(section, replace(context, notify=ignore), patience=3600.0)[1]
    return None
