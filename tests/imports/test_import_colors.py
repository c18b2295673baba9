import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtseg.errors import MaskError, SettingsError
from gtseg.imports.mask_colors import (
    colours_of,
    decode_mask,
    diagnose,
    discover_table,
    parse_table,
    read_codes,
    read_table,
    repair_mask,
    table_of_label_map,
)

TABLE = parse_table({"background": "#ffffff", "road": [255, 0, 0], "house": "0000FF", "void": "#000000"})


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette(bytes(range(256)) * 3)
    image.save(buffer, "PNG")
    return buffer.getvalue()


@given(st.integers(0, 2**32 - 1))
def test_colours_decode_to_the_classes_they_were_drawn_with(seed: int) -> None:
    indices = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (6, 5))
    rgb = {0: (255, 255, 255), 1: (255, 0, 0), 2: (0, 0, 255), 255: (0, 0, 0)}
    pixels = np.array([[rgb[int(v)] for v in row] for row in indices], np.uint8)
    codes, by_index = read_codes(png(pixels), "m.png")
    assert not by_index
    assert (decode_mask(codes, TABLE, "m.png") == indices).all()


def test_a_foreign_colour_is_refused_with_its_value_and_share() -> None:
    codes = np.array([[0xFF0000, 0x123456]], np.uint32)
    with pytest.raises(MaskError, match=r"m\.png: .*#123456 \(1\); 50\.0%"):
        decode_mask(codes, TABLE, "m.png")


def test_anti_aliased_edges_are_recognised_and_repaired_on_request() -> None:
    blends = [0xFF0000, 0xFFFFFF, 0xFFF0F0, 0xFFE0E0, 0xFFD0D0, 0xFF1010]
    codes = np.array([blends], np.uint32)
    with pytest.raises(MaskError, match="anti-aliased"):
        decode_mask(codes, TABLE, "m.png")
    repaired = repair_mask(codes, TABLE)
    assert (repaired.mask.tolist(), repaired.nearest, repaired.void) == ([[1, 0, 0, 0, 0, 1]], 4, 0)


def test_a_colour_in_the_middle_of_two_classes_is_never_guessed_but_void() -> None:
    repaired = repair_mask(np.array([[0xFF8080]], np.uint32), TABLE)
    assert (repaired.mask.tolist(), repaired.nearest, repaired.void) == ([[255]], 0, 1)


def test_an_index_has_no_nearest_class() -> None:
    table = parse_table({"background": 0, "leaf": 255}, by_index=True)
    assert repair_mask(np.array([[0, 200, 255]], np.uint32), table).mask.tolist() == [[0, 255, 1]]


def test_dithering_onto_the_web_palette_is_explained() -> None:
    assert "web palette" in diagnose(Counter({0x336600: 5, 0x339900: 5}), 20, TABLE)


def test_pillows_default_palette_conversion_is_the_published_fault() -> None:
    """One Label Maker colour became the indices 98 and 134: as indices they are two codes of one class."""
    table = parse_table({"background": 0, "water": [98, 134]}, by_index=True)
    codes = np.array([[0, 98, 134]], np.uint32)
    assert decode_mask(codes, table, "m.png").tolist() == [[0, 1, 1]]


def test_transparent_pixels_are_white() -> None:
    pixels = np.zeros((1, 2, 4), np.uint8)
    pixels[0, 1] = (255, 0, 0, 255)
    codes, _ = read_codes(png(pixels), "m.png")
    assert decode_mask(codes, TABLE, "m.png").tolist() == [[0, 1]]


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_grey_palette_and_sixteen_bit_masks_are_indices(mode: str) -> None:
    values = np.array([[0, 1], [2, 1]], np.uint16 if mode == "I;16" else np.uint8)
    codes, by_index = read_codes(png(values, mode), "m.png")
    assert by_index
    assert codes.tolist() == values.tolist()


@pytest.mark.parametrize("body", [b"", b"\x89PNG\r\n\x1a\n", b"not an image"])
def test_what_is_no_image_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(MaskError, match=r"m\.png"):
        read_codes(body, "m.png")


def test_a_table_is_discovered_from_the_colours_themselves() -> None:
    counts = colours_of(np.array([[0xFFFFFF, 0xFF0000, 0x00FF00]], np.uint32))
    assert discover_table(counts, by_index=False) == {
        "background": "#ffffff",
        "class-1": "#00ff00",
        "class-2": "#ff0000",
    }
    assert discover_table(Counter({0: 9, 1: 3, 4: 2, 255: 1}), by_index=True) == {
        "background": 0,
        "class-1": 1,
        "class-4": 4,
        "void": 255,
    }


def test_a_photograph_is_no_mask() -> None:
    with pytest.raises(MaskError, match="different colors"):
        discover_table(Counter(range(100)), by_index=False)


@pytest.mark.parametrize(
    "entries",
    [
        {"a": "red"},
        {"a": [1, 2, 300]},
        {"a": "#00ff00", "b": "#00ff00"},
        {"background": "#000000"},
        {"a": "#zzzzzz"},
    ],
)
def test_a_bad_table_is_refused(entries: dict) -> None:
    with pytest.raises(SettingsError):
        parse_table(entries)


def test_a_label_map_runs_from_class_to_stored_value(tmp_path: Path) -> None:
    """Contract of the built-in algorithm: {"0": 5, "1": 0, "2": 2} makes encoded [0, 5, 2] into [1, 0, 2]."""
    (tmp_path / "map.json").write_text(json.dumps({"map": {"0": 5, "1": 0, "2": 2}}))
    codes = np.array([[0, 5, 2, 255]], np.uint32)
    assert decode_mask(codes, read_table(tmp_path / "map.json"), "m.png").tolist() == [[1, 0, 2, 255]]


def test_a_label_map_may_scale() -> None:
    table = table_of_label_map({"scale": "3"}, [f"c{i}" for i in range(1, 85)])
    assert decode_mask(np.array([[0, 2, 3, 8]], np.uint32), table, "m.png").tolist() == [[0, 0, 1, 2]]
