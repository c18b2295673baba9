from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gtseg.core.hosting.endpoint_images import (
    crop_request,
    fit_request,
    open_image,
    read_answer,
    read_mask,
    to_rgb,
)
from gtseg.core.hosting.recordio import encode_record
from gtseg.core.hosting.requests import MAX_BODY
from gtseg.errors import ImageError, MaskError


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def test_a_jpeg_within_the_limits_is_sent_as_its_own_bytes() -> None:
    body = encoded(photo(), "JPEG")
    assert fit_request(body, max_side=40).body is body


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA", "I;16", "1"])
def test_any_png_becomes_a_jpeg_of_its_size(mode) -> None:
    image = Image.fromarray(np.full((30, 40), 9000, np.uint16)) if mode == "I;16" else photo(mode=mode)
    request = fit_request(encoded(image, "PNG"), max_side=100)
    sent = Image.open(io.BytesIO(request.body))
    assert (sent.format, sent.mode, sent.size) == ("JPEG", "RGB", (40, 30))


def test_a_larger_image_is_scaled_and_its_mask_has_the_original_size() -> None:
    request = fit_request(encoded(photo(400, 300), "JPEG"), max_side=200)
    assert (request.size, request.original) == ((200, 150), (400, 300))
    answer = encoded(Image.fromarray(np.ones((150, 200), np.uint8)), "PNG")
    mask, values = read_answer(answer, request, accept="image/png")
    assert mask.shape == (300, 400)
    assert values is None


def test_an_incompressible_image_is_scaled_below_the_request_limit() -> None:
    request = fit_request(encoded(photo(3000, 2400), "PNG", compress_level=0), max_side=4000, quality=100)
    assert len(request.body) <= MAX_BODY
    assert request.original == (3000, 2400)


def test_probabilities_become_a_mask_of_the_original_size() -> None:
    request = fit_request(encoded(photo(80, 60), "JPEG"), max_side=40)
    values = np.zeros((3, 30, 40), np.float32)
    values[2] = 1
    body = encode_record({"shape": np.array([1, 3, 30, 40], np.int32), "target": values.reshape(-1)})
    mask, found = read_answer(body, request, accept="application/x-protobuf")
    assert found is not None
    assert found.shape == (3, 60, 80)
    assert (mask == 2).all()


def test_a_response_of_another_size_is_refused() -> None:
    request = fit_request(encoded(photo(), "JPEG"), max_side=100)
    with pytest.raises(MaskError, match="30 x 40 pixels for an image of 40 x 30"):
        read_answer(encoded(Image.new("L", (30, 40)), "PNG"), request, accept="image/png")


def test_the_indices_of_a_palette_image_are_the_mask_whatever_its_colors() -> None:
    image = Image.fromarray(np.array([[0, 7], [255, 1]], np.uint8), "P")
    image.putpalette(bytes(range(256)) * 3)
    assert read_mask(encoded(image, "PNG")).tolist() == [[0, 7], [255, 1]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_an_rgb_response_is_refused_as_a_mask(mode) -> None:
    with pytest.raises(MaskError, match="one channel of class indices"):
        read_mask(encoded(photo(mode=mode), "PNG"))


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes_are_an_image_or_an_image_error(body) -> None:
    for read, error in ((open_image, ImageError), (read_mask, MaskError)):
        with pytest.raises(error):
            read(b"\x89PNG\r\n\x1a\n" + body)


def test_a_tile_is_the_pixels_of_its_box() -> None:
    image = to_rgb(photo(50, 40))
    request = crop_request(image, (10, 5, 30, 25), content_type="image/png")
    assert (np.asarray(Image.open(io.BytesIO(request.body))) == np.asarray(image)[5:25, 10:30]).all()
    with pytest.raises(ImageError, match="not as 'text/csv'"):
        crop_request(image, (0, 0, 5, 5), content_type="text/csv")
