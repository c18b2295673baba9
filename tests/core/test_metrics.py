from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gtseg.core.scores.metrics import (
    BAND,
    Counts,
    confusion_matrix,
    f1,
    iou,
    miou,
    miou_builtin,
    miou_foreground,
    miou_per_image,
    pixel_accuracy,
    precision,
    predicts_only_background,
    recall,
    total,
)
from gtseg.errors import MaskError

T = np.array([[0, 0, 1, 1], [0, 2, 1, 255]], np.uint8)
P = np.array([[0, 1, 1, 1], [0, 2, 2, 1]], np.uint8)


def slow_matrix(truth, prediction, classes):
    matrix = np.zeros((classes, classes), np.int64)
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if t != 255:
            matrix[t, p] += 1
    return matrix


def test_a_small_confusion_matrix_equals_the_one_made_by_hand() -> None:
    assert confusion_matrix(T, P, 3).tolist() == [[2, 1, 0], [0, 2, 1], [0, 0, 1]]


@st.composite
def mask_pairs(draw):
    classes = draw(st.integers(1, 30))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))
    values = st.sampled_from([*range(classes), 255])
    truth = draw(hnp.arrays(np.uint8, shape, elements=values, fill=values))
    prediction = draw(
        hnp.arrays(np.uint8, shape, elements=st.integers(0, classes - 1), fill=st.integers(0, classes - 1))
    )
    return truth, prediction, classes


@settings(max_examples=150, deadline=None)
@given(mask_pairs())
def test_the_confusion_matrix_equals_counting_pixel_by_pixel(pair) -> None:
    assert (confusion_matrix(*pair) == slow_matrix(*pair)).all()


@pytest.mark.parametrize("classes", [2, 5, 17, 254])
def test_the_matrices_of_image_bands_add_up(classes) -> None:
    rng = np.random.default_rng(classes)
    smooth = np.repeat(rng.integers(0, classes, 3000, dtype=np.uint8), BAND // 1500)
    noisy = rng.integers(0, classes, BAND + 7, dtype=np.uint8)
    truth, prediction = (
        np.concatenate([smooth, noisy]),
        np.concatenate([np.roll(smooth, 31), np.roll(noisy, 1)]),
    )
    truth[::97] = 255
    code = truth.astype(int)[truth != 255] * classes + prediction[truth != 255]
    wanted = np.bincount(code, minlength=classes**2).reshape(classes, classes)
    assert (confusion_matrix(truth, prediction, classes) == wanted).all()


def test_an_empty_image_counts_no_pixels_and_has_no_score() -> None:
    counts = Counts.of(confusion_matrix(np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.uint8), 3))
    assert np.isnan(miou(counts))
    assert np.isnan(pixel_accuracy(counts))


def test_values_without_a_class_are_refused_by_name() -> None:
    with pytest.raises(MaskError, match=r"the mask has the value 3.*0 to 2"):
        confusion_matrix(np.full((2, 2), 3, np.uint8), np.zeros((2, 2), np.uint8), 3)
    with pytest.raises(MaskError, match=r"prediction has the value 255"):
        confusion_matrix(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8), 3)
    with pytest.raises(MaskError, match=r"prediction is 3 x 2, the mask 2 x 2"):
        confusion_matrix(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 3)


def test_predictions_on_void_pixels_are_ignored() -> None:
    assert confusion_matrix(np.full((4, 4), 255, np.uint8), np.full((4, 4), 200, np.uint8), 2).sum() == 0


def adversarial():
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 4, (2, 37, 41), dtype=np.uint8)
    holes = noise[0].copy()
    holes[rng.random(holes.shape) < 0.3] = 255
    flat = np.zeros((16, 16), np.uint8)
    lines = np.indices((32, 32)).sum(0).astype(np.uint8) % 2
    return {
        "noise": (noise[0], noise[1], 4),
        "void": (holes, noise[1], 4),
        "nothing right": (flat, flat + 1, 3),
        "all right": (noise[0], noise[0], 4),
        "a class nowhere": (lines, 1 - lines, 5),
        "predicted only": (flat, lines[:16, :16] * 2, 3),
        "one pixel": (flat[:1, :1], flat[:1, :1], 2),
    }


@pytest.mark.parametrize("case", adversarial())
def test_scores_agree_with_scikit_learn(case) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    truth, prediction, classes = adversarial()[case]
    counts = Counts.of(confusion_matrix(truth, prediction, classes))
    t, p = truth[truth != 255], prediction[truth != 255]
    options = {"labels": range(classes), "average": None, "zero_division": 0}
    for ours, theirs in (
        (iou, sk.jaccard_score),
        (precision, sk.precision_score),
        (recall, sk.recall_score),
        (f1, sk.f1_score),
    ):
        assert np.nan_to_num(ours(counts)) == pytest.approx(theirs(t, p, **options))
    assert miou(counts) == pytest.approx(sk.jaccard_score(t, p, average="macro", zero_division=0))
    assert pixel_accuracy(counts) == pytest.approx(sk.accuracy_score(t, p))


@pytest.mark.parametrize("case", adversarial())
def test_scores_agree_with_torchmetrics(case) -> None:
    torch = pytest.importorskip("torch")
    tm = pytest.importorskip("torchmetrics.functional.classification")
    truth, prediction, classes = adversarial()[case]
    counts = Counts.of(confusion_matrix(truth, prediction, classes))
    t, p = torch.from_numpy(truth.astype(int))[None], torch.from_numpy(prediction.astype(int))[None]
    per_class = tm.multiclass_jaccard_index(p, t, classes, average="none", ignore_index=255)
    assert np.nan_to_num(iou(counts)) == pytest.approx(per_class.numpy(), abs=1e-6)
    macro = tm.multiclass_jaccard_index(p, t, classes, average="macro", ignore_index=255)
    assert miou(counts) == pytest.approx(float(macro), abs=1e-6)
    micro = tm.multiclass_accuracy(p, t, classes, average="micro", ignore_index=255)
    assert pixel_accuracy(counts) == pytest.approx(float(micro), abs=1e-6)


def test_an_absent_class_lowers_only_the_builtin_score() -> None:
    perfect = np.array([[0, 1], [1, 0]], np.uint8)
    counts = Counts.of(confusion_matrix(perfect, perfect, 4))
    assert (miou(counts), miou_builtin(counts), miou_foreground(counts)) == (1, 0.5, 1)


def test_the_builtin_score_equals_gluon_cvs() -> None:
    matrix = confusion_matrix(T, P, 5)
    inter, union = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    assert miou_builtin(Counts.of(matrix)) == pytest.approx((inter / (np.spacing(1) + union)).mean())


def test_a_class_predicted_but_never_true_counts_zero_in_the_headline_score() -> None:
    truth, prediction = np.zeros((2, 2), np.uint8), np.array([[0, 0], [0, 1]], np.uint8)
    assert miou(Counts.of(confusion_matrix(truth, prediction, 3))) == pytest.approx((0.75 + 0) / 2)


def test_the_mean_over_images_differs_from_the_score_of_the_dataset() -> None:
    easy, hard = np.diag([98, 2]).astype(np.int64), np.array([[50, 25], [25, 0]], np.int64)
    images = Counts.of(np.stack([easy, hard]))
    assert miou_per_image(images) == pytest.approx((1.0 + 0.25) / 2)
    assert miou(Counts.of(total([easy, hard], 2))) == pytest.approx((148 / 198 + 2 / 52) / 2)


def test_predictions_of_background_only_are_reported() -> None:
    truth, flat = np.array([[0, 1]], np.uint8), np.zeros((1, 2), np.uint8)
    assert predicts_only_background(Counts.of(confusion_matrix(truth, flat, 2)))
    assert not predicts_only_background(Counts.of(confusion_matrix(flat, flat, 2)))
    assert not predicts_only_background(Counts.of(confusion_matrix(truth, truth, 2)))
