"""gtseg import coco: COCO annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtseg.cli.console import listener
from gtseg.cli.importing.shared import Limit, Name, Out, Upload, bar, check_name, fetch, finish, folder_of
from gtseg.cli.options import Json, RunName, Set, SettingsFile

app = typer.Typer(rich_markup_mode=None)


@app.command()
def coco(
    images: Annotated[str, typer.Argument(help="Folder or s3:// prefix of images.")],
    annotations: Annotated[Path, typer.Argument(help="COCO's JSON with images, annotations and categories.")],
    out: Out = None,
    name: Name = None,
    limit: Limit = None,
    upload: Upload = True,
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """COCO annotations, polygons or RLE: categories become classes, crowds become void.

    gtseg import coco photos/ instances.json
    """
    from gtseg.imports.coco_folder import import_coco
    from gtseg.imports.mask_folder import IMAGE_SUFFIXES

    title = check_name(name or "coco")
    folder = folder_of(out, title)
    image_folder = fetch(images, folder / "cache/images", IMAGE_SUFFIXES, settings_file, limit)
    with listener() as notify:
        report = import_coco(
            image_folder,
            annotations,
            folder,
            name=title,
            limit=limit,
            notify=bar(notify),
        )
    sources = {"images": images, "annotations": annotations}
    finish(report, settings_file, run_name, overrides, sources=sources, upload=upload, as_json=as_json)
