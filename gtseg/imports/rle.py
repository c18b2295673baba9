"""Run-length encodings of masks in COCO, CVAT and Label Studio.

Sources: COCO data format and pycocotools' mask API (column-major, starting with zeros; `counts` is a list, or a string
of 5-bit groups, each char 48 + 6 bits); CVAT's XML annotation format (row-major in the mask's box); Label Studio's
brush format (@thi.ng/rle-pack of RGBA pixels, whose alpha channel is the mask).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import MaskError

MAX_PIXELS = 200_000_000


@dataclass(frozen=True)
class Runs:
    """Run lengths of a mask in a window of its image: `height`, `width`, and upper left corner (`left`, `top`).

    order: "columns" (COCO) and "rows" (CVAT) alternate from zeros; "brush" has the bytes of Label Studio.
    """

    counts: tuple[int, ...]
    height: int
    width: int
    left: int = 0
    top: int = 0
    order: Literal["columns", "rows", "brush"] = "columns"


def decode_runs(runs: Runs) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask. Raises MaskError for an invalid size, or runs that do not match it."""
    pixels = runs.height * runs.width
    if runs.height < 1 or runs.width < 1 or pixels > MAX_PIXELS:
        raise MaskError(
            f"run lengths of a mask of {runs.width}x{runs.height} pixels: must be 1 to {MAX_PIXELS:,} pixels"
        )
    if runs.order == "brush":
        if not all(0 <= count < 256 for count in runs.counts):
            raise MaskError("run lengths of a brush with a number outside 0 to 255")
        return _decode_brush(bytes(runs.counts), runs.height, runs.width)
    total = sum(runs.counts)
    if min(runs.counts, default=0) < 0 or total != pixels:
        raise MaskError(f"run lengths with a sum of {total}; {runs.width}x{runs.height} has {pixels} pixels")
    flat = np.repeat(np.arange(len(runs.counts)) % 2 == 1, runs.counts)
    return flat.reshape((runs.height, runs.width), order="F" if runs.order == "columns" else "C")


def encode_rle(region: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode (H, W) bool as COCO's uncompressed run lengths."""
    return {"size": list(region.shape), "counts": _lengths(np.asarray(region, np.int8).ravel(order="F"))}


def encode_rows(region: NDArray[np.bool_]) -> list[int]:
    """Encode (H, W) bool as row-major run lengths that start with zeros, as in CVAT."""
    return _lengths(np.asarray(region, np.int8).ravel(order="C"))


def _lengths(flat: NDArray[np.int8]) -> list[int]:
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts: list[int] = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *counts] if flat.size and flat[0] else counts


def runs_of(rle: Any) -> Runs:
    """Parse COCO's `{"size": [h, w], "counts": list or string}`. Raises MaskError if it is invalid."""
    try:
        height, width = (int(v) for v in rle["size"])
        counts = rle["counts"]
        values = _decompress(counts) if isinstance(counts, str | bytes) else [int(c) for c in counts]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MaskError(f"invalid run lengths: {error}") from None
    return Runs(tuple(values), height, width)


def decode_rle(rle: Any) -> NDArray[np.bool_]:
    """Decode COCO run lengths, a list or a compressed string, to (H, W) bool. Raises MaskError if they are invalid."""
    return decode_runs(runs_of(rle))


def _decompress(text: str | bytes) -> list[int]:
    data = text.encode("ascii") if isinstance(text, str) else text
    runs: list[int] = []
    position = 0
    while position < len(data):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(data):
                raise MaskError("compressed run lengths that end within a number")
            part = data[position] - 48
            if not 0 <= part < 64 or shift > 60:
                raise MaskError("compressed run lengths with an invalid character")
            value |= (part & 0x1F) << (5 * shift)
            more, shift, position = bool(part & 0x20), shift + 1, position + 1
            if not more and part & 0x10:
                value |= -1 << (5 * shift)
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


def _decode_brush(data: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """Decode a brush to (height, width) bool: alpha above 0. Source: label_studio_sdk.converter.brush.decode_rle."""
    bits = _BitReader(data)
    total, word = bits.read(32), bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    if total != height * width * 4 or word != 8:
        raise MaskError(
            f"run lengths of a brush with {total} values; {width}x{height} RGBA pixels have {height * width * 4}"
        )
    values = np.zeros(total, np.uint8)
    position = 0
    while position < total:
        is_run = bits.read(1)
        end = min(total, position + 1 + bits.read(sizes[bits.read(2)]))
        if is_run:
            values[position:end] = bits.read(word)
        else:
            values[position:end] = [bits.read(word) for _ in range(end - position)]
        position = end
    return values.reshape(height, width, 4)[..., 3] > 0


class _BitReader:
    """Reader of big-endian numbers of any bit count. Raises MaskError past the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def read(self, count: int) -> int:
        first, last = self._position // 8, (self._position + count + 7) // 8
        if last > len(self._data):
            raise MaskError("the run lengths of a brush end before the mask does")
        number = int.from_bytes(self._data[first:last])
        self._position += count
        return (number >> (last * 8 - self._position)) & ((1 << count) - 1)
