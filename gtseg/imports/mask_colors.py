"""Conversion of mask files to class indices by a color table.

Only exact colors are accepted. A mask with other colors is diagnosed (dithered, anti-aliased, JPEG noise), and repaired
only on request. Pillow's `convert("P")` dithers to the web palette of 216 colors: it has turned one color of Label
Maker into the indices 98 and 134 of a published label map. A table can assign both to one class.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gtseg.core.classes import VOID
from gtseg.core.images.formats import MASK_FORMATS
from gtseg.errors import MaskError

from .color_tables import ColorTable

MAX_PIXELS = 200_000_000


def read_codes(body: bytes, source: str, *, by_index: bool | None = None) -> tuple[NDArray[np.uint32], bool]:
    """Return the (H, W) uint32 codes of a mask file, and whether they are indices.

    Palette and gray images are indices unless `by_index` is False; RGB and RGBA images are colors (alpha 0 is white).
    Raises MaskError for a file that is not an image, too large, of several frames, or of floats.
    """
    try:
        with Image.open(io.BytesIO(body), formats=MASK_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MaskError(
                    f"{source}: {image.width}x{image.height} pixels exceed the maximum of {MAX_PIXELS:,} for a mask"
                )
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":
                raise MaskError(f"{source}: {frames} frames: save the one with the mask")
            image.load()
            return _codes(image, source, by_index)
    except UnidentifiedImageError as error:
        raise MaskError(f"{source}: not a readable mask: no image, or truncated in its header") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MaskError(f"{source}: not a readable mask: {error}") from error


def _codes(image: Image.Image, source: str, by_index: bool | None) -> tuple[NDArray[np.uint32], bool]:
    is_indexed = image.mode in {"1", "L", "P", "I", "I;16", "I;16B", "I;16L"}
    if image.mode == "F":
        raise MaskError(f"{source}: floating-point mask (mode F): must have integer class numbers or colors")
    if is_indexed and by_index is not False:
        values = np.asarray(image.convert("L") if image.mode == "1" else image).astype(np.uint32)
        return values // (255 if image.mode == "1" else 1), True
    rgba = np.asarray(image.convert("RGBA")).astype(np.uint32)
    codes = rgba[..., 0] << 16 | rgba[..., 1] << 8 | rgba[..., 2]
    return np.where(rgba[..., 3] == 0, np.uint32(0xFFFFFF), codes), False


def count_codes(codes: NDArray[np.uint32]) -> Counter[int]:
    """Return the number of pixels by code."""
    values, counts = np.unique(codes, return_counts=True)
    return Counter({int(v): int(c) for v, c in zip(values, counts, strict=True)})


def stored_values(paths: Iterable[Path]) -> set[int]:
    """Return all stored values of index masks."""
    return {code for path in paths for code in count_codes(read_codes(path.read_bytes(), str(path))[0])}


def decode_mask(codes: NDArray[np.uint32], table: ColorTable, source: str) -> NDArray[np.uint8]:
    """Convert (H, W) codes to (H, W) uint8 class indices. Raises MaskError for a code that is not in the table."""
    values, inverse = np.unique(codes, return_inverse=True)
    unknown = [int(value) for value in values if int(value) not in table.codes]
    if unknown:
        counts = count_codes(codes)
        raise MaskError(f"{source}: {diagnose(Counter({v: counts[v] for v in unknown}), counts.total(), table)}")
    indices = np.array([table.codes[int(value)] for value in values], np.uint8)
    return indices[inverse].reshape(codes.shape)


@dataclass(frozen=True)
class RepairedMask:
    """(H, W) uint8 class indices, and the number of pixels set to the nearest class and to void."""

    mask: NDArray[np.uint8]
    nearest: int
    void: int


def repair_mask(codes: NDArray[np.uint32], table: ColorTable) -> RepairedMask:
    """Convert (H, W) codes to class indices; an unknown color becomes a clearly nearest class, any other code void."""
    values, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    indices = np.zeros(len(values), np.uint8)
    nearest = void = 0
    for i, (value, count) in enumerate(zip(map(int, values), map(int, counts), strict=True)):
        if value in table.codes:
            indices[i] = table.codes[value]
            continue
        found = _nearest_class(value, table)
        indices[i] = VOID if found is None else found
        nearest, void = nearest + count * (found is not None), void + count * (found is None)
    return RepairedMask(indices[inverse].reshape(codes.shape), nearest, void)


def diagnose(unknown: Counter[int], total: int, table: ColorTable) -> str:
    """Return the probable cause of colors that are not in the table, with the most frequent ones."""
    share = unknown.total() / max(total, 1)
    shown = ", ".join(f"{table.name_of(code)} ({count:,})" for code, count in unknown.most_common(4))
    if table.by_index:
        return f"indices that are not in the table: {shown}; {share:.1%} of the pixels"
    blended = sum(count for code, count in unknown.items() if _is_blend(code, table)) / unknown.total()
    if len(unknown) > 3 and blended > 0.9:
        cause = "anti-aliased edges (blends of the colors of two classes)"
    elif len(unknown) > 50:
        cause = "JPEG noise, or a photograph instead of a mask"
    elif all(_is_web_color(code) for code in unknown):
        cause = 'dithered to the web palette (as by Pillow\'s convert("P"))'
    else:
        cause = "colors of no class"
    return f"{cause}: {shown}; {share:.1%} of the pixels, {len(unknown)} colors that are not in the table"


def _rgb(code: int) -> NDArray[np.float64]:
    return np.array([code >> 16 & 255, code >> 8 & 255, code & 255], np.float64)


def _is_web_color(code: int) -> bool:
    return all(v % 51 == 0 for v in _rgb(code))


def _is_blend(code: int, table: ColorTable) -> bool:
    """Return whether the color is, within rounding, on the line between two colors of the table."""
    point, ends = _rgb(code), [_rgb(c) for c in table.codes]
    return any(_is_on_segment(point, a, b) for i, a in enumerate(ends) for b in ends[i + 1 :])


def _is_on_segment(point: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    along = b - a
    t = float(np.clip((point - a) @ along / max(float(along @ along), 1e-9), 0, 1))
    return bool(np.abs(a + t * along - point).max() <= 2.0)


def _nearest_class(code: int, table: ColorTable) -> int | None:
    """Return the class of the nearest color; None if another class is almost as near, or the table has indices."""
    if table.by_index:
        return None
    point = _rgb(code)
    distances = sorted((float(np.linalg.norm(point - _rgb(c))), i) for c, i in table.codes.items())
    (first, index), other = distances[0], next((d for d, i in distances[1:] if i != distances[0][1]), np.inf)
    return index if first <= 0.8 * other else None
