"""Annotations on images, independent of their file format. The readers of all formats return an AnnotationSet."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gtseg.core.account import Loss
from gtseg.errors import MaskError

from .rle import Runs

Ring = tuple[tuple[float, float], ...]
MAX_COORDINATE = 1e9
"""Maximum absolute value of an outline's coordinates, in pixels."""


@dataclass(frozen=True)
class Shape:
    """Annotation: the union of outlines, in pixels or fractions of the image size, or run lengths.

    `name` identifies it in messages; `index` is its class index.
    """

    name: str
    index: int
    rings: tuple[Ring, ...] = ()
    runs: Runs | None = None


@dataclass(frozen=True)
class AnnotatedImage:
    """File name and size (H, W) of an image in the annotations. `relative`: coordinates are fractions of the size."""

    file_name: str
    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    relative: bool = False
    problem: str = ""
    """Why the image cannot be labeled; '' if it can."""


@dataclass(frozen=True)
class AnnotationSet:
    """Content of an annotation file. `total` counts all its annotations, `losses` those that belong to no image."""

    kind: str
    source: str
    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    total: int
    losses: tuple[Loss, ...] = ()


def parse_ring(numbers: Iterable[Any]) -> Ring:
    """Return the (x, y) points of a flat list of numbers or a list of pairs.

    Raises MaskError for invalid numbers or fewer than three different points.
    """
    values = list(numbers)
    if values and all(isinstance(v, list | tuple) and len(v) >= 2 for v in values):
        values = [number for pair in values for number in pair[:2]]
    try:
        flat = [float(v) for v in values]
    except (TypeError, ValueError, OverflowError):
        raise MaskError("outline with an invalid number") from None
    if not all(math.isfinite(v) and abs(v) <= MAX_COORDINATE for v in flat):
        raise MaskError("outline with an invalid number")
    if len(flat) % 2:
        raise MaskError("outline with an odd number of coordinates")
    points = list(zip(flat[0::2], flat[1::2], strict=True))
    if len(set(points)) < 3:
        raise MaskError("outline with fewer than three points")
    return tuple(points)
