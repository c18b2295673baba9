"""Chips of a scene: 8-bit windows with masks burned from the features, written with their georeference and stretch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gtseg.core.account import Loss
from gtseg.errors import ImageError, ManifestError, SettingsError

from .class_rules import classify, read_rules
from .footprints import write_nodata
from .geo_settings import GeoSettings
from .outcomes import DrawnFeatures, Labeled, Outcome, Skipped
from .output_files import write_pair
from .photographs import jpeg_bytes
from .radiometry import Stretch, apply_stretch, fit_stretch
from .rasterization import Burnable, burn_numbered
from .scene_features import read_scene_features
from .scene_pairs import Scene
from .scenes import color_bands, corners, gdal_environment, open_scene, valid_pixels, zero_share
from .windows import Window, windows

ZERO_SHARE = 0.02
"""Share of pixels with value 0 in every band above which a note is reported."""


@dataclass(frozen=True)
class SceneTask:
    folder: Path
    scene: Scene
    settings: GeoSettings
    class_count: int


def chip_scene(task: SceneTask) -> list[Outcome]:
    """Write all chips of a scene. A scene that cannot be read is skipped with the reason."""
    from rasterio.errors import RasterioError

    try:
        with gdal_environment(task.scene.options), open_scene(task.scene.image) as dataset:
            outcomes = _write_chips(dataset, task)
    except (RasterioError, ImageError, ManifestError) as error:
        return [Skipped(task.scene.image, str(error), "scene")]
    for position, outcome in enumerate(outcomes):
        if isinstance(outcome, Labeled):
            outcomes[position] = replace(outcome, used={"scene": 1})
            return outcomes
    kind: Any = "note" if task.settings.bbox else "lost"
    return [*outcomes, Skipped(task.scene.image, "no chip with data in the selected area", "scene", kind)]


class _Shape(NamedTuple):
    burnable: Burnable
    source: str
    """Path of its feature file."""


def _write_chips(dataset: Any, task: SceneTask) -> list[Outcome]:
    settings, rules = task.settings, read_rules(task.settings.classes)
    numbers = select_bands(dataset, settings)
    found = [(str(path), read_scene_features(dataset, path, task.scene, settings)) for path in task.scene.features]
    shapes = [_Shape(burnable, path) for path, features in found for burnable in classify(features.items, rules)]
    stretch = settings.stretch or _fit_stretch(dataset, numbers, settings)
    outcomes: list[Outcome] = [*_note_zeros(dataset, numbers, task)]
    empty: list[Window] = []
    area = _selected_area(dataset, settings)
    index = _ShapeIndex(dataset, shapes)
    drawn: dict[str, set[int]] = {}
    for window in windows(dataset.height, dataset.width, size=settings.chip, overlap=settings.overlap):
        if area is not None and not _polygon_of(dataset, window).intersects(area):
            continue
        touching = index.touching(window)
        if not touching:
            empty.append(window)
            continue
        outcome = _write_chip(dataset, task, window, [shape.burnable for shape in touching], stretch)
        outcomes.append(outcome)
        if isinstance(outcome, Labeled):
            shown = set(outcome.extra.pop("features"))
            for shape in touching:
                if shape.burnable.number in shown:
                    drawn.setdefault(shape.source, set()).add(shape.burnable.number)
    for window in _select_background(empty, len(outcomes), settings, task.scene.name):
        outcome = _write_chip(dataset, task, window, [], stretch)
        if isinstance(outcome, Labeled):
            outcome.extra.pop("features")
        outcomes.append(outcome)
    on_scene = index.touching(Window(0, 0, dataset.height, dataset.width))
    for path, _ in found:
        inside = {shape.burnable.number for shape in on_scene if shape.source == path}
        outcomes.append(DrawnFeatures(path, tuple(sorted(drawn.get(path, ()))), tuple(sorted(inside))))
    return outcomes


def _note_zeros(dataset: Any, numbers: tuple[int, ...], task: SceneTask) -> Iterator[Loss]:
    """Report a scene without a no-data value that is 0 in every band of a part of its area."""
    if dataset.nodata is not None or task.settings.nodata is not None or task.settings.decibels:
        return
    share = zero_share(dataset, numbers)
    if share > ZERO_SHARE:
        reason = "pixels with value 0 in every band and no declared no-data value; if 0 means no data, use --nodata 0"
        yield Loss("scene", reason, f"{task.scene.image} ({share:.0%})", kind="note")


def select_bands(dataset: Any, settings: GeoSettings) -> tuple[int, ...]:
    """Return the selected band numbers (from 1); by default the first three, or the first one of fewer than three.

    Raises SettingsError for a selection that the scene does not have, or that is not one or three bands.
    """
    numbers = settings.bands or ((1, 2, 3) if color_bands(dataset) >= 3 else (1,))
    missing = [n for n in numbers if not 1 <= n <= dataset.count]
    if missing or len(numbers) not in {1, 3}:
        raise SettingsError(
            f"bands {list(numbers)} of {dataset.name}: must be one or three band numbers from 1 to {dataset.count}"
        )
    return tuple(numbers)


def _fit_stretch(dataset: Any, numbers: tuple[int, ...], settings: GeoSettings) -> Stretch:
    """Return the stretch of a scene, fitted to a read at reduced resolution of about a megapixel."""
    step = max(1, int(np.sqrt(dataset.height * dataset.width / 1_000_000)))
    shape = (len(numbers), max(1, dataset.height // step), max(1, dataset.width // step))
    bands = dataset.read(list(numbers), out_shape=shape)
    valid = valid_pixels(dataset, bands, numbers, decibels=settings.decibels, nodata=settings.nodata, out_shape=shape)
    return fit_stretch(bands, valid, numbers=numbers, percentiles=settings.percentiles, decibels=settings.decibels)


def _polygon_of(dataset: Any, window: Window) -> Any:
    from shapely.geometry import Polygon

    return Polygon(corners(dataset, (window.row, window.column, window.height, window.width)))


class _ShapeIndex:
    """Spatial index of the shapes on a scene."""

    def __init__(self, dataset: Any, shapes: Sequence[_Shape]) -> None:
        from shapely import STRtree

        self._dataset, self._shapes = dataset, shapes
        self._tree = STRtree([shape.burnable.geometry for shape in shapes])

    def touching(self, window: Window) -> list[_Shape]:
        """Return the shapes that intersect a window, in their original order."""
        hits = self._tree.query(_polygon_of(self._dataset, window), predicate="intersects")
        return [self._shapes[i] for i in sorted(map(int, hits))]


def _selected_area(dataset: Any, settings: GeoSettings) -> Any:
    if settings.bbox is None:
        return None
    from rasterio.warp import transform_bounds
    from shapely.geometry import box

    return box(*transform_bounds("EPSG:4326", dataset.crs, *settings.bbox))


def _select_background(empty: list[Window], labeled: int, settings: GeoSettings, scene: str) -> list[Window]:
    """Return all empty windows, or `background_ratio` per labeled chip, drawn reproducibly from the seed."""
    if settings.background_ratio is None:
        return empty
    count = min(len(empty), round(settings.background_ratio * max(labeled, 1)))

    def order(window: Window) -> bytes:
        return hashlib.sha256(f"{settings.seed} {scene} {window.row} {window.column}".encode()).digest()

    return sorted(sorted(empty, key=order)[:count])


def _write_chip(
    dataset: Any, task: SceneTask, window: Window, shapes: list[Burnable], stretch: Stretch
) -> Labeled | Skipped:
    """Write the files of a chip. `extra["features"]` of the result holds the numbers of the features in its mask."""
    from rasterio.windows import Window as RasterWindow

    raster, settings = RasterWindow(window.column, window.row, window.width, window.height), task.settings
    name = f"{task.scene.name}_{window.row}_{window.column}"
    bands = dataset.read(list(stretch.bands), window=raster)
    valid = valid_pixels(
        dataset, bands, stretch.bands, decibels=stretch.decibels, nodata=settings.nodata, window=raster
    )
    if not valid.any():
        return Skipped(f"{task.scene.image} {window.row},{window.column}", "no data in the whole chip", "image", "note")
    transform = dataset.window_transform(raster)
    burned = burn_numbered(
        shapes,
        (window.height, window.width),
        transform=transform,
        all_touched=settings.all_touched,
        valid=valid,
    )
    pixels = apply_stretch(bands, stretch)
    pixels[~valid] = 0
    extra: dict[str, Any] = {
        "georeference": {
            "crs": dataset.crs.to_string() if dataset.crs else None,
            "transform": list(transform)[:6],
        },
        "stretch": stretch.as_json(),
        "features": burned.numbers,
    }
    if not valid.all():
        extra["nodata"] = write_nodata(task.folder, name, ~valid)
    return write_pair(
        task.folder,
        name,
        jpeg_bytes(pixels),
        burned.mask,
        classes=task.class_count,
        source=task.scene.image,
        group=task.scene.name,
        extra=extra,
    )
