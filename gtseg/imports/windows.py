"""Grid of windows over a scene: equal size, optional overlap, all inside the scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gtseg.errors import SettingsError


@dataclass(frozen=True, order=True)
class Window:
    """Rectangle of pixels: upper left corner and size."""

    row: int
    column: int
    height: int
    width: int


def windows(height: int, width: int, *, size: int, overlap: int = 0) -> Iterator[Window]:
    """Yield windows of size x size pixels, row by row, that cover a (height, width) scene.

    The last window of a row or column is shifted inward, so that no chip is padded. A scene smaller than `size` is one
    window. Raises SettingsError for a size below 16 or an overlap outside 0 to size - 1.
    """
    if size < 16:
        raise SettingsError(f"chip size {size}: must be at least 16 pixels")
    if not 0 <= overlap < size:
        raise SettingsError(f"overlap {overlap}: must be 0 to {size - 1} pixels, less than the chip size")
    for row in _starts(height, size, size - overlap):
        for column in _starts(width, size, size - overlap):
            yield Window(row, column, min(size, height), min(size, width))


def _starts(length: int, size: int, step: int) -> list[int]:
    if length <= size:
        return [0]
    return [*range(0, length - size, step), length - size]
