"""Selection of the next images to label."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gtseg.core.labeling.selection import Appearance, choose_next, compute_appearance, expected_iou
from gtseg.errors import ImageError


def picture(seed: int, *, noise: int = 0, size: tuple[int, int] = (90, 60)) -> bytes:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (6, 9, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC), np.int16)
    image = image + np.random.default_rng(noise).integers(-3, 4, image.shape) * bool(noise)
    output = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(output, "JPEG", quality=80 if noise else 95)
    return output.getvalue()


def test_a_resized_copy_is_a_near_duplicate_and_another_image_is_not() -> None:
    first = compute_appearance(picture(1))
    assert first.is_near(compute_appearance(picture(1, noise=5)))
    assert first.is_near(compute_appearance(picture(1, size=(45, 30))))
    assert not first.is_near(compute_appearance(picture(2)))
    flat, other = (Appearance(0, np.full(48, value)) for value in (0.1, 0.9))
    assert not flat.is_near(other), "two empty pictures of different colors"


def test_a_body_that_is_not_an_image_is_named() -> None:
    with pytest.raises(ImageError, match="cannot be decoded"):
        compute_appearance(b"no picture")


def test_the_expected_iou_is_one_for_certain_pixels_and_falls_with_uncertainty() -> None:
    sure = np.zeros((2, 4, 4), np.float32)
    sure[1, :2], sure[0, 2:] = 1, 1
    assert expected_iou(sure) == 1
    assert expected_iou(sure * 0.8 + 0.1) == pytest.approx(7.2 / 8.8 * 1.0, abs=0.02)
    nothing = np.stack([np.full((4, 4), 0.9), np.full((4, 4), 0.1)]).astype(np.float32)
    assert expected_iou(nothing) == pytest.approx(0.9)


def test_uncertain_images_are_selected_first_near_duplicates_once_labeled_ones_never() -> None:
    appearances = [compute_appearance(picture(seed)) for seed in range(10)]
    appearances.append(compute_appearance(picture(9, noise=3)))
    confidences = [0.9] * 9 + [0.2, 0.2]
    chosen = choose_next(confidences, appearances, labeled=[compute_appearance(picture(0, noise=1))], count=20)
    assert 0 not in chosen, "a near-duplicate of what is labeled"
    assert len({9, 10} & set(chosen)) == 1
    assert len(chosen) == 9
    assert set(chosen[:3]) & {9, 10}
    assert choose_next([], [], count=5) == []
