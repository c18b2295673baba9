"""tune: a search for hyperparameters; the best training job that it found becomes the run's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gtseg.aws.clients import Clients
from gtseg.aws.training import Training, TuningState
from gtseg.aws.waiting import poll
from gtseg.core.training.job import TrainingJob, Tuning, tuning_request
from gtseg.errors import GtsegError, Interrupted, JobFailed, reason_given
from gtseg.pipeline.run import (
    FINGERPRINT_TAG,
    Creation,
    Found,
    Run,
    RunFile,
    TrainingJobSection,
    TunedJobRecord,
    TuningJobSection,
    create_once,
    fingerprint,
    next_name,
    standing,
    with_tags,
)
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.events import Consent, Event, Notify, ignore
from gtseg.pipeline.run.resuming import how_to_resume
from gtseg.pipeline.stages.train.following import follow_training
from gtseg.pipeline.stages.train.planning import made_from, origin_tags, plan_training
from gtseg.settings import Settings

NAME_LENGTH = 32
"""Characters of a tuning job's name (API); it starts its training jobs' names."""


def tune(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    notify: Notify,
    consent: Consent | None = None,
    dry_run: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """The run with its tuning job, and that job's best training job as its own. Raises as `train` does."""
    job = plan_training(run, settings, clients, notify=notify, dry_run=dry_run)
    tuning = _plan(settings)
    creation = _creation(run, job, tuning, clients)
    if dry_run:
        name = next_name(run, creation)
        notify(
            Event(
                "tune",
                "plan",
                f"would create {name}",
                fields=_request(name, run, job, tuning, mark=creation.fingerprint),
            )
        )
        return run
    hours = job.max_runtime / 3600
    words = (
        f"Train up to {tuning.max_jobs} times on one {job.instance_type}, each for at most {hours:.1f} hours?"
    )
    consent = consent or Consent()
    if not standing(run, creation):
        consent.weigh("tune", run, None)
        if not consent.spend(words):
            raise GtsegError("Nothing was started.")
    run_file = RunFile(clients, run.root)
    run, attempt, arn = create_once(run_file, run, creation)
    run = run_file.save(
        run.update(
            tuning_job=TuningJobSection(
                name=attempt.name,
                arn=arn,
                objective=tuning.objective,
                made_from=made_from(run, settings, job, creation.fingerprint, "train", "tune"),
            )
        )
    )
    meter = Meter("tune", run, settings, clients, notify=notify, but=attempt.name)
    state = _follow(
        attempt.name, clients, notify=notify, sleep=sleep, patience=_patience(settings), meter=meter
    )
    return _finish(run, job, state, clients, notify=notify, sleep=sleep, meter=meter)


def _plan(settings: Settings) -> Tuning:
    wanted = settings.tune
    return Tuning(
        objective=wanted.objective,
        strategy=wanted.strategy,
        max_jobs=wanted.max_jobs,
        max_parallel_jobs=wanted.max_parallel_jobs,
        early_stopping=wanted.early_stopping,
        seed=wanted.seed,
        ranges=wanted.ranges,
    )


def _patience(settings: Settings) -> float:
    return settings.tune.max_jobs * (2.0 * settings.train.max_runtime) + 6 * 3600.0


def _request(name: str, run: Run, job: TrainingJob, tuning: Tuning, *, mark: str) -> dict[str, Any]:
    return with_tags(tuning_request(name, job, tuning), {FINGERPRINT_TAG: mark} | origin_tags(run))


def _creation(run: Run, job: TrainingJob, tuning: Tuning, clients: Clients) -> Creation:
    training, mark = Training(clients), fingerprint(tuning_request("stand-in", job, tuning))

    def find(name: str) -> Found | None:
        state = training.find_tuning(name)
        return (
            Found(state.arn, state.status, state.tags.get(FINGERPRINT_TAG), state.reason) if state else None
        )

    def create(name: str) -> str:
        return training.create_tuning(_request(name, run, job, tuning, mark=mark))

    return Creation("tune", mark, create, find, max_name=NAME_LENGTH)


def _follow(
    name: str,
    clients: Clients,
    *,
    notify: Notify,
    sleep: Callable[[float], None],
    patience: float,
    meter: Meter,
) -> TuningState:
    training = Training(clients, sleep=sleep)
    resume = how_to_resume(name, clients, command="gtseg tune")

    def look() -> TuningState:
        state = training.describe_tuning(name)
        done = sum(state.counters.get(key, 0) for key in ("Completed", "Stopped", "NonRetryableError"))
        best = (
            f", best {state.best.value:.4f} ({state.best.name})"
            if state.best and state.best.value is not None
            else ""
        )
        notify(Event("tune", "progress", f"{name} {state.status}: {done} training jobs done{best}"))
        meter.tune(state)
        return state

    try:
        return poll(look, until=lambda s: s.is_over, patience=patience, resume=resume, sleep=sleep)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped following. {resume}") from None


def _finish(
    run: Run,
    job: TrainingJob,
    state: TuningState,
    clients: Clients,
    *,
    notify: Notify,
    sleep: Callable[[float], None],
    meter: Meter,
) -> Run:
    assert run.tuning_job is not None
    jobs = Training(clients).list_tuned_jobs(state.name)
    records = tuple(
        TunedJobRecord(**(asdict(one) | {"hyperparameters": dict(one.hyperparameters)})) for one in jobs
    )
    run = run.update(tuning_job=run.tuning_job.model_copy(update={"status": state.status, "jobs": records}))
    if state.status != "Completed" or state.best is None:
        RunFile(clients, run.root).save(run)
        why = (
            f"{state.name} {state.status.lower()} with no best training job: {reason_given(state.reason)}. "
            "Cure that, then `gtseg tune` starts a new attempt."
        )
        raise JobFailed(meter.because(why))
    best = _best_job(state, job, clients, sleep=sleep)
    origin = run.tuning_job.made_from if run.tuning_job else None
    run = run.update(training_job=best.model_copy(update={"made_from": origin}))
    value = f"{state.best.value:.4f}" if state.best.value is not None else "unknown"
    settings_found = ", ".join(f"{key} {value}" for key, value in sorted(state.best.hyperparameters.items()))
    notify(
        Event(
            "tune",
            "finished",
            f"{state.name}: best is {state.best.name}, {run.tuning_job.objective} {value} with {settings_found}"
            if run.tuning_job
            else "",
        )
    )
    return run


def _best_job(
    state: TuningState, job: TrainingJob, clients: Clients, *, sleep: Callable[[float], None]
) -> TrainingJobSection:
    """train's result is the best job of the search, its epochs read from its log."""
    assert state.best is not None
    best = Training(clients).describe_job(state.best.name)
    section = TrainingJobSection(
        name=best.name,
        arn=best.arn,
        image_uri=job.image_uri,
        instance_type=job.instance_type,
        hyperparameters=dict(best.hyperparameters),
        tuning_job=state.name,
    )
    return follow_training(section, clients, notify=ignore, patience=3600.0, sleep=sleep)[1]
