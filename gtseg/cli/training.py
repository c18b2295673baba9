"""gtseg train, tune."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from gtseg.cli.consent import ask
from gtseg.cli.epochs import training_listener
from gtseg.cli.options import DryRun, Json, RunName, Set, SettingsFile, Yes, open_session
from gtseg.cli.walking import answer, walk_stage

app = typer.Typer(rich_markup_mode=None)

Logs = Annotated[bool, typer.Option("--logs/--no-logs", help="Show the job's own log lines as they come.")]


@app.command()
def train(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    logs: Logs = True,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait until it ends.")] = True,
    as_json: Json = False,
) -> None:
    """Train the built-in algorithm on the run's channels, and keep every epoch and the best one.

    Exit code 5: it was stopped, or ended by a time limit, and its model is kept.

    \b
    gtseg train --dry-run     prints the exact CreateTrainingJob request and touches nothing
    gtseg train --set train.hyperparameters.epochs=30
    """
    from gtseg.pipeline.stages.order import exit_code
    from gtseg.pipeline.stages.train import train as walk

    session = open_session(settings_file, run_name, overrides)
    stage, hear = partial(walk, follow=follow), training_listener(logs=logs)
    run = walk_stage(session, stage, hear=hear, consent=ask(session, yes=yes), dry_run=dry_run)
    answer(run.training_job, as_json=as_json and not dry_run)
    raise typer.Exit(0 if dry_run or not follow else exit_code(run, "train"))


@app.command()
def tune(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Search for better hyperparameters with several training jobs; the best one becomes the run's.

    \b
    gtseg tune --set tune.max_jobs=6
    """
    from gtseg.pipeline.stages.train import tune as walk

    session = open_session(settings_file, run_name, overrides)
    hear = training_listener(logs=False)
    run = walk_stage(session, walk, hear=hear, consent=ask(session, yes=yes), dry_run=dry_run)
    answer(run.tuning_job, as_json=as_json and not dry_run)
