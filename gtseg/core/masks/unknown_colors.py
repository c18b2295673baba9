"""Pixels of no label, and the sentence that says what they tell about the mask."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from gtseg.core.classes import BACKGROUND
from gtseg.core.masks.colors import ColorMap, hex_color
from gtseg.errors import MaskError

MANY = 6
"""Strange colours from which on nobody chose them: a program mixed them."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """A colour 0xRRGGBB (-1: the index is beyond the palette) with its alpha and how many pixels have it."""

    color: int
    alpha: int
    pixels: int


def refuse(strangers: list[Stranger], *, total: int, colors: ColorMap) -> MaskError:
    """The error for a mask with these pixels of no label."""
    strangers = sorted(strangers, key=lambda s: (-s.pixels, s.color))
    count = sum(stranger.pixels for stranger in strangers)
    shown = ", ".join(f"{_describe(s)} ({s.pixels:,} px)" for s in strangers[:3])
    more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
    labels = ", ".join(f"{entry.name} {hex_color(entry.color or 0)}" for entry in colors.entries)
    return MaskError(
        f"{count:,} of its {total:,} pixels have a colour of no label: {shown}{more}. "
        f"Its labels are {labels}. {_diagnose(strangers, colors)}"
    )


def _describe(stranger: Stranger) -> str:
    if stranger.color < 0:
        return "an index beyond its palette"
    return hex_color(stranger.color) + (f" at alpha {stranger.alpha}" if stranger.alpha < 255 else "")


def _diagnose(strangers: list[Stranger], colors: ColorMap) -> str:
    said = []
    if not colors.has_background:
        said.append(f"Its map names no {BACKGROUND}, which Ground Truth always writes: another tool made it.")
    shared = {c for c, entries in colors.by_color().items() if len({e.name for e in entries}) > 1}
    if shared & {s.color for s in strangers}:
        said.append("Two labels share that colour, so that its pixels could be either.")
    elif any(0 < s.alpha < 255 for s in strangers):
        said.append("Half transparent pixels are edges that were smoothed (anti-aliased).")
    elif len(strangers) >= MANY:
        said.append("So many in-between colours come from smoothing, dithering, resizing or JPEG.")
    else:
        said.append("They were painted with colours that are not this map's.")
    said.append("Export it again without smoothing, in the map's exact colours.")
    return " ".join(said)


def refuse_grey(image: Image.Image, colors: ColorMap) -> MaskError:
    """The error for a grey mask under a map of colours: its values may be indices, or brightness; nothing says which."""
    low, high = image.getextrema()
    return MaskError(
        f"it is greyscale (values {low} to {high}), but its internal-color-map gives colours, and a grey is none of them. "
        "If the values are class indices, remove hex-color from the map: it is then read by index."
        + ("" if colors.has_background else f" The map also names no {BACKGROUND}.")
    )
