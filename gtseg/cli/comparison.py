"""gtseg compare: runs and folders of predictions on one page."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gtseg.cli.checks import run_or_folder
from gtseg.cli.console import print_json, say
from gtseg.cli.listeners import listener
from gtseg.cli.options import Json, Session, Set, SettingsFile, no_such_run, open_session
from gtseg.core.plurals import counted
from gtseg.errors import SettingsError, StageError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def compare(
    contenders: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN", help="Names of runs, or folders of predicted masks (index PNGs).", callback=run_or_folder
        ),
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
    from gtseg.pipeline.run.locations import Place

    if out.is_dir():
        raise SettingsError(f"--out {out} is a folder: give the name of a file, such as {out / 'compare.html'}")
    folders = _folders(contenders)
    runs = {name: _open_run(name, settings_file, overrides) for name in contenders if name not in folders}
    session = next(iter(runs.values()))
    with listener() as notify:
        context = session.context(notify)
        columns = [
            contender_of_folder(Path(name), folders[name])
            if name in folders
            else contender_of_run(runs[name].run, context.s3)
            for name in contenders
        ]
        page, facts = implementation(session.run, columns, context)
    Place(str(out.parent)).write(out.name, page.encode())
    images = counted(facts["images"], "test image")
    for column in facts["columns"]:
        score = "unknown" if column["miou"] is None else f"{column['miou']:.4f}"
        say(f"compare: {column['name']}: mIoU {score} on {images}")
    say(f"compare: {out}")
    if as_json:
        print_json(facts)


def _folders(contenders: Sequence[str]) -> dict[str, str]:
    """Return {folder as given: name of its column}.

    The column has the folder's name, or the path as given if another contender has that name. Raises SettingsError if a
    contender is given twice, or no run is given.
    """
    folders = {name: Path(name).resolve() for name in contenders if _is_folder(name)}
    given = Counter(folders.get(name, name) for name in contenders)
    if twice := next((name for name in contenders if given[folders.get(name, name)] > 1), ""):
        raise SettingsError(f"{twice} is given more than once: give each run or folder once")
    if len(folders) == len(contenders):
        raise SettingsError(
            f"{', '.join(contenders)}: folders are scored on the test split of a run, and no run is given: `gtseg "
            f"compare RUN {shlex.join(contenders)}`"
        )
    titles = Counter(folders[name].name if name in folders else name for name in contenders)
    return {name: place.name if titles[place.name] == 1 else name for name, place in folders.items()}


def _is_folder(name: str) -> bool:
    """Return whether a contender is a folder. A folder without masks does not hide a run of its name."""
    from gtseg.settings.table import is_run_name

    folder = Path(name)
    return folder.is_dir() and (not is_run_name(name) or any(folder.glob("*.png")))


def _open_run(name: str, settings_file: Path | None, overrides: list[str] | None) -> Session:
    """Open an existing run. Raises StageError for a name that is neither a run's nor a folder's."""
    from gtseg.settings.table import is_run_name

    if not is_run_name(name):
        raise StageError(f"{name}: there is no such folder, and it is not the name of a run")
    session = open_session(settings_file, name, overrides)
    if session.run.etag is None:
        is_empty = Path(name).is_dir()
        folder = f"The folder {name} has no masks (.png)." if is_empty else f"There is no folder {name} here either."
        raise StageError(f"{no_such_run(session)} {folder}")
    return session
