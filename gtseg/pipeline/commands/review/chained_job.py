"""Labeling job that starts from labels: its request, its files, and its creation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gtseg.core.labeling.chained_jobs import ChainedInput
from gtseg.core.labeling.job import Task
from gtseg.core.plurals import counted
from gtseg.pipeline.commands.review.earlier_labels import Earlier
from gtseg.pipeline.run import STAND_IN, LabelingJobSection, Run, VerificationSection, begin, provenance
from gtseg.pipeline.stages.label.job import LabelingResource


@dataclass(frozen=True)
class ChainedJob(LabelingResource):
    """Job of `kind` that becomes the run's labeling job; its dataset must be made again.

    `build` returns the input manifest for the label attribute that the job writes; `attribute_of` the attribute of a
    name.
    """

    earlier: Earlier
    kind: Task
    word: str
    """Pattern of the job's name: <run>-<word>-<mark of the earlier manifest>-<number>."""
    heading: str
    attribute_of: Callable[[str], str]
    build: Callable[[str], ChainedInput]

    @property
    def stage(self) -> str:
        return f"{self.word}-{self.earlier.mark}"

    @property
    def task(self) -> Task:
        return self.kind

    @property
    def title(self) -> str:
        return self.heading[:128]

    @cached_property
    def objects(self) -> int:
        return len(self.build(self.attribute(STAND_IN)).todo)

    @property
    def buckets(self) -> tuple[str, ...]:
        return self.earlier.buckets

    @property
    def question(self) -> str:
        return f"Send {counted(self.objects, 'image')} to the workers"

    @property
    def manifest_etag(self) -> str:
        return self.earlier.etag

    def attribute(self, name: str) -> str:
        return self.attribute_of(name)

    def manifest(self, name: str) -> bytes:
        return self.build(self.attribute(name)).body

    def section_of(self, run: Run) -> LabelingJobSection | VerificationSection | None:
        """Return the section of this job."""
        return run.labeling_job

    def record(self, run: Run, name: str, arn: str) -> Run:
        if (held := self.section_of(run)) and held.arn == arn:
            return run
        return run.update(labeling_job=self.section(name, arn), dataset=None)

    def section(self, name: str, arn: str, **more: Any) -> LabelingJobSection:
        made_from = provenance(
            self.context.settings,
            "project",
            "labeling",
            manifest=self.earlier.manifest,
            manifest_etag=self.earlier.etag,
            request=self.fingerprint,
        )
        return super().section(
            name,
            arn,
            images=self.earlier.images,
            task=self.task,
            follows=self.earlier.name,
            made_from=made_from,
            **more,
        )


def start(job: ChainedJob) -> Run:
    """Return the run with the job, created now, adopted, or existing; unchanged after a dry run."""
    run, context = begin(job.run, job.context, job), job.context
    held = job.section_of(run)
    if held and held != job.section_of(job.run):
        words = f"{held.name} sends {counted(job.objects, 'image')} of {job.earlier.name} to the workers"
        context.finish(words, {"arn": held.arn, "objects": job.objects})
    return run
