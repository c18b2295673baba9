"""gtseg doctor."""

from __future__ import annotations

from dataclasses import asdict

import typer

from gtseg.cli.console import print_json
from gtseg.cli.grouping import grouped
from gtseg.cli.options import ProjectOptions

app = typer.Typer(rich_markup_mode=None)
MARKS = {"good": ("ok  ", "green"), "warning": ("note", "yellow"), "bad": ("BAD ", "red")}


@app.command()
@grouped
def doctor(
    project: ProjectOptions,
) -> None:
    """Check the account, the bucket, the role, the team, the images and the template before anything is created.

    Exit code 1: something will fail as it is.
    """
    from gtseg.pipeline.commands.doctor import examine
    from gtseg.pipeline.run import Context, locate
    from gtseg.pipeline.run.account import open_clients

    settings = project.open_settings()
    context = Context(settings, open_clients(settings))
    findings = []
    for finding in examine(context, locate(settings, context.clients, name=project.run_name)):
        findings.append(finding)
        if not project.as_json:
            mark, colour = MARKS[finding.level]
            typer.secho(mark, fg=colour, nl=False)
            typer.echo(f"  {finding.subject:<14} {finding.found}")
            if finding.mend:
                typer.echo(f"      {'':<14} -> {finding.mend}")
    if project.as_json:
        print_json([asdict(finding) for finding in findings])
    raise typer.Exit(1 if any(finding.level == "bad" for finding in findings) else 0)
