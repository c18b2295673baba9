"""Features that lie on a scene, in the scene's coordinate reference system."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gtseg.errors import ManifestError

from .features import Features, read_features, reproject
from .geo_settings import GeoSettings
from .scene_pairs import Scene
from .scenes import bounds_of

DATE = re.compile(r"(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})")
EQUATOR_METERS = 40_075_016.68557849
"""Length of the equator in EPSG:3857."""


def read_scene_features(dataset: Any, path: Path, scene: Scene, settings: GeoSettings) -> Features:
    """Return the features of a file in the coordinate reference system of an open scene.

    With `date_attribute`, only those of the scene's date. Raises ManifestError if the scene has features but no
    coordinate reference system, or no date in its name.
    """
    features = read_features(path, crs=settings.features_crs)
    if not features.items:
        return features
    if dataset.crs is None:
        raise ManifestError(f"{dataset.name} has no coordinate reference system, so features cannot be placed on it")
    if settings.date_attribute:
        features = _of_date(features, scene, settings.date_attribute)
    return repeat_across_antimeridian(reproject(_with_scene_crs(features, dataset), dataset.crs), dataset)


def _date_of(text: str) -> str | None:
    """Return the first date in a text as YYYYMMDD; it may be part of a time stamp (20180714T1030)."""
    found = DATE.search(text)
    return "".join(found.groups()) if found else None


def _of_date(features: Features, scene: Scene, attribute: str) -> Features:
    date = _date_of(scene.name)
    if date is None:
        raise ManifestError(
            f"{scene.image}: the file name has no date (YYYYMMDD or YYYY-MM-DD) to compare "
            f"with the attribute {attribute}"
        )
    items = tuple(f for f in features.items if _date_of(str(f.properties.get(attribute, ""))) == date)
    return replace(features, items=items)


def _with_scene_crs(features: Features, dataset: Any) -> Features:
    """Assume the scene's system for GeoJSON without `crs` whose coordinates exceed degrees, as in old files."""
    if features.crs != "OGC:CRS84":
        return features
    exceeds_degrees = any(max(abs(v) for v in f.geometry.bounds) > 360 for f in features.items)
    return replace(features, crs=dataset.crs.to_wkt()) if exceeds_degrees else features


def repeat_across_antimeridian(features: Features, dataset: Any) -> Features:
    """Add copies of the features shifted by 360 degrees if the scene crosses the antimeridian."""
    from shapely import transform
    from shapely.geometry import box

    left, bottom, right, top = bounds_of(dataset)
    crs = dataset.crs
    turn = 360.0 if crs.is_geographic else EQUATOR_METERS if crs.to_epsg() == 3857 else 0.0
    half = turn / 2 * (1 + 1e-9)
    if not turn or (left >= -half and right <= half):
        return features
    area = box(left, bottom, right, top)
    items = []
    for feature in features.items:
        for shift in (-turn, 0.0, turn):
            geometry = transform(feature.geometry, lambda xy, shift=shift: xy + np.array([shift, 0.0]))
            if shift == 0.0 or geometry.intersects(area):
                items.append(replace(feature, geometry=geometry))
    return replace(features, items=tuple(items))
