"""Polygons, lines and points with their properties, from GeoJSON (object, collection or line by line) or shapefiles.

Sources: RFC 7946 (coordinates in EPSG:4326) and the older `crs` member, which SpaceNet's files have; ESRI shapefiles
with a `.prj` file, read with pyshp.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gtseg.core.account import Loss, merge_losses
from gtseg.errors import ManifestError

from .files import read_text

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

NO_GEOMETRY = "missing, empty or invalid geometry"


@dataclass(frozen=True)
class Feature:
    """Geometry, properties, and `number`, the position in the file from 1."""

    geometry: BaseGeometry
    properties: dict[str, Any]
    number: int = 0


@dataclass(frozen=True)
class Features:
    """Features in one coordinate reference system (`crs`: any form that pyproj accepts; None if unknown).

    `total` counts all features of the file, `losses` those that are not in `items`.
    """

    items: tuple[Feature, ...]
    crs: str | None
    repaired: int = 0
    total: int = 0
    losses: tuple[Loss, ...] = ()


def read_features(path: Path, *, crs: str | None = None) -> Features:
    """Read a .geojson, .json, .geojsonl or .shp file, or a zipped shapefile; `crs` overrides the file's own.

    Raises ManifestError if the file is missing or cannot be read.
    """
    if not path.exists():
        raise ManifestError(f"{path}: feature file not found")
    files = [
        path,
        *(path.with_suffix(ending) for ending in (".dbf", ".prj") if path.suffix.lower() == ".shp"),
    ]
    versions = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists())
    return _read_version(path, crs, versions)


@lru_cache(maxsize=2)
def _read_version(path: Path, crs: str | None, versions: tuple[tuple[int, int], ...]) -> Features:
    """Read a file once for all scenes that use it; (time, size) of its files are part of the cache key."""
    if path.suffix.lower() in {".shp", ".zip"}:
        raw, own = _read_shapefile(path)
    else:
        raw, own = _read_geojson(path)
    return _parse_features(raw, crs or own, str(path))


def _read_geojson(path: Path) -> tuple[Iterable[dict[str, Any]], str | None]:
    text = read_text(path, "GeoJSON")
    if not text.strip():
        return [], "OGC:CRS84"  # SpaceNet has empty files for tiles without buildings
    try:
        document = json.loads(text)
    except RecursionError:
        raise ManifestError(f"{path}: not GeoJSON: nested too deeply") from None
    except json.JSONDecodeError as error:
        lines = [line.strip("\x1e \r\t") for line in text.splitlines()]
        if len([line for line in lines if line]) < 2 or not lines[0].endswith("}"):
            raise ManifestError(f"{path}: not GeoJSON: {error}") from error
        return _parse_lines(path, lines), "OGC:CRS84"
    if not isinstance(document, dict) or "type" not in document:
        raise ManifestError(f"{path}: not GeoJSON: the top level has no `type`")
    return _features_of(document), _crs_of(document)


def _parse_lines(path: Path, lines: list[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if line:
            try:
                yield from _features_of(json.loads(line))
            except json.JSONDecodeError as error:
                raise ManifestError(f"{path}: line {number} is not GeoJSON: {error}") from error


def _features_of(document: dict[str, Any]) -> Iterable[dict[str, Any]]:
    if document.get("type") == "FeatureCollection":
        features = document.get("features") or []
        return features if isinstance(features, list) else []
    if document.get("type") == "Feature":
        return [document]
    return [{"type": "Feature", "geometry": document, "properties": {}}]


def _crs_of(document: dict[str, Any]) -> str | None:
    """Return the `crs` member (GeoJSON 2008) if there is one, else EPSG:4326 (RFC 7946)."""
    crs = document.get("crs")
    if not isinstance(crs, dict):
        return "OGC:CRS84"
    name = str((crs.get("properties") or {}).get("name") or "")
    return name.replace("urn:ogc:def:crs:", "").replace("::", ":").replace("OGC:1.3:", "OGC:") or None


def _read_shapefile(path: Path) -> tuple[Iterable[dict[str, Any]], str | None]:
    import shapefile

    shapefile.VERBOSE = False  # invalid shapes are counted by `_parse_features`
    try:
        with shapefile.Reader(str(path)) as reader:
            raw = [
                {
                    "geometry": item.shape.__geo_interface__ if item.shape.shapeType else None,
                    "properties": item.record.as_dict(),
                }
                for item in reader.iterShapeRecords()
            ]
    except shapefile.ShapefileException as error:
        raise ManifestError(f"{path}: not a readable shapefile: {error}") from error
    projection = path.with_suffix(".prj")
    return raw, projection.read_text() if projection.exists() else None


def _parse_features(raw: Iterable[Any], crs: str | None, source: str) -> Features:
    from shapely import get_coordinates, make_valid
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    items, losses, repaired, number = [], [], 0, 0
    for number, feature in enumerate(raw, 1):
        name = f"feature {number} of {source}"
        try:
            if feature.get("geometry") is None:
                losses.append(Loss("feature", NO_GEOMETRY, name))
                continue
            with np.errstate(invalid="ignore"):  # NaN coordinates are counted below
                geometry = shape(feature["geometry"])
            is_usable = not geometry.is_empty and _is_finite(get_coordinates(geometry).ravel().tolist())
        except (ShapelyError, OverflowError, ValueError, TypeError, KeyError, AttributeError, IndexError):
            losses.append(Loss("feature", NO_GEOMETRY, name))
            continue
        if not is_usable:
            losses.append(Loss("feature", NO_GEOMETRY, name))
            continue
        if not geometry.is_valid:
            geometry, repaired = make_valid(geometry), repaired + 1
        items.append(Feature(geometry, dict(feature.get("properties") or {}), number))
    return Features(tuple(items), crs, repaired, number, merge_losses(losses))


def _is_finite(values: Iterable[float]) -> bool:
    return all(map(math.isfinite, values))


def reproject(features: Features, crs: Any) -> Features:
    """Return the features in another coordinate reference system, x before y in both.

    Features outside the area where the target system is defined are dropped. Raises ManifestError if the features have
    no system, or pyproj does not accept one of the systems.
    """
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError
    from shapely import transform

    if features.crs is None:
        raise ManifestError("the features have no coordinate reference system: specify it, --features-crs EPSG:4326")
    try:
        source, target = CRS.from_user_input(features.crs), CRS.from_user_input(crs)
    except CRSError as error:
        raise ManifestError(f"invalid coordinate reference system: {error}") from error
    if source.equals(target, ignore_axis_order=True):
        return features
    transformer = Transformer.from_crs(source, target, always_xy=True)
    moved = [replace(f, geometry=transform(f.geometry, lambda xy: _project(transformer, xy))) for f in features.items]
    return replace(features, items=tuple(f for f in moved if _is_finite(f.geometry.bounds)), crs=str(crs))


def _project(transformer: Any, xy: Any) -> Any:
    x, y = transformer.transform(xy[:, 0], xy[:, 1])
    return np.column_stack([x, y])
