"""gtseg import geo: GeoTIFFs with polygons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.checks import location
from gtseg.cli.imports.shared import BBox, ImportOptions, bar, fetch, finish, parse_box, read_json
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions
from gtseg.core.s3_uris import is_s3_uri
from gtseg.errors import SettingsError

if TYPE_CHECKING:
    from gtseg.imports.geo_settings import GeoSettings
    from gtseg.imports.scene_pairs import Scene

app = typer.Typer(rich_markup_mode=None)


@dataclass(frozen=True)
class ClassOptions:
    """Classes of the features."""

    label: Annotated[str, typer.Option(metavar="LABEL", help="Name of the single class of all features.")] = "building"
    class_attribute: Annotated[
        str | None, typer.Option(metavar="ATTRIBUTE", help="Attribute whose values are the classes.")
    ] = None
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help='JSON with "classes": name, filter, buffer (in map units).')
    ] = None
    date_attribute: Annotated[
        str | None,
        typer.Option(
            metavar="ATTRIBUTE",
            help="Attribute with a polygon's date; an image takes the polygons of the date in its name.",
        ),
    ] = None
    features_crs: Annotated[
        str | None,
        typer.Option(
            metavar="CRS", help="Coordinate reference system of the features, overriding their own: EPSG:4326."
        ),
    ] = None


@dataclass(frozen=True)
class ChipOptions:
    """Conversion of scenes to 8-bit chips."""

    chip: Annotated[int, typer.Option(metavar="PIXELS", help="Side of a chip in pixels.")] = 512
    overlap: Annotated[int, typer.Option(metavar="PIXELS", help="Overlap of neighboring chips in pixels.")] = 0
    bands: Annotated[str | None, typer.Option(metavar="BANDS", help="One or three band numbers: 3,2,1.")] = None
    percentiles: Annotated[str, typer.Option(metavar="LOW,HIGH", help="Percentiles that become black and white.")] = (
        "2,98"
    )
    decibels: Annotated[bool, typer.Option("--db", help="SAR: convert amplitudes to decibels before the stretch.")] = (
        False
    )
    nodata: Annotated[
        float | None,
        typer.Option(
            metavar="VALUE", help="No-data value of files that declare none; pixels with it in every band are void."
        ),
    ] = None
    all_touched: Annotated[bool, typer.Option(help="Burn every pixel that a polygon touches.")] = False
    background_ratio: Annotated[
        float | None, typer.Option(metavar="RATIO", min=0, help="Empty chips per labeled one [default: all].")
    ] = None
    bbox: BBox = None
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Import folder whose chip size and stretch are used: for inference; never replaces a run's labels.",
        ),
    ] = None


@app.command()
@grouped
def geo(
    images: Annotated[
        str,
        typer.Argument(
            metavar="IMAGES", help="GeoTIFF, a folder of them, or an s3:// prefix (also public).", callback=location
        ),
    ],
    classes: ClassOptions,
    chips: ChipOptions,
    options: ImportOptions,
    project: ProjectOptions,
    features: Annotated[
        str | None,
        typer.Argument(
            metavar="FEATURES", help="GeoJSON or shapefile, or a folder with one per image.", callback=location
        ),
    ] = None,
) -> None:
    """Import GeoTIFFs of any bands and bit depth with polygons, such as SpaceNet footprints or shapefiles."""
    from gtseg.imports.geo import import_geo
    from gtseg.imports.scene_pairs import pair_scenes

    title, folder = options.title("geo"), options.folder("geo")
    scene_source, feature_source, access = _sources(images, features, folder, project.settings_file)
    scenes, early = pair_scenes(scene_source, feature_source, options=access, follow_links=options.follow_links)
    settings = options.with_names(lambda merge: _settings(scenes[: options.limit], classes, chips, merge=merge))
    with listener() as notify:
        report = import_geo(scenes, folder, settings, name=title, early=early, limit=options.limit, notify=bar(notify))
    sources = {"images": images, "features": features, "config": classes.config, "like": chips.like}
    keep_run = ""
    if features is None or chips.like:
        why = "it has no labels" if features is None else "--like is for inference"
        keep_run = f"{why}, so the run keeps its labels; the chips are in {folder}"
    finish(report, options, project, sources=sources, keep_run=keep_run)


def _settings(scenes: Sequence[Scene], classes: ClassOptions, chips: ChipOptions, *, merge: bool | None) -> GeoSettings:
    from gtseg.imports.geo_settings import GeoSettings, read_chip_grid, read_stretch

    chip, overlap, bands, stretch = chips.chip, chips.overlap, _whole_numbers("--bands", chips.bands), None
    if chips.like:
        stretch = read_stretch(chips.like)
        chip, overlap, bands = read_chip_grid(chips.like)
    return GeoSettings(
        stretch=stretch,
        date_attribute=classes.date_attribute,
        class_attribute=None if classes.config else classes.class_attribute,
        classes=_classes(scenes, classes, merge=merge),
        chip=chip,
        overlap=overlap,
        bands=bands,
        percentiles=_percentiles(chips.percentiles),
        decibels=chips.decibels,
        nodata=chips.nodata,
        all_touched=chips.all_touched,
        background_ratio=chips.background_ratio,
        bbox=parse_box(chips.bbox),
        features_crs=classes.features_crs,
    )


def _classes(scenes: Sequence[Scene], classes: ClassOptions, *, merge: bool | None) -> tuple[dict[str, Any], ...]:
    from gtseg.imports.class_rules import read_rules, rules_by_attribute, single_class
    from gtseg.imports.features import Features, read_features

    if classes.config:
        rules = tuple(read_json(classes.config).get("classes") or ())
        if not rules:
            raise SettingsError(f"{classes.config}: no class names found")
        read_rules(rules, merge=merge)
        return rules
    if classes.class_attribute is None:
        return single_class(classes.label)
    files = sorted({path for scene in scenes for path in scene.features})
    items = [item for path in files for item in read_features(path, crs=classes.features_crs).items]
    return rules_by_attribute(Features(tuple(items), classes.features_crs), classes.class_attribute, merge=merge)


def _sources(images: str, features: str | None, folder: Path, settings: Path | None) -> Any:
    """Scenes stay in S3 and are read window by window; feature files are small and downloaded."""
    from gtseg.imports.scene_pairs import SCENE_SUFFIXES

    feature_source = Path(features) if features else None
    if features and is_s3_uri(features):
        feature_source = fetch(
            features,
            folder / "cache/features",
            {".geojson", ".json", ".shp", ".dbf", ".prj", ".shx"},
            settings,
            None,
        )
    if not is_s3_uri(images):
        return Path(images), feature_source, ()
    from gtseg.cli.remote_scenes import list_scenes

    scenes, access = list_scenes(images, SCENE_SUFFIXES, settings)
    return scenes, feature_source, access


def _whole_numbers(flag: str, text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise SettingsError(f"{flag} {text}: must be whole numbers separated by commas") from None


def _percentiles(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--percentiles {text}: must be two numbers, like 2,98") from None
    if not 0 <= low < high <= 100:
        raise SettingsError(f"--percentiles {text}: must satisfy 0 <= low < high <= 100")
    return low, high
