"""Options that commands share, and the session that they open: settings, clients, run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.checks import file_location, resource_name
from gtseg.errors import SettingsError, StageError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients
    from gtseg.pipeline.run import Context, LabelSource, Run, RunFile
    from gtseg.pipeline.run.events import Consent, Notify
    from gtseg.settings import Settings

SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="Settings file [default: gtseg.toml here, or $GTSEG_SETTINGS]."),
]
RunName = Annotated[
    str | None, typer.Option("--run", metavar="NAME", help="Name of the run [default: the project's name].")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Override one setting; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation before spending.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]
LABELS_HELP = (
    "Class names: mask value i is the i-th label, 0 is the background (unless the first label is background); "
    "255 is void, but masks with only 0 and 255 have one class."
)
"""Rule of gtseg.core.masks.class_values."""
LabelValues = Annotated[
    str,
    typer.Option(
        metavar="VALUES",
        help="Mask values of --labels in their order, like 0-10 or 1,3 [default: 1, 2, ...].",
    ),
]
SHOWN_RUNS = 20
"""Number of run names that a message lists."""
Void = Annotated[
    int | None,
    typer.Option(
        metavar="VALUE",
        min=0,
        max=255,
        help="Mask value of void, excluded from all scores [default: 255, unless the masks have only 0 and 255].",
    ),
]


@dataclass(frozen=True)
class RunOptions:
    """Project and run that a command works on."""

    settings_file: SettingsFile = None
    run_name: RunName = None
    overrides: Set = None

    def open(self) -> Session:
        return open_session(self.settings_file, self.run_name, self.overrides)

    def open_settings(self) -> Settings:
        return open_settings(self.settings_file, self.overrides, name=self.run_name)


@dataclass(frozen=True)
class ProjectOptions(RunOptions):
    """Project and run that a command works on, and the output format."""

    as_json: Json = False


@dataclass(frozen=True)
class Spending:
    """Consent of the user to spend money."""

    yes: Yes = False
    dry_run: DryRun = False


@dataclass(frozen=True)
class BatchOptions:
    """Options of batch transform, which replaces the endpoint."""

    batch: Annotated[bool, typer.Option("--batch", help="Use SageMaker batch transform instead of an endpoint.")] = (
        False
    )
    instances: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Instances of --batch [default: [batch] instances].")
    ] = None
    instance_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="Instance type of --batch [default: [batch] or [deploy] instance_type]."),
    ] = None

    def settings(self) -> list[str]:
        """Return the options as overrides of [batch]."""
        if not self.batch and (self.instances or self.instance_type):
            raise typer.BadParameter("--instances and --instance-type need --batch")
        wanted = {"instances": self.instances, "instance_type": self.instance_type}
        return [f"batch.{name}={value}" for name, value in wanted.items() if value]

    def check_spending(self, spending: Spending) -> None:
        if not self.batch and (spending.yes or spending.dry_run):
            raise typer.BadParameter("--yes and --dry-run need --batch: an endpoint is billed by the hour in any case")


@dataclass(frozen=True)
class LabelSpendingOptions(Spending):
    """Consent of the user to start a first labeling job."""

    create_bucket: Annotated[
        bool, typer.Option("--create-bucket", help="Create the bucket of [project] if it does not exist.")
    ] = False
    allow_public_crowd: Annotated[
        bool,
        typer.Option("--allow-public-crowd", help="Use Mechanical Turk, although it closed on 30 September 2026."),
    ] = False


@dataclass(frozen=True)
class SourceOptions:
    """Source of the labels, if not the run's own."""

    job: Annotated[
        str | None,
        typer.Option(
            metavar="JOB",
            help="Any labeling job of this account and region instead of the run's.",
            callback=resource_name,
        ),
    ] = None
    manifest: Annotated[
        str | None, typer.Option(metavar="URI", help="Any output.manifest instead of a job.", callback=file_location)
    ] = None
    label_attribute: Annotated[
        str | None, typer.Option(metavar="ATTRIBUTE", help="Label attribute, if the manifest has several.")
    ] = None

    def source(self) -> LabelSource:
        from gtseg.pipeline.run import LabelSource

        if self.job and self.manifest:
            raise typer.BadParameter("--job and --manifest exclude each other")
        return LabelSource(self.job, self.manifest, self.label_attribute)


@dataclass(frozen=True)
class Session:
    """Settings, clients and run of one command."""

    settings: Settings
    clients: Clients
    run_file: RunFile
    run: Run

    def context(
        self, notify: Notify | None = None, *, consent: Consent | None = None, dry_run: bool = False
    ) -> Context:
        """Return the context for a stage."""
        from gtseg.pipeline.run import Context
        from gtseg.pipeline.run.events import Consent, ignore

        return Context(self.settings, self.clients, notify or ignore, consent or Consent(), dry_run=dry_run)


def open_session(file: Path | None, name: str | None, overrides: list[str] | None = None) -> Session:
    """Open settings, clients and the stored run (a new one if there is none); writes nothing."""
    from gtseg.pipeline.run import RunFile, locate
    from gtseg.pipeline.run.account import open_clients

    settings = open_settings(file, overrides, name=name)
    clients = open_clients(settings)
    run_file = RunFile(clients, locate(settings, clients, name=name))
    run = run_file.load()
    return Session(settings, clients, run_file, run if run.etag else run.update(project=settings.project.name))


def no_such_run(session: Session) -> StageError:
    """Return the error for a run that does not exist, with the names of those that do."""
    from difflib import get_close_matches

    from gtseg.pipeline.run import list_runs

    run, runs = session.run, list_runs(session.settings, session.clients)
    close = get_close_matches(run.name, runs, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    more = f" and {len(runs) - SHOWN_RUNS:,} more" if len(runs) > SHOWN_RUNS else ""
    listed = ", ".join(runs[:SHOWN_RUNS]) + more
    there = f"There are: {listed}." if runs else "There are none yet: start one with `gtseg label`."
    return StageError(f"There is no run {run.name!r}: {run.root}run.json does not exist.{meant} {there}")


def open_settings(file: Path | None, overrides: list[str] | None = None, *, name: str | None = None) -> Settings:
    from gtseg.settings import load
    from gtseg.settings.table import check_run_name

    if name is not None:
        check_run_name(name)
    return load(file, environ=os.environ, flags=[_split(text) for text in overrides or []])


def _split(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise SettingsError(f"--set {text}: must be TABLE.KEY=VALUE, like --set labeling.workers_per_object=3")
    return key.strip(), value
