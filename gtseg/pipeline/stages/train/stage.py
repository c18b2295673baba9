"""train: one training job per run, created once, followed to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gtseg.aws.clients import Clients
from gtseg.aws.training import Training, TrainingState
from gtseg.core.counting import counted
from gtseg.core.training.job import TrainingJob, training_request
from gtseg.errors import GtsegError, JobFailed, reason_given
from gtseg.pipeline.run import (
    FINGERPRINT_TAG,
    Creation,
    Found,
    Run,
    RunFile,
    TrainingJobSection,
    create_once,
    fingerprint,
    next_name,
    standing,
    with_tags,
)
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.events import Consent, Event, Notify
from gtseg.pipeline.stages.train.following import follow_training
from gtseg.pipeline.stages.train.planning import made_from, origin_tags, plan_training
from gtseg.settings import Settings

STAND_IN = "stand-in"
SLACK = 6 * 3600.0
"""Seconds beyond the job's own limit: machines are waited for before a job starts."""


def train(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    notify: Notify,
    consent: Consent | None = None,
    dry_run: bool = False,
    follow: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """The run with its training job: created now, adopted, or standing already, and followed until it ends.

    Raises StageError before `dataset`, JobFailed for a job that Failed or was Stopped (the run is saved first), Interrupted on
    Ctrl-C. With `dry_run` nothing is written; a `plan` event holds the request.
    """
    job = plan_training(run, settings, clients, notify=notify, dry_run=dry_run)
    creation = training_creation(run, job, clients)
    if dry_run:
        name = next_name(run, creation)
        notify(
            Event(
                "train",
                "plan",
                f"would create {name}",
                fields=request_of(name, run, job, mark=creation.fingerprint),
            )
        )
        return run
    run = _start(run, job, settings, clients, creation=creation, consent=consent or Consent(), notify=notify)
    return follow_run(run, settings, clients, notify=notify, sleep=sleep) if follow else run


def follow_run(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    notify: Notify,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """The run when its training job is over. Raises JobFailed, the run saved, when it has no model to show."""
    assert run.training_job is not None
    patience = (settings.train.max_wait or 2 * settings.train.max_runtime) + SLACK
    meter = Meter("train", run, settings, clients, notify=notify, but=run.training_job.name)
    state, section = follow_training(
        run.training_job, clients, notify=notify, patience=patience, meter=meter, sleep=sleep
    )
    run = run.update(training_job=section)
    if state.status != "Completed":
        RunFile(clients, run.root).save(run)
        raise JobFailed(meter.because(_why(state)))
    notify(
        Event(
            "train", "finished", _words(section), fields=section.model_dump(mode="json", exclude={"epochs"})
        )
    )
    return run


def training_creation(run: Run, job: TrainingJob, clients: Clients) -> Creation:
    training = Training(clients)
    mark = fingerprint(training_request(STAND_IN, job))

    def find(name: str) -> Found | None:
        state = training.find_job(name)
        return (
            Found(state.arn, state.status, state.tags.get(FINGERPRINT_TAG), state.reason) if state else None
        )

    def create(name: str) -> str:
        return training.create_job(request_of(name, run, job, mark=mark))

    return Creation("train", mark, create, find, way_out=_way_out(run))


def _way_out(run: Run) -> str:
    """The same data trained once more takes a run of its own: both results stay."""
    source, other = run.dataset.source if run.dataset else "", f"{run.name}-2"
    take = f"`gtseg dataset --run {other} --manifest {source}`, then " if source else ""
    return f"Put the settings back, or train in a run of its own: {take}`gtseg train --run {other}`."


def request_of(name: str, run: Run, job: TrainingJob, *, mark: str) -> dict[str, Any]:
    """CreateTrainingJob's body with the fingerprint `mark` and what the job comes from as its tags."""
    return with_tags(training_request(name, job), {FINGERPRINT_TAG: mark} | origin_tags(run))


def _start(
    run: Run,
    job: TrainingJob,
    settings: Settings,
    clients: Clients,
    *,
    creation: Creation,
    consent: Consent,
    notify: Notify,
) -> Run:
    """The run, saved, with a live or completed training job of these settings."""
    if found := standing(run, creation):
        notify(Event("train", "note", f"{found.arn.rpartition('/')[2]} is there already ({found.status})"))
    else:
        consent.weigh("train", run, None)
        words = f"Train on one {job.instance_type} for at most {job.max_runtime / 3600:.1f} hours?"
        if not consent.spend(words):
            raise GtsegError("Nothing was started.")
    run_file = RunFile(clients, run.root)
    run, attempt, arn = create_once(run_file, run, creation)
    if run.training_job is None or run.training_job.name != attempt.name:
        section = TrainingJobSection(
            name=attempt.name,
            arn=arn,
            image_uri=job.image_uri,
            instance_type=job.instance_type,
            hyperparameters=dict(job.hyperparameters),
            made_from=made_from(run, settings, job, creation.fingerprint, "train"),
        )
        run = run_file.save(run.update(training_job=section))
        notify(
            Event(
                "train",
                "note",
                f"{attempt.name} trains on {job.hyperparameters['num_training_samples']} images, "
                f"{job.hyperparameters['num_classes']} classes",
                fields={"arn": arn},
            )
        )
    return run


def _words(section: TrainingJobSection) -> str:
    if section.best is None or section.best.miou is None:
        return f"{section.name} is complete; its log named no validation mIoU"
    return (
        f"{section.name} is complete after {counted(len(section.epochs), 'epoch')}: "
        f"best validation mIoU {section.best.miou:.4f} in epoch {section.best.number}"
    )


def _why(state: TrainingState) -> str:
    if state.status == "Stopped":
        return f"{state.name} was stopped before it ended. `gtseg train` starts a new attempt."
    return f"{state.name} failed: {reason_given(state.reason)}. Cure that, then `gtseg train` starts a new attempt."
