import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import ImageError
from gtseg.imports.photographs import read_photograph


def test_the_bytes_of_an_upright_jpeg_are_unchanged(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "teal").save(tmp_path / "a.jpg")
    photo = read_photograph(tmp_path / "a.jpg")
    assert photo.body == (tmp_path / "a.jpg").read_bytes()
    assert (photo.size, photo.stored, photo.orientation) == ((6, 8), (6, 8), 1)


def test_a_rotated_photograph_is_converted_to_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 6), "teal").save(tmp_path / "r.jpg", exif=exif)
    photo = read_photograph(tmp_path / "r.jpg")
    assert (photo.size, photo.stored, photo.orientation) == ((8, 6), (6, 8), 6)
    assert Image.open(io.BytesIO(photo.body)).size == (6, 8)


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    pixels = np.asarray(Image.open(io.BytesIO(read_photograph(tmp_path / "a.png").body)))
    assert (pixels == 255).all()


def test_a_fourth_band_in_the_alpha_channel_is_dropped(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 255, (16, 16, 4), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_photograph(tmp_path / "a.png").band_dropped


def test_the_error_for_a_16_bit_image_mentions_import_geo(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="import geo"):
        read_photograph(tmp_path / "a.png")


@pytest.mark.parametrize("body", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_image_is_rejected_with_its_name(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.png").write_bytes(body)
    with pytest.raises(ImageError, match=r"a\.png"):
        read_photograph(tmp_path / "a.png")
