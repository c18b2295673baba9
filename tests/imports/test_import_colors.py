import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtseg.errors import MaskError
from gtseg.imports.color_tables import parse_table
from gtseg.imports.mask_colors import decode_mask, diagnose, read_codes, repair_mask

TABLE = parse_table({"background": "#ffffff", "road": [255, 0, 0], "house": "0000FF", "void": "#000000"})


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette(bytes(range(256)) * 3)
    image.save(buffer, "PNG")
    return buffer.getvalue()


@given(st.integers(0, 2**32 - 1))
def test_colors_of_the_table_are_decoded_to_their_classes(seed: int) -> None:
    indices = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (6, 5))
    rgb = {0: (255, 255, 255), 1: (255, 0, 0), 2: (0, 0, 255), 255: (0, 0, 0)}
    pixels = np.array([[rgb[int(v)] for v in row] for row in indices], np.uint8)
    codes, by_index = read_codes(png(pixels), "m.png")
    assert not by_index
    assert (decode_mask(codes, TABLE, "m.png") == indices).all()


def test_an_unknown_color_is_rejected_with_its_value_and_share() -> None:
    codes = np.array([[0xFF0000, 0x123456]], np.uint32)
    with pytest.raises(MaskError, match=r"m\.png: .*#123456 \(1\); 50\.0%"):
        decode_mask(codes, TABLE, "m.png")


def test_anti_aliased_edges_are_diagnosed_and_can_be_repaired() -> None:
    blends = [0xFF0000, 0xFFFFFF, 0xFFF0F0, 0xFFE0E0, 0xFFD0D0, 0xFF1010]
    codes = np.array([blends], np.uint32)
    with pytest.raises(MaskError, match="anti-aliased"):
        decode_mask(codes, TABLE, "m.png")
    repaired = repair_mask(codes, TABLE)
    assert (repaired.mask.tolist(), repaired.nearest, repaired.void) == ([[1, 0, 0, 0, 0, 1]], 4, 0)


def test_repair_makes_a_color_between_two_classes_void() -> None:
    repaired = repair_mask(np.array([[0xFF8080]], np.uint32), TABLE)
    assert (repaired.mask.tolist(), repaired.nearest, repaired.void) == ([[255]], 0, 1)


def test_repair_makes_an_unknown_index_void() -> None:
    table = parse_table({"background": 0, "leaf": 255}, by_index=True)
    assert repair_mask(np.array([[0, 200, 255]], np.uint32), table).mask.tolist() == [[0, 255, 1]]


def test_dithering_to_the_web_palette_is_diagnosed() -> None:
    assert "web palette" in diagnose(Counter({0x336600: 5, 0x339900: 5}), 20, TABLE)


def test_two_indices_can_be_one_class() -> None:
    """Pillow's default conversion to a palette turned one color of Label Maker into the indices 98 and 134."""
    table = parse_table({"background": 0, "water": [98, 134]}, by_index=True)
    codes = np.array([[0, 98, 134]], np.uint32)
    assert decode_mask(codes, table, "m.png").tolist() == [[0, 1, 1]]


def test_transparent_pixels_are_white() -> None:
    pixels = np.zeros((1, 2, 4), np.uint8)
    pixels[0, 1] = (255, 0, 0, 255)
    codes, _ = read_codes(png(pixels), "m.png")
    assert decode_mask(codes, TABLE, "m.png").tolist() == [[0, 1]]


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_gray_palette_and_16_bit_masks_are_indices(mode: str) -> None:
    values = np.array([[0, 1], [2, 1]], np.uint16 if mode == "I;16" else np.uint8)
    codes, by_index = read_codes(png(values, mode), "m.png")
    assert by_index
    assert codes.tolist() == values.tolist()


@pytest.mark.parametrize("body", [b"", b"\x89PNG\r\n\x1a\n", b"not an image"])
def test_an_unreadable_mask_is_rejected_with_its_name(body: bytes) -> None:
    with pytest.raises(MaskError, match=r"m\.png"):
        read_codes(body, "m.png")
