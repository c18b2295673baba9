"""gtseg label, watch, jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.console import print_columns, print_json, say
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import (
    Json,
    LabelSpending,
    ProjectOptions,
    RunName,
    RunOptions,
    SettingsFile,
    open_settings,
)
from gtseg.cli.stage_command import answer, walk_stage

if TYPE_CHECKING:
    from gtseg.pipeline.run import Context, Run

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def label(
    project: ProjectOptions,
    spending: LabelSpending,
    go_on: Annotated[
        bool,
        typer.Option("--continue", help="Send what failed, was rejected or was never labeled to the workers again."),
    ] = False,
    following: Annotated[
        int | None,
        typer.Option(
            "--next",
            min=1,
            metavar="N",
            help="Of what is not labeled, the N images that the run's model would learn most from, with its masks to correct.",
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--prelabel", metavar="ENDPOINT", help="A model's masks first; people correct them."),
    ] = None,
) -> None:
    """Start the labeling job over your images: once, however often this is run."""
    from functools import partial

    from gtseg.pipeline.commands.review import continue_labeling, label_next, prelabel
    from gtseg.pipeline.stages.label import label
    from gtseg.pipeline.stages.order import exit_code

    if sum(map(bool, (go_on, endpoint, following))) > 1:
        raise typer.BadParameter("--continue, --prelabel and --next exclude each other")
    walk: Callable[[Run, Context], Run] = continue_labeling if go_on else label
    if endpoint:
        walk = partial(prelabel, endpoint=endpoint)
    elif following:
        walk = partial(label_next, count=following)
    session = project.open()
    run = walk_stage(session, walk, spending)
    if spending.dry_run:
        return
    answer(run.labeling_job, as_json=project.as_json)
    raise typer.Exit(exit_code(run, "label"))


@app.command()
@grouped
def watch(
    project: RunOptions,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")] = False,
) -> None:
    """Follow the labeling job until it ends. Ctrl-C leaves it running.

    Exit codes: 0 complete; 1 failed or stopped; 5 complete, but some images failed; 130 interrupted.
    """
    from gtseg.pipeline.stages.order import exit_code
    from gtseg.pipeline.stages.watch import watch as walk

    session = project.open()
    run = walk_stage(session, walk, hear=listener(as_lines=as_json))
    raise typer.Exit(exit_code(run, "watch"))


@app.command()
def jobs(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    contains: Annotated[str | None, typer.Option(help="Only names that contain this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 50,
    every: Annotated[bool, typer.Option("--all", help="Of the whole account, not only of this run.")] = False,
    as_json: Json = False,
) -> None:
    """List labeling jobs, newest first: this run's, or the whole account's with --all (needs no gtseg.toml)."""
    import os

    from gtseg.aws.clients import Clients
    from gtseg.aws.groundtruth import GroundTruth
    from gtseg.pipeline.run.account import open_clients
    from gtseg.settings.loader import settings_exist

    name = None
    if settings_file or not every or settings_exist(os.environ):
        settings = open_settings(settings_file, name=run_name)
        clients, name = open_clients(settings), run_name or settings.project.name
    else:
        clients = Clients(labeling_profile=os.environ.get("GTSEG_LABELING__PROFILE"))
    wanted = contains or (None if every else name)
    found = list(GroundTruth(clients).list_jobs(contains=wanted, limit=limit))
    if as_json:
        print_json([asdict(job) for job in found])
    elif not found:
        say("No labeling jobs." if every else f"No labeling jobs of run {name}; --all lists the whole account.")
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
