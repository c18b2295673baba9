"""gtseg import tiles: tiles of Label Maker, RoboSat or neat-EO, or of a box of any slippy map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtseg.cli.checks import location
from gtseg.cli.console import say
from gtseg.cli.imports.shared import (
    BBox,
    ImportOptions,
    Labels,
    bar,
    fetch,
    finish,
    parse_box,
    read_json,
    split_names,
)
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions
from gtseg.core.images.formats import IMAGE_SUFFIXES
from gtseg.errors import SettingsError

if TYPE_CHECKING:
    from gtseg.imports.imagery import TileRequest
    from gtseg.imports.outcomes import Report
    from gtseg.imports.tiles import TileSource

app = typer.Typer(rich_markup_mode=None)


@dataclass(frozen=True)
class BoxOptions:
    """Options of a box of a slippy map, whose tiles are downloaded and labeled from features."""

    bbox: BBox = None
    zoom: Annotated[
        int | None, typer.Option(metavar="ZOOM", min=0, max=30, help="With --bbox: zoom level of the tiles.")
    ] = None
    imagery: Annotated[
        str | None, typer.Option(metavar="URL", help="With --bbox: URL with {z}, {x}, {y}, {token}.")
    ] = None
    features: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --bbox: GeoJSON or shapefile, such as an OpenStreetMap extract."),
    ] = None
    token: Annotated[
        str, typer.Option(metavar="TOKEN", envvar="GTSEG_IMAGERY_TOKEN", help="Imagery token.", show_default=False)
    ] = ""
    background_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO", min=0, help="With --bbox: empty tiles per labeled one [default: the config's, else 1]."
        ),
    ] = None

    @property
    def is_given(self) -> bool:
        return bool(self.bbox or self.zoom is not None or self.imagery or self.features)


@app.command()
@grouped
def tiles(
    box: BoxOptions,
    options: ImportOptions,
    project: ProjectOptions,
    images: Annotated[
        str | None,
        typer.Argument(
            metavar="IMAGES", help="Label Maker's folder, or RoboSat's folder of image tiles.", callback=location
        ),
    ] = None,
    label_tiles: Annotated[
        str | None, typer.Argument(metavar="LABEL_TILES", help="RoboSat's folder of label tiles.", callback=location)
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Label Maker's JSON, or RoboSat's or neat-EO's TOML.")
    ] = None,
    labels: Labels = None,
    group: Annotated[
        int, typer.Option(metavar="N", help="Keep blocks of N x N neighboring tiles together in the split.", min=1)
    ] = 1,
) -> None:
    """Import slippy-map tiles of Label Maker or RoboSat, or download the tiles of a box and label them from
    features."""
    names = split_names(labels)
    if box.is_given:
        report = _fetch_box(_tile_request(box, config, names, group), box, options)
    else:
        report = _convert(images, label_tiles, config, names, group=group, options=options, project=project)
    sources = {"images": images or box.imagery, "labels": label_tiles or box.features, "config": config}
    finish(report, options, project, sources=sources)


def _fetch_box(request: TileRequest, box: BoxOptions, options: ImportOptions) -> Report:
    from gtseg.imports.imagery import import_bbox

    if box.features is None:
        raise SettingsError("--features FILE is missing: the polygons or lines that become masks")
    title, folder = options.title("tiles"), options.folder("tiles")
    with listener() as notify:
        return import_bbox(request, box.features, folder, name=title, limit=options.limit, notify=bar(notify))


def _convert(
    images: str | None,
    label_tiles: str | None,
    config: Path | None,
    names: list[str],
    *,
    group: int,
    options: ImportOptions,
    project: ProjectOptions,
) -> Report:
    from gtseg.imports.tiles import import_tiles

    title, folder = options.title("tiles"), options.folder("tiles")
    source = options.with_names(
        lambda merge: _tile_source(images, label_tiles, config, names, options=options, project=project, merge=merge)
    )
    for note in source.notes:
        say(f"import: {note}")
    with listener() as notify:
        return import_tiles(source, folder, name=title, block=group, limit=options.limit, notify=bar(notify))


def _tile_source(
    images: str | None,
    label_tiles: str | None,
    config: Path | None,
    names: list[str],
    *,
    options: ImportOptions,
    project: ProjectOptions,
    merge: bool | None,
) -> TileSource:
    from gtseg.imports.tiles import open_label_maker, open_robosat

    if images is None:
        raise SettingsError(
            "no tiles given: use `gtseg import tiles IMAGES LABELS`, or --bbox with --zoom, --imagery and --features"
        )
    cache, settings, links = options.folder("tiles") / "cache", project.settings_file, options.follow_links
    if label_tiles is None:
        maker = fetch(images, cache / "tiles", {*IMAGE_SUFFIXES, ".npz", ".json"}, settings, None)
        return open_label_maker(maker, config=config, names=names, merge=merge, follow_links=links)
    image_folder = fetch(images, cache / "images", IMAGE_SUFFIXES, settings, None)
    label_folder = fetch(label_tiles, cache / "labels", {".png"}, settings, None)
    return open_robosat(image_folder, label_folder, config, names=names, merge=merge, follow_links=links)


def _tile_request(box: BoxOptions, config: Path | None, names: list[str], group: int) -> TileRequest:
    from gtseg.imports.imagery import TileRequest

    document = read_json(config) if config else {}
    bounds = parse_box(box.bbox) or tuple(document.get("bounding_box") or ())
    level = box.zoom if box.zoom is not None else document.get("zoom")
    address = box.imagery or document.get("imagery")
    classes = document.get("classes") or [{"name": label} for label in names]
    missing = [
        flag
        for flag, value in (
            ("--bbox", bounds),
            ("--zoom", level is not None),
            ("--imagery", address),
            ("--config or --labels", classes),
        )
        if not value
    ]
    ratio = box.background_ratio if box.background_ratio is not None else document.get("background_ratio", 1.0)
    if missing or level is None:
        raise SettingsError(f"--bbox also needs {', '.join(missing)}")
    return TileRequest(bounds, int(level), str(address), tuple(classes), box.token, float(ratio), group)
