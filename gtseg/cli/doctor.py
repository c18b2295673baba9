"""gtseg doctor."""

from __future__ import annotations

from dataclasses import asdict

import typer

from gtseg.cli.console import print_json
from gtseg.cli.options import Json, RunName, Set, SettingsFile, open_settings

app = typer.Typer(rich_markup_mode=None)
MARKS = {"good": ("ok  ", "green"), "warning": ("note", "yellow"), "bad": ("BAD ", "red")}


@app.command()
def doctor(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Check the account, the bucket, the role, the team, the images and the template before anything is created.

    Exit code 1: something will fail as it is.
    """
    from gtseg.pipeline.commands.doctor import examine
    from gtseg.pipeline.run import Context, locate
    from gtseg.pipeline.run.account import open_clients

    settings = open_settings(settings_file, overrides, name=run_name)
    context = Context(settings, open_clients(settings))
    findings = []
    for finding in examine(context, locate(settings, context.clients, name=run_name)):
        findings.append(finding)
        if not as_json:
            mark, colour = MARKS[finding.level]
            typer.secho(mark, fg=colour, nl=False)
            typer.echo(f"  {finding.subject:<14} {finding.found}")
            if finding.mend:
                typer.echo(f"      {'':<14} -> {finding.mend}")
    if as_json:
        print_json([asdict(finding) for finding in findings])
    raise typer.Exit(1 if any(finding.level == "bad" for finding in findings) else 0)
