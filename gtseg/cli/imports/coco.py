"""gtseg import coco: COCO annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gtseg.cli.checks import location
from gtseg.cli.imports.annotated import import_set
from gtseg.cli.imports.shared import ImportOptions, fetch
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions
from gtseg.core.images.formats import IMAGE_SUFFIXES

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def coco(
    images: Annotated[
        str, typer.Argument(metavar="IMAGES", help="Folder or s3:// prefix of images.", callback=location)
    ],
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="COCO JSON with images, annotations and categories.")
    ],
    options: ImportOptions,
    project: ProjectOptions,
    crowds: Annotated[
        Literal["auto", "class", "void"],
        typer.Option(
            help="Regions with iscrowd 1: their class, void, or auto (void if the category also has regions "
            "that are not crowds)."
        ),
    ] = "auto",
) -> None:
    """Import COCO annotations, polygons or RLE; categories become classes."""
    from gtseg.imports.coco import parse_coco, read_coco

    document = read_coco(annotations)
    cache = options.folder("coco") / "cache/images"
    import_set(
        fetch(images, cache, IMAGE_SUFFIXES, project.settings_file, None),
        lambda merge: parse_coco(document, str(annotations), crowds=crowds, merge=merge),
        "coco",
        options,
        project,
        sources={"images": images, "annotations": annotations},
    )
