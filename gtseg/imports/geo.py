"""GeoTIFFs with polygons -> chips with masks (SpaceNet's and NASA's beginnings).

A scene of any band count and depth is cut into windows; the polygons that touch a window are brought into the
scene's coordinate reference system and burned by class; pixels without data are void (255). The stretch to 8 bit
is fitted once per scene (or once for all, `shared_stretch`) and recorded with every chip, with its georeference.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gtseg.core.account import Loss
from gtseg.core.labeling.class_names import arrange_names
from gtseg.core.output_names import unique_names
from gtseg.core.plurals import counted
from gtseg.errors import ImageError, ManifestError, SettingsError

from .chips import Window, windows
from .features import Feature, Features, read_features, reproject
from .files import Listing, list_files
from .footprints import write_nodata
from .journal import run_tasks, stamp_files
from .outcomes import Drawn, Labelled, Outcome, Report, Skipped
from .output_files import write_pair
from .overlap import Extent, explain_miss, extent_of_features, extent_of_scene
from .photographs import jpeg_bytes
from .radiometry import Stretch, apply_stretch, fit_stretch
from .rasterization import Burnable, ClassRule, burn_numbered, class_names, classify, read_rules, unclassified
from .scenes import color_bands, corners, open_scene, valid_pixels, wrapped, zero_share

CACHE_BYTES = 128 * 2**20
"""Of blocks that GDAL keeps, for each process: a row of chips across a wide scene. Its own default grows with the machine."""


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
    nodata: float | None = None
    """A value that is no data where a scene's file says none: pixels that have it in every chosen band."""
    date_attribute: str | None = None
    """The attribute that says on which day a polygon holds; a scene takes those of the day in its own name."""
    class_attribute: str | None = None
    """The attribute whose values are the classes; a feature without a value of it is lost."""
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
FEATURE_SUFFIXES = {".geojson", ".json", ".geojsonl", ".shp", ".zip"}
MUCH_ZERO = 0.02
"""Share of pixels that are 0 in every band from which on it is said."""
NOT_LABELS = re.compile(r"[_-](udm2?|cloud|clouds|mask_?area|aoi|footprint)$", re.IGNORECASE)
"""Endings of files beside a scene that describe the scene and label nothing (SpaceNet 7's unusable data mask)."""


def pair_scenes(
    images: Path | Sequence[str],
    features: Path | None,
    *,
    options: tuple[tuple[str, str], ...] = (),
    follow_links: bool = False,
) -> tuple[list[Scene], list[Skipped | Loss]]:
    """Scenes (of a file or folder, or by GDAL's own names) and the files of features that belong to them.

    One file of features serves all scenes. In a folder, each scene takes the file with its own stem, or its stem and more
    (`<stem>_Buildings.geojson`), or the same image id: SpaceNet names `<product>_AOI_<n>_<city>_img<id>.tif` and
    `buildings_AOI_..._img<id>.geojson`. Files of equal names in several folders belong to the scenes of the same folders.
    """
    losses: list[Skipped | Loss] = []
    if isinstance(images, Path):
        listing = _scene_files(images, follow_links)
        scenes, root = list(listing.files), images if images.is_dir() else images.parent
        losses += listing.losses
    else:
        scenes, root = (
            [Path(name) for name in images],
            Path(os.path.commonpath([str(Path(n).parent) for n in images] or ["."])),
        )
    if not scenes:
        raise ManifestError(f"{images}: no GeoTIFF (.tif, .tiff, .vrt, .jp2) found")
    names = unique_names([path.relative_to(root).as_posix() for path in scenes])
    if features is None or not features.is_dir():
        own = (features,) if features else ()
        return [Scene(str(p), own, name, options) for p, name in zip(scenes, names, strict=True)], losses
    found = list_files(features, FEATURE_SUFFIXES, unit="feature file", follow_links=follow_links)
    losses += found.losses
    index = _FeatureIndex(features, found.files, [path.stem.lower() for path in scenes])
    paired: list[Scene] = []
    for path, name in zip(scenes, names, strict=True):
        match = index.find(path)
        if isinstance(match, Path):
            paired.append(Scene(str(path), (match,), name, options))
        else:
            losses.append(Skipped(str(path), match, "scene"))
    used = {path for scene in paired for path in scene.features}
    for path in found.files:
        if path not in used:
            note = NOT_LABELS.search(path.stem)
            reason = "a description of a scene, no labels" if note else "of no scene"
            losses.append(Loss("feature file", reason, str(path), kind="note" if note else "outside"))
    return paired, losses


def _scene_files(images: Path, follow_links: bool) -> Listing:
    if images.is_dir():
        return list_files(images, IMAGE_SUFFIXES, unit="scene", follow_links=follow_links)
    if not images.exists():
        raise ManifestError(f"{images}: no such file or folder of scenes")
    return Listing((images,))


def _image_id(stem: str) -> str:
    """`img1234`, or the last two numbers (`_x_y`) that vector and raster tiles of one grid share."""
    parts = stem.lower().split("_")
    if parts[-1].startswith("img"):
        return "_".join(p for p in parts if p.startswith(("img", "aoi")) or p.isdecimal()) or parts[-1]
    return "_".join(parts[-2:])


class _FeatureIndex:
    """Files of features by stem, by the scene whose stem they begin with, and by image id."""

    def __init__(self, root: Path, files: Sequence[Path], stems: Sequence[str]) -> None:
        self._root = root
        self._by_stem: dict[str, list[Path]] = {}
        self._by_scene: dict[str, list[Path]] = {}
        self._by_id: dict[str, list[Path]] = {}
        known = sorted(set(stems), key=len, reverse=True)
        for path in files:
            stem = path.stem.lower()
            self._by_stem.setdefault(stem, []).append(path)
            if NOT_LABELS.search(stem):
                continue
            self._by_id.setdefault(_image_id(stem), []).append(path)
            if owner := next((k for k in known if stem.startswith((f"{k}_", f"{k}-", f"{k}."))), None):
                self._by_scene.setdefault(owner, []).append(path)

    def find(self, scene: Path) -> Path | str:
        """The scene's file, or why it has none."""
        stem = scene.stem.lower()
        for index, key in ((self._by_stem, stem), (self._by_scene, stem), (self._by_id, _image_id(stem))):
            if files := index.get(key):
                return self._nearest(scene, files)
        return f"no features with its name or image id in {self._root}"

    def _nearest(self, scene: Path, files: Sequence[Path]) -> Path | str:
        """Of several, the one that shares the most folder names with the scene."""
        folders = {part.lower() for part in scene.parent.parts}

        def shared(path: Path) -> int:
            return len({part.lower() for part in path.relative_to(self._root).parent.parts} & folders)

        ranked = sorted(files, key=shared, reverse=True)
        if len(ranked) == 1 or shared(ranked[0]) > shared(ranked[1]):
            return ranked[0]
        return (
            f"{len(files)} files of features could be its own: {ranked[0]}, {ranked[1]}; keep one of them in the folder"
        )


def import_geo(
    scenes: Sequence[Scene],
    folder: Path,
    settings: GeoSettings,
    *,
    name: str,
    early: Sequence[Skipped | Loss] = (),
    limit: int | None = None,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Chips of every scene below `folder`; one task per scene, chips of one scene in one group of the split.

    Raises ManifestError where there are features and none of them touches a scene.
    """
    rules = read_rules(settings.classes)
    classes = class_names(settings.classes)
    chosen = scenes[:limit]
    tasks = [(scene.name, SceneTask(folder, scene, settings, len(classes))) for scene in chosen]
    files = sorted({path for scene in chosen for path in scene.features})
    read = {str(path): read_features(path, crs=settings.features_crs) for path in files}
    losses: list[Skipped | Loss] = [*early]
    for path, features in read.items():
        losses += [
            *features.losses,
            *unclassified(features.items, rules, path, attribute=settings.class_attribute),
        ]
    losses += [Skipped(scene.image, "--limit", "scene", "note") for scene in scenes[len(chosen) :]]
    losses += _untaken_bands(chosen, settings)
    missing = sum(isinstance(loss, Skipped) and loss.unit == "scene" for loss in early)
    came = {"scene": len(scenes) + missing}
    if files:
        came["feature"] = sum(features.came for features in read.values())
    return run_tasks(
        folder,
        tasks,
        chip_scene,
        classes=classes,
        settings={
            "kind": "geo",
            **settings.__dict__,
            "stretch": settings.stretch and settings.stretch.as_json(),
        },
        name=name,
        came=came,
        stamp=lambda task: stamp_files(Path(task.scene.image), *task.scene.features),
        afterwards=lambda outcomes: _lost_features(outcomes, read, chosen, settings, rules),
        notify=notify,
        workers=workers,
        early=losses,
        limited=limit is not None,
    )


def _untaken_bands(scenes: Sequence[Scene], settings: GeoSettings) -> list[Loss]:
    """A note where the scenes have more bands than are taken and nobody chose: those of the first that can be read."""
    for scene in () if settings.bands or settings.stretch else scenes[:10]:
        with contextlib.suppress(Exception), open_scene(scene.image) as source:
            count, taken = color_bands(source), _band_numbers(source, settings)
            if count <= len(taken):
                return []
            chosen = ", ".join(map(str, taken))
            words = f"of {count} bands gives {chosen} (--bands takes others)"
            return [Loss("scene", words, scene.image, len(scenes), "note")]
    return []


def _lost_features(
    outcomes: Sequence[Outcome],
    read: Mapping[str, Features],
    scenes: Sequence[Scene],
    settings: GeoSettings,
    rules: Sequence[ClassRule],
) -> list[Loss]:
    """Features that no chip shows. Raises ManifestError where none of all touches a scene."""
    drawn: dict[str, set[int]] = {}
    inside: dict[str, set[int]] = {}
    for item in (o for o in outcomes if isinstance(o, Drawn)):
        drawn.setdefault(item.source, set()).update(item.numbers)
        inside.setdefault(item.source, set()).update(item.inside)
    are_read = any(isinstance(o, Labelled) for o in outcomes)
    items = [feature for features in read.values() for feature in features.items]
    if items and not any(_is_meant(feature, rules) for feature in items):
        raise ManifestError(_no_class(items, rules))
    if are_read and items and not any(inside.values()):
        raise ManifestError(_explain(read, scenes, settings))
    is_partial = settings.bbox is not None or settings.date_attribute is not None
    losses = []
    for path, features in read.items():
        is_shared = sum(Path(path) in scene.features for scene in scenes) == len(scenes) > 0 and len(read) == 1
        for feature in features.items:
            if feature.number in drawn.get(path, ()) or not _is_meant(feature, rules):
                continue
            name = f"feature {feature.number} of {path}"
            if path not in inside:
                words, kind = "of a scene that was left out", "lost"
            elif feature.number not in inside[path]:
                words, kind = "outside every scene", "outside" if is_shared else "lost"
                if is_partial:
                    words, kind = "outside every scene of its day or box", "note"
            else:
                words = (
                    "no pixel of its own: smaller than one, without data, under another class, or in a chip left out"
                )
                kind = "note" if is_partial or settings.background_ratio is not None else "lost"
            losses.append(Loss("feature", words, name, kind=kind))  # type: ignore[arg-type]
    return losses


def _is_meant(feature: Feature, rules: Sequence[ClassRule]) -> bool:
    return any(rule.accepts(feature.properties, feature.geometry.geom_type) for rule in rules)


def _no_class(items: Sequence[Feature], rules: Sequence[ClassRule]) -> str:
    keys = Counter(key for feature in items for key in feature.properties)
    shown = ", ".join(f"{key} ({count:,}, such as {_value_of(items, key)!r})" for key, count in keys.most_common(6))
    return (
        f"none of {counted(len(items), 'feature')} belongs to a class ({', '.join(rule.name for rule in rules)}): "
        f"the filters match none; they have the properties {shown or 'none'}"
    )


def _value_of(items: Sequence[Feature], key: str) -> Any:
    return next((feature.properties[key] for feature in items if feature.properties.get(key) is not None), None)


def _explain(read: Mapping[str, Features], scenes: Sequence[Scene], settings: GeoSettings) -> str:
    areas = []
    for scene in scenes[:50]:
        with _reading(scene), open_scene(scene.image) as source:
            if source.crs:
                areas.append(extent_of_scene(source, scene.image))
    found = [extent_of_features(features, path) for path, features in read.items() if features.items]
    return explain_miss([e for e in found if isinstance(e, Extent)], areas)


def chip_scene(task: SceneTask) -> list[Outcome]:
    """Every chip of one scene; what cannot be read is skipped with its reason."""
    from rasterio.errors import RasterioError

    try:
        with _reading(task.scene), open_scene(task.scene.image) as scene:
            outcomes = _chip(scene, task)
    except (RasterioError, ImageError, ManifestError) as error:
        return [Skipped(task.scene.image, str(error), "scene")]
    chips = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Labelled)]
    if not chips:
        return [
            *outcomes,
            Skipped(task.scene.image, "no chip of it is left", "scene", "note" if task.settings.bbox else "lost"),
        ]
    first = outcomes[chips[0]]
    assert isinstance(first, Labelled)
    outcomes[chips[0]] = replace(first, used={"scene": 1})
    return outcomes


def _reading(scene: Scene) -> Any:
    """GDAL's surroundings for a scene: rasterio takes credentials as a session, the rest as options."""
    import rasterio
    from rasterio.session import AWSSession

    options = dict(scene.options)
    if not options:
        return rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES)
    session = AWSSession(
        aws_access_key_id=options.pop("AWS_ACCESS_KEY_ID", None),
        aws_secret_access_key=options.pop("AWS_SECRET_ACCESS_KEY", None),
        aws_session_token=options.pop("AWS_SESSION_TOKEN", None),
        region_name=options.pop("AWS_REGION", None),
        endpoint_url=options.pop("AWS_S3_ENDPOINT", None),
        aws_unsigned=options.pop("AWS_NO_SIGN_REQUEST", "NO") == "YES",
    )
    return rasterio.Env(session, GDAL_CACHEMAX=CACHE_BYTES, **options)


def _chip(scene: Any, task: SceneTask) -> list[Outcome]:
    settings, rules = task.settings, read_rules(task.settings.classes)
    numbers = _band_numbers(scene, settings)
    found = [(path, _features_on(scene, path, task)) for path in task.scene.features]
    shapes = [_Shape(shape, str(path)) for path, features in found for shape in classify(features.items, rules)]
    stretch = settings.stretch or _fit(scene, numbers, settings)
    outcomes: list[Outcome] = [*_doubtful_zeros(scene, numbers, task)]
    empty: list[Window] = []
    area = _area(scene, settings)
    tree = _index_shapes(shapes)
    drawn: dict[str, set[int]] = {}
    for window in windows(scene.height, scene.width, size=settings.chip, overlap=settings.overlap):
        if area is not None and not _touches(scene, window, area):
            continue
        near = _near(scene, window, shapes, tree)
        if not near:
            empty.append(window)
            continue
        outcome = _write_chip(scene, task, window, [shape.shape for shape in near], stretch)
        outcomes.append(outcome)
        if isinstance(outcome, Labelled):
            seen = set(outcome.extra.pop("features"))
            for shape in near:
                if shape.shape.number in seen:
                    drawn.setdefault(shape.source, set()).add(shape.shape.number)
    for window in _keep_background(empty, len(outcomes), settings, task.scene.name):
        outcome = _write_chip(scene, task, window, [], stretch)
        if isinstance(outcome, Labelled):
            outcome.extra.pop("features")
        outcomes.append(outcome)
    whole = _near(scene, Window(0, 0, scene.height, scene.width), shapes, tree)
    for path, _ in found:
        inside = {shape.shape.number for shape in whole if shape.source == str(path)}
        outcomes.append(Drawn(str(path), tuple(sorted(drawn.get(str(path), ()))), tuple(sorted(inside))))
    return outcomes


def _doubtful_zeros(scene: Any, numbers: tuple[int, ...], task: SceneTask) -> Iterator[Loss]:
    """Says that a scene is 0 in every band over a part of it, where nothing tells whether that is data."""
    if scene.nodata is not None or task.settings.nodata is not None or task.settings.decibels:
        return
    share = zero_share(scene, numbers)
    if share > MUCH_ZERO:
        words = "0 in every band over a part of it and no no-data value: if that is no data, --nodata 0"
        yield Loss("scene", words, f"{task.scene.image} ({share:.0%})", kind="note")


class _Shape(NamedTuple):
    """What is burned, and the file that it came from."""

    shape: Burnable
    source: str


def _band_numbers(scene: Any, settings: GeoSettings) -> tuple[int, ...]:
    """Band numbers (from 1): as asked, else the first three, or the first alone where there are fewer than three."""
    count = color_bands(scene)
    numbers = settings.bands or ((1, 2, 3) if count >= 3 else (1,))
    wrong = [n for n in numbers if not 1 <= n <= scene.count]
    if wrong or len(numbers) not in {1, 3}:
        raise SettingsError(f"bands {list(numbers)} of {scene.name}: want one or three of 1 to {scene.count}")
    return tuple(numbers)


def _features_on(scene: Any, path: Path, task: SceneTask) -> Features:
    features = read_features(path, crs=task.settings.features_crs)
    if not features.items:
        return features
    if scene.crs is None:
        raise ManifestError(f"{scene.name} names no coordinate reference system, its features cannot be placed")
    if task.settings.date_attribute:
        features = _of_the_day(features, task)
    return wrapped(reproject(_fallback_crs(features, scene), scene.crs), scene)


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
    return replace(features, items=items)


def _fallback_crs(features: Features, scene: Any) -> Features:
    """Old GeoJSON often holds map units but no `crs`: coordinates beyond degrees are taken to be the scene's own."""
    if features.crs != "OGC:CRS84":
        return features
    beyond = any(max(abs(v) for v in f.geometry.bounds) > 360 for f in features.items)
    return replace(features, crs=scene.crs.to_wkt()) if beyond else features


def _fit(scene: Any, numbers: tuple[int, ...], settings: GeoSettings) -> Stretch:
    """The scene's stretch, from a read reduced to about a megapixel: percentiles hardly move."""
    step = max(1, int(np.sqrt(scene.height * scene.width / 1_000_000)))
    shape = (len(numbers), max(1, scene.height // step), max(1, scene.width // step))
    bands = scene.read(list(numbers), out_shape=shape)
    valid = valid_pixels(scene, bands, numbers, decibels=settings.decibels, nodata=settings.nodata, out_shape=shape)
    return fit_stretch(bands, valid, numbers=numbers, percentiles=settings.percentiles, decibels=settings.decibels)


def _raster_window(window: Window) -> Any:
    from rasterio.windows import Window as RasterWindow

    return RasterWindow(window.column, window.row, window.width, window.height)


def _bounds(scene: Any, window: Window) -> Any:
    from shapely.geometry import Polygon

    return Polygon(corners(scene, (window.row, window.column, window.height, window.width)))


def _index_shapes(shapes: Sequence[_Shape]) -> Any:
    from shapely import STRtree

    return STRtree([shape.shape.geometry for shape in shapes]) if shapes else None


def _near(scene: Any, window: Window, shapes: Sequence[_Shape], tree: Any) -> list[_Shape]:
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
    scene: Any, task: SceneTask, window: Window, shapes: list[Burnable], stretch: Stretch
) -> Labelled | Skipped:
    """A chip as files. Its record's `extra["features"]` has the numbers of the features that it shows."""
    raster, settings = _raster_window(window), task.settings
    label = f"{task.scene.name}_{window.row}_{window.column}"
    bands = scene.read(list(stretch.bands), window=raster)
    valid = valid_pixels(scene, bands, stretch.bands, decibels=stretch.decibels, nodata=settings.nodata, window=raster)
    if not valid.any():
        return Skipped(f"{task.scene.image} {window.row},{window.column}", "no data in the whole chip", "image", "note")
    transform = scene.window_transform(raster)
    burned = burn_numbered(
        shapes,
        (window.height, window.width),
        transform=transform,
        all_touched=settings.all_touched,
        valid=valid,
    )
    pixels = apply_stretch(bands, stretch)
    pixels[~valid] = 0
    place = {"crs": scene.crs.to_string() if scene.crs else None, "transform": list(transform)[:6]}
    extra: dict[str, Any] = {
        "georeference": place,
        "stretch": stretch.as_json(),
        "features": burned.numbers,
    }
    if not valid.all():
        extra["nodata"] = write_nodata(task.folder, label, ~valid)
    return write_pair(
        task.folder,
        label,
        jpeg_bytes(pixels),
        burned.mask,
        classes=task.class_count,
        source=task.scene.image,
        group=task.scene.name,
        extra=extra,
    )


def rules_by_attribute(features: Features, attribute: str, *, merge: bool | None = None) -> tuple[dict[str, Any], ...]:
    """One class per value of an attribute, in sorted order: `--class-attribute damage`. 3, 3.0 and "3" are one."""
    values: dict[str, list[Any]] = {}
    for feature in features.items:
        value = feature.properties.get(attribute)
        if isinstance(value, float) and not math.isfinite(value):
            continue
        if value is not None and not isinstance(value, dict | list):
            whole = int(value) if isinstance(value, float) and value.is_integer() else value
            known = values.setdefault(str(whole), [])
            if value not in known:
                known.append(value)
    if not values:
        known_keys = sorted({key for f in features.items[:100] for key in f.properties})
        raise SettingsError(f"attribute {attribute!r}: no feature has it; they have {', '.join(known_keys) or 'none'}")
    names = arrange_names(sorted(values), merge=merge)
    groups: dict[str, list[Any]] = {}
    for name in sorted(values):
        index = names.index[name]
        owner = names.classes[index - 1] if 0 < index <= len(names.classes) else name
        groups.setdefault(owner, []).extend(values[name])
    return tuple({"name": name, "filter": ["in", attribute, *members]} for name, members in groups.items())


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
    return Stretch(tuple(first["bands"]), tuple(map(float, low)), tuple(map(float, high)), bool(first["decibels"]))


def _summary(folder: Path) -> dict[str, Any]:
    try:
        summary = json.loads((folder / "import.json").read_text(encoding="utf-8"))
        if summary["settings"]["kind"] != "geo":
            raise KeyError("kind")
    except (OSError, ValueError, KeyError, TypeError):
        raise ManifestError(f"{folder} holds no finished import of GeoTIFFs: --like takes its folder") from None
    return dict(summary)
