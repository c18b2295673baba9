"""train: create one training job per run and follow it to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gtseg.core.plurals import counted
from gtseg.core.training.job import TrainingJob, training_request
from gtseg.errors import JobFailed
from gtseg.pipeline.run import (
    Context,
    Found,
    Resource,
    Run,
    TrainingJobSection,
    begin,
    found,
    with_tags,
)
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.freshness import staleness
from gtseg.pipeline.stages.train.monitor import follow_training
from gtseg.pipeline.stages.train.outcome import cut_short, leaves_model, why_without_model
from gtseg.pipeline.stages.train.plan import made_from, origin_tags, plan_training

SLACK = 6 * 3600.0
"""Seconds beyond the job's own limit, since a job waits for instances before it starts."""


def train(run: Run, context: Context, *, follow: bool = True) -> Run:
    """Return the run with its training job, created now, adopted, or existing, after its end.

    Raises StageError before `dataset`, JobFailed for a job that Failed or was Stopped (the run is saved first),
    Interrupted on Ctrl-C.
    """
    context = context.of("train")
    job = plan_training(run, context)
    before, run = run.training_job, begin(run, context, TrainingResource(run, context, job))
    if context.dry_run:
        return run
    if run.training_job and run.training_job != before:
        context.note(
            f"{run.training_job.name} trains on {job.hyperparameters['num_training_samples']} images, "
            f"{job.hyperparameters['num_classes']} classes",
            {"arn": run.training_job.arn},
        )
    return _follow(run, context) if follow else run


@dataclass(frozen=True)
class TrainingResource(Resource):
    """Training job of the run."""

    run: Run
    context: Context
    job: TrainingJob

    stage, what = "train", "training job"

    @property
    def remedy(self) -> str:
        """Return what to do: training with the same data again needs another run, so that both results are kept."""
        run = self.run
        source, other = run.dataset.source if run.dataset else "", f"{run.name}-2"
        take = f"`gtseg dataset --run {other} --manifest {source}`, then " if source else ""
        return f"Restore the settings, or train in another run: {take}`gtseg train --run {other}`."

    def is_replaceable(self, found: Found) -> bool:
        """Return whether a finished job's model is outdated (other data or hyperparameters), so that the next name is
        used."""
        stale = staleness(self.run, self.context.settings, "train")
        return found.status == "Completed" and stale is not None

    @property
    def origin(self) -> Mapping[str, str]:
        return origin_tags(self.run)

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        return with_tags(training_request(name, self.job), tags)

    def find(self, name: str) -> Found | None:
        """Return the job; a stopped one with a model, or one that is stopping and may have one, counts as completed."""
        state = self.context.training.find_job(name)
        there, known = found(state), self.run.training_job
        is_empty = known is not None and known.name == name and known.status == "Stopped" and not known.has_result
        lives = state is not None and (
            state.status == "Stopping" or (leaves_model(state, self.context) and not is_empty)
        )
        return replace(there, status="Completed") if there and lives else there

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        return self.context.training.create_job(request)

    def prepare(self, run: Run) -> None:
        hours = self.job.max_runtime / 3600
        self.context.agree(run, f"Train on one {self.job.instance_type} for at most {hours:.1f} hours?")

    def record(self, run: Run, name: str, arn: str) -> Run:
        if run.training_job and run.training_job.name == name:
            return run
        section = TrainingJobSection(
            name=name,
            arn=arn,
            image_uri=self.job.image_uri,
            instance_type=self.job.instance_type,
            hyperparameters=dict(self.job.hyperparameters),
            made_from=made_from(run, self.context, self.job, self.fingerprint, "train"),
        )
        return run.update(training_job=section)


def _follow(run: Run, context: Context) -> Run:
    """Return the run after its training job. Raises JobFailed, with the run saved, if it has no model."""
    assert run.training_job is not None
    wanted = context.settings.train
    patience = (wanted.max_wait or 2 * wanted.max_runtime) + SLACK
    meter = Meter(run, context, but=run.training_job.name)
    state, section = follow_training(run.training_job, context, patience=patience, meter=meter)
    if state.status == "Stopped" and not leaves_model(state, context):
        section = section.model_copy(update={"model_artifact": None})
    run = run.update(training_job=section)
    if not section.has_result:
        context.save(run)
        raise JobFailed(meter.because(why_without_model(state, context)))
    words = meter.because(cut_short(section)) if section.is_cut_short else _summary(section)
    context.finish(words, section.model_dump(mode="json", exclude={"epochs"}))
    return run


def _summary(section: TrainingJobSection) -> str:
    if section.best is None or section.best.miou is None:
        return f"{section.name} is complete; its log has no validation mIoU"
    return (
        f"{section.name} is complete after {counted(len(section.epochs), 'epoch')}: "
        f"best validation mIoU {section.best.miou:.4f} in epoch {section.best.number}"
    )
