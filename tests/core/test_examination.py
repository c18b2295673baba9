import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gtseg.core.images.examination import examine_image


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))
JPEG, PNG = encode(PHOTO, "JPEG"), encode(PHOTO, "PNG")


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(PHOTO, "JPEG", exif=exif)


@pytest.mark.parametrize(("name", "body"), [("a.jpg", JPEG), ("a.JPEG", JPEG), ("a.png", PNG)])
def test_a_valid_image_has_no_problems(name: str, body: bytes) -> None:
    assert examine_image(name, body) == []


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("a.jpg", JPEG[: len(JPEG) // 2], "cannot be decoded"),
        ("a.png", PNG[: len(PNG) // 2], "cannot be decoded"),
        ("a.jpg", b"", "cannot be decoded"),
        ("a.jpg", PNG, "is a PNG file"),
        ("a.jpg", encode(PHOTO, "WEBP"), "contains WEBP, not JPEG or PNG"),
        ("a.jpg", encode(PHOTO.convert("CMYK"), "JPEG"), "is CMYK"),
        ("a.png", encode(Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG"), "16 bits"),
        ("a.jpg", turned(), "EXIF rotation"),
        ("a.png", encode(PHOTO, "PNG", save_all=True, append_images=[PHOTO.rotate(9)]), "has 2 frames"),
    ],
)
def test_each_problem_of_an_image_is_named(name: str, body: bytes, words: str) -> None:
    assert any(words in problem for problem in examine_image(name, body))
