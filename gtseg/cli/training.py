"""gtseg train, tune."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from gtseg.cli.epochs import training_listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions, Spending
from gtseg.cli.stage_command import answer, walk_stage

app = typer.Typer(rich_markup_mode=None)

Logs = Annotated[bool, typer.Option("--logs/--no-logs", help="Show the job's own log lines as they come.")]


@app.command()
@grouped
def train(
    project: ProjectOptions,
    spending: Spending,
    logs: Logs = True,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait until it ends.")] = True,
) -> None:
    """Train the built-in algorithm on the run's channels, and keep every epoch and the best one.

    Exit code 5: it was stopped, or ended by a time limit, and its model is kept.
    """
    from gtseg.pipeline.stages.order import exit_code
    from gtseg.pipeline.stages.train import train as walk

    session = project.open()
    stage, hear = partial(walk, follow=follow), training_listener(logs=logs)
    run = walk_stage(session, stage, spending, hear=hear)
    answer(run.training_job, as_json=project.as_json and not spending.dry_run)
    raise typer.Exit(0 if spending.dry_run or not follow else exit_code(run, "train"))


@app.command()
@grouped
def tune(
    project: ProjectOptions,
    spending: Spending,
) -> None:
    """Search for better hyperparameters with several training jobs; the best one becomes the run's."""
    from gtseg.pipeline.stages.train import tune as walk

    session = project.open()
    hear = training_listener(logs=False)
    run = walk_stage(session, walk, spending, hear=hear)
    answer(run.tuning_job, as_json=project.as_json and not spending.dry_run)
