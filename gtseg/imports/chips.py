"""Where the chips of a scene lie: a grid of windows of one size with an overlap, all inside the scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gtseg.errors import SettingsError


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of pixels: its upper left corner and its size."""

    row: int
    column: int
    height: int
    width: int


def windows(height: int, width: int, *, size: int, overlap: int = 0) -> Iterator[Window]:
    """Windows of size x size pixels, row by row, that cover a (height, width) scene.

    The last of a row or column moves back inside, so that no chip is padded; a scene smaller than `size` is one chip.
    """
    if size < 16:
        raise SettingsError(f"chip size {size}: want at least 16 pixels")
    if not 0 <= overlap < size:
        raise SettingsError(f"overlap {overlap}: want 0 to {size - 1} pixels, less than the chip size")
    for row in _starts(height, size, size - overlap):
        for column in _starts(width, size, size - overlap):
            yield Window(row, column, min(size, height), min(size, width))


def _starts(length: int, size: int, step: int) -> list[int]:
    if length <= size:
        return [0]
    return [*range(0, length - size, step), length - size]
