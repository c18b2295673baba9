"""Everything that a stage needs beside its run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.hosting import Hosting
from gtseg.aws.s3 import S3
from gtseg.aws.training import Training
from gtseg.aws.transform import Transforms
from gtseg.core.cost import BILLED_BY
from gtseg.errors import GtsegError
from gtseg.pipeline.run.events import Consent, Event, Kind, Notify, ignore
from gtseg.pipeline.run.file import RunFile
from gtseg.pipeline.run.sections import Run
from gtseg.settings import Settings


@dataclass(frozen=True)
class Context:
    """The settings and AWS of one command, who hears of its progress, and what its user has agreed to.

    Events are signed with `stage`; a stage takes `context.of("its name")` before it says anything.
    """

    settings: Settings
    clients: Clients
    notify: Notify = ignore
    consent: Consent = field(default_factory=Consent)
    sleep: Callable[[float], None] = time.sleep
    dry_run: bool = False
    """Show what would be created or written, and touch nothing."""
    stage: str = ""

    def of(self, stage: str) -> Context:
        """The same for another stage."""
        return replace(self, stage=stage)

    # services

    @cached_property
    def s3(self) -> S3:
        return S3(self.clients)

    @cached_property
    def labeling(self) -> GroundTruth:
        return GroundTruth(self.clients, sleep=self.sleep)

    @cached_property
    def training(self) -> Training:
        return Training(self.clients, sleep=self.sleep)

    @cached_property
    def hosting(self) -> Hosting:
        return Hosting(self.clients, sleep=self.sleep)

    @cached_property
    def transforms(self) -> Transforms:
        return Transforms(self.clients, sleep=self.sleep)

    @property
    def role_arn(self) -> str:
        """[project] role_arn, or the role `gtseg` of the caller's account."""
        return self.settings.project.role_arn or f"arn:aws:iam::{self.clients.account}:role/gtseg"

    # run.json

    def run_file(self, run: Run) -> RunFile:
        return RunFile(self.clients, run.root)

    def save(self, run: Run) -> Run:
        """The run with its new etag. Raises GtsegError if another process has saved it in between."""
        return self.run_file(run).save(run)

    # words

    def note(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        self._tell("note", message, fields)

    def warn(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        self._tell("warning", message, fields)

    def finish(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        """The stage's last word."""
        self._tell("finished", message, fields)

    def plan(self, message: str, fields: Mapping[str, Any]) -> None:
        """What a dry run would have done; `fields` are printed as JSON."""
        self._tell("plan", message, fields)

    def progress(
        self,
        message: str,
        done: int | None = None,
        total: int | None = None,
        *,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self.notify(Event(self.stage, "progress", message, done, total, fields or {}))

    def _tell(self, kind: Kind, message: str, fields: Mapping[str, Any] | None) -> None:
        self.notify(Event(self.stage, kind, message, fields=fields or {}))

    def is_billed(self, stage: str) -> bool:
        """Whether AWS bills what a stage does."""
        return self.clients.is_aws(BILLED_BY[stage])

    def agree(self, run: Run, question: str, *, stage: str = "", objects: int | None = None) -> None:
        """Show what `stage` may cost, then ask; not where its service is not AWS's, for nothing is billed there.

        Raises GtsegError if [budget] or the user says no.
        """
        if not self.is_billed(stage or self.stage):
            return
        self.consent.check_cost(stage or self.stage, run, objects)
        if not self.consent.spend(question):
            raise GtsegError("Nothing was started.")
