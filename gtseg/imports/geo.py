"""GeoTIFFs with polygons -> chips with masks (SpaceNet's and NASA's beginnings).

A scene of any band count and depth is cut into windows; the polygons that touch a window are brought into the
scene's coordinate reference system and burned by class; pixels without data are void (255). The stretch to 8 bit
is fitted once per scene (or once for all, `shared_stretch`) and recorded with every chip, with its georeference.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import ImageError, ManifestError, SettingsError

from .burning import VOID, burn, classify, read_rules
from .chips import Window, windows
from .features import Features, read_features, reproject
from .footprints import write_nodata
from .journal import Labelled, Outcome, Report, Skipped, run_tasks
from .radiometry import Stretch, apply_stretch, fit_stretch
from .writing import jpeg_bytes, write_pair

__all__ = ["GeoSettings", "Scene", "import_geo", "pair_scenes"]


@dataclass(frozen=True)
class GeoSettings:
    """How scenes become chips. Sizes in pixels, buffers in the scene's map units, ratio per labeled chip."""

    classes: tuple[dict[str, Any], ...]
    chip: int = 512
    overlap: int = 0
    bands: tuple[int, ...] = ()
    percentiles: tuple[float, float] = (2.0, 98.0)
    decibels: bool = False
    all_touched: bool = False
    background_ratio: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    features_crs: str | None = None
    seed: int = 0
    date_attribute: str | None = None
    """The attribute that says on which day a polygon holds; a scene takes those of the day in its own name."""
    stretch: Stretch | None = None
    """Another import's stretch, so that a model sees what it was trained on; None: fitted per scene."""


@dataclass(frozen=True)
class Scene:
    """One GeoTIFF (a path or what GDAL opens) and the files of features that lie on it."""

    image: str
    features: tuple[Path, ...] = ()
    name: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """What GDAL needs to read it where it lies (credentials, endpoint); never written anywhere."""


@dataclass(frozen=True)
class SceneTask:
    folder: Path
    scene: Scene
    settings: GeoSettings
    class_count: int


IMAGE_SUFFIXES = {".tif", ".tiff", ".vrt", ".jp2"}


def pair_scenes(
    images: Path | Sequence[str], features: Path | None, *, options: tuple[tuple[str, str], ...] = ()
) -> tuple[list[Scene], list[Skipped]]:
    """Scenes (of a file or folder, or by GDAL's own names) and the files of features that belong to them.

    One file of features serves all scenes. In a folder, each scene takes the file with its own stem, or with the
    same image id: SpaceNet names `<product>_AOI_<n>_<city>_img<id>.tif` and `buildings_AOI_..._img<id>.geojson`.
    """
    scenes = _scene_files(images) if isinstance(images, Path) else [Path(name) for name in images]
    if not scenes:
        raise ManifestError(f"{images}: no GeoTIFF (.tif, .tiff, .vrt, .jp2) found")
    names = _unique_names(scenes)
    if features is None or features.is_file():
        own = (features,) if features else ()
        return [Scene(str(p), own, name, options) for p, name in zip(scenes, names, strict=True)], []
    index = _index_features(features)
    paired, missing = [], []
    for path, name in zip(scenes, names, strict=True):
        found = index.get(path.stem.lower()) or index.get(_image_id(path.stem))
        if found:
            paired.append(Scene(str(path), tuple(found), name, options))
        else:
            missing.append(Skipped(str(path), f"no features with its name or image id in {features}"))
    return paired, missing


def _scene_files(images: Path) -> list[Path]:
    if images.is_file():
        return [images]
    return sorted(p for p in images.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)


def _unique_names(paths: Sequence[Path]) -> list[str]:
    stems = [p.stem for p in paths]
    if len({s.lower() for s in stems}) == len(stems):
        return stems
    shared = len(os.path.commonpath([str(p.parent) for p in paths])) + 1
    return ["-".join(Path(str(p)[shared:]).with_suffix("").parts) for p in paths]


def _image_id(stem: str) -> str:
    """`img1234`, or the last two numbers (`_x_y`) that vector and raster tiles of one grid share."""
    parts = stem.lower().split("_")
    if parts[-1].startswith("img"):
        return "_".join(p for p in parts if p.startswith(("img", "aoi")) or p.isdecimal()) or parts[-1]
    return "_".join(parts[-2:])


def _index_features(folder: Path) -> dict[str, list[Path]]:
    index: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in {".geojson", ".json", ".shp"}:
            for key in {path.stem.lower(), _image_id(path.stem)}:
                index.setdefault(key, []).append(path)
    return index


def import_geo(
    scenes: Sequence[Scene],
    folder: Path,
    settings: GeoSettings,
    *,
    name: str,
    early: Sequence[Skipped] = (),
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Chips of every scene below `folder`; one task per scene, chips of one scene in one group of the split."""
    rules = read_rules(settings.classes)
    tasks = [(scene.name, SceneTask(folder, scene, settings, len(rules))) for scene in scenes]
    return run_tasks(
        folder,
        tasks,
        chip_scene,
        classes=[rule.name for rule in rules],
        settings={
            "kind": "geo",
            **settings.__dict__,
            "stretch": settings.stretch and settings.stretch.as_json(),
        },
        name=name,
        notify=notify,
        workers=workers,
        early=early,
    )


def chip_scene(task: SceneTask) -> list[Outcome]:
    """Every chip of one scene; what cannot be read is skipped with its reason."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with _reading(task.scene), rasterio.open(task.scene.image) as scene:
            return _chip(scene, task)
    except (RasterioError, ImageError, ManifestError) as error:
        return [Skipped(task.scene.image, str(error))]


def _reading(scene: Scene) -> Any:
    """GDAL's surroundings for a scene: rasterio takes credentials as a session, the rest as options."""
    import rasterio
    from rasterio.session import AWSSession

    options = dict(scene.options)
    if not options:
        return rasterio.Env()
    session = AWSSession(
        aws_access_key_id=options.pop("AWS_ACCESS_KEY_ID", None),
        aws_secret_access_key=options.pop("AWS_SECRET_ACCESS_KEY", None),
        aws_session_token=options.pop("AWS_SESSION_TOKEN", None),
        region_name=options.pop("AWS_REGION", None),
        endpoint_url=options.pop("AWS_S3_ENDPOINT", None),
        aws_unsigned=options.pop("AWS_NO_SIGN_REQUEST", "NO") == "YES",
    )
    return rasterio.Env(session, **options)


def _chip(scene: Any, task: SceneTask) -> list[Outcome]:
    settings, rules = task.settings, read_rules(task.settings.classes)
    numbers = _band_numbers(scene, settings)
    features = _features_on(scene, task)
    shapes = classify(features.items, rules)
    stretch = settings.stretch or _fit(scene, numbers, settings)
    outcomes: list[Outcome] = []
    empty: list[Window] = []
    area = _area(scene, settings)
    tree = _index_shapes(shapes)
    for window in windows(scene.height, scene.width, size=settings.chip, overlap=settings.overlap):
        if area is not None and not _touches(scene, window, area):
            continue
        near = _near(scene, window, shapes, tree)
        if not near:
            empty.append(window)
            continue
        outcomes.append(_write_chip(scene, task, window, near, stretch))
    for window in _keep_background(empty, len(outcomes), settings, task.scene.name):
        outcomes.append(_write_chip(scene, task, window, [], stretch))
    return outcomes


def _band_numbers(scene: Any, settings: GeoSettings) -> tuple[int, ...]:
    """Band numbers (from 1): as asked, else the first three, or the first alone where there are fewer than three."""
    numbers = settings.bands or ((1, 2, 3) if scene.count >= 3 else (1,))
    wrong = [n for n in numbers if not 1 <= n <= scene.count]
    if wrong or len(numbers) not in {1, 3}:
        raise SettingsError(f"bands {list(numbers)} of {scene.name}: want one or three of 1 to {scene.count}")
    return tuple(numbers)


def _features_on(scene: Any, task: SceneTask) -> Features:
    read = [read_features(path, crs=task.settings.features_crs) for path in task.scene.features]
    if not any(features.items for features in read):
        return Features((), None)
    if scene.crs is None:
        raise ManifestError(
            f"{scene.name} names no coordinate reference system, its features cannot be placed"
        )
    if task.settings.date_attribute:
        read = [_of_the_day(features, task) for features in read]
    moved = [reproject(_fallback_crs(features, scene), scene.crs) for features in read if features.items]
    return Features(tuple(item for features in moved for item in features.items), str(scene.crs))


DAY = re.compile(r"(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})")


def _day(text: str) -> str | None:
    """YYYYMMDD of the first date in a text, also at the head of a time stamp (20180714T1030)."""
    found = DAY.search(text)
    return "".join(found.groups()) if found else None


def _of_the_day(features: Features, task: SceneTask) -> Features:
    day = _day(task.scene.name)
    if day is None:
        raise ManifestError(
            f"{task.scene.image}: no date (YYYYMMDD, YYYY-MM-DD) in its name to match {task.settings.date_attribute}"
        )
    name = task.settings.date_attribute or ""
    items = tuple(f for f in features.items if _day(str(f.properties.get(name, ""))) == day)
    return Features(items, features.crs, features.repaired, features.skipped)


def _fallback_crs(features: Features, scene: Any) -> Features:
    """Old GeoJSON often holds map units but no `crs`: coordinates beyond degrees are taken to be the scene's own."""
    if features.crs != "OGC:CRS84":
        return features
    beyond = any(max(abs(v) for v in f.geometry.bounds) > 360 for f in features.items)
    return (
        Features(features.items, scene.crs.to_wkt(), features.repaired, features.skipped)
        if beyond
        else features
    )


def _valid(scene: Any, window: Any, numbers: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W): pixels with data in every chosen band (GDAL's mask: nodata, alpha, mask bands; NaN is no data)."""
    masks = scene.read_masks(list(numbers), window=window)
    return (masks > 0).all(axis=0)


def _fit(scene: Any, numbers: tuple[int, ...], settings: GeoSettings) -> Stretch:
    """The scene's stretch, from a read reduced to about a megapixel: percentiles hardly move."""
    step = max(1, int(np.sqrt(scene.height * scene.width / 1_000_000)))
    shape = (len(numbers), max(1, scene.height // step), max(1, scene.width // step))
    bands = scene.read(list(numbers), out_shape=shape)
    valid = (scene.read_masks(list(numbers), out_shape=shape) > 0).all(axis=0)
    return fit_stretch(
        bands, valid, numbers=numbers, percentiles=settings.percentiles, decibels=settings.decibels
    )


def _raster_window(window: Window) -> Any:
    from rasterio.windows import Window as RasterWindow

    return RasterWindow(window.column, window.row, window.width, window.height)


def _bounds(scene: Any, window: Window) -> Any:
    from rasterio.windows import bounds
    from shapely.geometry import box

    return box(*bounds(_raster_window(window), scene.transform))


def _index_shapes(shapes: Sequence[tuple[Any, int]]) -> Any:
    from shapely import STRtree

    return STRtree([geometry for geometry, _ in shapes]) if shapes else None


def _near(scene: Any, window: Window, shapes: Sequence[tuple[Any, int]], tree: Any) -> list[tuple[Any, int]]:
    if tree is None:
        return []
    hits = sorted(int(i) for i in tree.query(_bounds(scene, window), predicate="intersects"))
    return [shapes[i] for i in hits]


def _area(scene: Any, settings: GeoSettings) -> Any:
    if settings.bbox is None:
        return None
    from rasterio.warp import transform_bounds
    from shapely.geometry import box

    return box(*transform_bounds("EPSG:4326", scene.crs, *settings.bbox))


def _touches(scene: Any, window: Window, area: Any) -> bool:
    return bool(_bounds(scene, window).intersects(area))


def _keep_background(empty: list[Window], labeled: int, settings: GeoSettings, scene: str) -> list[Window]:
    """All of them, or `background_ratio` per labeled chip, chosen by the seed."""
    if settings.background_ratio is None:
        return empty
    wanted = min(len(empty), round(settings.background_ratio * max(labeled, 1)))

    def draw(window: Window) -> bytes:
        return hashlib.sha256(f"{settings.seed} {scene} {window.row} {window.column}".encode()).digest()

    return sorted(sorted(empty, key=draw)[:wanted])


def _write_chip(
    scene: Any, task: SceneTask, window: Window, shapes: list[tuple[Any, int]], stretch: Stretch
) -> Labelled | Skipped:
    raster = _raster_window(window)
    label = f"{task.scene.name}_{window.row}_{window.column}"
    valid = _valid(scene, raster, stretch.bands)
    if not valid.any():
        return Skipped(f"{task.scene.image} {window.row},{window.column}", "no data in the whole chip")
    transform = scene.window_transform(raster)
    mask = burn(
        shapes, (window.height, window.width), transform=transform, all_touched=task.settings.all_touched
    )
    mask[~valid] = VOID
    pixels = apply_stretch(scene.read(list(stretch.bands), window=raster), stretch)
    pixels[~valid] = 0
    place = {"crs": scene.crs.to_string() if scene.crs else None, "transform": list(transform)[:6]}
    extra: dict[str, Any] = {"georeference": place, "stretch": stretch.as_json()}
    if not valid.all():
        extra["nodata"] = write_nodata(task.folder, label, ~valid)
    return write_pair(
        task.folder,
        label,
        jpeg_bytes(pixels),
        mask,
        classes=task.class_count,
        source=task.scene.image,
        group=task.scene.name,
        extra=extra,
    )


def rules_by_attribute(features: Features, attribute: str) -> tuple[dict[str, Any], ...]:
    """One class per value of an attribute, in sorted order: `--class-attribute damage`."""
    values = sorted(
        {str(f.properties[attribute]) for f in features.items if f.properties.get(attribute) is not None}
    )
    if not values:
        known = sorted({key for f in features.items[:100] for key in f.properties})
        raise SettingsError(
            f"attribute {attribute!r}: no feature has it; they have {', '.join(known) or 'none'}"
        )
    return tuple({"name": value, "filter": ["==", attribute, value]} for value in values)


def single_class(name: str) -> tuple[dict[str, Any], ...]:
    """Every feature is one class, as SpaceNet's building footprints are."""
    return ({"name": name, "filter": None},)


def cut_of(folder: Path) -> tuple[int, int, tuple[int, ...]]:
    """(chip, overlap, bands) of an earlier import of scenes."""
    settings = _summary(folder)["settings"]
    return int(settings["chip"]), int(settings["overlap"]), tuple(int(n) for n in settings["bands"])


def stretch_of(folder: Path) -> Stretch:
    """The middle of the stretches that an earlier import's scenes got."""
    lines = [json.loads(line) for line in (folder / "places.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [line["stretch"] for line in lines if "stretch" in line]
    if not found:
        raise ManifestError(f"{folder}: its places.jsonl records no stretch")
    low, high = (np.median([entry[end] for entry in found], axis=0) for end in ("low", "high"))
    first = found[0]
    return Stretch(
        tuple(first["bands"]), tuple(map(float, low)), tuple(map(float, high)), bool(first["decibels"])
    )


def _summary(folder: Path) -> dict[str, Any]:
    try:
        summary = json.loads((folder / "import.json").read_text(encoding="utf-8"))
        if summary["settings"]["kind"] != "geo":
            raise KeyError("kind")
    except (OSError, ValueError, KeyError, TypeError):
        raise ManifestError(
            f"{folder} holds no finished import of GeoTIFFs: --like takes its folder"
        ) from None
    return dict(summary)
