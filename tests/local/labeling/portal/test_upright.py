"""EXIF orientation of masks and points."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from gtseg.local.labeling.portal.upright import orient_mask, orient_point, read_orientation

STORED = np.arange(12, dtype=np.uint8).reshape(3, 4)


def photo(orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(STORED).save(file, kind, exif=exif.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_mask_is_oriented_like_its_image_and_keeps_colors_and_transparency(orientation: int, kind: str) -> None:
    picture = photo(orientation, kind)
    mask = Image.fromarray(STORED, "P")
    mask.putpalette([255, 255, 255] + [7, 8, 9] * 11)
    file = io.BytesIO()
    mask.save(file, "PNG", transparency=0)
    assert read_orientation(picture) == orientation
    with Image.open(io.BytesIO(orient_mask(file.getvalue(), orientation))) as turned:
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(photo(orientation, "PNG"))))
        assert np.array_equal(np.array(turned), np.array(upright))
        assert turned.getpalette()[3:6] == [7, 8, 9]  # type: ignore[index]
        assert turned.info["transparency"] == 0


def test_an_unreadable_orientation_is_1() -> None:
    assert read_orientation(b"no picture") == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_point_is_oriented_like_its_image(orientation: int) -> None:
    mask = np.zeros((3, 4), np.uint8)
    mask[2, 1] = 1
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    shown = np.array(Image.open(io.BytesIO(orient_mask(file.getvalue(), orientation))))
    x, y = orient_point(1.5 / 4, 2.5 / 3, orientation)
    height, width = shown.shape
    assert shown[int(y * height), int(x * width)] == 1
