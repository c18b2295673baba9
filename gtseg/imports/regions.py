"""Outlines of mask regions along pixel edges, with and without holes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Piece:
    """Closed outline without holes, in (x, y) pixels. `cut`: it is part of a region with holes, which was divided."""

    ring: Points
    cut: bool = False


def outlines(region: NDArray[np.bool_]) -> list[list[Points]]:
    """Return the rings of each 4-connected component, outer ring first, in (x, y) pixels."""
    from rasterio.features import shapes

    mask = region.astype(np.uint8)
    return [geometry["coordinates"] for geometry, _ in shapes(mask, mask=region, connectivity=4)]


def pieces(region: NDArray[np.bool_]) -> list[Piece]:
    """Return outlines without holes whose union is the region; components with holes are divided by vertical cuts."""
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
            component = rasterize([{"type": "Polygon", "coordinates": found}], out_shape=region.shape).astype(bool)
            xs = [x for x, _ in found[1]]
            column = int(min(xs)) + max(1, int(max(xs) - min(xs)) // 2) if max(xs) - min(xs) > 1 else int(min(xs))
            left, right = component.copy(), component.copy()
            left[:, column:] = False
            right[:, :column] = False
            stack += [left, right]


def ring_area(ring: Sequence[tuple[float, float]]) -> float:
    """Return the area of a closed ring in square pixels."""
    xy = np.asarray(ring)
    return abs(float(np.dot(xy[:-1, 0], xy[1:, 1]) - np.dot(xy[1:, 0], xy[:-1, 1]))) / 2
