"""Void: its pixels become 255, which training and scores ignore."""

import io

import numpy as np
from PIL import Image

from gtseg.core.masks import Classes, check_mask, encode_palette_png, merge_classes, parse_color_map

MAP = parse_color_map({"0": ("BACKGROUND", "#ffffff"), "1": ("house", "#2ca02c"), "2": ("Void", "#000000")})
TABLE = merge_classes([MAP], void=("void",))


def test_a_void_class_has_no_class_index() -> None:
    assert TABLE.names == ("BACKGROUND", "house")
    assert (TABLE.index("house"), TABLE.index("Void")) == (1, 255)
    assert (TABLE.name(1), TABLE.name(255)) == ("house", "void")


def test_void_pixels_become_255_and_are_counted_separately() -> None:
    pixels = np.array([[0, 1, 2, 2]], np.uint8)
    palette = bytes.fromhex("ffffff2ca02c000000").ljust(768, b"\xff")
    checked = check_mask(encode_palette_png(pixels, 4, 1, palette=palette), MAP, TABLE, size=(4, 1))
    assert checked.annotation is not None
    assert np.asarray(Image.open(io.BytesIO(checked.annotation))).tolist() == [[0, 1, 255, 255]]
    assert dict(checked.pixels) == {0: 1, 1: 1, 255: 2}


def test_a_class_named_void_is_a_class_by_default() -> None:
    assert merge_classes([MAP]).names == ("BACKGROUND", "house", "Void")
    assert Classes(("BACKGROUND", "void"), (0xFFFFFF, 0)).index("void") == 1
