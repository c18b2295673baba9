"""Labeling job to create: everything that the creating call needs, for any name."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from gtseg.aws.s3 import split_uri
from gtseg.core.labeling.automated import AutomatedPlan, describe_automated
from gtseg.core.labeling.color_tags import color_tags
from gtseg.core.labeling.job import LabelingJob, Task, labeling_job_request, plan_labeling_job
from gtseg.core.labeling.label_file import label_file
from gtseg.core.labeling.labeling_cost import LabelingCost, labeling_cost
from gtseg.core.labeling.task_template import task_template
from gtseg.core.plurals import counted
from gtseg.errors import SettingsError
from gtseg.pipeline.run import (
    RUN_TAG,
    STAND_IN,
    Context,
    Found,
    LabelingJobSection,
    Resource,
    Run,
    fingerprint,
    found,
    lineage_tags,
    provenance,
    with_tags,
)
from gtseg.pipeline.run.regions import check_labeling_regions
from gtseg.pipeline.stages.label.buckets import ensure_run_bucket, open_to_workers, plan_cors
from gtseg.pipeline.stages.label.gold import GoldImage, gold_files
from gtseg.pipeline.stages.label.images import Gathered
from gtseg.settings import Settings
from gtseg.settings.templates import read_template

AS_THEY_ARE = (
    "workforce",
    "description",
    "keywords",
    "workers_per_object",
    "task_time_limit",
    "max_concurrent_tasks",
    "content_classifiers",
    "kms_key",
)
"""Settings of [labeling] that have the same name in every labeling request."""
OF_FIRST_JOBS = (
    "max_labeled_objects",
    "max_labeled_percent",
    "automated",
    "initial_model_arn",
    "volume_kms_key",
    "subnets",
    "security_groups",
)
"""Settings for jobs that label from scratch only: a review is done completely, by people."""


@dataclass(frozen=True)
class LabelingResource(Resource, ABC):
    """Any labeling job of a run. `team` is an ARN, `template` is rendered."""

    run: Run
    context: Context
    labels: tuple[str, ...]
    template: bytes
    team: str

    what = "labeling job"

    @property
    def task(self) -> Task:
        return "SemanticSegmentation"

    @property
    def title(self) -> str:
        return self.context.settings.labeling.title

    @property
    @abstractmethod
    def objects(self) -> int: ...

    @property
    @abstractmethod
    def buckets(self) -> tuple[str, ...]:
        """Buckets that the workers' browsers read from."""

    @property
    @abstractmethod
    def question(self) -> str: ...

    @property
    @abstractmethod
    def manifest_etag(self) -> str:
        """ETag of the manifest that the job is based on."""

    def attribute(self, name: str) -> str:
        """Return the label attribute that the job of this name writes."""
        return f"{name}-ref"

    @abstractmethod
    def manifest(self, name: str) -> bytes:
        """Return the input manifest of the job of this name."""

    @property
    def price(self) -> Decimal | None:
        text = self.context.settings.labeling.price_per_task
        return Decimal(text) if text else None

    @property
    def cost(self) -> LabelingCost:
        return labeling_cost(self.objects, self.context.settings.labeling.workers_per_object, price=self.price)

    def folder(self, name: str) -> str:
        return f"{self.run.root}labeling/{name}/"

    def plan(self, name: str, settings: Iterable[str] = AS_THEY_ARE) -> LabelingJob:
        """Return the job's checked values. Raises SettingsError for what AWS would refuse."""
        wanted, folder = self.context.settings.labeling, self.folder(name)
        return plan_labeling_job(
            name=name,
            task=self.task,
            label_attribute=self.attribute(name),
            region=self.context.clients.labeling_region,
            role_arn=self.context.role_arn,
            workteam_arn=self.team,
            input_manifest=f"{folder}input.manifest",
            output=f"{self.run.root}labeling/",
            label_file=f"{folder}annotation-tool/data.json",
            template=f"{folder}annotation-tool/template.liquid",
            objects=self.objects,
            labels=len(self.labels),
            title=self.title,
            task_lifetime=wanted.lifetime,
            price_per_task=self.price,
            tags=wanted.tags | {RUN_TAG: self.run.name} | self._options | self.more_tags(name),
            **({key: getattr(wanted, key) for key in settings} | self._encryption),
        )

    def more_tags(self, name: str) -> dict[str, str]:
        """Return the tags of this kind of labeling job."""
        return {}

    @property
    def _options(self) -> dict[str, str]:
        """Return tags for features of gtseg's labeling server; AWS stores them without effect."""
        wanted, is_drawing = self.context.settings.labeling, self.task == "SemanticSegmentation"
        options = {"gtseg:assist": "true"} if is_drawing and wanted.suggests else {}
        return options | ({"gtseg:order": wanted.order} if is_drawing and wanted.order != "given" else {})

    @property
    def _colors(self) -> dict[str, str]:
        """Return the display colors for gtseg's labeling server as tags."""
        chosen = self.context.settings.labeling.colors
        return color_tags(self.labels, chosen) if self.task == "SemanticSegmentation" else {}

    @property
    def _encryption(self) -> dict[str, str]:
        """Return the key for the job's output: that of all objects unless [labeling] has its own."""
        key = self.context.settings.labeling.kms_key or self.context.settings.project.kms_key
        return {"kms_key": key} if key else {}

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        return with_tags(labeling_job_request(self.plan(name)), {**tags, **self._colors})

    @cached_property
    def fingerprint(self) -> str:
        return self.fingerprint_of(self.manifest(STAND_IN))

    def fingerprint_of(self, manifest: bytes) -> str:
        """Return the fingerprint of the request and of all files that it refers to."""
        request = with_tags(labeling_job_request(self.plan(STAND_IN)), {})  # the colors do not affect the labels
        return fingerprint(request, manifest, label_file(self.labels), self.template)

    @property
    def origin(self) -> dict[str, str]:
        return lineage_tags(self.run.root, manifest=self.manifest_etag)

    def files(self, name: str) -> dict[str, bytes]:
        """Return the files to write before the job starts, by URI."""
        folder = self.folder(name)
        return {
            f"{folder}annotation-tool/data.json": label_file(self.labels),
            f"{folder}annotation-tool/template.liquid": self.template,
            f"{folder}input.manifest": self.manifest(name),
        }

    # in the order in which begin() calls them

    def find(self, name: str) -> Found | None:
        return found(self.context.labeling.find_job(name))

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        for uri, body in self.files(name).items():
            self.context.s3.write(uri, body)
        return self.context.labeling.create_job(request)

    def shown(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        writes = {uri: len(body) for uri, body in self.files(name).items()}
        return {"request": request, "writes": writes, "cost": self.cost.sentence()}

    def prepare(self, run: Run) -> None:
        """Ask for consent, then write the bucket, the job's inputs, and the CORS rule."""
        check_labeling_regions(self.buckets, self.context)
        words = self.cost.sentence()
        self.context.note(f"cost: {words}" + ("" if self.context.is_billed("label") else " on AWS; not billed here"))
        self.context.agree(run, f"{self.question} for {words}?", stage="label", objects=self.objects)
        ensure_run_bucket(run, self.context)
        self.upload()
        open_to_workers(self.buckets, self.context)

    def upload(self) -> None:
        """Write the inputs of the job that are not in S3 yet."""

    def section(self, name: str, arn: str, **more: Any) -> LabelingJobSection:
        return LabelingJobSection(
            name=name,
            arn=arn,
            label_attribute=self.attribute(name),
            workforce=self.context.settings.labeling.workforce,
            objects=self.objects,
            estimated_cost=float(self.cost.total),
            input_manifest=f"{self.folder(name)}input.manifest",
            **more,
        )


@dataclass(frozen=True)
class FirstJob(LabelingResource):
    """Job that labels the run's images from scratch."""

    gathered: Gathered
    gold: tuple[GoldImage, ...] = ()

    stage = "label"

    @property
    def objects(self) -> int:
        return len(self.gathered.manifest.objects)

    @property
    def buckets(self) -> tuple[str, ...]:
        return self.gathered.buckets

    @property
    def question(self) -> str:
        return f"Start labeling {counted(self.objects, 'image')}"

    @property
    def cost(self) -> LabelingCost:
        wanted = self.context.settings.labeling
        fewest = AutomatedPlan.of(self.objects).validation if wanted.automated else None
        return labeling_cost(self.objects, wanted.workers_per_object, price=self.price, fewest=fewest)

    def manifest(self, name: str) -> bytes:
        return self.gathered.manifest.body

    def more_tags(self, name: str) -> dict[str, str]:
        return {"gtseg:gold": f"{self.folder(name)}gold/gold.manifest"} if self.gold else {}

    def plan(self, name: str, settings: Iterable[str] = (*AS_THEY_ARE, *OF_FIRST_JOBS)) -> LabelingJob:
        return super().plan(name, settings)

    @cached_property
    def fingerprint(self) -> str:
        """Return the fingerprint of the request, the images' names, sizes and ETags, the labels and the template.

        A run with a fingerprint of gtseg 0.1.0, which has no ETags, keeps it.
        """
        objects = self.gathered.manifest.objects
        mark = self._fingerprint(f"{item.line}\t{item.size}\t{item.etag}\n" for item in objects)
        earlier = self.run.attempts_of("label")
        if earlier and earlier[-1].fingerprint != mark:
            without = self._fingerprint(f"{item.line}\t{item.size}\n" for item in objects)
            return without if earlier[-1].fingerprint == without else mark
        return mark

    def _fingerprint(self, objects: Iterable[str]) -> str:
        gold = b"".join(gold_files(self.gold, self.folder(STAND_IN)).values())
        return self.fingerprint_of("".join(objects).encode() + gold)

    @cached_property
    def manifest_etag(self) -> str:
        """Return the ETag that S3 will give the input manifest."""
        return hashlib.md5(self.gathered.manifest.body, usedforsecurity=False).hexdigest()

    def files(self, name: str) -> dict[str, bytes]:
        folder = self.folder(name)
        side = {f"{folder}images.jsonl": self.gathered.manifest.side_body()}
        return side | gold_files(self.gold, folder) | super().files(name)

    def shown(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        gathered, bucket, shown = self.gathered, split_uri(self.run.root)[0], super().shown(name, request)
        shown["writes"][f"{self.run.root}run.json"] = 0
        if self.context.settings.labeling.automated:
            is_aws = self.context.clients.is_aws("labeling")
            shown["automated"] = describe_automated(self.objects, is_aws=is_aws)
        return shown | {
            "uploads": {"files": len(gathered.files), "to": gathered.target} if gathered.folder else None,
            "creates_bucket": None if self.context.s3.bucket_exists(bucket) else bucket,
            "adds_cors_to": plan_cors(self.buckets, self.context),
        }

    def upload(self) -> None:
        upload_images(self.gathered, self.context)

    def record(self, run: Run, name: str, arn: str) -> Run:
        if run.labeling_job and run.labeling_job.arn == arn:
            return run
        made_from = provenance(
            self.context.settings,
            "project",
            "images",
            "labeling",
            manifest=f"{self.folder(name)}input.manifest",
            manifest_etag=self.manifest_etag,
            request=self.fingerprint,
        )
        section = self.section(
            name,
            arn,
            images=f"{self.folder(name)}images.jsonl",
            rejected=len(self.gathered.manifest.rejected),
            made_from=made_from,
        )
        return run.update(labeling_job=section)


def upload_images(gathered: Gathered, context: Context) -> None:
    """Upload the files of a local folder as objects, each once."""
    if gathered.folder is None:
        return
    total, sent = len(gathered.files), []

    def count(uploaded: Any) -> None:
        sent.append(uploaded.sent)
        context.progress(f"uploading to {gathered.target}", len(sent), total)

    context.s3.upload_folder(gathered.folder, gathered.target, files=gathered.files, progress=count)
    context.note(f"{counted(sum(sent), 'image')} uploaded to {gathered.target}, {total - sum(sent):,} existed already")


def make_job(
    run: Run, context: Context, gathered: Gathered, *, team: str, gold: tuple[GoldImage, ...] = ()
) -> FirstJob:
    """Return the job of the settings. Raises SettingsError for a template that cannot be read or is incomplete."""
    labels = context.settings.labeling.labels
    return FirstJob(run, context, labels, fill_task_template(context.settings), team, gathered, gold)


def fill_task_template(settings: Settings) -> bytes:
    """Return the HTML of the worker template for new labels."""
    wanted = settings.labeling
    words = wanted.instructions or wanted.description
    return task_template(_read_task_template(settings), header=wanted.title, instructions=words)


def _read_task_template(settings: Settings) -> str:
    """Return the user's template, or the shipped one."""
    if settings.labeling.template is None:
        return read_template("template.liquid")
    path = settings.folder / Path(settings.labeling.template).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"[labeling] template = {settings.labeling.template!r} cannot be read: {error}") from None
