"""The mask PNG that Ground Truth writes, its colors, and the color-coded PNG that a worker submits.

Byte for byte what AWS writes (measured on seven real masks): palette PNG, 8 bits, chunks IHDR, PLTE (768 bytes), one
IDAT, IEND; pixel value = key of `internal-color-map`, 0 = background; palette entry 0 is white, then the colors of the
classes, the rest white.
"""

from __future__ import annotations

import colorsys
import io
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

BACKGROUND = "BACKGROUND"
BACKGROUND_COLOR = "#ffffff"
MAX_LABELS = 255
"""One byte per pixel, with 0 for the background."""
# Order of the element's colors: the first five from real jobs, the others from d3's category20.
DEFAULT_COLORS = (
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


def color_of(index: int) -> str:
    """Return `#rrggbb` of class `index` (1 to 255); index 0 is the background's white. All 256 colors differ."""
    if index == 0:
        return BACKGROUND_COLOR
    if index <= len(DEFAULT_COLORS):
        return DEFAULT_COLORS[index - 1]
    # Hues a golden angle apart; the lowest bits of red and green hold the index, so that no two colors are equal.
    red, green, blue = colorsys.hsv_to_rgb(
        index * 0.618034 % 1.0, 0.55 + 0.4 * (index % 2), 0.6 + 0.3 * (index % 3) / 2
    )
    return f"#{int(red * 255) & 0xF0 | index >> 4:02x}{int(green * 255) & 0xF0 | index & 15:02x}{int(blue * 255):02x}"


def read_color(text: str) -> tuple[int, int, int]:
    """Convert `#rrggbb` to (red, green, blue). Raises ValueError."""
    if len(text) != 7 or text[0] != "#":
        raise ValueError(f"{text!r} is not a color (#rrggbb)")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def internal_color_map(labels: Sequence[str], confidence: float) -> dict[str, dict[str, object]]:
    """Return the manifest's table of classes: every label of the job, whether or not the image has it."""
    names = [BACKGROUND, *labels]
    return {
        str(index): {"class-name": name, "hex-color": color_of(index), "confidence": confidence}
        for index, name in enumerate(names)
    }


def encode_mask(indices: np.ndarray, classes: int) -> bytes:
    """Encode (H, W) uint8 class indices, 0 to `classes`, as the PNG of a consolidated annotation."""
    palette = bytes([255, 255, 255]) + b"".join(bytes(read_color(color_of(i + 1))) for i in range(classes))
    image = Image.fromarray(np.ascontiguousarray(indices, dtype=np.uint8), mode="L")
    image.putpalette(palette.ljust(768, b"\xff"))
    output = io.BytesIO()
    image.save(output, "PNG")
    return output.getvalue()


def encode_answer(indices: np.ndarray, colors: Mapping[int, str]) -> bytes:
    """Encode (H, W) uint8 class indices as a worker's RGBA PNG: labels in their color, all other pixels transparent.

    Each row is stored as its difference from the row above (PNG filter Up), which is mostly zeros and compresses fast.
    """
    table = np.zeros((256, 4), np.uint8)
    for index, color in colors.items():
        table[index] = (*read_color(color), 255)
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
