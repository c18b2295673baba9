from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gtseg.core.scores.boundaries import boundary_f1, grow


def square(shift: int = 0, *, side: int = 100) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[30:70, 30 + shift : 70 + shift] = 1
    return mask


def test_equal_masks_have_perfect_boundaries() -> None:
    assert boundary_f1(square(), square(), 3).tolist()[:2] == [1, 1]
    assert np.isnan(boundary_f1(square(), square(), 3)[2])


def test_a_shift_within_the_tolerance_costs_nothing_and_a_larger_one_does() -> None:
    assert boundary_f1(square(), square(1), 2)[1] == 1
    assert 0.3 < boundary_f1(square(), square(10), 2)[1] < 0.7


def test_a_class_with_a_boundary_in_one_mask_only_scores_zero() -> None:
    assert boundary_f1(square(), np.zeros((100, 100), np.uint8), 2).tolist() == [0, 0]


def test_the_edge_of_the_image_and_void_are_not_boundaries() -> None:
    mask = square()
    assert np.isnan(boundary_f1(np.ones((9, 9), np.uint8), np.ones((9, 9), np.uint8), 2)).all()
    holed = np.where(mask == 1, 255, 0).astype(np.uint8)
    assert np.isnan(boundary_f1(holed, np.zeros_like(holed), 2)).all()


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14)), st.integers(1, 5))
def test_dilation_reaches_exactly_the_euclidean_distance(bits, reach) -> None:
    points = np.argwhere(bits)
    for place in np.ndindex(bits.shape):
        near = len(points) and ((points - place) ** 2).sum(1).min() <= reach**2
        assert grow(bits, reach)[place] == bool(near)


def test_the_boundary_score_equals_one_from_a_distance_transform() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(0)
    truth = (ndimage.gaussian_filter(rng.normal(size=(80, 90)), 6) > 0).astype(np.uint8)
    prediction = np.roll(truth, 2, axis=1)
    reach = max(1, round(0.0075 * np.hypot(80, 90)))
    edges = []
    for mask in (truth, prediction):
        padded = np.pad(mask, 1, mode="edge")
        edges.append(
            sum((padded[1 + dy : 81 + dy, 1 + dx : 91 + dx] != mask) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)))
            > 0
        )
    for index in (0, 1):
        a, b = edges[0] & (truth == index), edges[1] & (prediction == index)
        precise = (ndimage.distance_transform_edt(~a)[b] <= reach).mean()
        complete = (ndimage.distance_transform_edt(~b)[a] <= reach).mean()
        assert boundary_f1(truth, prediction, 2)[index] == pytest.approx(2 * precise * complete / (precise + complete))
