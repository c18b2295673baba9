"""Tiling of images that exceed the endpoint's limits: overlapping tiles, and merging of their responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gtseg.core.scores.metrics import Mask
from gtseg.errors import SettingsError


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image: rows top to bottom, columns left to right, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The rectangle as left, upper, right, lower, as in Pillow."""
        return self.left, self.top, self.right, self.bottom


def plan_tiles(height: int, width: int, *, size: int, overlap: int) -> list[Tile]:
    """Return tiles of at most `size` pixels per side that cover the image, neighbors sharing at least `overlap` pixels.

    Raises SettingsError if the overlap is more than half of the size.
    """
    if not 0 <= overlap <= size // 2:
        raise SettingsError(f"[predict] tile_overlap = {overlap}: must be 0 to half of tile_size, {size // 2}")
    return [
        Tile(top, left, min(top + size, height), min(left + size, width))
        for top in _starts(height, size, overlap)
        for left in _starts(width, size, overlap)
    ]


def _starts(length: int, size: int, overlap: int) -> list[int]:
    """Return evenly spaced start positions; the last tile ends with the image."""
    if length <= size:
        return [0]
    count = -(-(length - overlap) // (size - overlap))
    return [round(index * (length - size) / (count - 1)) for index in range(count)]


def join_masks(parts: Iterable[tuple[Tile, Mask]], height: int, width: int) -> Mask:
    """Return (H, W) class indices: each pixel from the tile in which it is farthest from an inner edge."""
    joined = np.zeros((height, width), np.uint8)
    depth = np.full((height, width), -1, np.int32)
    for tile, mask in parts:
        own = _depth(tile, height, width)
        better = own > depth[tile.window]
        joined[tile.window][better] = mask[better]
        depth[tile.window][better] = own[better]
    return joined


def join_probabilities(
    parts: Iterable[tuple[Tile, NDArray[np.float32]]], height: int, width: int
) -> NDArray[np.float32]:
    """Return (C, H, W) probabilities: the mean over the tiles of a pixel, weighted by its distance from inner edges."""
    sums: NDArray[np.float32] | None = None
    weights = np.zeros((height, width), np.float32)
    for tile, values in parts:
        own = (_depth(tile, height, width) + 1).astype(np.float32)
        if sums is None:
            sums = np.zeros((len(values), height, width), np.float32)
        sums[(slice(None), *tile.window)] += values * own
        weights[tile.window] += own
    if sums is None:
        raise SettingsError("no tiles: the image is empty")
    return sums / weights


def _depth(tile: Tile, height: int, width: int) -> NDArray[np.int32]:
    """Return the (h, w) distance to the tile's nearest edge that is not an edge of the image."""
    rows = _ramp(tile.top, tile.bottom, height)
    columns = _ramp(tile.left, tile.right, width)
    return np.minimum(rows[:, None], columns[None, :])


def _ramp(start: int, end: int, length: int) -> NDArray[np.int32]:
    place = np.arange(end - start, dtype=np.int32)
    far = np.int32(1 << 20)
    before = place if start > 0 else np.full_like(place, far)
    after = place[::-1] if end < length else np.full_like(place, far)
    return np.minimum(before, after)
