"""gtseg doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING

import typer

from gtseg.cli.console import print_json, show
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions
from gtseg.errors import GtsegError

if TYPE_CHECKING:
    from gtseg.pipeline.commands.doctor import Finding
    from gtseg.pipeline.run import Context

app = typer.Typer(rich_markup_mode=None)
MARKS = {"good": ("ok  ", "green"), "warning": ("note", "yellow"), "bad": ("BAD ", "red")}


@app.command()
@grouped
def doctor(
    project: ProjectOptions,
) -> None:
    """Check the account, the bucket, the role, the team, the images and the template before anything is created.

    Exit code 1: a check failed.
    """
    from gtseg.pipeline.commands.doctor import examine
    from gtseg.pipeline.run import Context, locate
    from gtseg.pipeline.run.account import open_clients

    settings = project.open_settings()
    context = Context(settings, open_clients(settings))
    findings = []
    root = locate(settings, context.clients, name=project.run_name)
    for finding in chain(examine(context, root), examine_outlines(context)):
        findings.append(finding)
        if not project.as_json:
            mark, color = MARKS[finding.level]
            typer.secho(mark, fg=color, nl=False)
            show(f"  {finding.subject:<14} {finding.found}")
            if finding.remedy:
                show(f"      {'':<14} -> {finding.remedy}")
    if project.as_json:
        print_json([asdict(finding) for finding in findings])
    raise typer.Exit(1 if any(finding.level == "bad" for finding in findings) else 0)


def examine_outlines(context: Context) -> Iterator[Finding]:
    """Check the outline models of the embedded AWS: the labeling server loads them and outlines a disc."""
    from gtseg.pipeline.commands.doctor import Finding

    try:
        if context.clients.is_aws("labeling"):
            return
    except GtsegError:  # the labeling server is unreachable: already reported
        return
    command = [sys.executable, "-m", "gtseg.local.cli", "outlines", "--json"]
    asked = subprocess.run(command, capture_output=True, text=True)
    found = json.loads(asked.stdout) if asked.stdout else {}
    if found.get("url") != context.clients.endpoint("labeling"):
        return  # not the server of this machine's data folder, or the extra is not installed here
    if "problem" in found:
        remedy = "start `gtseg local up` with other files for --outline-model, or without the option"
        yield Finding("bad", "outlines", found["problem"], remedy)
        return
    files = f" ({', '.join(found['files'])})" if found["files"] else ""
    times = f"{found['picture_seconds']:.1f} s per picture, {1000 * found['click_seconds']:.0f} ms per further click"
    slow = found["click_seconds"] > 0.5
    remedy = "give two files (encoder and decoder), or a smaller model" if slow and found["files"] else ""
    yield Finding("warning" if remedy else "good", "outlines", f"{found['kind']}{files}: {times}", remedy)
