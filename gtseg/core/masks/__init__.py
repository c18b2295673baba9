"""Masks: consolidated annotation PNG -> class indices -> channel annotation; palettes, overlays."""

from __future__ import annotations

from gtseg.core.classes import BACKGROUND, MAX_CLASSES
from gtseg.core.masks.check import MAX_PIXELS, CheckedMask, check_mask
from gtseg.core.masks.colors import (
    Classes,
    ColorMap,
    MapEntry,
    alike_classes,
    hex_color,
    merge_classes,
    parse_color_map,
)
from gtseg.core.masks.overlays import draw_overlay
from gtseg.core.masks.png import encode_palette_png

__all__ = [
    "BACKGROUND",
    "MAX_CLASSES",
    "MAX_PIXELS",
    "CheckedMask",
    "Classes",
    "ColorMap",
    "MapEntry",
    "alike_classes",
    "check_mask",
    "draw_overlay",
    "encode_palette_png",
    "hex_color",
    "merge_classes",
    "parse_color_map",
]
