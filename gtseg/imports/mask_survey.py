"""All masks of a set looked at together: what their values are, and whether they say one thing.

What a value means is decided over the whole set, never per file. Palettes that disagree, colors beside indices, and edges
that were smoothed are found here, before anything is written.
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

from .mask_colors import read_codes

MANY_EDGES = 4
"""So many values without an area of their own are no classes but smoothed edges."""


@dataclass
class Mixture:
    """Watches for two conventions in one set: masks of 0 and 255 alone beside masks of other values without a 255."""

    binary: str = ""
    indexed: str = ""
    both: str = ""

    def add(self, source: str, values: Collection[int]) -> None:
        classes = set(values) - {0, 255}
        if 255 in values and classes:
            self.both = self.both or source
        elif 255 in values:
            self.binary = self.binary or source
        elif classes:
            self.indexed = self.indexed or source

    def refuse(self) -> None:
        """Raise MaskError with an example of each where nothing says whether 255 is void or the class."""
        if self.binary and self.indexed and not self.both:
            raise MaskError(
                f"some masks hold 0 and 255 alone ({self.binary}), others other values and no 255 ({self.indexed}). If 255 is void: "
                'a table with "void": 255, or --void 255; if it is a class: a table that says which, such as {"leaf": [1, 255]}'
            )


@dataclass(frozen=True)
class Survey:
    """Pixels by code over the set, and by code those that have four neighbors of their own code."""

    counts: Counter[int]
    interior: Counter[int]
    by_index: bool
    notes: tuple[str, ...] = ()
    mixture: Mixture | None = None

    @property
    def edges(self) -> tuple[int, ...]:
        """Codes that lie on edges alone, the commonest first; () where they are no smoothing."""
        thin = [code for code, _ in self.counts.most_common() if not self.interior[code]]
        solid = [code for code in self.counts if self.interior[code]]
        share = sum(self.counts[code] for code in thin) / max(self.counts.total(), 1)
        return tuple(thin) if len(thin) >= MANY_EDGES and len(solid) >= 2 and share < 0.5 else ()

    def refuse_mixture(self) -> None:
        """Raise MaskError where some files hold 0 and 255 alone, others other values, and no file says what 255 is there."""
        if self.by_index and self.mixture:
            self.mixture.refuse()


def survey_masks(paths: Sequence[Path], *, by_index: bool | None = None) -> Survey:
    """Every pixel of every mask, counted. Raises MaskError where the set says two things, with two files as examples.

    A file that cannot be read is left to the import, which skips it by name; MaskError where none can.
    """
    looks = [look for path in paths if (look := _look(path))]
    indexed, notes = _reading(looks) if by_index is None else (by_index, ())
    if by_index is None and indexed:
        check_palettes(paths)
    counts: Counter[int] = Counter()
    interior: Counter[int] = Counter()
    refusals: list[MaskError] = []
    mixture = Mixture()
    for path in paths:
        try:
            codes, _ = read_codes(path.read_bytes(), str(path), by_index=indexed)
        except (MaskError, OSError) as error:
            refusals.append(error if isinstance(error, MaskError) else MaskError(f"{path}: {error}"))
            continue
        found = _count(codes)
        mixture.add(str(path), found)
        counts.update(found)
        interior.update(_count(codes[1:-1, 1:-1][_inside(codes)]))
    if not counts and refusals:
        raise refusals[0]
    return Survey(counts, interior, indexed, notes, mixture)


def _count(codes: NDArray[np.uint32]) -> Counter[int]:
    values, counts = np.unique(codes, return_counts=True)
    return Counter({int(v): int(c) for v, c in zip(values, counts, strict=True)})


def _inside(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """(H - 2, W - 2) bool: pixels whose four neighbors have their code."""
    middle = codes[1:-1, 1:-1]
    same: NDArray[np.bool_] = (
        (codes[:-2, 1:-1] == middle)
        & (codes[2:, 1:-1] == middle)
        & (codes[1:-1, :-2] == middle)
        & (codes[1:-1, 2:] == middle)
    )
    return same


@dataclass(frozen=True)
class _Look:
    path: Path
    mode: str
    palette: bytes


def _look(path: Path) -> _Look | None:
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=MASK_FORMATS) as image:
            palette = bytes(image.getpalette("RGB") or b"") if image.mode == "P" else b""
            return _Look(path, image.mode, palette)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _reading(looks: Iterable[_Look]) -> tuple[bool, tuple[str, ...]]:
    """Whether the set holds indices; colors where any file holds colors and every other has a palette."""
    kinds: dict[str, Path] = {}
    for look in looks:
        kind = (
            "palette"
            if look.mode == "P"
            else "grey"
            if look.mode in {"1", "L", "I", "I;16", "I;16B", "I;16L"}
            else "color"
        )
        kinds.setdefault(kind, look.path)
    if "color" not in kinds:
        return True, ()
    if "grey" in kinds:
        raise MaskError(
            f"some masks hold grey values ({kinds['grey']}), others colors ({kinds['color']}): they do not say one thing. "
            "Import them apart, or give a table of colors (--colors FILE with --colours)"
        )
    if "palette" in kinds:
        return False, (f"{kinds['color']} holds colors, {kinds['palette']} a palette: all are read by their colors",)
    return False, ()


def check_palettes(paths: Sequence[Path]) -> None:
    """Raise MaskError where one index has two colors in the set: indices or colors are wrong, and nothing says which."""
    looks = [look for path in paths if (look := _look(path)) and look.mode == "P"]
    if len({look.palette for look in looks}) < 2:
        return
    known: dict[int, tuple[bytes, Path]] = {}
    for look in looks:
        try:
            codes, _ = read_codes(look.path.read_bytes(), str(look.path), by_index=True)
        except MaskError:
            continue
        for index in map(int, np.unique(codes)):
            color = look.palette[3 * index : 3 * index + 3]
            other, path = known.setdefault(index, (color, look.path))
            if color != other:
                raise MaskError(
                    f"the palettes of the masks disagree: index {index} is #{other.hex()} in {path} and #{color.hex()} in "
                    f"{look.path}. --colours reads them by their colors, --indices by their indices"
                )
