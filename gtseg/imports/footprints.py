"""Masks with a place on earth -> GeoJSON footprints: polygons per class, simplified, joined across tile borders.

Coordinates are EPSG:4326 (RFC 7946). A tile's place is its Web Mercator square, a chip's the transform that its
import recorded. Touching polygons of one class in neighbouring masks become one, so that a building on a tile
border is counted once. `area` is in the mask's own map units, `square_metres` is geodesic.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.core.files import write_atomically

from .burning import VOID
from .slippy import Tile

__all__ = ["Placed", "place_of_tile", "to_feature_collection", "write_nodata"]


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


def place_of_tile(mask: NDArray[np.uint8], tile: Tile) -> Placed:
    from rasterio.transform import from_bounds

    height, width = mask.shape
    return Placed(mask, from_bounds(*tile.mercator(), width, height), "EPSG:3857")


def polygons_of(placed: Placed, index: int) -> list[Any]:
    """Polygons along the pixel edges of one class, in the mask's own coordinates."""
    from rasterio.features import shapes
    from shapely.geometry import shape

    region = (placed.mask == index).astype(np.uint8)
    return [shape(geometry) for geometry, _ in shapes(region, mask=region == 1, transform=placed.transform)]


def to_feature_collection(
    masks: Iterable[Placed], classes: Sequence[str], *, tolerance: float = 0.5, smallest: float = 4.0
) -> dict[str, Any]:
    """A GeoJSON FeatureCollection; `tolerance` (simplification) and `smallest` (area) are in pixels of the masks."""
    pieces: dict[tuple[str, int], list[Any]] = {}
    pixel: dict[str, float] = {}
    for placed in masks:
        pixel[placed.crs] = max(pixel.get(placed.crs, 0.0), float(abs(placed.transform.a)))
        for index in range(1, len(classes) + 1):
            if index != VOID:
                pieces.setdefault((placed.crs, index), []).extend(polygons_of(placed, index))
    features = []
    for (crs, index), polygons in sorted(pieces.items(), key=lambda item: item[0]):
        side = pixel[crs]
        features += _features(polygons, classes[index - 1], crs, tolerance * side, smallest * side * side)
    return {"type": "FeatureCollection", "features": features}


def _features(
    polygons: list[Any], name: str, crs: str, tolerance: float, smallest: float
) -> list[dict[str, Any]]:
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
