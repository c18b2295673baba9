"""Regions of a mask as outlines along their pixel edges, with and without holes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Piece:
    """One outline without holes, in (x, y) pixels, closed; `cut` says that it is a part of a region that had holes."""

    ring: Points
    cut: bool = False


def outlines(region: NDArray[np.bool_]) -> list[list[Points]]:
    """Rings along the pixel edges of each 4-connected piece, outer ring first, in (x, y) pixels."""
    from rasterio.features import shapes

    mask = region.astype(np.uint8)
    return [geometry["coordinates"] for geometry, _ in shapes(mask, mask=region, connectivity=4)]


def pieces(region: NDArray[np.bool_]) -> list[Piece]:
    """The region as outlines without holes, whose union it is: one with holes is cut through them, up and down."""
    return [piece for rings in outlines(region) for piece in _without_holes(rings, region)]


def _without_holes(rings: Sequence[Points], region: NDArray[np.bool_]) -> Iterator[Piece]:
    if len(rings) == 1:
        yield Piece(rings[0])
        return
    from rasterio.features import rasterize

    geometry = {"type": "Polygon", "coordinates": rings}
    whole = rasterize([geometry], out_shape=region.shape).astype(bool)
    stack = [whole]
    while stack:
        part = stack.pop()
        for found in outlines(part):
            if len(found) == 1:
                yield Piece(found[0], cut=True)
                continue
            own = rasterize([{"type": "Polygon", "coordinates": found}], out_shape=region.shape).astype(bool)
            xs = [x for x, _ in found[1]]
            column = int(min(xs)) + max(1, int(max(xs) - min(xs)) // 2) if max(xs) - min(xs) > 1 else int(min(xs))
            left, right = own.copy(), own.copy()
            left[:, column:] = False
            right[:, :column] = False
            stack += [left, right]


def ring_area(ring: Sequence[tuple[float, float]]) -> float:
    """Of a closed ring, in square pixels."""
    xy = np.asarray(ring)
    return abs(float(np.dot(xy[:-1, 0], xy[1:, 1]) - np.dot(xy[1:, 0], xy[:-1, 1]))) / 2
