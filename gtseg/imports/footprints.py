"""GeoJSON footprints of georeferenced masks: polygons per class, simplified and merged across mask borders.

Coordinates are in EPSG:4326 (RFC 7946). Touching polygons of a class in neighboring masks are merged, so that a
building on a tile border is counted once. `area` is in the mask's map units, `square_metres` is geodesic.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.core.classes import VOID
from gtseg.core.files import write_atomically

from .slippy import Tile

WEB_MERCATOR = "EPSG:3857"
BATCH_SIZE = 2000
"""Polygons at mask borders that are merged together: smaller batches take longer, larger ones more memory."""


@dataclass(frozen=True)
class GeoMask:
    """(H, W) uint8 class indices with transform and coordinate reference system."""

    mask: NDArray[np.uint8]
    transform: Any
    crs: str


def write_nodata(folder: Path, name: str, nodata: NDArray[np.bool_]) -> str:
    """Write the (H, W) no-data pixels of a chip, which are excluded from footprints of its predicted mask.

    Returns the file's path relative to `folder`.
    """
    buffer = io.BytesIO()
    Image.fromarray(nodata).save(buffer, "PNG", optimize=True)
    write_atomically(folder / "nodata" / f"{name}.png", buffer.getvalue())
    return f"nodata/{name}.png"


def transform_of_tile(tile: Tile, shape: tuple[int, int]) -> Any:
    """Return the transform of a tile's (H, W) mask to Web Mercator."""
    from rasterio.transform import from_bounds

    return from_bounds(*tile.mercator(), shape[1], shape[0])


def mask_of_tile(mask: NDArray[np.uint8], tile: Tile) -> GeoMask:
    height, width = mask.shape
    return GeoMask(mask, transform_of_tile(tile, (height, width)), WEB_MERCATOR)


def polygons_of(mask: GeoMask, index: int) -> list[Any]:
    """Return the polygons of a class along pixel edges, in map coordinates."""
    from rasterio.features import shapes
    from shapely.geometry import shape

    region = (mask.mask == index).astype(np.uint8)
    return [shape(geometry) for geometry, _ in shapes(region, mask=region == 1, transform=mask.transform)]


@dataclass(frozen=True)
class MaskFile:
    """Bounds, coordinate reference system and pixel size of a mask that `load` reads."""

    bounds: tuple[float, float, float, float]
    """(west, south, east, north) in map units."""
    crs: str
    pixel_size: float
    """Side of a pixel in map units."""
    load: Callable[[], GeoMask]


def mask_file(transform: Any, crs: str, shape: tuple[int, ...], load: Callable[[], GeoMask]) -> MaskFile:
    """Return the description of an (H, W) mask that `load` reads."""
    height, width = shape
    corners = [transform @ (x, y) for x in (0, width) for y in (0, height)]
    xs, ys = zip(*corners, strict=True)
    return MaskFile((min(xs), min(ys), max(xs), max(ys)), crs, float(abs(transform.a)), load)


def to_feature_collection(
    masks: Iterable[GeoMask], classes: Sequence[str], *, tolerance: float = 0.5, smallest: float = 4.0
) -> dict[str, Any]:
    """Return a GeoJSON FeatureCollection. `tolerance` (simplification) and `smallest` (area) are in pixels."""
    files = [mask_file(mask.transform, mask.crs, mask.mask.shape, partial(_identity, mask)) for mask in masks]
    features = stream_features(files, classes, tolerance=tolerance, smallest=smallest)
    return {"type": "FeatureCollection", "features": list(features)}


def _identity(mask: GeoMask) -> GeoMask:
    return mask


def stream_features(
    files: Sequence[MaskFile],
    classes: Sequence[str],
    *,
    tolerance: float = 0.5,
    smallest: float = 4.0,
    batch_size: int = BATCH_SIZE,
) -> Iterator[dict[str, Any]]:
    """Yield GeoJSON features in constant memory; each mask is read once, from north to south.

    A polygon that touches no other mask is yielded immediately. Others are pending until all masks that the merged
    polygon may touch have been read: about the polygons along one row of masks. Up to `batch_size` of them are merged
    together.
    """
    for crs in sorted({file.crs for file in files}):
        same_crs = sorted((f for f in files if f.crs == crs), key=lambda file: (-file.bounds[3], file.bounds[0]))
        side = max(file.pixel_size for file in same_crs)
        for name, polygon in _merge_across_borders(same_crs, classes, margin=side / 100, batch_size=batch_size):
            yield from _features([polygon], name, crs, tolerance * side, smallest * side * side)


def _merge_across_borders(
    files: Sequence[MaskFile], classes: Sequence[str], *, margin: float, batch_size: int
) -> Iterator[tuple[str, Any]]:
    """Yield (class, polygon) of masks in the same system, ordered from north to south, merged across their borders."""
    from shapely import STRtree, box

    tree = STRtree([box(*file.bounds) for file in files])
    pending: dict[int, list[Any]] = {index: [] for index in range(1, len(classes) + 1) if index != VOID}
    limit = batch_size
    for number, file in enumerate(files):
        mask = file.load()
        for index in pending:
            for polygon in polygons_of(mask, index):
                if len(_touched_masks(tree, polygon, margin)) == 1:
                    yield classes[index - 1], polygon
                else:
                    pending[index].append(polygon)
        if sum(map(len, pending.values())) > limit:
            yield from _merge_pending(pending, classes, tree, margin=margin, done=number)
            limit = max(batch_size, 2 * sum(map(len, pending.values())))
    yield from _merge_pending(pending, classes, tree, margin=margin, done=len(files))


def _merge_pending(
    pending: dict[int, list[Any]], classes: Sequence[str], tree: Any, *, margin: float, done: int
) -> Iterator[tuple[str, Any]]:
    """Merge the pending polygons, and yield and remove those that touch no mask after number `done`."""
    from shapely import get_parts, union_all

    for index, polygons in pending.items():
        kept = []
        # the common border of two masks is computed for each of them, so the last digits may differ
        for polygon in get_parts(union_all(polygons, grid_size=margin / 10)):
            if _touched_masks(tree, polygon, margin).max(initial=0) > done:
                kept.append(polygon)
            else:
                yield classes[index - 1], polygon
        pending[index] = kept


def _touched_masks(tree: Any, polygon: Any, margin: float) -> NDArray[np.int64]:
    """Return the numbers of the masks whose bounds the polygon's bounds touch."""
    from shapely import box

    west, south, east, north = polygon.bounds
    return np.asarray(tree.query(box(west - margin, south - margin, east + margin, north + margin)))


def _features(polygons: list[Any], name: str, crs: str, tolerance: float, smallest: float) -> list[dict[str, Any]]:
    from pyproj import Geod, Transformer
    from shapely import get_parts, transform, union_all
    from shapely.geometry import mapping

    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    earth = Geod(ellps="WGS84")
    features = []
    for polygon in get_parts(union_all(polygons)):
        outline = polygon.simplify(tolerance, preserve_topology=True)
        if outline.area < smallest or outline.is_empty:
            continue
        in_degrees = transform(outline, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])))
        properties = {"class": name, "area": round(float(polygon.area), 3)}
        properties["square_metres"] = round(abs(earth.geometry_area_perimeter(in_degrees)[0]), 1)
        features.append({"type": "Feature", "properties": properties, "geometry": mapping(in_degrees)})
    return features
