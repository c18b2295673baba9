"""Transform jobs of a batch prediction: create each one once, follow it, offer to stop one without progress."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gtseg.aws.s3 import split_uri
from gtseg.aws.transform import TransformState
from gtseg.core.hosting.requests import Hosting
from gtseg.core.hosting.transform import REPORTED, Transform, manifest_body, transform_request
from gtseg.core.plurals import counted
from gtseg.errors import AWSError, JobFailed
from gtseg.pipeline.run.attempts import Found, Resource, found
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.context import Context
from gtseg.pipeline.run.creation import begin
from gtseg.pipeline.run.events import ignore
from gtseg.pipeline.run.hosted_model import BatchModel
from gtseg.pipeline.run.pending_jobs import follow, how_to_resume
from gtseg.pipeline.run.provenance import RUN_TAG, lineage_tags
from gtseg.pipeline.run.sections import Run

MAX_WAIT_SECONDS = 10 * 86400.0
"""Seconds for which one job is followed; the same command follows it again."""
STAND_IN_MODEL = "stand-in-model"


@dataclass(frozen=True)
class Batch:
    """Model and request format of a batch transform."""

    run: Run
    context: Context
    hosting: Hosting
    training_job: str | None
    root: str
    """s3://.../batch/<mark>/"""

    @property
    def output(self) -> str:
        return self.root + "output"

    @property
    def bucket(self) -> str:
        return split_uri(self.root)[0]


@dataclass(frozen=True)
class TransformJob(Resource):
    """Transform job. A finished one is never adopted: its outputs have been collected."""

    batch: Batch
    context: Context
    manifest: str
    images: int
    model: str = STAND_IN_MODEL

    stage, what = "transform", "transform job"
    remedy = (
        "It predicts other images or uses another model: wait for its end, or stop it "
        "(`aws sagemaker stop-transform-job --transform-job-name NAME`, or `gtseg cleanup --all`)."
    )

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        settings = self.context.settings
        return transform_request(
            name,
            Transform(
                model=self.model,
                manifest=self.manifest,
                output=self.batch.output,
                content_type=settings.deploy.content_type,
                accept=settings.deploy.accept,
                instance_type=settings.batch.instance_type or settings.deploy.instance_type,
                instance_count=settings.batch.instances,
                kms_key=settings.project.kms_key,
                tags={**self.batch.hosting.tags, **tags},
            ),
        )

    @property
    def origin(self) -> Mapping[str, str]:
        return lineage_tags(self.batch.run.root, training_job=self.batch.training_job)

    def find(self, name: str) -> Found | None:
        there = found(self.context.transforms.find_job(name))
        is_over = there is not None and there.status == "Completed"
        return replace(there, status="Over", reason="completed") if there and is_over else there

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        return self.context.transforms.create_job(request)

    def record(self, run: Run, name: str, arn: str) -> Run:
        """Return the run unchanged: a transform job has no section, only an attempt and outputs."""
        return run


def begin_job(run: Run, batch: Batch, keys: set[str], *, bucket: str) -> Run:
    """Return the run with a job for these objects of a bucket, whose cost was shown and confirmed."""
    context, wanted = batch.context, batch.context.settings.batch
    body = manifest_body(bucket, keys)
    manifest = f"{batch.root}manifests/{hashlib.sha256(body).hexdigest()[:24]}.json"
    job = TransformJob(batch, context, manifest, len(keys))
    if context.dry_run:
        return begin(run, context, job)
    kind = wanted.instance_type or context.settings.deploy.instance_type
    if context.is_billed("batch"):
        context.note(
            f"{REPORTED}: you are asked whether to stop a job that writes nothing for {wanted.stalled_after / 60:g} "
            "minutes"
        )
    context.agree(
        run,
        f"Predict {counted(len(keys), 'image')} by batch transform on {wanted.instances} x {kind}?",
        stage="batch",
        objects=len(keys),
    )
    context.s3.write(manifest, body)
    run = begin(run, replace(context, notify=ignore), BatchModel(run, context, batch.hosting, batch.training_job))
    run = begin(run, context, replace(job, model=run.attempts_of("batch-model")[-1].name))
    name = run.attempts_of("transform")[-1].name
    context.note(f"{name} has {counted(len(keys), 'image')} for {wanted.instances} x {kind}")
    return run


def follow_earlier(run: Run, batch: Batch, images: int) -> Run:
    """Wait for the run's last job if it is still writing to this output."""
    attempts = run.attempts_of("transform")[-1:]
    for attempt in attempts:
        state = batch.context.transforms.find_job(attempt.name)
        is_own = (
            state is not None
            and state.output.rstrip("/") == batch.output
            and state.tags.get(RUN_TAG, run.name) == run.name
        )
        if state and is_own and not state.is_over:
            batch.context.note(f"{state.name} is still {state.status}: following it to its end first")
            follow_job(run, batch, state.name, images=images)
    return run


class _Watch:
    """Progress of a job, from the number of its outputs."""

    def __init__(self, run: Run, batch: Batch, name: str, images: int) -> None:
        self.batch, self.name, self.images = batch, name, images
        self.meter = Meter(run, batch.context, but=name)
        self.before = self.count()
        self.done, self.idle, self.pause, self.has_asked = 0, 0.0, 0.0, False

    def sleep(self, seconds: float) -> None:
        """Sleep, and add the time to that since the last new output."""
        self.idle, self.pause = self.idle + seconds, self.pause - seconds
        self.batch.context.sleep(seconds)

    def count(self) -> int:
        return sum(1 for _ in self.batch.context.s3.list_objects(f"{self.batch.output}/"))

    def read_state(self) -> TransformState:
        context = self.batch.context
        state = context.transforms.describe_job(self.name)
        self.meter.transform(state)
        if self.pause <= 0 or state.is_over:
            done = self.count() - self.before
            self.pause = done / 2000  # a million outputs are listed every few minutes only, not on every poll
            if done != self.done:
                self.done, self.idle = done, 0.0
            context.progress(f"{self.name} {state.status}", min(self.done, self.images), self.images)
        if state.status == "InProgress" and self.idle >= context.settings.batch.stalled_after:
            self._offer_to_stop()
        return state

    def _offer_to_stop(self) -> None:
        context, minutes = self.batch.context, self.idle / 60
        words = f"{self.name} has written nothing for {minutes:.0f} minutes"
        if self.has_asked:
            return
        self.has_asked = True
        context.warn(f"{words}. {REPORTED}")
        if not context.consent.stop(f"{words}. Stop it?"):
            context.warn(
                f"{self.name} continues and costs money. To stop it: "
                f"`aws sagemaker stop-transform-job --transform-job-name {self.name}`"
            )
            return
        try:
            context.transforms.stop_job(self.name)
        except AWSError as error:  # it ended between the poll and the call
            context.warn(f"{self.name} could not be stopped: {error.message}")


def follow_job(run: Run, batch: Batch, name: str, *, images: int) -> TransformState:
    """Follow the job and return its final state. Raises JobFailed if [budget] stopped it."""
    context = batch.context
    watch = _Watch(run, batch, name, images)
    stop = f" (stop it: `aws sagemaker stop-transform-job --transform-job-name {name}`)"
    resume = how_to_resume(name, context, command=f"gtseg {context.stage} --batch", otherwise=stop)
    state = follow(
        watch.read_state,
        replace(context, sleep=watch.sleep),
        until=lambda now: now.is_over,
        patience=MAX_WAIT_SECONDS,
        resume=resume,
        stopped="Stopped following.",
    )
    if watch.meter.stopped:
        raise JobFailed(watch.meter.because(f"{name} was stopped. Its masks so far are kept in {batch.output}/."))
    return state
