from __future__ import annotations

import numpy as np
import pytest

from gtseg.core.scores.evaluation import Tally, conclude
from gtseg.errors import MaskError


def tally(pairs, classes=3) -> Tally:
    result = Tally(classes)
    for name, (truth, prediction) in pairs.items():
        result.add(name, np.array(truth, np.uint8), np.array(prediction, np.uint8))
    return result


PAIRS = {
    "a": ([[0, 0, 1, 1]] * 4, [[0, 1, 1, 1]] * 4),
    "b": ([[0, 0, 255, 1]] * 4, [[0, 0, 2, 1]] * 4),
    "c": ([[0, 0, 0, 0]] * 4, [[0, 0, 0, 0]] * 4),
}


def test_all_scores_come_from_one_confusion_matrix_over_all_images() -> None:
    result = conclude(tally(PAIRS))
    assert result.confusion == ((28, 4, 0), (0, 12, 0), (0, 0, 0))
    assert result.images == 3
    assert (result.pixels, result.void_pixels) == (44, 4)
    assert result.miou == pytest.approx((28 / 32 + 12 / 16) / 2)
    assert result.miou_builtin == pytest.approx((28 / 32 + 12 / 16) / 3)
    assert result.miou_foreground == pytest.approx(12 / 16)
    assert result.classes[2].iou is None
    assert result.classes[1].precision == pytest.approx(12 / 16)


def test_intervals_contain_the_scores_and_do_not_depend_on_the_order_of_images() -> None:
    many = {f"{name}{number}": pair for name, pair in PAIRS.items() for number in range(4)}
    one, other = conclude(tally(many)), conclude(tally(dict(reversed(many.items()))))
    assert one == other
    assert conclude(tally(PAIRS)).intervals["miou"] is None  # three images say nothing about others
    low, high = one.intervals["miou"] or (1, 0)
    assert low <= one.miou <= high


def test_a_bad_pair_is_named() -> None:
    with pytest.raises(MaskError, match=r"^broken: "):
        tally({"broken": ([[0, 0]], [[0, 0, 0]])})


def test_without_scored_pixels_there_is_no_score() -> None:
    result = conclude(Tally(2))
    assert (result.images, result.miou, result.intervals["miou"]) == (0, None, None)


def test_an_evaluation_with_background_only_is_reported() -> None:
    flat = {"a": ([[0, 1]], [[0, 0]])}
    assert conclude(tally(flat)).only_background
