"""gtseg dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from gtseg.cli.console import listener, print_json
from gtseg.cli.options import DryRun, Json, RunName, Set, SettingsFile, Yes, open_session

app = typer.Typer(rich_markup_mode=None)


@app.command()
def dataset(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    job: Annotated[
        str | None, typer.Option(help="Any labeling job of this account and region instead of the run's.")
    ] = None,
    manifest: Annotated[
        str | None, typer.Option(metavar="URI", help="Any output.manifest instead of a job.")
    ] = None,
    label_attribute: Annotated[
        str | None, typer.Option(help="Which label, where the manifest's lines hold several.")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Turn a labeling job's output into training, validation and test data. Exit code 5: some objects were rejected.

    \b
    gtseg dataset --manifest s3://bucket/old-job/manifests/output/output.manifest
    """
    from gtseg.pipeline.run import LabelSource
    from gtseg.pipeline.stages.dataset import dataset as walk
    from gtseg.pipeline.stages.order import exit_code

    if job and manifest:
        raise typer.BadParameter("--job and --manifest exclude each other")
    session = open_session(settings_file, run_name, overrides)
    with listener() as notify:
        labels = LabelSource(job, manifest, label_attribute)
        run = walk(session.run, session.context(notify, dry_run=dry_run), labels=labels)
    if dry_run:
        return
    if run != session.run:  # a dataset that was there already is not written down again
        run = session.run_file.save(run)
    if as_json and run.dataset:
        print_json(run.dataset.model_dump(mode="json"))
    raise typer.Exit(exit_code(run, "dataset"))
