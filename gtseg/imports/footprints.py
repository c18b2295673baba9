"""Masks with a place on earth -> GeoJSON footprints: polygons per class, simplified, joined across tile borders.

Coordinates are EPSG:4326 (RFC 7946). A tile's place is its Web Mercator square, a chip's the transform that its
import recorded. Touching polygons of one class in neighbouring masks become one, so that a building on a tile
border is counted once. `area` is in the mask's own map units, `square_metres` is geodesic.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.core.files import write_atomically

from .rasterization import VOID
from .slippy import Tile

WEB_MERCATOR = "EPSG:3857"
WAITING = 2000
"""Polygons at the borders of masks that are joined together: fewer takes longer, more takes memory."""


@dataclass(frozen=True)
class Placed:
    """An (H, W) uint8 mask of class indices and where it lies."""

    mask: NDArray[np.uint8]
    transform: Any
    crs: str


def write_nodata(folder: Path, name: str, nodata: NDArray[np.bool_]) -> str:
    """Keep which pixels of an (H, W) chip have no data, for what is drawn from its predicted mask; the file relative to `folder`."""
    buffer = io.BytesIO()
    Image.fromarray(nodata).save(buffer, "PNG", optimize=True)
    write_atomically(folder / "nodata" / f"{name}.png", buffer.getvalue())
    return f"nodata/{name}.png"


def transform_of_tile(tile: Tile, shape: tuple[int, int]) -> Any:
    """Pixels of a tile's (H, W) mask -> Web Mercator."""
    from rasterio.transform import from_bounds

    return from_bounds(*tile.mercator(), shape[1], shape[0])


def place_of_tile(mask: NDArray[np.uint8], tile: Tile) -> Placed:
    height, width = mask.shape
    return Placed(mask, transform_of_tile(tile, (height, width)), WEB_MERCATOR)


def polygons_of(placed: Placed, index: int) -> list[Any]:
    """Polygons along the pixel edges of one class, in the mask's own coordinates."""
    from rasterio.features import shapes
    from shapely.geometry import shape

    region = (placed.mask == index).astype(np.uint8)
    return [shape(geometry) for geometry, _ in shapes(region, mask=region == 1, transform=placed.transform)]


@dataclass(frozen=True)
class Site:
    """A mask that is not read yet: where it lies, in its own system, and how long a pixel's side is there."""

    bounds: tuple[float, float, float, float]
    """west, south, east, north"""
    crs: str
    side: float
    load: Callable[[], Placed]


def site_of(placed: Placed) -> Site:
    """The site of a mask that is in memory already."""
    return site_at(placed.transform, placed.crs, placed.mask.shape, lambda: placed)


def site_at(transform: Any, crs: str, shape: tuple[int, ...], load: Callable[[], Placed]) -> Site:
    """The site of an (H, W) mask; `load` reads it."""
    height, width = shape
    corners = [transform @ (x, y) for x in (0, width) for y in (0, height)]
    xs, ys = zip(*corners, strict=True)
    return Site((min(xs), min(ys), max(xs), max(ys)), crs, float(abs(transform.a)), load)


def to_feature_collection(
    masks: Iterable[Placed], classes: Sequence[str], *, tolerance: float = 0.5, smallest: float = 4.0
) -> dict[str, Any]:
    """A GeoJSON FeatureCollection; `tolerance` (simplification) and `smallest` (area) are in pixels of the masks."""
    sites = [site_of(placed) for placed in masks]
    features = stream_features(sites, classes, tolerance=tolerance, smallest=smallest)
    return {"type": "FeatureCollection", "features": list(features)}


def stream_features(
    sites: Sequence[Site],
    classes: Sequence[str],
    *,
    tolerance: float = 0.5,
    smallest: float = 4.0,
    at_once: int = WAITING,
) -> Iterator[dict[str, Any]]:
    """GeoJSON features, in memory that does not grow with the number of masks: each is read once, from north to south.

    A polygon that touches no other mask is told at once; one that does waits until all masks that its whole may reach have been
    read. So as many polygons wait as there are along one row of masks. `at_once` of them are joined together.
    """
    for crs in sorted({site.crs for site in sites}):
        own = sorted((site for site in sites if site.crs == crs), key=lambda site: (-site.bounds[3], site.bounds[0]))
        side = max(site.side for site in own)
        for name, polygon in _sweep(own, classes, margin=side / 100, at_once=at_once):
            yield from _features([polygon], name, crs, tolerance * side, smallest * side * side)


def _sweep(sites: Sequence[Site], classes: Sequence[str], *, margin: float, at_once: int) -> Iterator[tuple[str, Any]]:
    """(class, polygon) of all masks of one system, joined across their borders; sites from north to south."""
    from shapely import STRtree, box

    tree = STRtree([box(*site.bounds) for site in sites])
    waiting: dict[int, list[Any]] = {index: [] for index in range(1, len(classes) + 1) if index != VOID}
    limit = at_once
    for number, site in enumerate(sites):
        placed = site.load()
        for index in waiting:
            for polygon in polygons_of(placed, index):
                if len(_reach(tree, polygon, margin)) == 1:
                    yield classes[index - 1], polygon
                else:
                    waiting[index].append(polygon)
        if sum(map(len, waiting.values())) > limit:
            yield from _settle(waiting, classes, tree, margin=margin, done=number)
            limit = max(at_once, 2 * sum(map(len, waiting.values())))
    yield from _settle(waiting, classes, tree, margin=margin, done=len(sites))


def _settle(
    waiting: dict[int, list[Any]], classes: Sequence[str], tree: Any, *, margin: float, done: int
) -> Iterator[tuple[str, Any]]:
    """Join what waits; tell what no mask after number `done` can reach, and keep the rest."""
    from shapely import get_parts, union_all

    for index, polygons in waiting.items():
        kept = []
        # borders of neighbors are computed, each for itself: the last digits may differ
        for polygon in get_parts(union_all(polygons, grid_size=margin / 10)):
            if _reach(tree, polygon, margin).max(initial=0) > done:
                kept.append(polygon)
            else:
                yield classes[index - 1], polygon
        waiting[index] = kept


def _reach(tree: Any, polygon: Any, margin: float) -> NDArray[np.int64]:
    """Numbers of the masks whose bounds a polygon's bounds touch."""
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
        placed = transform(outline, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])))
        properties = {"class": name, "area": round(float(polygon.area), 3)}
        properties["square_metres"] = round(abs(earth.geometry_area_perimeter(placed)[0]), 1)
        features.append({"type": "Feature", "properties": properties, "geometry": mapping(placed)})
    return features
