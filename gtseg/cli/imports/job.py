"""gtseg import job: merge the labels of a labeling job on another server into the run."""

from __future__ import annotations

from typing import Annotated

import typer

from gtseg.cli.checks import location
from gtseg.cli.console import print_json, say
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def job(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|s3://...",
            help="Folder of the job, RUN/labeling/JOB, copied with `aws s3 sync` from the server that labeled, or "
            "its s3:// URI.",
            callback=location,
        ),
    ],
    project: ProjectOptions,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the labels that the run has.")] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Name of the labels in the run [default: the job's name with a suffix]."
        ),
    ] = None,
    label_attribute: Annotated[
        str | None, typer.Option(metavar="ATTRIBUTE", help="Label attribute, if the manifest has several.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Continue even if less than half of the labels arrive.")
    ] = False,
) -> None:
    """Merge labels made on another server (a laptop in the field) into the run: masks, confidences, workers' answers.

    Objects are matched by the hash of their bytes, not by URI. The run's own labels are kept; repeating the import
    changes nothing.

    \b
    aws --profile field s3 sync s3://BUCKET/RUN/labeling/JOB/ JOB/    on the laptop
    gtseg import job JOB/                                            in the folder of the run's gtseg.toml
    """
    import re

    from gtseg.errors import SettingsError
    from gtseg.pipeline.commands.job_import import merge_job

    if name is not None and not re.fullmatch(r"[a-z0-9](-*[a-z0-9]){0,62}", name):
        raise SettingsError(
            f"--name {name!r}: must be 1 to 63 lower-case letters, digits and hyphens, and start and end with a letter "
            "or digit"
        )
    if not source:
        raise SettingsError("'': must be the folder of a labeling job, or its s3:// URI")
    session = project.open()
    with listener() as notify:
        merged = merge_job(
            session.run,
            session.context(notify),
            source=source,
            name=name,
            label=label_attribute,
            replace=replace,
            insist=yes,
        )
    if merged.run is not session.run:
        session.run_file.save(merged.run)
    for line in merged.account.lines():
        say(f"  {line}")
    if project.as_json:
        print_json({"name": merged.name, "account": merged.account.as_json()})
    raise typer.Exit(merged.account.exit_code)
