from __future__ import annotations

import numpy as np
import pytest

from gtseg.core.scores.intervals import MIN_IMAGES, bootstrap, bootstrap_mean, share_interval
from gtseg.core.scores.metrics import Counts, iou, miou


def images(number: int, seed: int = 0) -> Counts:
    rng = np.random.default_rng(seed)
    right = rng.integers(10, 100, (number, 2))
    wrong = rng.integers(0, 50, (number, 2))
    matrix = np.zeros((number, 2, 2), np.int64)
    matrix[:, [0, 1], [0, 1]], matrix[:, 0, 1], matrix[:, 1, 0] = right, wrong[:, 0], wrong[:, 1]
    return Counts.of(matrix)


def test_an_interval_contains_the_score_and_is_reproducible() -> None:
    counts = images(30)
    pooled = Counts(*(part.sum(0) for part in (counts.right, counts.truth, counts.predicted)))
    first, second = (bootstrap(counts, {"miou": miou})["miou"] for _ in range(2))
    assert first[0] < miou(pooled) < first[1]
    assert (first == second).all()


def test_more_images_narrow_the_interval() -> None:
    few, many = (bootstrap(images(n), {"miou": miou})["miou"] for n in (10, 400))
    assert np.diff(many) < np.diff(few) / 3


def test_more_than_nine_of_ten_intervals_contain_the_true_score() -> None:
    """Coverage over 200 samples of one distribution; nominally 95 %."""
    world = images(20000, seed=99)
    truth = miou(Counts(*(part.sum(0) for part in (world.right, world.truth, world.predicted))))
    hits = 0
    for seed in range(200):
        low, high = bootstrap(images(40, seed=seed), {"m": miou}, resamples=300)["m"]
        hits += bool(low <= truth <= high)
    assert hits >= 180


@pytest.mark.parametrize(("number", "is_known"), [(1, False), (MIN_IMAGES - 1, False), (MIN_IMAGES, True)])
def test_identical_images_have_a_point_interval_and_too_few_have_none(number: int, is_known: bool) -> None:
    one = images(1)
    same = Counts(*(np.repeat(part, number, 0) for part in (one.right, one.truth, one.predicted)))
    low, high = bootstrap(same, {"iou": iou})["iou"]
    assert (low == pytest.approx(high)) == is_known
    assert np.isnan(low).all() != is_known


def test_no_image_and_unknown_classes_give_nan_not_an_error() -> None:
    empty = Counts(*(np.zeros((0, 2)) for _ in range(3)))
    assert np.isnan(bootstrap(empty, {"miou": miou})["miou"]).all()
    low, high = bootstrap_mean(np.array([[1.0, np.nan], [0.5, np.nan], [0.7, np.nan]] * 4))
    assert np.isnan(low[1])
    assert low[0] < 0.74 < high[0]


@pytest.mark.parametrize(
    ("hits", "total", "expected"),
    [(0, 10, (0.0, 0.3085)), (10, 10, (0.6915, 1.0)), (8, 10, (0.4439, 0.9748)), (90, 100, (0.8238, 0.9510))],
)
def test_the_interval_of_a_share_is_the_clopper_pearson_interval(
    hits: int, total: int, expected: tuple[float, float]
) -> None:
    share, *interval = share_interval(hits, total)
    assert share == hits / total
    assert interval == pytest.approx(expected, abs=1e-4)
