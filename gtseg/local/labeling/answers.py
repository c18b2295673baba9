"""A worker's answer: validation before large data is decoded, and conversion to class indices.

An answer is `{<element name>: {"inputImageProperties": {"height", "width"}, "labelMappings": {<label>: {"color":
"#rrggbb"}}, "labeledImage": {"pngImageData": <base64 PNG>}}}` (developer guide, crowd-semantic-segmentation). The
pixels of a label have exactly its color in the PNG; transparent pixels, and black and white pixels that are no label's
color, are background.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.masks import read_color
from gtseg.local.labeling.pictures import decoding

MAX_ANSWER_BYTES = 48 << 20
SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
OPAQUE = 0xFF000000
BAND_PIXELS = 1 << 20
"""Pixels compared at a time."""


def refuse(message: str) -> ServiceError:
    """Return the ServiceError InvalidAnswer with this message."""
    return ServiceError("InvalidAnswer", message)


def read_answer(answer: Any, labels: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Convert an answer to an (H, W) uint8 mask: 0 background, i + 1 for labels[i].

    `size` is (width, height) of the image as stored. Raises ServiceError InvalidAnswer.
    """
    element = find_element(answer)
    check_size(element.get("inputImageProperties"), size)
    colors = read_mappings(element.get("labelMappings"), labels)
    png = read_png(element.get("labeledImage"), size)
    return index_pixels(png, colors)


def find_element(answer: Any) -> dict[str, Any]:
    """Return the only form element with a labeled image, under any name. Raises ServiceError InvalidAnswer."""
    if not isinstance(answer, dict):
        raise refuse("The answer must be a JSON object: {<element name>: {...}}.")
    found = [item for item in answer.values() if isinstance(item, dict) and "labeledImage" in item]
    if len(found) != 1:
        raise refuse(f"The answer must have exactly one element with a labeledImage; it has {len(found)}.")
    return found[0]


def check_size(properties: Any, size: tuple[int, int]) -> None:
    """Raise ServiceError InvalidAnswer unless the answer was drawn on an image of (width, height) `size`."""
    width, height = size
    if not isinstance(properties, dict) or (properties.get("width"), properties.get("height")) != size:
        raise refuse(
            f"inputImageProperties must be the image's width {width} and height {height}; got {str(properties)[:80]}."
        )


def read_mappings(mappings: Any, labels: Sequence[str]) -> dict[int, int]:
    """Return RGB as an integer, red in the lowest byte -> class index. Raises ServiceError InvalidAnswer."""
    if not isinstance(mappings, dict):
        raise refuse("labelMappings must be an object: {<label>: {'color': '#rrggbb'}}.")
    colors: dict[int, int] = {}
    for name, entry in mappings.items():
        if name not in labels:
            raise refuse(f"labelMappings has {name[:80]!r}, which is not a label of this job.")
        try:
            red, green, blue = read_color(entry["color"])
        except (TypeError, KeyError, ValueError):
            raise refuse(f"The label {name[:80]!r} needs a 'color' of the form '#rrggbb'.") from None
        if colors.setdefault(red | green << 8 | blue << 16, labels.index(name) + 1) != labels.index(name) + 1:
            raise refuse(f"The label {name[:80]!r} has the same color as another label.")
    return colors


def read_png(image: Any, size: tuple[int, int]) -> bytes:
    """Return the PNG's bytes after checking signature, end and size, without decompressing it."""
    try:
        png = base64.b64decode(image["pngImageData"], validate=True)
    except (TypeError, KeyError, ValueError, binascii.Error):
        raise refuse("labeledImage.pngImageData must be a base64-encoded PNG.") from None
    if png[:8] != SIGNATURE or png[12:16] != b"IHDR" or len(png) < 33:
        raise refuse("labeledImage.pngImageData is not a PNG.")
    if png[-12:] != END:
        raise refuse("labeledImage.pngImageData is a truncated PNG.")
    found = struct.unpack(">II", png[16:24])
    if found != size:
        raise refuse(f"The labeled image is {found[0]}x{found[1]} pixels; the image is {size[0]}x{size[1]}.")
    return png


def index_pixels(png: bytes, colors: Mapping[int, int]) -> np.ndarray:
    """Return the (H, W) uint8 class indices of a color-coded PNG. Raises ServiceError for a color of no label."""
    try:
        with open_picture(png, formats=("PNG",)) as image, decoding(image.size):
            if image.mode not in MODES:
                raise refuse(f"The labeled image must have 8 bits per channel; its mode is {image.mode}.")
            return index_bands(image, colors)
    except PictureError as error:
        raise refuse(f"The labeled image cannot be decoded: it {error}") from None


def index_bands(image: Image.Image, colors: Mapping[int, int]) -> np.ndarray:
    """Return the (H, W) uint8 class indices of an opened image; converts one band of rows at a time to RGBA."""
    width, height = image.size
    result = np.zeros((height, width), np.uint8)
    rows = max(1, BAND_PIXELS // max(1, width))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        band = image.crop((0, top, width, bottom))
        pixels = np.ascontiguousarray(np.asarray(band if band.mode == "RGBA" else band.convert("RGBA")))
        index_band(pixels.view("<u4")[..., 0], colors, result[top:bottom])
    return result


def index_band(rgba: np.ndarray, colors: Mapping[int, int], result: np.ndarray) -> None:
    """Fill `result` (h, w) with the class indices of (h, w) RGBA integers.

    Opaque label colors on transparent black are handled here, the remaining cases by `index_rest`.
    """
    explained = np.count_nonzero(rgba == 0)
    for number, index in colors.items():
        match = rgba == (number | OPAQUE)
        explained += np.count_nonzero(match)
        result[match] = index
    if explained < rgba.size:
        index_rest(rgba, colors, result)


def index_rest(rgba: np.ndarray, colors: Mapping[int, int], result: np.ndarray) -> None:
    """Fill in partly transparent pixels and black or white background. Raises ServiceError for a color of no label."""
    color = rgba & 0xFFFFFF
    visible = rgba & OPAQUE != 0
    known = ~visible
    for number, index in colors.items():
        match = (color == number) & visible
        result[match] = index
        known |= match
    for number in (0, 0xFFFFFF):
        if number not in colors:
            known |= color == number
    if not known.all():
        y, x = (int(value[0]) for value in np.nonzero(~known))
        red, green, blue = (int(color[y, x]) >> shift & 255 for shift in (0, 8, 16))
        raise refuse(
            f"The labeled image has the color #{red:02x}{green:02x}{blue:02x}, which is no label's color, "
            f"first at column {x}, row {y}."
        )
