"""Pixels whose color has no label, and the error message with the likely cause."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from gtseg.core.classes import BACKGROUND
from gtseg.core.masks.colors import ColorMap, hex_color
from gtseg.errors import MaskError

MANY_COLORS = 6
"""Number of unknown colors from which a program mixed them, rather than a person choosing them."""


@dataclass(frozen=True, slots=True)
class UnknownColor:
    """A color 0xRRGGBB (-1: the index is beyond the palette) with its alpha and its number of pixels."""

    color: int
    alpha: int
    pixels: int


def unknown_colors_error(unknown: list[UnknownColor], *, total: int, colors: ColorMap) -> MaskError:
    """Return the error for a mask with these pixels."""
    unknown = sorted(unknown, key=lambda s: (-s.pixels, s.color))
    count = sum(color_count.pixels for color_count in unknown)
    shown = ", ".join(f"{_describe(s)} ({s.pixels:,} px)" for s in unknown[:3])
    more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
    labels = ", ".join(f"{entry.name} {hex_color(entry.color or 0)}" for entry in colors.entries)
    return MaskError(
        f"{count:,} of its {total:,} pixels have a color without a label: {shown}{more}. Its labels are {labels}. "
        f"{_diagnose(unknown, colors)}"
    )


def _describe(color_count: UnknownColor) -> str:
    if color_count.color < 0:
        return "an index beyond its palette"
    return hex_color(color_count.color) + (f" at alpha {color_count.alpha}" if color_count.alpha < 255 else "")


def _diagnose(unknown: list[UnknownColor], colors: ColorMap) -> str:
    said = []
    if not colors.has_background:
        said.append(f"Its map has no {BACKGROUND}, which Ground Truth always writes: another tool made it.")
    shared = {c for c, entries in colors.by_color().items() if len({e.name for e in entries}) > 1}
    if shared & {s.color for s in unknown}:
        said.append("Two labels share that color, so its pixels are ambiguous.")
    elif any(0 < s.alpha < 255 for s in unknown):
        said.append("Half-transparent pixels are smoothed (anti-aliased) edges.")
    elif len(unknown) >= MANY_COLORS:
        said.append("So many intermediate colors come from smoothing, dithering, resizing or JPEG.")
    else:
        said.append("They were painted in colors that are not in this map.")
    said.append("Export it again without smoothing, in the map's exact colors.")
    return " ".join(said)


def gray_mask_error(image: Image.Image, colors: ColorMap) -> MaskError:
    """Return the error for a gray mask under a map of colors: its values may be indices or brightness."""
    low, high = image.getextrema()
    return MaskError(
        f"it is grayscale (values {low} to {high}), but its internal-color-map has colors, none of them gray. If the "
        "values are class indices, remove hex-color from the map: it is then read by index."
        + ("" if colors.has_background else f" The map also has no {BACKGROUND}.")
    )
