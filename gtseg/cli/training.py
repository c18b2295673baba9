"""gtseg train, tune."""

from __future__ import annotations

from typing import Annotated

import typer

from gtseg.cli.consent import ask
from gtseg.cli.console import print_json
from gtseg.cli.epochs import training_listener
from gtseg.cli.options import DryRun, Json, RunName, Set, SettingsFile, Yes, open_session

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

    \b
    gtseg train --dry-run     prints the exact CreateTrainingJob request and touches nothing
    gtseg train --set train.hyperparameters.epochs=30
    """
    from gtseg.pipeline.train import train as walk

    session = open_session(settings_file, run_name, overrides)
    consent = ask(session.clients, session.settings, yes=yes)
    with training_listener(logs=logs) as notify:
        run = walk(
            session.run,
            session.settings,
            session.clients,
            notify=notify,
            consent=consent,
            dry_run=dry_run,
            follow=follow,
        )
    if dry_run:
        return
    run = session.run_file.save(run)
    if as_json and run.training_job:
        print_json(run.training_job.model_dump(mode="json"))


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
    from gtseg.pipeline.train import tune as walk

    session = open_session(settings_file, run_name, overrides)
    consent = ask(session.clients, session.settings, yes=yes)
    with training_listener(logs=False) as notify:
        run = walk(
            session.run, session.settings, session.clients, notify=notify, consent=consent, dry_run=dry_run
        )
    if dry_run:
        return
    run = session.run_file.save(run)
    if as_json and run.tuning_job:
        print_json(run.tuning_job.model_dump(mode="json"))
