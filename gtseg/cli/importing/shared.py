"""What every import shares: options, the import's folder, its end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.console import listener, print_json, say
from gtseg.cli.options import open_session
from gtseg.core.counting import counted
from gtseg.errors import SettingsError, StageError

if TYPE_CHECKING:
    from gtseg.cli.console import Listener
    from gtseg.imports.journal import Report

Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the import (default: imports/NAME).")
]
Name = Annotated[
    str | None, typer.Option("--name", help="Name of the import; its label attribute is NAME-ref.")
]
Upload = Annotated[
    bool,
    typer.Option("--upload/--no-upload", help="Put it into the run's bucket, ready for `gtseg dataset`."),
]
Limit = Annotated[int | None, typer.Option(help="Take only the first N images.", min=1)]
Labels = Annotated[
    str | None, typer.Option(help="Names of the classes, separated by commas, background left out.")
]
BBox = Annotated[
    str | None, typer.Option("--bbox", metavar="W,S,E,N", help="Only what lies in this box, in degrees.")
]


def finish(
    report: Report,
    settings_file: Path | None,
    run_name: str | None,
    overrides: list[str] | None,
    *,
    sources: dict[str, Any],
    upload: bool,
    as_json: bool,
) -> None:
    """Say what came in and what did not, put it into the run, leave with 5 where something was skipped.

    `sources`: the folders, files and addresses that the import read, as they were given; the run keeps them.
    """
    say(f"import: {counted(report.images, 'image with its mask', 'images with masks')} in {report.folder}")
    total = max(sum(report.pixels.values()), 1)
    for label, count in report.pixels.items():
        say(f"  {label:<16} {count / total:7.2%} of the pixels")
    for skipped in report.skipped[:5]:
        say(f"  skipped {skipped.source}: {skipped.reason}")
    if len(report.skipped) > 5:
        say(f"  ... {len(report.skipped):,} skipped in all: {report.folder / 'skipped.jsonl'}")
    if report.images == 0:
        raise StageError(f"nothing was imported; {report.folder / 'skipped.jsonl'} says why")
    if upload:
        given = {kind: _address(value) for kind, value in sources.items() if value is not None}
        _upload(report.folder, settings_file, run_name, overrides, sources=given)
    if as_json:
        print_json({"folder": str(report.folder), "images": report.images, "classes": list(report.classes),
                    "pixels": report.pixels, "skipped": len(report.skipped)})  # fmt: skip
    raise typer.Exit(5 if report.skipped else 0)


def _address(value: Any) -> str:
    """As it was given; the query of a web address may hold a key and stays out."""
    text = str(value)
    return text.partition("?")[0] if text.startswith(("http://", "https://")) else text


def _upload(
    folder: Path,
    settings_file: Path | None,
    run_name: str | None,
    overrides: list[str] | None,
    *,
    sources: dict[str, str],
) -> None:
    from gtseg.pipeline.commands.imports import upload_import

    session = open_session(settings_file, run_name, overrides)
    with listener() as notify:
        run = upload_import(session.run, session.clients, folder, sources=sources, notify=notify)
    session.run_file.save(run)


def bar(notify: Listener) -> Callable[[int, int], None]:
    from gtseg.pipeline.run.events import Event

    return lambda done, total: notify(Event("import", "progress", "imported", done, total))


def folder_of(out: Path | None, name: str) -> Path:
    return out or Path("imports") / name


def check_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name):
        raise SettingsError(
            f"--name {name!r}: letters, digits and single dashes, 63 at most, as a labeling job's name"
        )
    return name


def fetch(source: str, folder: Path, suffixes: Any, settings_file: Path | None, limit: int | None) -> Path:
    if not source.startswith("s3://"):
        path = Path(source)
        if not path.exists():
            raise StageError(f"{source}: no such folder")
        return path
    from gtseg.cli.remote_scenes import open_clients
    from gtseg.pipeline.commands.imports import fetch_folder

    return fetch_folder(open_clients(settings_file), source, folder, suffixes=sorted(suffixes), limit=limit)


def split_names(labels: str | None) -> list[str]:
    names = [part.strip() for part in (labels or "").split(",") if part.strip()]
    if len(set(names)) != len(names):
        raise SettingsError(f"--labels {labels}: each name once")
    return names


def read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: not readable JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: want an object with classes")
    return document


def parse_box(text: str | None) -> Any:
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--bbox {text}: want west,south,east,north in degrees") from None
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise SettingsError(f"--bbox {text}: want west < east and south < north, in degrees")
    return west, south, east, north
