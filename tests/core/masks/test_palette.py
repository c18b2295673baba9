from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gtseg.core.masks import Classes, ColorMap, MapEntry, encode_palette_png
from gtseg.core.masks.check import PALETTE_BYTES, check_mask, trust_palette

CLASSES = Classes(("BACKGROUND", "cat", "dog"), (0xFFFFFF, 0x2CA02C, 0x1F77B4))
MASK = np.array([[0, 1], [2, 2]], np.uint8)


def color_map(*rows: tuple[int, str, int | None]) -> ColorMap:
    return ColorMap(tuple(MapEntry(*row) for row in rows))


SAME = color_map((0, "BACKGROUND", 0xFFFFFF), (1, "cat", 0x2CA02C), (2, "dog", 0x1F77B4))


def mask(palette: bytes = CLASSES.palette) -> bytes:
    return encode_palette_png(MASK, 2, 2, palette=palette)


def test_a_palette_with_each_color_at_its_index_is_accepted_as_by_the_full_check() -> None:
    head = mask()[:PALETTE_BYTES]
    assert trust_palette(head, SAME, CLASSES, size=(2, 2))
    assert check_mask(mask(), SAME, CLASSES, size=(2, 2)).annotation is None


def grey() -> bytes:
    import io

    body = io.BytesIO()
    Image.fromarray(MASK).save(body, "PNG")
    return body.getvalue()


@pytest.mark.parametrize(
    ("body", "colors", "size"),
    [
        (mask(), SAME, (2, 3)),
        (mask()[:500], SAME, (2, 2)),
        (mask().replace(b"\xff\xff\xff\x2c", b"\xff\xff\xff\x2d", 1), SAME, (2, 2)),
        (mask(bytes(768)), SAME, (2, 2)),
        (mask(b"\xff\xff\xff"), SAME, (2, 2)),
        (mask(), color_map((0, "BACKGROUND", 0xFFFFFF), (1, "dog", 0x2CA02C)), (2, 2)),
        (mask(), color_map((0, "BACKGROUND", None), (1, "cat", None)), (2, 2)),
        (mask(), color_map((0, "BACKGROUND", 0xFFFFFF), (2, "cat", 0x2CA02C)), (2, 2)),
        (grey(), SAME, (2, 2)),
        (b"", SAME, (2, 2)),
        (b"no image", SAME, (2, 2)),
    ],
    ids=[
        "another size",
        "cut off in its palette",
        "a damaged palette",
        "other colors",
        "a short palette",
        "another index of the class",
        "no colors",
        "indices of 2020",
        "grey",
        "empty",
        "no PNG",
    ],
)
def test_every_other_palette_is_left_to_the_full_check(body: bytes, colors: ColorMap, size: tuple[int, int]) -> None:
    assert not trust_palette(body, colors, CLASSES, size=size)
