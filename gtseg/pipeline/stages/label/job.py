"""The labeling job to be: everything that the creating call needs, for whatever name the attempt gets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from gtseg.core.labeling.job import LabelingJob, labeling_job_request, plan_labeling_job
from gtseg.core.labeling.label_file import label_file
from gtseg.core.labeling.labeling_cost import LabelingCost, labeling_cost
from gtseg.core.labeling.task_template import task_template
from gtseg.errors import SettingsError
from gtseg.pipeline.run import (
    FINGERPRINT_TAG,
    Provenance,
    Run,
    fingerprint,
    lineage_tags,
    provenance,
    with_tags,
)
from gtseg.pipeline.stages.label.images import Gathered
from gtseg.settings import Settings
from gtseg.settings.templates import read_template

STAND_IN = "stand-in"
"""The name in the request that is fingerprinted: a new attempt is the same request under another name."""
AS_THEY_ARE = (
    "workforce", "title", "description", "keywords", "workers_per_object", "task_time_limit", "max_concurrent_tasks",
    "content_classifiers", "max_labeled_objects", "max_labeled_percent", "kms_key", "automated", "initial_model_arn",
    "volume_kms_key", "subnets", "security_groups",
)  # fmt: skip
"""Settings of [labeling] that the request takes under the same name."""


@dataclass(frozen=True)
class Job:
    """One labeling job of a run; `role` and `team` are ARNs, `template` is filled and ready."""

    run: Run
    settings: Settings
    gathered: Gathered
    role: str
    team: str
    template: bytes

    @property
    def objects(self) -> int:
        return len(self.gathered.manifest.objects)

    @property
    def labels(self) -> bytes:
        return label_file(self.settings.labeling.labels)

    @property
    def price(self) -> Decimal | None:
        text = self.settings.labeling.price_per_task
        return Decimal(text) if text else None

    @property
    def cost(self) -> LabelingCost:
        return labeling_cost(self.objects, self.settings.labeling.workers_per_object, price=self.price)

    @cached_property
    def fingerprint(self) -> str:
        """Of the request, the images' names, sizes and ETags, the labels and the template.

        The fingerprint without ETags, as gtseg 0.1.0 made it, stays that of a run which has it.
        """
        objects = self.gathered.manifest.objects
        mark = self._fingerprint(f"{item.line}\t{item.size}\t{item.etag}\n" for item in objects)
        earlier = self.run.attempts_of("label")
        if earlier and earlier[-1].fingerprint != mark:
            without = self._fingerprint(f"{item.line}\t{item.size}\n" for item in objects)
            return without if earlier[-1].fingerprint == without else mark
        return mark

    def _fingerprint(self, objects: Iterable[str]) -> str:
        request = labeling_job_request(self.plan(STAND_IN))
        return fingerprint(request, "".join(objects).encode(), self.labels, self.template)

    def folder(self, name: str) -> str:
        return f"{self.run.root}labeling/{name}/"

    def plan(self, name: str) -> LabelingJob:
        """The job's plain values, checked. Raises SettingsError for what AWS would refuse."""
        wanted, folder = self.settings.labeling, self.folder(name)
        return plan_labeling_job(
            name=name,
            label_attribute=f"{name}-ref",
            region=self.run.region,
            role_arn=self.role,
            workteam_arn=self.team,
            input_manifest=f"{folder}input.manifest",
            output=f"{self.run.root}labeling/",
            label_file=f"{folder}annotation-tool/data.json",
            template=f"{folder}annotation-tool/template.liquid",
            objects=self.objects,
            labels=len(wanted.labels),
            task_lifetime=wanted.lifetime,
            price_per_task=self.price,
            tags=wanted.tags | {"gtseg:run": self.run.name},
            **{key: getattr(wanted, key) for key in AS_THEY_ARE},
        )

    def request(self, name: str, *, mark: str) -> dict[str, Any]:
        """CreateLabelingJob's body with the fingerprint `mark` and what the job comes from as its tags."""
        tags = {FINGERPRINT_TAG: mark} | lineage_tags(self.run.root, manifest=self.manifest_etag)
        return with_tags(labeling_job_request(self.plan(name)), tags)

    @property
    def manifest_etag(self) -> str:
        """What S3 will call the input manifest's bytes."""
        return hashlib.md5(self.gathered.manifest.body, usedforsecurity=False).hexdigest()

    def made_from(self, name: str) -> Provenance:
        return provenance(
            self.settings,
            "project",
            "images",
            "labeling",
            manifest=f"{self.folder(name)}input.manifest",
            manifest_etag=self.manifest_etag,
            request=self.fingerprint,
        )

    def files(self, name: str) -> dict[str, bytes]:
        """What lies beside the job before it starts, by URI."""
        folder = self.folder(name)
        return {
            f"{folder}annotation-tool/data.json": self.labels,
            f"{folder}annotation-tool/template.liquid": self.template,
            f"{folder}images.jsonl": self.gathered.manifest.side_body(),
            f"{folder}input.manifest": self.gathered.manifest.body,
        }


def make_job(run: Run, settings: Settings, gathered: Gathered, *, account: str, team: str) -> Job:
    """The job that the settings ask for. Raises SettingsError for a template that cannot be read or lacks something."""
    wanted = settings.labeling
    role = settings.project.role_arn or f"arn:aws:iam::{account}:role/gtseg"
    words = wanted.instructions or wanted.description
    template = task_template(read_task_template(settings), header=wanted.title, instructions=words)
    return Job(run, settings, gathered, role, team, template)


def read_task_template(settings: Settings) -> str:
    """The user's own template, or the shipped one."""
    if settings.labeling.template is None:
        return read_template("template.liquid")
    path = settings.folder / Path(settings.labeling.template).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"[labeling] template = {settings.labeling.template!r} cannot be read: {error}"
        ) from None
