"""Run lengths of masks as COCO, CVAT and Label Studio write them.

Sources: COCO data format and pycocotools' mask API (runs go down the columns and start with zeros; `counts` is a list, or a
string of 5-bit groups, each char 48 + 6 bits); CVAT's XML annotation format (runs go along the rows of the mask's box);
Label Studio's brush format (@thi.ng/rle-pack over RGBA pixels, of which the alpha is the mask).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import MaskError

MOST_PIXELS = 200_000_000


@dataclass(frozen=True)
class Runs:
    """A mask as run lengths within a window of its image.

    order: "columns" (COCO) or "rows" (CVAT), alternating from zeros; "brush": Label Studio's bytes. `height` and `width`
    are the window's, `left` and `top` its place.
    """

    counts: tuple[int, ...]
    height: int
    width: int
    left: int = 0
    top: int = 0
    order: Literal["columns", "rows", "brush"] = "columns"


def decode_runs(runs: Runs) -> NDArray[np.bool_]:
    """(height, width) bool. Raises MaskError where the runs do not add up to the size."""
    pixels = runs.height * runs.width
    if runs.height < 1 or runs.width < 1 or pixels > MOST_PIXELS:
        raise MaskError(f"run lengths of a mask of {runs.width}x{runs.height} pixels")
    if runs.order == "brush":
        if not all(0 <= count < 256 for count in runs.counts):
            raise MaskError("Label Studio's run lengths hold a number that is no byte (0 to 255)")
        return _decode_brush(bytes(runs.counts), runs.height, runs.width)
    total = sum(runs.counts)
    if min(runs.counts, default=0) < 0 or total != pixels:
        raise MaskError(f"run lengths add up to {total}, the size {runs.width}x{runs.height} has {pixels} pixels")
    flat = np.repeat(np.arange(len(runs.counts)) % 2 == 1, runs.counts)
    return flat.reshape((runs.height, runs.width), order="F" if runs.order == "columns" else "C")


def encode_rle(region: NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W) bool -> COCO's uncompressed run lengths."""
    return {"size": list(region.shape), "counts": _lengths(np.asarray(region, np.int8).ravel(order="F"))}


def encode_rows(region: NDArray[np.bool_]) -> list[int]:
    """(H, W) bool -> run lengths along the rows from zeros, as CVAT writes a mask's box."""
    return _lengths(np.asarray(region, np.int8).ravel(order="C"))


def _lengths(flat: NDArray[np.int8]) -> list[int]:
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts: list[int] = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *counts] if flat.size and flat[0] else counts


def runs_of(rle: Any) -> Runs:
    """COCO's `{"size": [h, w], "counts": list or string}`. Raises MaskError where it is none."""
    try:
        height, width = (int(v) for v in rle["size"])
        counts = rle["counts"]
        values = _decompress(counts) if isinstance(counts, str | bytes) else [int(c) for c in counts]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MaskError(f"run lengths that cannot be read: {error}") from None
    return Runs(tuple(values), height, width)


def decode_rle(rle: Any) -> NDArray[np.bool_]:
    """COCO run lengths, as a list or a compressed string, -> (H, W) bool. Raises MaskError where they do not add up."""
    return decode_runs(runs_of(rle))


def _decompress(text: str | bytes) -> list[int]:
    data = text.encode("ascii") if isinstance(text, str) else text
    runs: list[int] = []
    position = 0
    while position < len(data):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(data):
                raise MaskError("compressed run lengths end in the middle of a number")
            part = data[position] - 48
            if not 0 <= part < 64 or shift > 60:
                raise MaskError("compressed run lengths hold a character that none has")
            value |= (part & 0x1F) << (5 * shift)
            more, shift, position = bool(part & 0x20), shift + 1, position + 1
            if not more and part & 0x10:
                value |= -1 << (5 * shift)
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


def _decode_brush(data: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """Source: label_studio_sdk.converter.brush.decode_rle. Any alpha above 0 is the brush's."""
    bits = _BitReader(data)
    total, word = bits.read(32), bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    if total != height * width * 4 or word != 8:
        raise MaskError(
            f"Label Studio's run lengths hold {total} values, {width}x{height} RGBA pixels are {height * width * 4}"
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
    """Big-endian bits from bytes, a number at a time; past the end is MaskError."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def read(self, count: int) -> int:
        first, last = self._position // 8, (self._position + count + 7) // 8
        if last > len(self._data):
            raise MaskError("Label Studio's run lengths end before the mask does")
        number = int.from_bytes(self._data[first:last])
        self._position += count
        return (number >> (last * 8 - self._position)) & ((1 << count) - 1)
