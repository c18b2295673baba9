"""gtseg compare: runs and folders of predictions on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtseg.cli.checks import path
from gtseg.cli.console import print_json, say
from gtseg.cli.listeners import listener
from gtseg.cli.options import Json, Set, SettingsFile, open_session
from gtseg.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def compare(
    contenders: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Names of runs, or folders of predicted masks (index PNGs).", callback=path),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page.")] = Path("compare.html"),
    settings_file: SettingsFile = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Compare runs, models or folders on one page.

    Scores, and the images whose predictions differ most, with their labels.
    """
    from gtseg.pipeline.commands.compare import compare as implementation
    from gtseg.pipeline.commands.compare import contender_of_folder, contender_of_run

    runs = {}
    columns = []
    for name in contenders:
        if Path(name).is_dir():
            columns.append(contender_of_folder(Path(name)))
            continue
        session = open_session(settings_file, name, overrides)
        runs[name] = session
        columns.append(contender_of_run(session.run, session.context().s3))
    if not runs:
        raise SettingsError("compare needs at least one run: folders are scored on its test split")
    session = next(iter(runs.values()))
    with listener() as notify:
        page, facts = implementation(session.run, columns, session.context(notify))
    out.write_text(page, encoding="utf-8")
    for column in facts["columns"]:
        say(f"compare: {column['name']}: mIoU {column['miou']:.4f} on {facts['images']} test images")
    say(f"compare: {out}")
    if as_json:
        print_json(facts)
