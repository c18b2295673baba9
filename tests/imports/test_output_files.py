import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtseg.imports.output_files import class_color, encode_mask
from gtseg.imports.photographs import jpeg_bytes


@given(st.integers(0, 2**32 - 1), st.integers(1, 253))
def test_an_encoded_mask_has_its_indices_and_class_colors(seed: int, classes: int) -> None:
    mask = np.random.default_rng(seed).integers(0, classes + 1, (5, 7), dtype=np.uint8)
    image = Image.open(io.BytesIO(encode_mask(mask, classes)))
    assert image.mode == "P"
    assert (np.asarray(image) == mask).all()
    assert image.getpalette()[:6] == [255, 255, 255, 0x2C, 0xA0, 0x2C]


def test_class_colors_are_unique_and_begin_with_ground_truths() -> None:
    colors = [class_color(i) for i in range(1, 255)]
    assert len({*colors, "#ffffff", "#000000"}) == 256
    assert colors[:3] == ["#2ca02c", "#1f77b4", "#ff7f0e"]


def test_void_is_stored_as_the_index_after_the_classes() -> None:
    mask = np.array([[0, 1, 255]], np.uint8)
    assert np.asarray(Image.open(io.BytesIO(encode_mask(mask, 1)))).tolist() == [[0, 1, 2]]


def test_a_single_band_is_encoded_as_an_rgb_jpeg() -> None:
    assert Image.open(io.BytesIO(jpeg_bytes(np.zeros((4, 5, 1), np.uint8)))).mode == "RGB"
