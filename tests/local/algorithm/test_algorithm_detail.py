"""The image size that annotations require (`Detail`)."""

from __future__ import annotations

import numpy as np

from gtseg.local.algorithm.recipe import ENOUGH, SIZES, Detail, predict_best


def detail_of(mask: np.ndarray, *, classes: int = 2) -> Detail:
    detail = Detail(classes)
    detail.add(mask)
    return detail


def stripes(width: int) -> np.ndarray:
    """(640, 640) with stripes of `width` pixels."""
    return np.tile((np.arange(640) // width % 2).astype(np.uint8), (640, 1))


def test_one_large_object_requires_the_smallest_size() -> None:
    mask = np.zeros((640, 640), np.uint8)
    mask[100:500, 150:550] = 1
    assert detail_of(mask).required_size() == SIZES[0]


def test_finer_detail_requires_larger_images() -> None:
    sights = [detail_of(stripes(width)).required_size() for width in (300, 40, 24, 6)]
    assert sights == sorted(sights)
    assert sights[0] < sights[-1] == SIZES[-1]


def test_the_highest_possible_iou_rises_with_the_size() -> None:
    ceilings = detail_of(stripes(30)).ceilings()
    assert 0 < ceilings[0] < ceilings[-1] <= 1


def test_void_pixels_are_ignored_and_void_masks_require_the_smallest_size() -> None:
    assert detail_of(np.full((50, 60), 255, np.uint8)).required_size() == SIZES[0]
    mask = stripes(6)
    mask[:, 4:] = 255
    assert detail_of(mask).ceilings()[0] >= ENOUGH


def test_the_best_prediction_of_a_uniform_mask_is_that_mask() -> None:
    mask = np.full((37, 91), 4, np.uint8)
    np.testing.assert_array_equal(predict_best(mask, 128), mask)
