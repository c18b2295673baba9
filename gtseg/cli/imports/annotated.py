"""gtseg import yolo | cvat | label-studio: annotation files for a folder of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtseg.cli.checks import location
from gtseg.cli.imports.shared import ImportOptions, Labels, bar, fetch, finish, split_names
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions
from gtseg.core.images.formats import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from gtseg.imports.annotations import AnnotationSet

app = typer.Typer(rich_markup_mode=None)

Images = Annotated[str, typer.Argument(help="Folder or s3:// prefix of images.", callback=location)]


@app.command()
@grouped
def yolo(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="Folder or s3:// prefix of the dataset (data.yaml, images/, labels/), or of images.",
            callback=location,
        ),
    ],
    options: ImportOptions,
    project: ProjectOptions,
    label_files: Annotated[
        Path | None,
        typer.Argument(metavar="LABEL_FILES", help="Folder of label files [default: where YOLO finds them]."),
    ] = None,
    labels: Labels = None,
) -> None:
    """Import YOLO-seg polygons; an image without a label file is background.

    Class names come from data.yaml, classes.txt or --labels.
    """
    from gtseg.imports.yolo import read_yolo

    kinds = {*IMAGE_SUFFIXES, ".txt", ".yaml", ".yml"}
    source = fetch(folder, options.folder("yolo") / "cache/images", kinds, project.settings_file, None)
    names = split_names(labels)
    import_set(
        source,
        lambda merge: read_yolo(source, label_files, names=names, merge=merge),
        "yolo",
        options,
        project,
        sources={"images": folder, "annotations": label_files},
    )


@app.command()
@grouped
def cvat(
    images: Images,
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help='annotations.xml of an export as "CVAT for images 1.1".')
    ],
    options: ImportOptions,
    project: ProjectOptions,
) -> None:
    """Import CVAT's XML: masks, polygons and ellipses.

    For a "Segmentation mask" export use gtseg import masks --colors labelmap.txt.
    """
    from gtseg.imports.cvat import read_cvat

    _import(images, annotations, lambda merge: read_cvat(annotations, merge=merge), "cvat", options, project)


@app.command("label-studio")
@grouped
def label_studio(
    images: Images,
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="JSON or JSON-MIN export of Label Studio.")
    ],
    options: ImportOptions,
    project: ProjectOptions,
) -> None:
    """Import Label Studio's JSON: brushes, polygons and ellipses."""
    from gtseg.imports.label_studio import read_label_studio

    def read(merge: bool | None) -> AnnotationSet:
        return read_label_studio(annotations, merge=merge)

    _import(images, annotations, read, "label-studio", options, project)


def _import(
    images: str,
    annotations: Path,
    read: Callable[[bool | None], AnnotationSet],
    kind: str,
    options: ImportOptions,
    project: ProjectOptions,
) -> None:
    cache = options.folder(kind) / "cache/images"
    folder = fetch(images, cache, IMAGE_SUFFIXES, project.settings_file, None)
    import_set(folder, read, kind, options, project, sources={"images": images, "annotations": annotations})


def import_set(
    images: Path,
    read: Callable[[bool | None], AnnotationSet],
    kind: str,
    options: ImportOptions,
    project: ProjectOptions,
    *,
    sources: dict[str, object],
) -> None:
    """Read the annotations, rasterize them, and add the import to the run."""
    from gtseg.imports.annotation_import import import_annotations

    title, folder = options.title(kind), options.folder(kind)
    found = options.with_names(read)
    with listener() as notify:
        report = import_annotations(
            images,
            found,
            folder,
            name=title,
            limit=options.limit,
            follow_links=options.follow_links,
            notify=bar(notify),
        )
    finish(report, options, project, sources=sources)
