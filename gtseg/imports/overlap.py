"""Explanation why features and scenes do not overlap: both extents in degrees, their distance, and a suggestion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gtseg.core.plurals import counted

from .features import Features
from .scenes import bounds_of

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Extent:
    """Bounding box as (west, south, east, north) in degrees (None if outside the earth) and in its own system."""

    name: str
    degrees: Box | None
    own: Box
    crs: str
    count: int = 1

    @property
    def text(self) -> str:
        if self.degrees is None:
            left, bottom, right, top = self.own
            return f"x {left:.7g} to {right:.7g}, y {bottom:.7g} to {top:.7g} ({self.crs[:40]}), outside the earth"
        west, south, east, north = self.degrees
        return f"longitude {west:.6g} to {east:.6g}, latitude {south:.6g} to {north:.6g}"


def extent_of_scene(scene: Any, name: str) -> Extent:
    own = bounds_of(scene)
    return Extent(name, to_degrees(own, scene.crs.to_wkt()), own, scene.crs.to_wkt())


def extent_of_features(features: Features, name: str) -> Extent | None:
    boxes = [feature.geometry.bounds for feature in features.items]
    if not boxes:
        return None
    own = (
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    )
    crs = features.crs or ""
    return Extent(name, to_degrees(own, crs) if crs else None, own, crs or "no coordinate reference system", len(boxes))


def to_degrees(own: Box, crs: str) -> Box | None:
    """Convert a box of a coordinate reference system to degrees; None if it is outside the earth."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        source = CRS.from_user_input(crs)
        if source.is_geographic and (max(abs(own[0]), abs(own[2])) > 540 or max(abs(own[1]), abs(own[3])) > 90.01):
            return None
        found = Transformer.from_crs(source, "EPSG:4326", always_xy=True).transform_bounds(*own)
    except ProjError:
        return None
    if not all(map(math.isfinite, found)):
        return None
    west, south, east, north = found
    return west, south, east + 360 if east < west else east, north  # across the antimeridian


def explain_no_overlap(features: Sequence[Extent], scenes: Sequence[Extent]) -> str:
    """Return both extents, the distance, and the change that would make them overlap, if there is one."""
    if not features or not scenes:
        return "no feature overlaps a scene"
    first, scene = features[0], scenes[0]
    count = sum(extent.count for extent in features)
    text = (
        f"no feature overlaps a scene ({counted(count, 'feature')}): {first.name} is at {first.text}; "
        f"{scene.name} is at {scene.text}"
    )
    if len(scenes) > 1:
        text += f" ({len(scenes)} scenes in total)"
    gap = distance(first.degrees, scene.degrees) if first.degrees and scene.degrees else None
    if gap:
        text += f"; {gap / 1000:,.0f} km apart"
    return ". ".join([text, *_suggestions(first, scenes)])


def _suggestions(features: Extent, scenes: Sequence[Extent]) -> Iterator[str]:
    west, south, east, north = features.own
    swapped = (south, west, north, east)
    for scene in scenes:
        if _intersect(to_degrees(swapped, features.crs or "EPSG:4326"), scene.degrees):
            yield (
                f"With swapped axes it would overlap {scene.name}: GeoJSON has longitude before latitude, so swap the "
                "coordinates in the file"
            )
            return
    for scene in scenes:
        for crs in (scene.crs, "EPSG:3857", "EPSG:4326"):
            if crs != features.crs and _intersect(to_degrees(features.own, crs), scene.degrees):
                code = _epsg_code(crs)
                yield f"Read as {code} it would overlap {scene.name}: use --features-crs {code}"
                return
    yield "Check that it is the right file and that its coordinate reference system is right (--features-crs)"


def _epsg_code(crs: str) -> str:
    from pyproj import CRS

    code = CRS.from_user_input(crs).to_epsg()
    return f"EPSG:{code}" if code else "the scene's own system"


def _intersect(a: Box | None, b: Box | None) -> bool:
    return a is not None and b is not None and a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def distance(a: Box, b: Box) -> float:
    """Return the geodesic distance in meters between the centers of two boxes in degrees."""
    from pyproj import Geod

    return float(Geod(ellps="WGS84").inv((a[0] + a[2]) / 2, (a[1] + a[3]) / 2, (b[0] + b[2]) / 2, (b[1] + b[3]) / 2)[2])
