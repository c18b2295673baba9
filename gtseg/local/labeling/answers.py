"""What a worker submits, checked before anything large is decoded, and as class indices.

An answer is `{<element name>: {"inputImageProperties": {"height", "width"}, "labelMappings": {<label>: {"color":
"#rrggbb"}}, "labeledImage": {"pngImageData": <base64 PNG>}}}` (developer guide, crowd-semantic-segmentation). In the
PNG a label's pixels have exactly its colour; transparent, black and white pixels that no label claims are background.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from gtseg.local.algorithm.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.masks import read_colour
from gtseg.local.labeling.pictures import decoding

__all__ = ["MAX_ANSWER_BYTES", "find_element", "read_answer"]

MAX_ANSWER_BYTES = 48 << 20
SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
OPAQUE = 0xFF000000
BAND_PIXELS = 1 << 20  # pixels compared at once


def refuse(message: str) -> ServiceError:
    return ServiceError("InvalidAnswer", message)


def read_answer(answer: Any, labels: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: 0 background, i+1 = labels[i]. `size` is (width, height) of the image as stored.

    Raises ServiceError InvalidAnswer with the reason.
    """
    element = find_element(answer)
    check_size(element.get("inputImageProperties"), size)
    colours = read_mappings(element.get("labelMappings"), labels)
    png = read_png(element.get("labeledImage"), size)
    return index_pixels(png, colours)


def find_element(answer: Any) -> dict[str, Any]:
    """The one form element that holds a labeled image, whatever its name."""
    if not isinstance(answer, dict):
        raise refuse("The answer must be a JSON object: {<element name>: {...}}.")
    found = [item for item in answer.values() if isinstance(item, dict) and "labeledImage" in item]
    if len(found) != 1:
        raise refuse(f"The answer must hold exactly one element with a labeledImage; it holds {len(found)}.")
    return found[0]


def check_size(properties: Any, size: tuple[int, int]) -> None:
    width, height = size
    if not isinstance(properties, dict) or (properties.get("width"), properties.get("height")) != size:
        raise refuse(
            f"inputImageProperties must be the image's width {width} and height {height}; got {str(properties)[:80]}."
        )


def read_mappings(mappings: Any, labels: Sequence[str]) -> dict[int, int]:
    """RGB as one little-endian number (as in RGBA bytes) -> class index."""
    if not isinstance(mappings, dict):
        raise refuse("labelMappings must be an object: {<label>: {'color': '#rrggbb'}}.")
    colours: dict[int, int] = {}
    for name, entry in mappings.items():
        if name not in labels:
            raise refuse(f"labelMappings names {name[:80]!r}, which is no label of this job.")
        try:
            red, green, blue = read_colour(entry["color"])
        except (TypeError, KeyError, ValueError):
            raise refuse(f"The label {name[:80]!r} needs a 'color' of the form '#rrggbb'.") from None
        if colours.setdefault(red | green << 8 | blue << 16, labels.index(name) + 1) != labels.index(name) + 1:
            raise refuse(f"The label {name[:80]!r} has the same colour as another.")
    return colours


def read_png(image: Any, size: tuple[int, int]) -> bytes:
    """The PNG's bytes, its header checked: nothing is inflated yet."""
    try:
        png = base64.b64decode(image["pngImageData"], validate=True)
    except (TypeError, KeyError, ValueError, binascii.Error):
        raise refuse("labeledImage.pngImageData must be a base64-encoded PNG.") from None
    if png[:8] != SIGNATURE or png[12:16] != b"IHDR" or len(png) < 33:
        raise refuse("labeledImage.pngImageData is not a PNG.")
    if png[-12:] != END:
        raise refuse("labeledImage.pngImageData is a PNG that is cut short.")
    found = struct.unpack(">II", png[16:24])
    if found != size:
        raise refuse(f"The labeled image is {found[0]}x{found[1]} pixels; the image is {size[0]}x{size[1]}.")
    return png


def index_pixels(png: bytes, colours: Mapping[int, int]) -> np.ndarray:
    """(H, W) uint8 class indices of a colour-coded PNG. Raises ServiceError for a colour of no label."""
    try:
        with open_picture(png, formats=("PNG",)) as image, decoding(image.size):
            if image.mode not in MODES:
                raise refuse(f"The labeled image must have 8 bits per channel; its mode is {image.mode}.")
            return index_bands(image, colours)
    except PictureError as error:
        raise refuse(f"The labeled image can't be decoded: it {error}") from None


def index_bands(image: Image.Image, colours: Mapping[int, int]) -> np.ndarray:
    """(H, W) uint8 of an opened image. It is in memory once, as Pillow holds it; its RGBA only a band at a time."""
    width, height = image.size
    result = np.zeros((height, width), np.uint8)
    rows = max(1, BAND_PIXELS // max(1, width))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        band = image.crop((0, top, width, bottom))
        pixels = np.ascontiguousarray(np.asarray(band if band.mode == "RGBA" else band.convert("RGBA")))
        index_band(pixels.view("<u4")[..., 0], colours, result[top:bottom])
    return result


def index_band(rgba: np.ndarray, colours: Mapping[int, int], result: np.ndarray) -> None:
    """Fill (h, w) class indices from (h, w) RGBA numbers. Opaque labels on transparent black need no second look."""
    explained = np.count_nonzero(rgba == 0)
    for number, index in colours.items():
        match = rgba == (number | OPAQUE)
        explained += np.count_nonzero(match)
        result[match] = index
    if explained < rgba.size:
        index_rest(rgba, colours, result)


def index_rest(rgba: np.ndarray, colours: Mapping[int, int], result: np.ndarray) -> None:
    """Pixels in part transparent, or background in black or white. Raises ServiceError for a colour of no label."""
    colour = rgba & 0xFFFFFF
    visible = rgba & OPAQUE != 0
    known = ~visible
    for number, index in colours.items():
        match = (colour == number) & visible
        result[match] = index
        known |= match
    for number in (0, 0xFFFFFF):
        if number not in colours:
            known |= colour == number
    if not known.all():
        y, x = (int(value[0]) for value in np.nonzero(~known))
        red, green, blue = (int(colour[y, x]) >> shift & 255 for shift in (0, 8, 16))
        raise refuse(
            f"The labeled image has a colour of no label: #{red:02x}{green:02x}{blue:02x}, first at column {x}, row {y}."
        )
