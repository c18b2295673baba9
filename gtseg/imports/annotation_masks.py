"""Masks drawn from the shapes of annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss
from gtseg.errors import MaskError

from .annotations import AnnotatedImage, Ring, Shape
from .rle import decode_runs

MOSTLY_OUTSIDE = "more than half of it is outside the image; check that it belongs to this image"


@dataclass(frozen=True)
class ShapePixels:
    """Pixels of a shape, in a window of the image with the upper left corner `corner` (row, column).

    `nested`: an outline is inside another one of the same shape.
    """

    pixels: NDArray[np.bool_]
    corner: tuple[int, int]
    nested: bool = False


def draw(image: AnnotatedImage, size: tuple[int, int]) -> tuple[NDArray[np.uint8], int, list[Loss]]:
    """Draw the shapes of an image of `size` (H, W) in their order; later shapes cover earlier ones.

    Returns the (H, W) uint8 class indices, the number of annotations that are visible or covered by their own class,
    and losses.
    """
    owners = np.zeros(size, np.int32)
    losses: list[Loss] = []
    regions: dict[int, ShapePixels] = {}
    for number, shape in enumerate(image.shapes, 1):
        try:
            region = shape_pixels(shape, size, relative=image.relative)
        except MaskError as error:
            losses.append(Loss("annotation", str(error), shape.name))
            continue
        regions[number] = region
        top, left = region.corner
        height, width = region.pixels.shape
        owners[top : top + height, left : left + width][region.pixels] = number
        if region.nested:
            reason = "outline inside another one of the same annotation; both are filled, as the format has no holes"
            losses.append(Loss("annotation", reason, shape.name, kind="note"))
    mask = np.array([0, *(shape.index for shape in image.shapes)], np.uint8)[owners]
    counts = np.bincount(owners.ravel(), minlength=len(image.shapes) + 1)
    drawn = 0
    for number, region in regions.items():
        shape = image.shapes[number - 1]
        if counts[number] or (region.pixels.any() and _is_below_own_class(mask, region, shape.index)):
            drawn += 1
        elif region.pixels.any():
            losses.append(Loss("annotation", "completely covered by annotations of other classes", shape.name))
        else:
            losses.append(Loss("annotation", "no pixel: smaller than a pixel, or outside the image", shape.name))
    return mask, drawn, losses


def _is_below_own_class(mask: NDArray[np.uint8], region: ShapePixels, index: int) -> bool:
    top, left = region.corner
    height, width = region.pixels.shape
    return bool((mask[top : top + height, left : left + width][region.pixels] == index).any())


def shape_pixels(shape: Shape, size: tuple[int, int], *, relative: bool = False) -> ShapePixels:
    """Return the pixels of a shape on an image of `size` (H, W). `relative`: coordinates are fractions of the size.

    Raises MaskError if run lengths have a different size, or most of the shape is outside the image.
    """
    if shape.runs is None:
        scale = (size[1], size[0]) if relative else (1.0, 1.0)
        rings = [_scale(ring, scale) for ring in shape.rings]
        if _is_mostly_outside(rings, size):
            raise MaskError(MOSTLY_OUTSIDE)
        return _fill(rings, size)
    runs = shape.runs
    covers_image = (runs.left, runs.top) == (0, 0) and runs.order != "rows"
    if covers_image and (runs.height, runs.width) != size:
        raise MaskError(f"run lengths for {runs.width}x{runs.height} pixels; the image has {size[1]}x{size[0]}")
    pixels = decode_runs(runs)
    rows = slice(max(0, -runs.top), max(0, size[0] - runs.top))
    columns = slice(max(0, -runs.left), max(0, size[1] - runs.left))
    inside = pixels[rows, columns]
    if 0 < 2 * np.count_nonzero(inside) < np.count_nonzero(pixels):
        raise MaskError(MOSTLY_OUTSIDE)
    return ShapePixels(inside, (max(0, runs.top), max(0, runs.left)))


def _is_mostly_outside(rings: Sequence[Ring], size: tuple[int, int]) -> bool:
    """Return whether a part, but less than half, of the outlines' area is on an image of `size` (H, W)."""
    height, width = size
    if all(0 <= x <= width and 0 <= y <= height for ring in rings for x, y in ring):
        return False
    from shapely import make_valid, union_all
    from shapely.geometry import Polygon, box

    area = union_all([make_valid(Polygon(ring)) for ring in rings])
    return 0 < 2 * float(area.intersection(box(0, 0, width, height)).area) < float(area.area)


def _scale(ring: Ring, scale: tuple[float, float]) -> Ring:
    """Return the points in pixels, without rounding errors of the file (YOLO has six to eight digits)."""
    if scale == (1.0, 1.0):
        return ring
    return tuple((round(x * scale[0], 3), round(y * scale[1], 3)) for x, y in ring)


def _fill(rings: Sequence[Ring], size: tuple[int, int]) -> ShapePixels:
    """Return the pixels whose centers are inside any of the rings."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    points = [point for ring in rings for point in ring]
    left = min(size[1], max(0, math.floor(min(x for x, _ in points))))
    top = min(size[0], max(0, math.floor(min(y for _, y in points))))
    right = min(size[1], max(0, math.ceil(max(x for x, _ in points))))
    bottom = min(size[0], max(0, math.ceil(max(y for _, y in points))))
    if right <= left or bottom <= top:
        return ShapePixels(np.zeros((0, 0), bool), (0, 0))
    shapes = [{"type": "Polygon", "coordinates": [[*ring, ring[0]]]} for ring in rings]
    window = rasterize(shapes, out_shape=(bottom - top, right - left), transform=Affine.translation(left, top))
    return ShapePixels(window.astype(bool), (top, left), nested=len(rings) > 1 and _has_nested(rings))


def _has_nested(rings: Sequence[Ring]) -> bool:
    from shapely import make_valid
    from shapely.geometry import Polygon

    areas = sorted((make_valid(Polygon(ring)) for ring in rings), key=lambda area: -area.area)
    return any(outer.contains(inner) for i, outer in enumerate(areas) for inner in areas[i + 1 :])
