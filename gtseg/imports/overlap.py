"""Why features and scenes do not meet: where each lies in degrees, how far apart, and what would bring them together."""

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
    """Where something lies: (west, south, east, north) in degrees (None: nowhere on earth), and in its own units."""

    name: str
    degrees: Box | None
    own: Box
    crs: str
    count: int = 1

    @property
    def words(self) -> str:
        if self.degrees is None:
            return f"{self.own[0]:.7g}..{self.own[2]:.7g}, {self.own[1]:.7g}..{self.own[3]:.7g} in the units of {self.crs[:40]}, which is nowhere on earth"
        west, south, east, north = self.degrees
        return f"longitude {west:.6g} to {east:.6g}, latitude {south:.6g} to {north:.6g}"


def extent_of_scene(scene: Any, name: str) -> Extent:
    own = bounds_of(scene)
    return Extent(name, in_degrees(own, scene.crs.to_wkt()), own, scene.crs.to_wkt())


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
    return Extent(name, in_degrees(own, crs) if crs else None, own, crs or "no coordinate reference system", len(boxes))


def in_degrees(own: Box, crs: str) -> Box | None:
    """A box of a coordinate reference system in degrees; None where it is nowhere on earth."""
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
    return west, south, east + 360 if east < west else east, north  # over the antimeridian


def explain_miss(features: Sequence[Extent], scenes: Sequence[Extent]) -> str:
    """One sentence: both extents, the distance, and what would help where something would."""
    if not features or not scenes:
        return "no feature touches a scene"
    first, scene = features[0], scenes[0]
    count = sum(extent.count for extent in features)
    words = f"no feature touches a scene ({counted(count, 'feature')}): {first.name} lies at {first.words}; {scene.name} at {scene.words}"
    if len(scenes) > 1:
        words += f" ({len(scenes)} scenes in all)"
    far = distance(first.degrees, scene.degrees) if first.degrees and scene.degrees else None
    if far:
        words += f"; {far / 1000:,.0f} km apart"
    return ". ".join([words, *_ways_out(first, scenes)])


def _ways_out(features: Extent, scenes: Sequence[Extent]) -> Iterator[str]:
    west, south, east, north = features.own
    swapped = (south, west, north, east)
    for scene in scenes:
        if _meet(in_degrees(swapped, features.crs or "EPSG:4326"), scene.degrees):
            yield f"With its axes exchanged it would lie on {scene.name}: GeoJSON has longitude before latitude, so exchange them in the file"
            return
    for scene in scenes:
        for crs in (scene.crs, "EPSG:3857", "EPSG:4326"):
            if crs != features.crs and _meet(in_degrees(features.own, crs), scene.degrees):
                yield f"Read as {_short(crs)} it would lie on {scene.name}: --features-crs {_short(crs)}"
                return
    yield "Is it the right file, and its coordinate reference system the one that it says (--features-crs)?"


def _short(crs: str) -> str:
    from pyproj import CRS

    code = CRS.from_user_input(crs).to_epsg()
    return f"EPSG:{code}" if code else "the scene's own system"


def _meet(a: Box | None, b: Box | None) -> bool:
    return a is not None and b is not None and a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def distance(a: Box, b: Box) -> float:
    """Meters between the middles of two boxes in degrees."""
    from pyproj import Geod

    return float(Geod(ellps="WGS84").inv((a[0] + a[2]) / 2, (a[1] + a[3]) / 2, (b[0] + b[2]) / 2, (b[1] + b[3]) / 2)[2])
