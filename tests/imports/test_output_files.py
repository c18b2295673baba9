import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtseg.imports.output_files import colour_of, encode_mask
from gtseg.imports.photographs import jpeg_bytes


@given(st.integers(0, 2**32 - 1), st.integers(1, 253))
def test_a_masks_indices_and_colours_survive_the_png(seed: int, classes: int) -> None:
    mask = np.random.default_rng(seed).integers(0, classes + 1, (5, 7), dtype=np.uint8)
    image = Image.open(io.BytesIO(encode_mask(mask, classes)))
    assert image.mode == "P"
    assert (np.asarray(image) == mask).all()
    assert image.getpalette()[:6] == [255, 255, 255, 0x2C, 0xA0, 0x2C]


def test_every_class_has_a_colour_of_its_own() -> None:
    colours = [colour_of(i) for i in range(1, 255)]
    assert len({*colours, "#ffffff", "#000000"}) == 256
    assert colours[:3] == ["#2ca02c", "#1f77b4", "#ff7f0e"]  # Ground Truth's own order


def test_void_takes_the_index_after_the_classes() -> None:
    mask = np.array([[0, 1, 255]], np.uint8)
    assert np.asarray(Image.open(io.BytesIO(encode_mask(mask, 1)))).tolist() == [[0, 1, 2]]


def test_one_band_becomes_a_colour_jpeg() -> None:
    assert Image.open(io.BytesIO(jpeg_bytes(np.zeros((4, 5, 1), np.uint8)))).mode == "RGB"
