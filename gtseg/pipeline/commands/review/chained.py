"""A labeling job that goes on from labels: its request, its files, and its creating call, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.s3 import S3
from gtseg.core.counting import counted
from gtseg.core.labeling.chaining import ChainedInput
from gtseg.core.labeling.job import LabelingJob, Task, labeling_job_request, plan_labeling_job
from gtseg.core.labeling.label_file import label_file
from gtseg.core.labeling.labeling_cost import LabelingCost, labeling_cost
from gtseg.errors import GtsegError
from gtseg.pipeline.commands.review.earlier import Earlier
from gtseg.pipeline.run import (
    FINGERPRINT_TAG,
    Creation,
    Found,
    LabelingJobSection,
    Provenance,
    Run,
    RunFile,
    create_once,
    fingerprint,
    lineage_tags,
    next_name,
    provenance,
    standing,
    with_tags,
)
from gtseg.pipeline.run.events import Consent, Event, Notify
from gtseg.pipeline.stages.label.buckets import ensure_run_bucket, open_to_workers
from gtseg.pipeline.stages.label.job import STAND_IN
from gtseg.settings import Settings

AS_THEY_ARE = (
    "workforce", "description", "keywords", "workers_per_object", "task_time_limit", "max_concurrent_tasks",
    "content_classifiers", "kms_key",
)  # fmt: skip
"""Settings of [labeling] that the request takes under the same name. Stopping conditions are not: a review goes to its end."""


@dataclass(frozen=True)
class ChainedJob:
    """`build` gives the input manifest for the label attribute that the job writes; `attribute` that for its name."""

    run: Run
    settings: Settings
    earlier: Earlier
    task: Task
    word: str
    """Of the job's name: <run>-<word>-<mark of the earlier manifest>-<number>."""
    title: str
    labels: tuple[str, ...]
    template: bytes
    role: str
    team: str
    attribute: Callable[[str], str]
    build: Callable[[str], ChainedInput]

    @property
    def objects(self) -> int:
        return len(self.build(self.attribute(STAND_IN)).todo)

    @property
    def cost(self) -> LabelingCost:
        price = self.settings.labeling.price_per_task
        workers = self.settings.labeling.workers_per_object
        return labeling_cost(self.objects, workers, price=Decimal(price) if price else None)

    @property
    def fingerprint(self) -> str:
        request = labeling_job_request(self.plan(STAND_IN))
        lines = self.build(self.attribute(STAND_IN)).body
        return fingerprint(request, lines, label_file(self.labels), self.template)

    def folder(self, name: str) -> str:
        return f"{self.run.root}labeling/{name}/"

    def plan(self, name: str) -> LabelingJob:
        wanted, folder = self.settings.labeling, self.folder(name)
        return plan_labeling_job(
            name=name,
            task=self.task,
            label_attribute=self.attribute(name),
            region=self.run.region,
            role_arn=self.role,
            workteam_arn=self.team,
            input_manifest=f"{folder}input.manifest",
            output=f"{self.run.root}labeling/",
            label_file=f"{folder}annotation-tool/data.json",
            template=f"{folder}annotation-tool/template.liquid",
            objects=self.objects,
            labels=len(self.labels),
            title=self.title[:128],
            task_lifetime=wanted.lifetime,
            price_per_task=Decimal(wanted.price_per_task) if wanted.price_per_task else None,
            tags=wanted.tags | {"gtseg:run": self.run.name},
            **{key: getattr(wanted, key) for key in AS_THEY_ARE},
        )

    def request(self, name: str, *, mark: str) -> dict[str, Any]:
        tags = {FINGERPRINT_TAG: mark} | lineage_tags(self.run.root, manifest=self.earlier.etag)
        return with_tags(labeling_job_request(self.plan(name)), tags)

    def files(self, name: str) -> dict[str, bytes]:
        """What lies beside the job before it starts, by URI."""
        folder = self.folder(name)
        return {
            f"{folder}annotation-tool/data.json": label_file(self.labels),
            f"{folder}annotation-tool/template.liquid": self.template,
            f"{folder}input.manifest": self.build(self.attribute(name)).body,
        }

    def made_from(self) -> Provenance:
        return provenance(
            self.settings,
            "project",
            "labeling",
            manifest=self.earlier.manifest,
            manifest_etag=self.earlier.etag,
            request=self.fingerprint,
        )

    def section(self, name: str, arn: str) -> LabelingJobSection:
        """The run's labeling job from now on."""
        return LabelingJobSection(
            name=name,
            arn=arn,
            label_attribute=self.attribute(name),
            workforce=self.settings.labeling.workforce,
            objects=self.objects,
            estimated_cost=float(self.cost.total),
            input_manifest=f"{self.folder(name)}input.manifest",
            images=self.earlier.images,
            task=self.task,
            follows=self.earlier.name,
            made_from=self.made_from(),
        )


def start(
    job: ChainedJob, clients: Clients, *, notify: Notify, consent: Consent, dry_run: bool
) -> tuple[Run, str, str] | None:
    """(run, name, ARN) of the job: created now, adopted, or standing already; None after a dry run, which touches nothing.

    Raises StageError where the same labels have a live job of the same kind that was made from other settings.
    """
    creation = _creation(job, clients)
    found = standing(job.run, creation)
    if dry_run:
        _show_plan(job, creation, notify=notify)
        return None
    if found:
        words = f"{found.arn.rpartition('/')[2]} is there already ({found.status}): nothing to do"
        notify(Event(job.word, "note", words))
    else:
        _prepare(job, clients, notify=notify, consent=consent)
    run, attempt, arn = create_once(RunFile(clients, job.run.root), job.run, creation)
    words = f"{attempt.name} sends {counted(job.objects, 'image')} of {job.earlier.name} to the workers"
    notify(Event(job.word, "finished", words, fields={"arn": arn, "objects": job.objects}))
    return run, attempt.name, arn


def _creation(job: ChainedJob, clients: Clients) -> Creation:
    truth, mark = GroundTruth(clients), job.fingerprint

    def create(name: str) -> str:
        for uri, body in job.files(name).items():
            S3(clients).write(uri, body)
        return truth.create_job(job.request(name, mark=mark))

    def find(name: str) -> Found | None:
        state = truth.find_job(name)
        return (
            Found(state.arn, state.status, state.tags.get(FINGERPRINT_TAG), state.reason) if state else None
        )

    return Creation(f"{job.word}-{job.earlier.mark}", mark, create, find)


def _prepare(job: ChainedJob, clients: Clients, *, notify: Notify, consent: Consent) -> None:
    words = job.cost.sentence()
    notify(Event(job.word, "note", f"cost: {words}" + (" on AWS; nothing here" if clients.is_local else "")))
    consent.weigh("label", job.run, job.objects)
    if not consent.spend(f"Send {counted(job.objects, 'image')} to the workers for {words}?"):
        raise GtsegError("Nothing was started.")
    ensure_run_bucket(job.run, job.settings, clients, consent=consent, notify=notify)
    open_to_workers(job.earlier.buckets, clients, notify=notify)


def _show_plan(job: ChainedJob, creation: Creation, *, notify: Notify) -> None:
    name = next_name(job.run, creation)
    fields = {
        "request": job.request(name, mark=creation.fingerprint),
        "writes": {uri: len(body) for uri, body in job.files(name).items()},
        "cost": job.cost.sentence(),
    }
    notify(Event(job.word, "plan", f"would create labeling job {name}; nothing was touched", fields=fields))
