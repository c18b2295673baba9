"""gtseg import geo: GeoTIFFs with polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gtseg.cli.console import listener
from gtseg.cli.importing.shared import (
    BBox,
    Limit,
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
)
from gtseg.cli.options import Json, RunName, Set, SettingsFile
from gtseg.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def geo(
    images: Annotated[
        str, typer.Argument(help="GeoTIFF, a folder of them, or an s3:// prefix (also public).")
    ],
    features: Annotated[
        str | None, typer.Argument(help="GeoJSON or shapefile, or a folder with one per image.")
    ] = None,
    label: Annotated[str, typer.Option(help="Name of the one class that every feature is.")] = "building",
    class_attribute: Annotated[
        str | None, typer.Option(help="Attribute whose values are the classes.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help='JSON with "classes": name, filter, buffer (in map units).')
    ] = None,
    chip: Annotated[int, typer.Option(help="Side of a chip in pixels.")] = 512,
    overlap: Annotated[int, typer.Option(help="Pixels that neighbouring chips share.")] = 0,
    bands: Annotated[str | None, typer.Option(help="One or three band numbers: 3,2,1.")] = None,
    percentiles: Annotated[str, typer.Option(help="Values that become black and white.")] = "2,98",
    decibels: Annotated[
        bool, typer.Option("--db", help="SAR: amplitudes to decibels before the stretch.")
    ] = False,
    all_touched: Annotated[bool, typer.Option(help="Burn every pixel that a polygon touches.")] = False,
    background_ratio: Annotated[
        float | None, typer.Option(min=0, help="Empty chips per labeled one (default: all).")
    ] = None,
    date_attribute: Annotated[
        str | None,
        typer.Option(help="Attribute with a polygon's day: an image takes those of the day in its name."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Cut and stretch as an earlier import did: for inference."),
    ] = None,
    features_crs: Annotated[str | None, typer.Option(help="Where the features name none: EPSG:4326.")] = None,
    bbox: BBox = None,
    limit: Limit = None,
    out: Out = None,
    name: Name = None,
    upload: Upload = True,
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """GeoTIFFs of any bands and depth with polygons: SpaceNet's footprints, shapefiles of events.

    gtseg import geo PS-RGB/ geojson_buildings/ --chip 512
    """
    from gtseg.imports import geo as geo_import

    title = check_name(name or "geo")
    folder = folder_of(out, title)
    left, right, options = _geo_sources(images, features, folder, settings_file, limit)
    scenes, skipped = geo_import.pair_scenes(left, right, options=options)
    stretch, numbers = None, _whole_numbers("--bands", bands)
    if like:
        stretch = geo_import.stretch_of(like)
        chip, overlap, numbers = geo_import.cut_of(like)
    settings = geo_import.GeoSettings(
        stretch=stretch,
        date_attribute=date_attribute,
        classes=_geo_classes(scenes[:limit], label, class_attribute, config, features_crs),
        chip=chip,
        overlap=overlap,
        bands=numbers,
        percentiles=_percentiles(percentiles),
        decibels=decibels,
        all_touched=all_touched,
        background_ratio=background_ratio,
        bbox=parse_box(bbox),
        features_crs=features_crs,
    )
    with listener() as notify:
        report = geo_import.import_geo(
            scenes[:limit],
            folder,
            settings,
            name=title,
            early=skipped,
            notify=bar(notify),
        )
    sources = {"images": images, "features": features, "config": config, "like": like}
    finish(report, settings_file, run_name, overrides, sources=sources, upload=upload, as_json=as_json)


def _geo_classes(scenes: Any, label: str, attribute: str | None, config: Path | None, crs: str | None) -> Any:
    from gtseg.imports.features import Features, read_features
    from gtseg.imports.geo import rules_by_attribute, single_class

    if config:
        return tuple(read_json(config).get("classes") or ())
    if attribute is None:
        return single_class(label)
    files = sorted({path for scene in scenes for path in scene.features})
    items = [item for path in files for item in read_features(path, crs=crs).items]
    return rules_by_attribute(Features(tuple(items), crs), attribute)


def _geo_sources(
    images: str, features: str | None, folder: Path, settings: Path | None, limit: int | None
) -> Any:
    """Scenes stay in S3 and are read window by window; files of features are small and fetched."""
    from gtseg.imports.geo import IMAGE_SUFFIXES

    right = Path(features) if features else None
    if features and features.startswith("s3://"):
        right = fetch(
            features,
            folder / "cache/features",
            {".geojson", ".json", ".shp", ".dbf", ".prj", ".shx"},
            settings,
            None,
        )
    if not images.startswith("s3://"):
        return Path(images), right, ()
    from gtseg.cli.remote_scenes import list_scenes

    scenes, options = list_scenes(images, IMAGE_SUFFIXES, settings)
    return scenes, right, options


def _whole_numbers(flag: str, text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise SettingsError(f"{flag} {text}: want whole numbers separated by commas") from None


def _percentiles(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--percentiles {text}: want two numbers, like 2,98") from None
    if not 0 <= low < high <= 100:
        raise SettingsError(f"--percentiles {text}: want 0 <= low < high <= 100")
    return low, high
