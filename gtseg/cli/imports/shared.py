"""Options, source folder and result that all import commands share."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gtseg.cli.console import print_json, say
from gtseg.cli.listeners import listener
from gtseg.cli.options import ProjectOptions
from gtseg.core.addresses import public_address
from gtseg.core.labeling.class_names import LookalikeNames
from gtseg.core.s3_uris import is_s3_uri
from gtseg.errors import GtsegError, SettingsError, StageError

if TYPE_CHECKING:
    from gtseg.cli.console import Listener
    from gtseg.imports.outcomes import Report

T = TypeVar("T")


@dataclass(frozen=True)
class ImportOptions:
    """Options of every import: folder, name, extent of the source, and treatment of losses."""

    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the import [default: imports/NAME]."),
    ] = None
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the import; its label attribute is NAME-ref.")
    ] = None
    limit: Annotated[int | None, typer.Option(metavar="N", help="Import only the first N images.", min=1)] = None
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Also follow links that lead out of the folder.")
    ] = False
    merge_labels: Annotated[
        bool | None,
        typer.Option(
            "--merge-labels/--keep-labels",
            help="Class names that differ only in case, spaces or Unicode form: merge them, or keep them apart.",
        ),
    ] = None
    upload: Annotated[
        bool,
        typer.Option("--upload/--no-upload", help="Upload the import to the run's bucket, ready for `gtseg dataset`."),
    ] = True
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; continue even if less than half is imported.")
    ] = False

    def title(self, kind: str) -> str:
        """Return the name of the import. Raises SettingsError if it is not valid as a job name."""
        name = self.name or kind
        if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name):
            raise SettingsError(
                f"--name {name!r}: must be 1 to 63 letters, digits and hyphens, and start and end with a letter or "
                "digit, as in the name of a labeling job"
            )
        return name

    def folder(self, kind: str) -> Path:
        return self.out or Path("imports") / self.title(kind)

    def with_names(self, read: Callable[[bool | None], T]) -> T:
        """Call `read(merge)` with the user's decision on similar class names, from the flag or the terminal."""
        try:
            return read(self.merge_labels)
        except LookalikeNames as error:
            if not sys.stdin.isatty() or self.yes:
                raise
            say(f"import: {str(error).partition('. --merge')[0]}")
            return read(typer.confirm("Is each of these groups one class?", err=True))


Labels = Annotated[str | None, typer.Option(help="Names of the classes, separated by commas, without background.")]
BBox = Annotated[
    str | None, typer.Option("--bbox", metavar="W,S,E,N", help="Import only what lies in this box, in degrees.")
]


def finish(
    report: Report,
    options: ImportOptions,
    project: ProjectOptions,
    *,
    sources: dict[str, Any],
    keep_run: str = "",
) -> None:
    """Report what was imported and lost, upload the import to the run, and exit with 5 if anything was lost.

    sources: folders, files and URLs of the import as given, stored in the run.
    keep_run: reason why the import does not replace the run's labels; '' if it does.

    Raises GtsegError, with the run unchanged, if nothing was imported, or less than half without --yes.
    """
    from gtseg.imports.journal import LABEL_UNITS

    say(f"import: {report.folder}")
    for line in report.account.lines():
        say(f"  {line}")
    if len(report.skipped) > 1:
        say(f"  all losses: {report.folder / 'skipped.jsonl'}")
    if project.as_json:
        print_json(
            {
                "folder": str(report.folder),
                "images": report.images,
                "classes": list(report.classes),
                "pixels": report.pixels,
                "skipped": len(report.skipped),
                "account": report.account.as_json(),
            }
        )
    shortfall = report.account.shortfall
    if report.images == 0:
        raise GtsegError(f"nothing was imported: {shortfall or 'the source has no image'}; {_first_loss(report)}")
    if shortfall and not options.yes:
        unchanged = "; the run is unchanged" if options.upload else ""
        raise GtsegError(f"{shortfall}{unchanged}. To continue anyway, use --yes. {_first_loss(report)}")
    if not any(flow.unit in LABEL_UNITS and flow.outputs for flow in report.account.flows):
        keep_run = keep_run or f"it has no labels, so the run keeps its labels; the images are in {report.folder}"
    if options.upload and keep_run:
        say(f"import: {keep_run}")
    elif options.upload:
        given = {kind: public_address(str(value)) for kind, value in sources.items() if value is not None}
        _upload(report.folder, project, sources=given)
    raise typer.Exit(report.account.exit_code)


def _first_loss(report: Report) -> str:
    lost = [loss.text for loss in report.account.losses if loss.kind != "note"]
    return lost[0] if lost else "the reason is unknown"


def _upload(folder: Path, project: ProjectOptions, *, sources: dict[str, str]) -> None:
    from gtseg.pipeline.commands.imports import upload_import

    session = project.open()
    with listener() as notify:
        run = upload_import(session.run, session.context(notify), folder, sources=sources)
    session.run_file.save(run)


def bar(notify: Listener) -> Callable[[int, int], None]:
    """Return a callback (done, total) that shows a progress bar."""
    from gtseg.pipeline.run.events import Event

    return lambda done, total: notify(Event("import", "progress", "imported", done, total))


def fetch(source: str, folder: Path, suffixes: Any, settings_file: Path | None, limit: int | None) -> Path:
    """Return a local path unchanged, or download an s3:// prefix to `folder`. Raises StageError if it is missing."""
    if not is_s3_uri(source):
        path = Path(source)
        if not path.exists():
            raise StageError(f"{source}: folder not found")
        return path
    from gtseg.cli.remote_scenes import open_clients
    from gtseg.pipeline.commands.imports import fetch_folder

    return fetch_folder(open_clients(settings_file), source, folder, suffixes=sorted(suffixes), limit=limit)


def split_names(labels: str | None) -> list[str]:
    names = [part.strip() for part in (labels or "").split(",") if part.strip()]
    if len(set(names)) != len(names):
        raise SettingsError(f"--labels {labels}: a name is given more than once")
    return names


def read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: must be a JSON object")
    return document


def parse_box(text: str | None) -> Any:
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--bbox {text}: must be west,south,east,north in degrees") from None
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise SettingsError(f"--bbox {text}: must satisfy west < east and south < north, in degrees")
    return west, south, east, north
