"""Conversion of PNG photographs to JPEG, in every mode."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gtseg.core.images.photographs import convert_to_jpeg
from gtseg.errors import ImageError


def png(image: Image.Image, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG", **options)
    return target.getvalue()


def convert(image: Image.Image, **options: object) -> Image.Image:
    return Image.open(io.BytesIO(convert_to_jpeg(png(image, **options))))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_becomes_an_rgb_jpeg_of_the_same_size(mode: str) -> None:
    made = convert(Image.new(mode, (20, 10)))
    assert (made.format, made.mode, made.size) == ("JPEG", "RGB", (20, 10))


def test_transparent_parts_are_white() -> None:
    assert np.array(convert(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))).min() > 250


def test_sixteen_bits_keep_their_brightness() -> None:
    grey = Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16))
    assert abs(int(np.array(convert(grey))[0, 0, 0]) - 128) <= 1


def test_the_stored_pixels_are_not_rotated() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = convert(Image.new("RGB", (20, 10)), exif=exif)
    assert made.size == (20, 10)
    assert 0x0112 not in made.getexif()


@given(st.binary(max_size=300), st.integers(0, 200))
@settings(deadline=None)
def test_undecodable_bytes_are_an_image_error(noise: bytes, cut: int) -> None:
    for body in (noise, png(Image.new("RGB", (9, 9)))[: cut % 60]):
        with pytest.raises(ImageError):
            convert_to_jpeg(body)
