"""gtseg import masks | tiles | geo | coco | yolo | cvat | label-studio | job: labels made with other tools."""

from __future__ import annotations

import typer

from gtseg.cli.imports import annotated, coco, geo, job, masks, tiles

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Import labels that were not made with Ground Truth."
)
for room in (masks, tiles, geo, coco, annotated, job):
    app.add_typer(room.app)
