"""Consolidation, mask encoding and simulated errors: small arrays, a real mask of AWS, accuracy of three workers."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gtseg.local.labeling.answers import index_pixels
from gtseg.local.labeling.batches import consolidate_object
from gtseg.local.labeling.consolidation import BAND_PIXELS, consolidate
from gtseg.local.labeling.masks import color_of, encode_answer, encode_mask, internal_color_map, read_color
from gtseg.local.labeling.output import Answered
from gtseg.local.labeling.worker_errors import add_errors, draw_generator

DATA = Path(__file__).parents[2] / "data"


def array(text: str) -> np.ndarray:
    return np.array([[int(c) for c in row] for row in text.split()], dtype=np.uint8)


masks = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).integers(0, 4, drawn[:2], dtype=np.uint8)
)


@st.composite
def votes(draw: st.DrawFn) -> list[np.ndarray]:
    first = draw(masks)
    rest = [
        np.random.default_rng(draw(st.integers(0, 99))).integers(0, 4, first.shape, dtype=np.uint8)
        for _ in range(draw(st.integers(1, 8)))
    ]
    return [first, *rest]


def test_our_encoder_reproduces_a_mask_of_aws_byte_for_byte() -> None:
    path = DATA / "pcb-3-classes" / "mask.png"
    assert encode_mask(np.array(Image.open(path)), 3) == path.read_bytes()


def test_the_256_colors_differ_and_the_background_is_white() -> None:
    assert len({read_color(color_of(index)) for index in range(256)}) == 256
    assert [color_of(index) for index in range(6)] == [
        "#ffffff",
        "#2ca02c",
        "#1f77b4",
        "#ff7f0e",
        "#d62728",
        "#9467bd",
    ]
    assert list(internal_color_map(["a"] * 255, 0)) == [str(index) for index in range(256)]


@pytest.mark.parametrize("text", ["", "#fff", "ffffff", "#gggggg", "#ff ff f"])
def test_an_invalid_color_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_color(text)


@given(masks)
@settings(deadline=None)
def test_a_workers_png_is_decoded_to_the_encoded_indices(mask: np.ndarray) -> None:
    colors = {index: color_of(index) for index in (1, 2, 3)}
    packed = {int.from_bytes(bytes(read_color(color)), "little"): index for index, color in colors.items()}
    png = encode_answer(mask, colors)
    assert np.array_equal(index_pixels(png, packed), mask)
    with Image.open(io.BytesIO(png)) as image:
        assert set(image.convert("RGBA").getchannel("A").tobytes()) <= {0, 255}


@given(masks)
def test_a_single_workers_mask_is_kept_with_confidence_0(mask: np.ndarray) -> None:
    result = consolidate([mask])
    assert np.array_equal(result.mask, mask)
    assert result.confidence == 0


@given(masks, st.integers(2, 9))
def test_unanimous_answers_are_kept_with_confidence_1(mask: np.ndarray, workers: int) -> None:
    result = consolidate([mask] * workers)
    assert np.array_equal(result.mask, mask)
    assert result.confidence == 1


@given(votes())
@settings(deadline=None)
def test_each_pixel_gets_a_voted_class_regardless_of_the_order_of_workers(
    given: list[np.ndarray],
) -> None:
    result = consolidate(given)
    stack = np.stack(given)
    assert (stack == result.mask).any(axis=0).all()
    agreed = (stack == stack[0]).all(axis=0)
    assert np.array_equal(result.mask[agreed], stack[0][agreed])
    turned = consolidate(given[::-1])
    assert np.array_equal(turned.mask, result.mask)
    assert turned.confidence == result.confidence
    assert 0 < result.confidence <= 1


def test_the_neighborhood_decides_ties() -> None:
    left, right = array("1111000 1111000 1111000"), array("1110000 1111000 1110000")
    assert np.array_equal(consolidate([left, right]).mask, left)
    assert consolidate([left, right]).confidence == pytest.approx((12 + 10) / (12 * 2))


def test_consolidation_in_bands_equals_consolidation_at_once() -> None:
    random = np.random.default_rng(0)
    tall = [random.integers(0, 3, (BAND_PIXELS // 512 * 2 + 50, 512), dtype=np.uint8) for _ in range(3)]
    whole = consolidate(tall).mask
    row = BAND_PIXELS // 512
    across = consolidate([mask[row - 40 : row + 40] for mask in tall]).mask
    assert np.array_equal(whole[row - 30 : row + 30], across[10:70])


def test_masks_of_different_sizes_or_none_are_refused() -> None:
    for given_ in ([], [array("1"), array("11")]):
        with pytest.raises(ValueError, match="same size"):
            consolidate(given_)


# ---------------------------------------------------------------- mistakes


@pytest.fixture(scope="module")
def cats() -> list[np.ndarray]:
    return [np.array(Image.open(path), dtype=np.uint8) for path in sorted((DATA / "cats" / "masks").glob("*.png"))]


def iou(left: np.ndarray, right: np.ndarray) -> float:
    return float(((left > 0) & (right > 0)).sum() / max(1, ((left > 0) | (right > 0)).sum()))


def test_three_workers_at_5_percent_are_better_than_the_best_of_them_on_average(cats: list[np.ndarray]) -> None:
    alone, together = [], []
    for place, truth in enumerate(cats):
        answers = [add_errors(truth, 0.05, labels=1, random=draw_generator(0, worker, place)) for worker in range(3)]
        alone.append([iou(answer, truth) for answer in answers])
        together.append(iou(consolidate(answers).mask, truth))
    assert np.mean(together) > max(np.mean(alone, axis=0))  # the best worker
    assert np.mean(together) > np.mean(np.max(alone, axis=1))  # even the best answer of each image


@pytest.mark.parametrize("error", [0.02, 0.05, 0.2])
def test_error_is_the_fraction_of_the_marked_area_that_is_wrong(cats: list[np.ndarray], error: float) -> None:
    wrong = [
        (add_errors(truth, error, labels=1, random=draw_generator(seed, place)) != truth).sum() / (truth > 0).sum()
        for place, truth in enumerate(cats)
        for seed in range(8)
    ]
    assert np.mean(wrong) == pytest.approx(error, rel=0.35)


@given(masks, st.floats(0, 1), st.integers(0, 99))
@settings(deadline=None)
def test_errors_use_only_the_labels_and_depend_on_the_seed_alone(mask: np.ndarray, error: float, seed: int) -> None:
    answer = add_errors(mask, error, labels=3, random=draw_generator(seed))
    assert answer.shape == mask.shape
    assert answer.max(initial=0) <= 3
    assert np.array_equal(answer, add_errors(mask, error, labels=3, random=draw_generator(seed)))


@given(masks)
def test_error_0_changes_nothing(mask: np.ndarray) -> None:
    assert np.array_equal(add_errors(mask, 0, labels=3, random=draw_generator(0)), mask)


def test_some_objects_are_missed_or_given_another_class() -> None:
    truth = array("1100220011 1100220011")
    kinds = {tuple(add_errors(truth, 0.9, labels=3, random=draw_generator(seed))[:, 4]) for seed in range(200)}
    assert {(0, 0), (2, 2)} < kinds
    assert any(3 in kind or 1 in kind for kind in kinds)


def test_the_masks_of_nine_workers_are_not_in_memory_together(tmp_path: Path) -> None:
    size, labels = (1500, 1000), ["road"]
    answer = encode_labels(np.ones((1000, 1500), np.uint8), labels)
    answers = [Answered("w", "s", 0.0, 1.0, answer, None)] * 9
    kept: dict[str, bytes] = {}
    objects = SimpleNamespace(put=lambda bucket, key, body, **_: kept.update({key: body}))
    job = SimpleNamespace(
        is_verification=False, is_adjustment=False, labels=labels, output=("b", ""), attribute="a", name="j", kms_key=""
    )
    row = {"width": size[0], "height": size[1], "line": 0, "stamp": 1.0}
    tracemalloc.start()
    try:
        consolidate_object(job, objects, row, answers=answers, folder=tmp_path)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 7 * size[0] * size[1]  # bytes; nine masks and the result are ten
    (mask,) = kept.values()
    assert np.array(Image.open(io.BytesIO(mask))).all()


def encode_labels(indices: np.ndarray, labels: list[str]) -> str:
    """A worker's answer, as the page sends it."""
    height, width = indices.shape
    png = base64.b64encode(encode_answer(indices, {1: "#ff0000"})).decode()
    return json.dumps(
        {
            "element": {
                "inputImageProperties": {"height": height, "width": width},
                "labelMappings": {labels[0]: {"color": "#ff0000"}},
                "labeledImage": {"pngImageData": png},
            }
        }
    )
