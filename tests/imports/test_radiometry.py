import numpy as np
import pytest

from gtseg.errors import ImageError
from gtseg.imports.radiometry import apply_stretch, fit_stretch, to_decibels


def test_16_bit_values_are_stretched_between_the_percentiles() -> None:
    bands = np.arange(10_000, dtype=np.uint16).reshape(1, 100, 100)
    stretch = fit_stretch(bands, np.ones((100, 100), bool), numbers=(1,))
    pixels = apply_stretch(bands, stretch)
    assert (pixels[0, 0, 0], pixels[-1, -1, 0]) == (0, 255)
    assert abs(int(pixels[50, 0, 0]) - 128) <= 1


def test_8_bit_values_are_unchanged() -> None:
    bands = np.random.default_rng(1).integers(0, 256, (3, 8, 9), dtype=np.uint8)
    pixels = apply_stretch(bands, fit_stretch(bands, np.ones((8, 9), bool), numbers=(1, 2, 3)))
    assert (pixels == np.moveaxis(bands, 0, -1)).all()


def test_pixels_without_data_do_not_change_the_stretch() -> None:
    bands = np.full((1, 4, 4), 100, np.float32)
    bands[0, 0] = -9999
    bands[0, 1] = 200
    valid = bands[0] != -9999
    assert fit_stretch(bands, valid, numbers=(1,), percentiles=(0, 100)).low == (100.0,)


def test_complex_bands_are_rejected_without_decibels() -> None:
    bands = np.array([[[1 + 1j, 10, 0]]], np.complex64)
    with pytest.raises(ImageError, match="decibels"):
        fit_stretch(bands, np.ones((1, 3), bool), numbers=(1,))
    assert np.isnan(to_decibels(bands)[0, 0, 2])
    assert round(float(to_decibels(bands)[0, 0, 1])) == 20


def test_a_constant_band_is_stretched_to_zero() -> None:
    bands = np.full((1, 3, 3), 7, np.int16)
    stretch = fit_stretch(bands, np.ones((3, 3), bool), numbers=(1,))
    assert apply_stretch(bands, stretch).max() == 0
