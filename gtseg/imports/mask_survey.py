"""Survey of all masks of a set: values, contradictions between files, and smoothed edges.

The meaning of a value is decided for the whole set, never per file. Contradicting palettes, and colors in some files
but indices in others, are found before anything is written.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.core.images.formats import MASK_FORMATS
from gtseg.errors import MaskError

from .mask_colors import count_codes, read_codes

MIN_EDGE_VALUES = 4
"""Minimum number of values that occur only at edges for them to be smoothed edges instead of classes."""


@dataclass
class MixedConventions:
    """Detects two conventions in a set: masks of 0 and 255 only, and masks with other values but no 255."""

    binary: str = ""
    indexed: str = ""
    both: str = ""

    def add(self, source: str, values: Collection[int]) -> None:
        """Record the values of a file."""
        classes = set(values) - {0, 255}
        if 255 in values and classes:
            self.both = self.both or source
        elif 255 in values:
            self.binary = self.binary or source
        elif classes:
            self.indexed = self.indexed or source

    def require_one(self) -> None:
        """Raise MaskError, with a file of each convention, if no file shows whether 255 is void or a class."""
        if self.binary and self.indexed and not self.both:
            raise MaskError(
                f"some masks have only the values 0 and 255 ({self.binary}), others have other values but no 255 "
                f'({self.indexed}). If 255 is void, use --void 255 or a table with "void": 255; if it is a class, use '
                'a table such as {"leaf": [1, 255]}'
            )


@dataclass(frozen=True)
class Survey:
    """Number of pixels by code: `counts` all, `interior` those whose four neighbors have the same code."""

    counts: Counter[int]
    interior: Counter[int]
    by_index: bool
    notes: tuple[str, ...] = ()
    conventions: MixedConventions | None = None

    @property
    def edges(self) -> tuple[int, ...]:
        """Codes that occur only at smoothed edges, the most frequent first; () if there are none."""
        thin = [code for code, _ in self.counts.most_common() if not self.interior[code]]
        solid = [code for code in self.counts if self.interior[code]]
        share = sum(self.counts[code] for code in thin) / max(self.counts.total(), 1)
        return tuple(thin) if len(thin) >= MIN_EDGE_VALUES and len(solid) >= 2 and share < 0.5 else ()

    def require_one_convention(self) -> None:
        """Raise MaskError if the meaning of 255 is ambiguous (see MixedConventions)."""
        if self.by_index and self.conventions:
            self.conventions.require_one()


def survey_masks(paths: Sequence[Path], *, by_index: bool | None = None) -> Survey:
    """Count the values of all masks. Unreadable files are ignored here; the import skips and reports them.

    Raises MaskError, with two files as examples, for contradictions, and if no file can be read.
    """
    headers = [header for path in paths if (header := _read_header(path))]
    indexed, notes = _has_indices(headers) if by_index is None else (by_index, ())
    if by_index is None and indexed:
        check_palettes(paths)
    counts: Counter[int] = Counter()
    interior: Counter[int] = Counter()
    errors: list[MaskError] = []
    conventions = MixedConventions()
    for path in paths:
        try:
            codes, _ = read_codes(path.read_bytes(), str(path), by_index=indexed)
        except (MaskError, OSError) as error:
            errors.append(error if isinstance(error, MaskError) else MaskError(f"{path}: {error}"))
            continue
        found = count_codes(codes)
        conventions.add(str(path), found)
        counts.update(found)
        interior.update(count_codes(codes[1:-1, 1:-1][_interior(codes)]))
    if not counts and errors:
        raise errors[0]
    return Survey(counts, interior, indexed, notes, conventions)


def _interior(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return (H - 2, W - 2) bool: pixels whose four neighbors have the same code."""
    middle = codes[1:-1, 1:-1]
    same: NDArray[np.bool_] = (
        (codes[:-2, 1:-1] == middle)
        & (codes[2:, 1:-1] == middle)
        & (codes[1:-1, :-2] == middle)
        & (codes[1:-1, 2:] == middle)
    )
    return same


@dataclass(frozen=True)
class _Header:
    path: Path
    mode: str
    palette: bytes

    @property
    def kind(self) -> str:
        if self.mode == "P":
            return "palette"
        return "gray" if self.mode in {"1", "L", "I", "I;16", "I;16B", "I;16L"} else "color"


def _read_header(path: Path) -> _Header | None:
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=MASK_FORMATS) as image:
            palette = bytes(image.getpalette("RGB") or b"") if image.mode == "P" else b""
            return _Header(path, image.mode, palette)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _has_indices(headers: Iterable[_Header]) -> tuple[bool, tuple[str, ...]]:
    """Return whether the set has indices, and notes; palette images are read as colors if other files have colors."""
    examples: dict[str, Path] = {}
    for header in headers:
        examples.setdefault(header.kind, header.path)
    if "color" not in examples:
        return True, ()
    if "gray" in examples:
        raise MaskError(
            f"some masks have gray values ({examples['gray']}), others colors ({examples['color']}). Import them "
            "separately, or specify a table of colors (--colors FILE with --colours)"
        )
    if "palette" in examples:
        note = f"{examples['color']} has colors, {examples['palette']} a palette: all masks are read by their colors"
        return False, (note,)
    return False, ()


def check_palettes(paths: Sequence[Path]) -> None:
    """Raise MaskError if an index has different colors in two palettes, so that indices and colors contradict."""
    headers = [header for path in paths if (header := _read_header(path)) and header.mode == "P"]
    if len({header.palette for header in headers}) < 2:
        return
    known: dict[int, tuple[bytes, Path]] = {}
    for header in headers:
        try:
            codes, _ = read_codes(header.path.read_bytes(), str(header.path), by_index=True)
        except MaskError:
            continue
        for index in map(int, np.unique(codes)):
            color = header.palette[3 * index : 3 * index + 3]
            other, path = known.setdefault(index, (color, header.path))
            if color != other:
                raise MaskError(
                    f"the palettes of the masks contradict each other: index {index} is #{other.hex()} in {path} and "
                    f"#{color.hex()} in {header.path}. Use --colours to read colors, or --indices to read indices"
                )
