"""gtseg label, watch, jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.checks import resource_name
from gtseg.cli.console import print_columns, print_json, say
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import (
    Json,
    LabelSpendingOptions,
    ProjectOptions,
    RunName,
    RunOptions,
    SettingsFile,
    open_settings,
)
from gtseg.cli.stage_command import answer, run_stage

if TYPE_CHECKING:
    from gtseg.pipeline.run import Context, Run

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def label(
    project: ProjectOptions,
    spending: LabelSpendingOptions,
    follow_up: Annotated[
        bool,
        typer.Option(
            "--continue", help="Start a follow-up job for images that failed, were rejected or were never labeled."
        ),
    ] = False,
    next_count: Annotated[
        int | None,
        typer.Option(
            "--next",
            min=1,
            metavar="N",
            help="Label the N unlabeled images that the run's model is expected to learn most from; its masks are "
            "corrected.",
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--prelabel",
            metavar="ENDPOINT",
            help="Predict masks with this endpoint first; workers correct them.",
            callback=resource_name,
        ),
    ] = None,
) -> None:
    """Start the labeling job for your images; running the command again does not start another job."""
    from functools import partial

    from gtseg.pipeline.commands.review import continue_labeling, label_next, prelabel
    from gtseg.pipeline.stages.label import label
    from gtseg.pipeline.stages.order import exit_code

    if sum(map(bool, (follow_up, endpoint, next_count))) > 1:
        raise typer.BadParameter("--continue, --prelabel and --next exclude each other")
    implementation: Callable[[Run, Context], Run] = continue_labeling if follow_up else label
    if endpoint:
        implementation = partial(prelabel, endpoint=endpoint)
    elif next_count:
        implementation = partial(label_next, count=next_count)
    session = project.open()
    run = run_stage(session, implementation, spending)
    if spending.dry_run:
        return
    answer(run.labeling_job, as_json=project.as_json)
    raise typer.Exit(exit_code(run, "label"))


@app.command()
@grouped
def watch(
    project: RunOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per event on stdout.")] = False,
) -> None:
    """Follow the labeling job until it ends. Ctrl-C does not stop the job.

    Exit codes: 0 complete; 1 failed or stopped; 5 complete, but some images failed; 130 interrupted.
    """
    from gtseg.pipeline.stages.order import exit_code
    from gtseg.pipeline.stages.watch import watch as implementation

    session = project.open()
    run = run_stage(session, implementation, receiver=listener(as_lines=as_json))
    raise typer.Exit(exit_code(run, "watch"))


@app.command()
def jobs(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    contains: Annotated[str | None, typer.Option(metavar="TEXT", help="Only jobs whose names contain this.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most this many, newest first.")] = 50,
    whole_account: Annotated[
        bool, typer.Option("--all", help="List jobs of the whole account, not only of this run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List labeling jobs, newest first: this run's, or the whole account's with --all (needs no gtseg.toml)."""
    import os

    from gtseg.aws.clients import Clients
    from gtseg.aws.groundtruth import GroundTruth
    from gtseg.pipeline.run.account import open_clients
    from gtseg.settings.loader import settings_exist

    name = None
    if settings_file or not whole_account or settings_exist(os.environ):
        settings = open_settings(settings_file, name=run_name)
        clients, name = open_clients(settings), run_name or settings.project.name
    else:
        clients = Clients(labeling_profile=os.environ.get("GTSEG_LABELING__PROFILE"))
    wanted = contains or (None if whole_account else name)
    found = list(GroundTruth(clients).list_jobs(contains=wanted, limit=limit))
    if as_json:
        print_json([asdict(job) for job in found])
    elif not found:
        say("No labeling jobs." if whole_account else f"No labeling jobs of run {name}; --all lists the whole account.")
    else:
        print_columns(("NAME", "STATUS", "LABELED", "FAILED", "REMAINING", "CREATED"), [_row(job) for job in found])


def _row(job: Any) -> tuple[str, ...]:
    return (
        job.name,
        job.status,
        f"{job.labeled:,}",
        f"{job.failed:,}",
        f"{job.unlabeled:,}",
        f"{job.created:%Y-%m-%d %H:%M}",
    )
