"""Context of a stage: settings, AWS clients, listener and consent."""

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
    """Settings and AWS clients of one command, the listener of its events, and the user's consent.

    Events have the field `stage`; a stage calls `context.of("name")` before it sends any.
    """

    settings: Settings
    clients: Clients
    notify: Notify = ignore
    consent: Consent = field(default_factory=Consent)
    sleep: Callable[[float], None] = time.sleep
    dry_run: bool = False
    """Show what would be created or written, and change nothing."""
    stage: str = ""

    def of(self, stage: str) -> Context:
        """Return the same context for another stage."""
        return replace(self, stage=stage)

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
        """Return [project] role_arn, or the ARN of role `gtseg` in the caller's account."""
        return self.settings.project.role_arn or f"arn:aws:iam::{self.clients.account}:role/gtseg"

    def run_file(self, run: Run) -> RunFile:
        return RunFile(self.clients, run.root)

    def save(self, run: Run) -> Run:
        """Save the run and return it with its new etag. Raises GtsegError if another process saved it in between."""
        return self.run_file(run).save(run)

    # words

    def note(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        self._report("note", message, fields)

    def warn(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        self._report("warning", message, fields)

    def finish(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        """Send the stage's final message."""
        self._report("finished", message, fields)

    def plan(self, message: str, fields: Mapping[str, Any]) -> None:
        """Send what a dry run would have done; `fields` are printed as JSON."""
        self._report("plan", message, fields)

    def progress(
        self,
        message: str,
        done: int | None = None,
        total: int | None = None,
        *,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self.notify(Event(self.stage, "progress", message, done, total, fields or {}))

    def _report(self, kind: Kind, message: str, fields: Mapping[str, Any] | None) -> None:
        self.notify(Event(self.stage, kind, message, fields=fields or {}))

    def is_billed(self, stage: str) -> bool:
        """Return whether AWS bills the work of a stage."""
        return self.clients.is_aws(BILLED_BY[stage])

    def agree(self, run: Run, question: str, *, stage: str = "", objects: int | None = None) -> None:
        """Show what `stage` may cost, then ask; does nothing if its service is not AWS's.

        Raises GtsegError if [budget] or the user refuses.
        """
        if not self.is_billed(stage or self.stage):
            return
        self.consent.check_cost(stage or self.stage, run, objects)
        if not self.consent.spend(question):
            raise GtsegError("Nothing was started.")
