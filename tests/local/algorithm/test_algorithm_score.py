"""mIoU as computed by gluon-cv, and masks from probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gtseg.local.algorithm.inference.predict import Score, to_mask

SHAPE = (7, 9)
TRUTH = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 255]))
GUESS = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 2))


@given(GUESS, TRUTH)
def test_the_confusion_matrix_equals_scikit_learns_without_void_pixels(guess: np.ndarray, truth: np.ndarray) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    score = Score(3)
    score.add(guess, truth)
    counted = truth != 255
    if counted.any():
        expected = metrics.confusion_matrix(truth[counted], guess[counted], labels=[0, 1, 2])
        np.testing.assert_array_equal(score.confusion, expected)
        assert score.pixel_accuracy == pytest.approx(metrics.accuracy_score(truth[counted], guess[counted]))


def test_an_absent_class_lowers_miou() -> None:
    score = Score(4)
    score.add(np.array([[0, 1, 1]], np.uint8), np.array([[0, 1, 0]], np.uint8))
    assert score.miou == pytest.approx((1 / 2 + 1 / 2 + 0 + 0) / 4)


def test_an_empty_set_scores_zero() -> None:
    assert (Score(2).miou, Score(2).pixel_accuracy) == (0, 0)


def test_counts_are_exact_on_large_masks() -> None:
    """A histogram in float32 would stop counting at 2^24."""
    size = (4101, 4101)
    score = Score(2)
    score.add(np.zeros(size, np.uint8), np.zeros(size, np.uint8))
    assert score.confusion[0, 0] == 4101 * 4101


@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_a_mask_is_the_argmax_of_the_enlarged_probabilities(classes: int, seed: int) -> None:
    cv2 = pytest.importorskip("cv2")
    planes = np.random.default_rng(seed).random((classes, 4, 5), np.float32)
    enlarged = np.stack([cv2.resize(p, (15, 11), interpolation=cv2.INTER_LINEAR) for p in planes])
    np.testing.assert_array_equal(to_mask(planes, (11, 15)), enlarged.argmax(0))
    np.testing.assert_array_equal(to_mask(planes, (4, 5)), planes.argmax(0))
