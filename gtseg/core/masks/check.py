"""Check of every pixel of a mask: its class, whether the file can stay unchanged, and its errors.

The exact color decides; the index is the cross-check. So masks of June to September 2020, whose colors are right and
whose indices are wrong (AWS's notice and repair script), are read correctly. Maps of 2018-2019 have no colors and are
read by index.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from gtseg.core.classes import BACKGROUND
from gtseg.core.masks.colors import Classes, ColorMap, MapEntry
from gtseg.core.masks.png import (
    GRAY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    Png,
    PngHeader,
    encode_palette_png,
    read_palette,
    read_png,
    read_png_header,
)
from gtseg.core.masks.unknown_colors import UnknownColor, gray_mask_error, unknown_colors_error
from gtseg.errors import MaskError

if TYPE_CHECKING:
    import numpy as np

MAX_PIXELS = 100_000_000
"""Ground Truth's limit for an image (developer guide, input-data-limits)."""
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow's own warning has a lower limit
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, OverflowError, MemoryError, TypeError, IndexError)


@dataclass(frozen=True, slots=True)
class CheckedMask:
    """Contents of a mask. `annotation`: None if its bytes can stay as they are, else the PNG to write instead.

    `pixels`: counts by class index; `repaired`: whether indices contradicted the colors.
    """

    width: int
    height: int
    pixels: tuple[tuple[int, int], ...]
    annotation: bytes | None
    repaired: bool


@dataclass(frozen=True, slots=True)
class _Indexed:
    """A mask of pixel values. `counts`: pixels per value; `values()`: the (H * W) bytes, computed on demand."""

    width: int
    height: int
    counts: list[int]
    values: Callable[[], bytes]


def check_mask(body: bytes, colors: ColorMap, classes: Classes, *, size: tuple[int, int]) -> CheckedMask:
    """Check every pixel of a consolidated annotation PNG against its color map; map it to the dataset's classes.

    `size`: the image's stored (width, height). Raises MaskError that says what is wrong.
    """
    check_size(read_png_header(body), size)
    png = read_png(body)
    header = png.header
    if header.color_type == PALETTE:
        indexed = _read_indexed(png, body)
        meaning = _by_palette(png, indexed.counts, colors) if colors.has_colors else _by_index(indexed.counts, colors)
        return _apply(indexed, meaning, classes)
    if not colors.has_colors:
        return _check_gray(_decode(body), header, colors, classes)
    if header.color_type not in (RGB, RGBA, GRAY_ALPHA):
        raise gray_mask_error(_decode(body), colors)
    if header.depth == 16:
        raise MaskError("it has 16 bits per channel; colors have 8 bits. Save it as an 8-bit PNG")
    return _check_rgb(_decode(png.stored() or body), colors, classes)


PALETTE_BYTES = 1024
"""Bytes of a mask's header and palette of 256 colors, as Ground Truth writes them."""


def trust_palette(head: bytes, colors: ColorMap, classes: Classes, *, size: tuple[int, int]) -> bool:
    """Return whether a mask's file can be used unchanged, judged by the palette in its first bytes.

    True if the color of each class is at the class's own index. No pixel is checked: values without a class and damage
    after the palette go undetected. False if a full check must decide: another kind of PNG, other colors, changed
    indices, a size that is not the image's.
    """
    try:
        header, palette = read_palette(head)
    except MaskError:
        return False
    plain = (header.color_type, header.depth, header.interlace) == (PALETTE, 8, 0)
    if not plain or not colors.has_colors or (header.width, header.height) != size:
        return False
    if header.width * header.height > MAX_PIXELS:
        return False
    return all(
        entry.color == int.from_bytes(palette[3 * entry.index : 3 * entry.index + 3], "big")
        and len(palette) >= 3 * entry.index + 3
        and classes.index(entry.name) == entry.index
        for entry in colors.entries
    )


def _read_indexed(png: Png, body: bytes) -> _Indexed:
    """Read pixel counts without a full decode if the lines are unfiltered, else with Pillow."""
    width, height = png.header.width, png.header.height
    lines = png.unfiltered_lines()
    if lines is None:
        image = _decode(body)
        return _Indexed(width, height, image.histogram(), image.tobytes)
    counts = Image.frombuffer("L", (width + 1, height), lines, "raw", "L", 0, 1).histogram()
    counts[0] -= height  # the filter byte of each line
    return _Indexed(width, height, counts, lambda: _pixels(lines, width))


def _pixels(lines: bytes, width: int) -> bytes:
    """Return the lines without their filter bytes."""
    import numpy as np

    return np.frombuffer(lines, dtype=np.uint8).reshape(-1, width + 1)[:, 1:].tobytes()


def check_size(header: PngHeader, size: tuple[int, int]) -> None:
    """Raise MaskError, before decoding, unless the mask has the size of the image."""
    own = (header.width, header.height)
    if own != size:
        swapped = " (the image rotated by its EXIF orientation?)" if own == size[::-1] else ""
        raise MaskError(f"it is {own[0]}x{own[1]} pixels, its image {size[0]}x{size[1]}{swapped}")
    if own[0] * own[1] > MAX_PIXELS:
        raise MaskError(f"it has {own[0] * own[1]:,} pixels; Ground Truth's limit is {MAX_PIXELS:,}")


def _decode(body: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(body), formats=("PNG",))
        image.load()
    except _BROKEN as error:
        raise MaskError(f"the PNG cannot be decoded: {error}") from None
    return image


def _check_gray(image: Image.Image, header: PngHeader, colors: ColorMap, classes: Classes) -> CheckedMask:
    """Check a mask of bare class indices under a map without colors."""
    import numpy as np

    if header.color_type in (RGB, RGBA, GRAY_ALPHA):
        raise MaskError("it is colored, but its internal-color-map has no hex-color: its classes are unknown")
    if header.depth == 16:
        values = np.asarray(image)
        if values.max() > 255:
            raise MaskError(f"it is 16-bit and holds the value {values.max()}; a class index is at most 255")
        image = Image.fromarray(values.astype(np.uint8))
        recode = True
    else:
        recode = header.depth < 8
        image = image if image.mode == "L" else _unscale(image, header.depth)
    indexed = _Indexed(image.width, image.height, image.histogram(), image.tobytes)
    return _apply(indexed, _by_index(indexed.counts, colors), classes, recode=recode)


def _unscale(image: Image.Image, depth: int) -> Image.Image:
    """Restore stored values: Pillow scales 1-bit gray to 0 and 255, but the stored values are the indices."""
    import numpy as np

    return Image.fromarray((np.asarray(image.convert("L")) >> (8 - depth)).astype(np.uint8))


def _by_index(counts: list[int], colors: ColorMap) -> dict[int, MapEntry]:
    table = colors.by_index()
    unknown = [(value, n) for value, n in enumerate(counts) if n and value not in table]
    if unknown:
        value, n = max(unknown, key=lambda item: item[1])
        raise MaskError(
            f"{sum(n for _, n in unknown):,} of its {sum(counts):,} pixels have an index without a label: {value} "
            f"({n:,} pixels){f' and {len(unknown) - 1} more' if len(unknown) > 1 else ''}; its map has "
            f"{', '.join(map(str, table))}"
        )
    return {value: table[value] for value, n in enumerate(counts) if n}


def _by_palette(png: Png, counts: list[int], colors: ColorMap) -> dict[int, MapEntry]:
    table, meaning, unknown = colors.by_color(), {}, []
    for value, n in [(value, n) for value, n in enumerate(counts) if n]:
        rgb = png.palette[3 * value : 3 * value + 3]
        color = int.from_bytes(rgb, "big") if len(rgb) == 3 else -1
        alpha = png.alphas[value] if value < len(png.alphas) else 255
        entry = find_entry(table, color, alpha=alpha, index=value)
        if entry is None:
            unknown.append(UnknownColor(color, alpha, n))
        else:
            meaning[value] = entry
    if unknown:
        raise unknown_colors_error(unknown, total=sum(counts), colors=colors)
    return meaning


def find_entry(table: Mapping[int, list[MapEntry]], color: int, *, alpha: int, index: int | None) -> MapEntry | None:
    """Return the class of one exact color, None if it has none. Half-transparent pixels are smoothed edges: None.

    If two classes share a color (a label as white as the background), the index decides, or the pixel has no class.
    Unpainted pixels may be fully transparent, whatever color is stored.
    """
    entries = table.get(color, [])
    if alpha == 255 or (alpha == 0 and entries):
        if len({entry.name for entry in entries}) == 1:
            return entries[0] if index is None else next((e for e in entries if e.index == index), entries[0])
        return next((entry for entry in entries if entry.index == index), None)
    return MapEntry(0, BACKGROUND, None) if alpha == 0 else None


def _apply(
    indexed: _Indexed, meaning: Mapping[int, MapEntry], classes: Classes, *, recode: bool = False
) -> CheckedMask:
    """Map pixel values to class indices. The file stays unchanged if they are equal."""
    target = {value: classes.index(entry.name) for value, entry in meaning.items()}
    pixels: dict[int, int] = {}
    for value, index in target.items():
        pixels[index] = pixels.get(index, 0) + indexed.counts[value]
    repaired = any(entry.index != value for value, entry in meaning.items())
    annotation = None
    if recode or any(value != index for value, index in target.items()):
        table = bytes(target.get(value, 0) for value in range(256))
        data = indexed.values().translate(table)
        annotation = encode_palette_png(data, indexed.width, indexed.height, palette=classes.palette)
    return CheckedMask(indexed.width, indexed.height, tuple(sorted(pixels.items())), annotation, repaired)


def _check_rgb(image: Image.Image, colors: ColorMap, classes: Classes) -> CheckedMask:
    """Map RGBA pixels, (H * W,) uint32, to (H * W,) uint8 class indices with one comparison per color."""
    import numpy as np

    rgba = image if image.mode == "RGBA" else image.convert("RGBA")  # convert() to the same mode would copy
    pixels = np.frombuffer(rgba.tobytes(), dtype="<u4")
    known, indices = 0, np.zeros(pixels.size, dtype=np.uint8)
    counted: dict[int, int] = {}
    for packed, entry in _packed_colors(pixels, colors).items():
        equal = pixels == packed
        if count := int(np.count_nonzero(equal)):
            index = classes.index(entry.name)
            known += count
            counted[index] = counted.get(index, 0) + count
            if index:
                indices |= equal.view(np.uint8) * np.uint8(index)
    if known != pixels.size:
        raise unknown_colors_error(_unknown_colors(pixels, colors), total=pixels.size, colors=colors)
    annotation = encode_palette_png(indices, image.width, image.height, palette=classes.palette)
    return CheckedMask(image.width, image.height, tuple(sorted(counted.items())), annotation, False)


def _packed_colors(pixels: np.ndarray, colors: ColorMap) -> dict[int, MapEntry]:
    """Return {little-endian RGBA: class} of the map's opaque colors, then of the values of transparent pixels,
    if any.
    """
    import numpy as np

    table = colors.by_color()
    packed = {_pack(color): entries[0] for color, entries in table.items() if len({e.name for e in entries}) == 1}
    transparent = pixels < 1 << 24
    if transparent.any():
        for value in np.unique(pixels[transparent])[:4096].tolist():
            if entry := find_entry(table, _unpack(value), alpha=0, index=None):
                packed[value] = entry
    return packed


def _unknown_colors(pixels: np.ndarray, colors: ColorMap) -> list[UnknownColor]:
    import numpy as np

    values, counts = np.unique(pixels, return_counts=True)
    table = colors.by_color()
    found = zip(values.tolist(), counts.tolist(), strict=True)
    return [
        UnknownColor(_unpack(value), value >> 24, n)
        for value, n in found
        if find_entry(table, _unpack(value), alpha=value >> 24, index=None) is None
    ]


def _pack(color: int) -> int:
    return 0xFF000000 | (color & 0xFF) << 16 | color & 0xFF00 | color >> 16


def _unpack(packed: int) -> int:
    return (packed & 0xFF) << 16 | packed & 0xFF00 | packed >> 16 & 0xFF
