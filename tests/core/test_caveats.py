"""Caveats of a score."""

from __future__ import annotations

import numpy as np
import pytest

from gtseg.core.scores.caveats import score_warnings
from gtseg.core.scores.evaluation import Result, Tally, conclude


def scored(truth: object, prediction: object, *, classes: int = 3, images: int = 10) -> Result:
    tally = Tally(classes)
    for number in range(images):
        tally.add(f"{number}", np.array(truth, np.uint8), np.array(prediction, np.uint8))
    return conclude(tally, resamples=100)


def said(truth: object, prediction: object, *, images: int = 10) -> list[str]:
    return list(score_warnings(scored(truth, prediction, images=images), ("BACKGROUND", "cat", "dog")))


def test_a_score_of_all_classes_without_void_has_no_caveat() -> None:
    assert said([[0, 1, 2, 2]] * 4, [[0, 1, 2, 1]] * 4) == []


def test_a_class_without_a_true_pixel_is_named_whether_predicted_or_not() -> None:
    (words,) = said([[0, 1]], [[0, 1]])
    assert words == "class 'dog' has no true pixel and is not predicted: it is not scored"
    (words,) = said([[0, 1, 0, 0]], [[0, 1, 0, 2]])
    assert words.startswith("class 'dog' has no true pixel; 10 are predicted")


def test_masks_with_one_class_only_are_a_caveat() -> None:
    assert any("every true pixel is BACKGROUND" in words for words in said([[0, 0]], [[0, 0]]))


@pytest.mark.parametrize(("void", "is_said"), [(1, False), (2, True)])
def test_void_of_more_than_five_percent_is_a_caveat(void: int, is_said: bool) -> None:
    truth = [[0, 1, 2] * 6 + [255] * void + [0] * (2 - void)]
    assert any("void" in words for words in said(truth, [[0, 1, 2] * 6 + [0, 0]])) == is_said


@pytest.mark.parametrize(
    "prediction",
    [
        pytest.param([[1, 2, 0, 0]], id="rotated"),
        pytest.param([[0, 2, 1, 1]], id="two classes swapped"),
    ],
)
def test_predictions_that_fit_better_with_permuted_classes_are_a_caveat(prediction: object) -> None:
    assert any("different conventions" in words for words in said([[0, 1, 2, 2]], prediction))


def test_permuted_classes_of_small_objects_are_a_caveat() -> None:
    truth, prediction = np.zeros((2, 20, 20), np.uint8)
    truth[0, :4], truth[1, :4] = 1, 2
    prediction[0, :4], prediction[1, :4] = 2, 1
    (told,) = said(truth, prediction)
    assert "0% of the pixels of objects agree, but 100% would" in told
    assert "cat = dog, dog = cat" in told


def test_a_poor_model_is_not_reported_as_permuted_classes() -> None:
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 3, (2, 40, 40))
    assert not any("conventions" in words for words in said(truth, prediction))
    assert not any("conventions" in words for words in said([[0, 0, 1, 2]], [[0, 0, 0, 0]]))


@pytest.mark.parametrize(("images", "is_said"), [(1, True), (9, True), (10, False)])
def test_fewer_than_ten_images_have_no_interval_with_the_reason(images: int, is_said: bool) -> None:
    assert any("no interval" in words for words in said([[0, 1, 2]], [[0, 1, 2]], images=images)) == is_said
