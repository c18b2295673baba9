"""gtseg import tiles: Label Maker, RoboSat, or a box of any slippy map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gtseg.cli.console import listener
from gtseg.cli.importing.shared import (
    BBox,
    Labels,
    Name,
    Out,
    Upload,
    bar,
    check_name,
    fetch,
    finish,
    folder_of,
    parse_box,
    read_json,
    split_names,
)
from gtseg.cli.options import Json, RunName, Set, SettingsFile
from gtseg.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def tiles(
    images: Annotated[
        str | None, typer.Argument(help="Label Maker folder, or RoboSat's folder of image tiles.")
    ] = None,
    label_tiles: Annotated[str | None, typer.Argument(help="RoboSat's folder of label tiles.")] = None,
    config: Annotated[Path | None, typer.Option(help="Label Maker's JSON or RoboSat's dataset TOML.")] = None,
    labels: Labels = None,
    group: Annotated[
        int, typer.Option(help="N x N neighbouring tiles stay together in the split.", min=1)
    ] = 1,
    bbox: BBox = None,
    zoom: Annotated[
        int | None, typer.Option(min=0, max=30, help="With --bbox: the zoom of the tiles.")
    ] = None,
    imagery: Annotated[
        str | None, typer.Option(metavar="URL", help="With --bbox: address with {z}, {x}, {y}, {token}.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="With --bbox: GeoJSON or shapefile, such as an OpenStreetMap extract.")
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="GTSEG_IMAGERY_TOKEN", help="Imagery token.", show_default=False)
    ] = "",
    background_ratio: Annotated[
        float | None,
        typer.Option(min=0, help="With --bbox: empty tiles per labeled one (default: the config's, else 1)."),
    ] = None,
    out: Out = None,
    name: Name = None,
    upload: Upload = True,
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Slippy-map tiles from Label Maker or RoboSat, or fetched for a box and burned from features.

    gtseg import tiles images/ labels/ --config dataset.toml
    gtseg import tiles --bbox 1.09,6.05,1.34,6.30 --zoom 15 --imagery 'https://.../{z}/{x}/{y}.jpg' --features osm.geojson --config config.json
    """
    title = check_name(name or "tiles")
    folder = folder_of(out, title)
    with listener() as notify:
        if bbox or zoom is not None or imagery or features:
            request = _tile_request(bbox, zoom, imagery, config, labels, token, background_ratio, group)
            if features is None:
                raise SettingsError("--features FILE is missing: the polygons or lines that become masks")
            from gtseg.imports.imagery import import_bbox

            report = import_bbox(request, features, folder, name=title, notify=bar(notify))
        else:
            from gtseg.imports.tiles import import_tiles

            source = _tile_source(images, label_tiles, config, split_names(labels), folder, settings_file)
            report = import_tiles(source, folder, name=title, block=group, notify=bar(notify))
    sources = {"images": images or imagery, "labels": label_tiles or features, "config": config}
    finish(report, settings_file, run_name, overrides, sources=sources, upload=upload, as_json=as_json)


def _tile_source(
    images: str | None,
    label_tiles: str | None,
    config: Path | None,
    names: list[str],
    folder: Path,
    settings: Path | None,
) -> Any:
    from gtseg.imports.mask_folder import IMAGE_SUFFIXES
    from gtseg.imports.tiles import open_label_maker, open_robosat

    if images is None:
        raise SettingsError(
            "which tiles? `gtseg import tiles IMAGES LABELS` or --bbox with --zoom, --imagery, --features"
        )
    if label_tiles is None:
        maker = fetch(images, folder / "cache/tiles", {*IMAGE_SUFFIXES, ".npz", ".json"}, settings, None)
        return open_label_maker(maker, config=config, names=names)
    left = fetch(images, folder / "cache/images", IMAGE_SUFFIXES, settings, None)
    right = fetch(label_tiles, folder / "cache/labels", {".png"}, settings, None)
    return open_robosat(left, right, config, names=names)


def _tile_request(
    bbox: str | None, zoom: int | None, imagery: str | None, config: Path | None, labels: str | None,
    token: str, ratio: float | None, group: int,
) -> Any:  # fmt: skip
    from gtseg.imports.imagery import TileRequest

    document = read_json(config) if config else {}
    box = parse_box(bbox) or tuple(document.get("bounding_box") or ())
    level = zoom if zoom is not None else document.get("zoom")
    address = imagery or document.get("imagery")
    classes = document.get("classes") or [{"name": label} for label in split_names(labels)]
    missing = [flag for flag, value in (("--bbox", box), ("--zoom", level is not None), ("--imagery", address),
                                        ("--config or --labels", classes)) if not value]  # fmt: skip
    kept = ratio if ratio is not None else document.get("background_ratio", 1.0)
    if missing:
        raise SettingsError(f"tiles of a box also need {', '.join(missing)}")
    return TileRequest(box, int(level), str(address), tuple(classes), token, float(kept), group)  # type: ignore[arg-type]
