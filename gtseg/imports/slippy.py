"""Slippy-map tiles: z/x/y in Web Mercator, and their file names in Label Maker and RoboSat.

Source: OpenStreetMap wiki, "Slippy map tilenames"; Label Maker names tiles `x-y-z`, RoboSat `z/x/y`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from gtseg.errors import ManifestError

EARTH = 2 * math.pi * 6378137.0
"""Length of the equator in EPSG:3857, in meters."""
MAX_LATITUDE = 85.0511287798066


@dataclass(frozen=True, order=True)
class Tile:
    """Tile of zoom `z` (0 to 30), column `x` from the west, row `y` from the north.

    Raises ManifestError if there is no such tile.
    """

    z: int
    x: int
    y: int

    def __post_init__(self) -> None:
        if not (0 <= self.z <= 30 and 0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z):
            raise ManifestError(f"tile z={self.z} x={self.x} y={self.y}: x and y must be from 0 to 2^z - 1, z up to 30")

    @property
    def name(self) -> str:
        """`x-y-z`, Label Maker's file name; `parse_tile` parses it."""
        return f"{self.x}-{self.y}-{self.z}"

    def mercator(self) -> tuple[float, float, float, float]:
        """Return (left, bottom, right, top) in meters of EPSG:3857."""
        side = EARTH / 2**self.z
        left, top = self.x * side - EARTH / 2, EARTH / 2 - self.y * side
        return left, top - side, left + side, top

    def bounds(self) -> tuple[float, float, float, float]:
        """Return (west, south, east, north) in degrees of EPSG:4326."""
        left, bottom, right, top = self.mercator()
        return _longitude(left), _latitude(bottom), _longitude(right), _latitude(top)

    def block(self, side: int) -> str:
        """Return the name of the block of side x side neighboring tiles, a group of the split."""
        return f"{self.z}-{self.x // side}-{self.y // side}"


def _longitude(meters: float) -> float:
    return meters / EARTH * 360


def _latitude(meters: float) -> float:
    return math.degrees(math.atan(math.sinh(meters / EARTH * 2 * math.pi)))


def _column_row(longitude: float, latitude: float, z: int) -> tuple[float, float]:
    latitude = max(-MAX_LATITUDE, min(MAX_LATITUDE, latitude))
    x = (longitude + 180) / 360 * 2**z
    y = (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * 2**z
    return x, y


def tiles_within(bbox: tuple[float, float, float, float], z: int, *, maximum: int = 200_000) -> Iterator[Tile]:
    """Yield the tiles of zoom `z` that a (west, south, east, north) box in degrees touches, row by row.

    Raises ManifestError, before the first tile, for an invalid box or more than `maximum` tiles.
    """
    west, south, east, north = bbox
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise ManifestError(f"bounding box {bbox}: must satisfy west < east and south < north, in degrees")
    left, top = _column_row(west, north, z)
    right, bottom = _column_row(east, south, z)
    last = 2**z - 1
    columns = range(max(0, math.floor(left)), min(last, math.ceil(right) - 1) + 1)
    rows = range(max(0, math.floor(top)), min(last, math.ceil(bottom) - 1) + 1)
    if (count := len(rows) * len(columns)) > maximum:
        raise ManifestError(
            f"{count:,} tiles at zoom {z} exceed the maximum of {maximum:,}: use a smaller box or a lower zoom level"
        )
    for y in rows:
        yield from (Tile(z, x, y) for x in columns)


DASHED = re.compile(r"^(\d+)-(\d+)-(\d+)$")


def parse_tile(path: PurePath) -> Tile | None:
    """Return the tile of a file named `.../z/x/y.ext` (RoboSat) or `x-y-z.ext` (Label Maker), else None."""
    dashed = DASHED.match(path.stem)
    if dashed:
        x, y, z = map(int, dashed.groups())
        return _tile_or_none(z, x, y)
    parts = (*path.parts[-3:-1], path.stem)
    if len(parts) == 3 and all(part.isdecimal() for part in parts):
        return _tile_or_none(*map(int, parts))
    return None


def _tile_or_none(z: int, x: int, y: int) -> Tile | None:
    try:
        return Tile(z, x, y)
    except ManifestError:
        return None
