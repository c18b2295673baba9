"""PNG chunks: a recompressed image is the same for every decoder."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtseg.core.masks.png import read_png


def save(image: Image.Image, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG", **options)
    return target.getvalue()


def noise(mode: str, size: tuple[int, int], seed: int, values: int) -> Image.Image:
    random = np.random.default_rng(seed)
    shape = (size[1], size[0], len(mode))
    return Image.fromarray(random.integers(0, values, shape, dtype=np.uint8), mode)


@given(
    mode=st.sampled_from(["RGB", "RGBA"]),
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    seed=st.integers(0, 99),
    values=st.sampled_from([2, 256]),
)
def test_a_recompressed_png_has_the_same_pixels(mode: str, size: tuple[int, int], seed: int, values: int) -> None:
    image = noise(mode, size, seed, values)
    stored = read_png(save(image)).stored()
    if stored is None:
        pytest.skip("there is no faster zlib here")
    again = Image.open(io.BytesIO(stored))
    assert (again.mode, again.size, again.tobytes()) == (mode, size, image.tobytes())
    assert read_png(stored).data  # its checksums hold


def test_other_png_types_are_left_to_the_decoder() -> None:
    image = noise("RGB", (9, 9), 0, 256)
    assert read_png(save(image.convert("P"))).stored() is None
    assert read_png(save(image.convert("L"))).stored() is None
    assert read_png(save(image, transparency=(1, 2, 3))).stored() is None
