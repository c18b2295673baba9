"""gtseg train, tune."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from gtseg.cli.epochs import training_listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions, Spending
from gtseg.cli.stage_command import answer, run_stage

app = typer.Typer(rich_markup_mode=None)

Logs = Annotated[bool, typer.Option("--logs/--no-logs", help="Show the job's own log lines as they arrive.")]


@app.command()
@grouped
def train(
    project: ProjectOptions,
    spending: Spending,
    logs: Logs = True,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait until the job ends.")] = True,
) -> None:
    """Train the built-in algorithm on the run's channels; keep every epoch's scores and the best model.

    Exit code 5: the job was stopped or reached a time limit; its model is kept.
    """
    from gtseg.pipeline.stages.order import exit_code
    from gtseg.pipeline.stages.train import train as implementation

    session = project.open()
    stage, receiver = partial(implementation, follow=follow), training_listener(logs=logs)
    run = run_stage(session, stage, spending, receiver=receiver)
    answer(run.training_job, as_json=project.as_json and not spending.dry_run)
    raise typer.Exit(0 if spending.dry_run or not follow else exit_code(run, "train"))


@app.command()
@grouped
def tune(
    project: ProjectOptions,
    spending: Spending,
) -> None:
    """Search for better hyperparameters with several training jobs; the run keeps the best one."""
    from gtseg.pipeline.stages.train import tune as implementation

    session = project.open()
    receiver = training_listener(logs=False)
    run = run_stage(session, implementation, spending, receiver=receiver)
    answer(run.tuning_job, as_json=project.as_json and not spending.dry_run)
