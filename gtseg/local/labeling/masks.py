"""The mask PNG that Ground Truth writes, its colours, and the colour-coded PNG that a worker submits.

Byte for byte what AWS writes (measured on seven real masks): palette PNG, 8 bits, chunks IHDR, PLTE (768 bytes), one
IDAT, IEND; pixel value = key of `internal-color-map`, 0 = background; entry 0 white, then the classes' colours, the
rest white.
"""

from __future__ import annotations

import colorsys
import io
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

__all__ = [
    "BACKGROUND",
    "MAX_LABELS",
    "colour_of",
    "encode_answer",
    "encode_mask",
    "internal_color_map",
    "read_colour",
]

BACKGROUND = "BACKGROUND"
BACKGROUND_COLOUR = "#ffffff"
MAX_LABELS = 255  # one byte a pixel, 0 is the background
# The element's order, from real jobs for the first five, then d3's category20.
DEFAULT_COLOURS = (
    "#2ca02c",
    "#1f77b4",
    "#ff7f0e",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
    "#98df8a",
    "#aec7e8",
    "#ffbb78",
    "#ff9896",
    "#c5b0d5",
    "#c49c94",
    "#f7b6d2",
    "#c7c7c7",
    "#dbdb8d",
    "#9edae5",
)


def colour_of(index: int) -> str:
    """`#rrggbb` of class `index` (1..255); index 0 is the background's white. All 256 differ."""
    if index == 0:
        return BACKGROUND_COLOUR
    if index <= len(DEFAULT_COLOURS):
        return DEFAULT_COLOURS[index - 1]
    # Hues a golden angle apart; the lowest bits of blue carry the index, so that no two are ever equal.
    red, green, blue = colorsys.hsv_to_rgb(
        index * 0.618034 % 1.0, 0.55 + 0.4 * (index % 2), 0.6 + 0.3 * (index % 3) / 2
    )
    return f"#{int(red * 255) & 0xF0 | index >> 4:02x}{int(green * 255) & 0xF0 | index & 15:02x}{int(blue * 255):02x}"


def read_colour(text: str) -> tuple[int, int, int]:
    """`#rrggbb` -> RGB. Raises ValueError."""
    if len(text) != 7 or text[0] != "#":
        raise ValueError(f"{text!r} is not a colour (#rrggbb)")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def internal_color_map(labels: Sequence[str], confidence: float) -> dict[str, dict[str, object]]:
    """The manifest's table of classes: every label of the job, whether or not the image has it."""
    names = [BACKGROUND, *labels]
    return {
        str(index): {"class-name": name, "hex-color": colour_of(index), "confidence": confidence}
        for index, name in enumerate(names)
    }


def encode_mask(indices: np.ndarray, classes: int) -> bytes:
    """(H, W) uint8 class indices, 0..classes -> the consolidated annotation PNG."""
    palette = bytes([255, 255, 255]) + b"".join(bytes(read_colour(colour_of(i + 1))) for i in range(classes))
    image = Image.fromarray(np.ascontiguousarray(indices, dtype=np.uint8), mode="L")
    image.putpalette(palette.ljust(768, b"\xff"))
    output = io.BytesIO()
    image.save(output, "PNG")
    return output.getvalue()


def encode_answer(indices: np.ndarray, colours: Mapping[int, str]) -> bytes:
    """(H, W) uint8 class indices -> the RGBA PNG of a worker: a label's pixels in its colour, all else transparent.

    Each row is written as its difference from the row above (filter Up): nearly all zeros, so that deflate flies.
    """
    table = np.zeros((256, 4), np.uint8)
    for index, colour in colours.items():
        table[index] = (*read_colour(colour), 255)
    height, width = indices.shape
    pixels = table.view(np.uint32)[:, 0].take(indices).view(np.uint8).reshape(height, 4 * width)
    rows = np.full((height, 1 + 4 * width), 2, np.uint8)
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.data, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(make_chunk(kind, body) for kind, body in chunks)


def make_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
