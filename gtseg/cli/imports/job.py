"""gtseg import job: labels of a labeling job on another server, merged into the run."""

from __future__ import annotations

from typing import Annotated

import typer

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
            help="A job's own folder, RUN/labeling/JOB, as `aws s3 sync` copies it from the server that labeled.",
        ),
    ],
    project: ProjectOptions,
    replace: Annotated[
        bool, typer.Option("--replace", help="These labels take the place of those that the run has.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the labels in the run [default: the job's, with a mark]."),
    ] = None,
    label_attribute: Annotated[
        str | None, typer.Option(help="Which label, where the job's lines hold several.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Go on where less than half of the labels arrives.")] = False,
) -> None:
    """Bring home what was labeled on a server of its own (a laptop in the field): masks, confidences, the workers' answers.

    Objects are found by their bytes, whatever their addresses. The run's own labels stay; a second time changes nothing.

    \b
    aws --profile field s3 sync s3://BUCKET/RUN/labeling/JOB/ JOB/    on the laptop, or where its server is reached
    gtseg import job JOB/                                            in the folder of the run's gtseg.toml
    """
    import re

    from gtseg.errors import SettingsError
    from gtseg.pipeline.commands.job_import import merge_job

    if name is not None and not re.fullmatch(r"[a-z0-9](-*[a-z0-9]){0,62}", name):
        raise SettingsError(f"--name {name!r}: lower-case letters, digits and single dashes, 63 at most")
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
