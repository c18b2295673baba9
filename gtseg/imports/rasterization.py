"""Rasterization of geometries to class indices, equal to the output of `rasterio.features.rasterize`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtseg.core.classes import VOID

MAX_COVERED = 500
"""Shapes without visible pixels that are burned separately, to test if a shape of the same class covers them."""


class Burnable(NamedTuple):
    """Geometry in map units, class index, and number of its feature in the file."""

    geometry: Any
    label: int
    number: int = 0


@dataclass(frozen=True)
class Burned:
    """(H, W) uint8 class indices, and the numbers of the features with a pixel in it or below their own class."""

    mask: NDArray[np.uint8]
    numbers: tuple[int, ...]


def burn(
    shapes: Sequence[Any], size: tuple[int, int], *, transform: Any, all_touched: bool = False
) -> NDArray[np.uint8]:
    """Return (H, W) uint8 class indices of shapes (geometry, index, ...); later shapes cover earlier ones."""
    from rasterio.features import rasterize

    if not shapes:
        return np.zeros(size, np.uint8)
    pairs = [(shape[0], shape[1]) for shape in shapes]
    burned: NDArray[np.uint8] = rasterize(
        pairs, out_shape=size, fill=0, transform=transform, all_touched=all_touched, dtype="uint8"
    )
    return burned


def burn_numbered(
    shapes: Sequence[Burnable],
    size: tuple[int, int],
    *,
    transform: Any,
    all_touched: bool = False,
    valid: NDArray[np.bool_] | None = None,
) -> Burned:
    """Burn shapes and return which features are visible. Pixels outside `valid` (H, W) become void."""
    from rasterio.features import rasterize

    owners = np.zeros(size, np.int32)
    if shapes:
        pairs = [(shape.geometry, position) for position, shape in enumerate(shapes, 1)]
        owners = rasterize(pairs, out_shape=size, fill=0, transform=transform, all_touched=all_touched, dtype="int32")
    mask = np.array([0, *(shape.label for shape in shapes)], np.uint8)[owners]
    if valid is not None:
        mask[~valid] = VOID
        owners = np.where(valid, owners, 0)
    counts = np.bincount(owners.ravel(), minlength=len(shapes) + 1)
    visible = {shape.number for position, shape in enumerate(shapes, 1) if counts[position]}
    for shape in [s for s in shapes if s.number not in visible][:MAX_COVERED]:
        alone = burn([shape], size, transform=transform, all_touched=all_touched)
        if shape.label and bool((mask[alone > 0] == shape.label).any()):
            visible.add(shape.number)
    return Burned(mask, tuple(sorted(visible)))
