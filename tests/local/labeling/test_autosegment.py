"""Auto-segment: masks from points, boxes and clicks, corrective clicks, weights, users' models, errors."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from labeling_fixture import Labeling
from typer.testing import CliRunner

from gtseg.cli import doctor
from gtseg.local.errors import ServiceError
from gtseg.local.labeling import autosegment
from gtseg.local.labeling.autosegment import Predictor, segment, weights_paths
from gtseg.local.labeling.autosegment.crop import (
    Window,
    balance_exposure,
    cut,
    in_order,
    likelihood,
    paste,
    quad,
    window_of,
)
from gtseg.local.labeling.autosegment.dextr import open_with_onnxruntime, open_with_opencv
from gtseg.local.labeling.autosegment.grabcut import segment_without_weights
from gtseg.local.labeling.autosegment.mask_crop import ObjectMask, ObjectRows, extract_mask, fit_to_points
from gtseg.local.labeling.autosegment.network import (
    SIZE,
    PromptNet,
    load_weights,
    normalized,
    save_weights,
    start,
    trained_names,
)
from gtseg.local.labeling.autosegment.predictor import AFTER_CLICK, FIRST_LOOK, SECOND_LOOK, apply_near_clicks
from gtseg.local.labeling.autosegment.prompts import NONE, Start, middles, second_outline

DATA = Path(__file__).resolve().parents[2] / "data" / "cats"
PORTAL = {"X-Gtseg-Portal": "1"}


def scene(height: int = 200, width: int = 260) -> tuple[np.ndarray, np.ndarray]:
    """A textured ellipse on another texture, and its mask."""
    rng = np.random.default_rng(3)
    image = np.full((height, width, 3), (60, 90, 70), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (120, 100), (70, 45), 20, 0, 360, 1, -1)
    image[mask > 0] = (190, 120, 60)
    return np.clip(image + rng.normal(0, 9, image.shape), 0, 255).astype(np.uint8), mask > 0


def extremes(mask: np.ndarray) -> list[list[int]]:
    ys, xs = np.nonzero(mask)
    return [[int(xs[i]), int(ys[i])] for i in (ys.argmin(), xs.argmax(), ys.argmax(), xs.argmin())]


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_four_points_segment_the_object() -> None:
    image, mask = scene()
    assert iou(segment(image, extremes(mask)).full_mask(mask.shape), mask) > 0.93


@given(values=st.lists(st.integers(0, 255), min_size=1, max_size=300))
@settings(deadline=None)
def test_balanced_exposure_keeps_the_order_of_values(values: list[int]) -> None:
    photo = np.resize(np.array(values, np.uint8), (12, 12, 3))
    found = balance_exposure(photo).ravel().astype(int)
    assert (np.diff(found[np.argsort(photo, axis=None)]) >= 0).all()


def test_balanced_exposure_brightens_a_dark_window_and_leaves_a_well_lit_one() -> None:
    rng = np.random.default_rng(0)
    lit = rng.integers(0, 256, (48, 48, 3)).astype(np.uint8)
    assert np.abs(balance_exposure(lit).astype(int) - lit).max() <= 3
    dark = (lit / 16).astype(np.uint8)
    assert np.median(balance_exposure(dark)) > 4 * np.median(dark)


def test_a_dark_scene_is_segmented_like_a_lit_one() -> None:
    image, mask = scene()
    dark = (image.astype(float) ** 1.5 / 255**0.5 * 0.3).astype(np.uint8)
    assert iou(segment(dark, extremes(mask)).full_mask(mask.shape), mask) > 0.93


def test_the_order_of_the_points_does_not_matter() -> None:
    image, mask = scene()
    points = extremes(mask)
    first = segment(image, points).full_mask(mask.shape)
    assert np.array_equal(first, segment(image, [points[i] for i in (2, 0, 3, 1)]).full_mask(mask.shape))


def test_the_same_points_give_the_same_mask() -> None:
    image, mask = scene()
    assert np.array_equal(segment(image, extremes(mask)).mask, segment(image, extremes(mask)).mask)


def test_grabcut_segments_the_object_without_weights() -> None:
    image, mask = scene()
    predictor = Predictor()
    assert (
        iou(predictor.segment(image, Start("points", np.array(extremes(mask), np.float32))).full_mask(mask.shape), mask)
        > 0.9
    )


def test_grabcut_segments_a_thin_slanted_object() -> None:
    """The quadrilateral of its extreme points is very thin: eroded, it has no pixels to sample colors from."""
    image, mask = np.full((200, 200, 3), (70, 110, 60), np.uint8), np.zeros((200, 200), np.uint8)
    cv2.line(mask, (30, 170), (170, 30), 1, 14)
    image[mask > 0] = (190, 90, 50)
    image = np.clip(image + np.random.default_rng(1).normal(0, 9, image.shape), 0, 255).astype(np.uint8)
    found = Predictor().segment(image, Start("points", np.array(extremes(mask > 0), np.float32))).full_mask(mask.shape)
    assert iou(found, mask > 0) > 0.85


def test_saved_weights_are_small_and_load_with_small_deviation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = start()
    for name, value in net.named_parameters():
        if name in trained_names(net) and value.ndim > 1:
            value.data += 0.02 * torch.randn_like(value)
    save_weights(net, tmp_path / "w.npz", seen="nothing yet")
    again, seen = load_weights(tmp_path / "w.npz")
    assert seen == "nothing yet"
    assert (tmp_path / "w.npz").stat().st_size < 3.3e6
    pixels, planes = torch.randn(1, 3, 64, 64), torch.rand(1, 7, 64, 64)
    with torch.inference_mode():
        before, after = (torch.sigmoid(n.eval()(pixels, planes)) for n in (net, again))
    assert float((before - after).abs().mean()) < 0.02


def test_decoding_extracted_features_equals_the_forward_pass() -> None:
    torch.manual_seed(0)
    net = PromptNet().eval()
    pixels, planes = torch.randn(1, 3, 64, 64), torch.rand(1, 7, 64, 64)
    with torch.inference_mode():
        assert torch.equal(net(pixels, planes), net.decode(pixels, net.extract_features(pixels), planes))


def test_the_mask_is_at_the_place_of_the_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network rotates the image internally, and must rotate the prompts alike."""
    net, _ = load_weights(weights_paths()[0])
    photo = np.full((SIZE, SIZE, 3), 90, np.uint8)
    cv2.circle(photo, (50, 60), 24, (220, 170, 40), -1)
    found = segment(photo, [[50, 36], [74, 60], [50, 84], [26, 60]]).full_mask((SIZE, SIZE))
    assert found[60, 50]
    assert not found[-60, -50]
    assert normalized(photo).shape == (3, SIZE, SIZE)
    assert isinstance(net, PromptNet)


def test_the_weights_name_their_training_data() -> None:
    seen = Predictor(*weights_paths()).trained_on
    assert "drawn objects" in seen
    assert "ImageNet" in seen


def test_the_packaged_weights_are_small() -> None:
    package = Path(autosegment.__file__).resolve().parents[3]
    assert sum(path.stat().st_size for path in package.rglob("*.npz")) <= 14_000_000


def test_a_box_segments_the_object() -> None:
    image, mask = scene()
    ys, xs = np.nonzero(mask)
    corners = [[int(xs.min()), int(ys.min())], [int(xs.max()), int(ys.max())]]
    assert iou(segment(image, corners).full_mask(mask.shape), mask) > 0.85


def test_one_click_segments_the_object() -> None:
    image, mask = scene()
    assert iou(segment(image, [[120, 100]]).full_mask(mask.shape), mask) > 0.7


def test_a_further_click_gives_the_same_mask_with_and_without_the_cache() -> None:
    image, mask = scene()
    predictor, begun = Predictor(*weights_paths()), Start("points", np.array(extremes(mask), np.float32))
    click = np.array([[100, 90]], np.float32)
    predictor.segment(image, begun, key="a")
    kept, fresh = (predictor.segment(image, begun, outside=click, key=key).full_mask(mask.shape) for key in ("a", None))
    assert np.array_equal(kept, fresh)


def test_requests_for_one_object_at_the_same_time_give_the_same_mask() -> None:
    image, mask = scene()
    predictor, begun = Predictor(*weights_paths()), Start("points", np.array(extremes(mask), np.float32))
    alone = predictor.find_state(image, begun, key=None)
    shared = predictor.find_state(image, begun, key=None)
    expected = predictor.predict_corrected(alone, inside=NONE, outside=NONE)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: predictor.predict_corrected(shared, inside=NONE, outside=NONE), range(6)))
    assert all(np.array_equal(one, expected) for one in found)


def test_a_click_changes_the_mask_only_in_its_neighborhood() -> None:
    before = np.full((96, 96), 0.9, np.float32)
    after = np.full((96, 96), 0.4, np.float32)  # would remove everything, without being sure
    after[44:52, 44:52] = 0.02
    left = apply_near_clicks(before, after, inside=NONE, outside=np.array([[48, 48]], np.float32))
    removed = left <= 0.5
    assert removed[44:52, 44:52].all()
    assert not removed[:40].any()
    assert not removed[56:].any()


def test_each_click_keeps_the_effect_of_earlier_clicks() -> None:
    image, mask = scene()
    image[60:80, 150:175] = (60, 90, 70)
    predictor, begun = Predictor(*weights_paths()), Start("points", np.array(extremes(mask), np.float32))

    def found(outside: list[list[float]]) -> np.ndarray:
        clicks = np.array(outside, np.float32).reshape(-1, 2)
        return predictor.segment(image, begun, outside=clicks, key="scene").full_mask(mask.shape)

    start, one, two = found([]), found([[90, 90]]), found([[90, 90], [140, 115]])
    _, parts = cv2.connectedComponents((one & ~two).astype(np.uint8))
    assert not one[90, 90]
    assert not two[90, 90]
    assert not (two & ~one).any()  # a click outside adds nothing
    assert set(np.unique(parts)) == {0, parts[115, 140]}  # and removes nothing but around itself
    assert np.array_equal(found([[90, 90]]), one)  # the second click taken back
    assert np.array_equal(found([]), start)


def test_grabcut_is_used_if_imagenet_weights_are_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTSEG_IMAGENET_WEIGHTS", "off")
    monkeypatch.setattr(autosegment, "_predictor", None)
    assert autosegment.shared_predictor().nets == []
    monkeypatch.setattr(autosegment, "_predictor", None)


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 90)), min_size=2, max_size=2))
def test_the_middles_of_a_boxs_sides_are_on_its_sides(corners: list[tuple[float, float]]) -> None:
    points = np.array(corners, np.float32)
    around = middles(points)
    assert np.allclose(around.min(0), points.min(0))
    assert np.allclose(around.max(0), points.max(0))


def test_real_cats_are_segmented_better_than_by_grabcut_alone() -> None:
    """Single cats of the test photographs; scripts/benchmark autosegment measures on more."""
    ours, plain = [], []
    for path in sorted((DATA / "masks").glob("*.png")):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) == 1
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        mask = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        image = cv2.imread(str(DATA / "images" / f"{path.stem}.jpg"))[..., ::-1]
        points = np.array(extremes(mask), np.float32)
        ours.append(iou(segment(image, points).full_mask(mask.shape), mask))
        window = window_of(points, 256)
        found = segment_without_weights(cut(image, window), window.inward(points), inside=NONE, outside=NONE)
        left, top, values = paste(window, found.astype(np.float32), mask.shape)
        plain.append(iou(ObjectMask(left, top, values > 0.5).full_mask(mask.shape), mask))
    assert np.mean(ours) > 0.75
    assert np.mean(ours) > np.mean(plain)


def test_a_click_inside_adds_and_a_click_outside_removes() -> None:
    image, mask = scene()
    image[60:80, 150:175] = (60, 90, 70)  # a hole in the color of the ground
    points = extremes(mask)
    there, elsewhere = [162, 70], [110, 100]
    assert segment(image, points, inside=[there]).full_mask(mask.shape)[there[1], there[0]]
    assert not segment(image, points, outside=[elsewhere]).full_mask(mask.shape)[elsewhere[1], elsewhere[0]]


@pytest.mark.parametrize(
    ("points", "word"),
    [
        ([[1, 1], [2, 2], [3, 3]], "got 3 points"),
        ([], "got 0 points"),
        ([[1, 1], [2, 2], [3, 3], [9000, 4]], "260 x 200"),
        ([[1, 1], [2, 2], [3, 3], [float("nan"), 4]], "260 x 200"),
        ([["a", 1], [2, 2], [3, 3], [4, 4]], "pairs"),
    ],
)
def test_invalid_points_are_refused_with_the_reason(points: list[list[float]], word: str) -> None:
    with pytest.raises(ServiceError, match=word):
        segment(scene()[0], points)


@pytest.mark.parametrize(
    "points",
    [[[5, 5]] * 4, [[0, 0], [259, 0], [259, 199], [0, 199]], [[10, 10], [10, 60], [10, 30], [10, 40]]],
)
def test_any_points_in_the_image_give_a_mask(points: list[list[float]]) -> None:
    found = segment(scene()[0], points)
    assert found.full_mask((200, 260)).shape == (200, 260)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_rows_describe_exactly_the_mask(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.4
    again = np.zeros((height + 7, width + 5), bool)
    for y, *ends in ObjectMask(5, 7, mask).rows():
        for left, right in zip(ends[::2], ends[1::2], strict=True):
            again[y, left:right] = True
    assert np.array_equal(again[7:, 5:], mask)
    assert not again[:7].any()
    assert not again[:, :5].any()


@given(st.floats(-30, 200), st.floats(-30, 200), st.floats(20, 150))
@settings(max_examples=40, deadline=None)
def test_a_window_is_pasted_where_it_was_cut(left: float, top: float, side: float) -> None:
    window = Window(left, top, side, 160)
    ys, xs = np.mgrid[:200, :260].astype(np.float32)
    point = np.array([[130.0, 100.0]], np.float32)
    bump = np.exp(-((xs - 130) ** 2 + (ys - 100) ** 2) / (2 * 6.0**2)).astype(np.float32)
    image = np.repeat((bump * 255).astype(np.uint8)[..., None], 3, 2)
    x, y = window.inward(point)[0]
    if not (8 <= x < 152 and 8 <= y < 152):
        return
    x0, y0, values = paste(window, cut(image, window)[..., 0].astype(np.float32), (200, 260))
    peak = np.unravel_index(int(values.argmax()), values.shape)
    assert abs(peak[1] + x0 - 130) <= 2
    assert abs(peak[0] + y0 - 100) <= 2


def test_points_are_sorted_clockwise_from_the_top() -> None:
    turned = in_order(np.array([[0, 50], [50, 100], [100, 50], [50, 0]], np.float32))
    assert turned.tolist() == [[50, 0], [100, 50], [50, 100], [0, 50]]


def test_the_likelihood_separates_the_objects_colors_from_the_background() -> None:
    image, mask = scene()
    ratio = likelihood(image[:200, :200], mask[:200, :200].astype(np.uint8), 1 - mask[:200, :200].astype(np.uint8))
    assert ratio[mask[:200, :200]].mean() > 0.9
    assert ratio[~mask[:200, :200]].mean() < 0.1


def test_the_second_look_knows_that_a_pocket_between_lobes_is_not_object() -> None:
    photo = np.full((SIZE, SIZE, 3), (200, 170, 190), np.uint8)
    photo = np.clip(photo + np.random.default_rng(0).normal(0, 6, photo.shape), 0, 255).astype(np.uint8)
    horseshoe = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(horseshoe, (96, 96), (45, 45), 0, 40, 320, 1, 26)
    photo[horseshoe > 0] = (110, 40, 120)
    begun = Start("points", np.array(extremes(horseshoe), np.float32))
    first = begun.outline(photo)
    inner = quad(begun.points, SIZE)
    pocket = (cv2.circle(np.zeros_like(horseshoe), (96, 96), 25, 1, -1) > 0) & (horseshoe == 0) & (inner > 0)
    second = second_outline(photo, first, begun.around, horseshoe.astype(np.float32))
    assert first.likelihood[pocket].mean() > 2 * second.likelihood[pocket].mean()
    assert second.likelihood[horseshoe > 0].mean() > 0.95
    assert np.array_equal(second.guess, horseshoe)
    found = segment(photo, extremes(horseshoe)).full_mask((SIZE, SIZE))
    assert iou(found, horseshoe > 0) > 0.9
    assert found[pocket].mean() < 0.2


@pytest.mark.parametrize("mask", [np.zeros((SIZE, SIZE), np.float32), np.ones((SIZE, SIZE), np.float32)])
def test_a_first_mask_without_object_or_background_leaves_the_colors_as_they_were(mask: np.ndarray) -> None:
    image, _ = scene()
    photo = cv2.resize(image, (SIZE, SIZE))
    begun = Start("points", np.array([[96, 30], [160, 96], [96, 160], [30, 96]], np.float32))
    first = begun.outline(photo)
    assert second_outline(photo, first, begun.around, mask).likelihood is first.likelihood


def cone(radius: float, *, x: float = 96, y: float = 96) -> np.ndarray:
    """(S, S) probabilities of a disk, with a soft edge."""
    ys, xs = np.mgrid[:SIZE, :SIZE]
    return (1 / (1 + np.exp((np.hypot(xs - x, ys - y) - radius) / 3))).astype(np.float32)


def sides(x: float, y: float, radius: float) -> np.ndarray:
    return np.array([[x, y - radius], [x + radius, y], [x, y + radius], [x - radius, y]], np.float32)


@pytest.mark.parametrize("scale", [0.25, 1, 2])
def test_a_mask_is_moved_toward_the_points_on_its_sides(scale: float) -> None:
    window, true = Window(0, 0, SIZE / scale, SIZE), cone(40) > 0.5
    for radius in (36, 44):
        found = fit_to_points(cone(radius), window, sides(96, 96, 40))
        assert iou(found > 0.5, true) > iou(cone(radius) > 0.5, true)
    beside = fit_to_points(cone(40, x=100), window, sides(96, 96, 40))
    assert iou(beside > 0.5, true) > iou(cone(40, x=100) > 0.5, true)


def test_a_mask_that_ends_at_the_points_or_is_empty_stays_as_it_is() -> None:
    window = Window(0, 0, SIZE, SIZE)
    exact = cone(40)
    assert np.allclose(fit_to_points(exact, window, sides(96, 96, 39.6)), exact, atol=1e-6)
    nothing = np.full((SIZE, SIZE), 0.2, np.float32)
    assert np.array_equal(fit_to_points(nothing, window, sides(96, 96, 40)), nothing)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(4, 90),
    st.lists(st.tuples(st.floats(-50, 240), st.floats(-50, 240)), min_size=4, max_size=4),
    st.floats(2, 4000),
)
def test_any_points_keep_probabilities_between_0_and_1_and_their_certainty(
    radius: float, points: list[tuple[float, float]], side: float
) -> None:
    before = cone(radius)
    after = fit_to_points(before, Window(0, 0, side, SIZE), np.array(points, np.float32))
    assert after.dtype == np.float32
    assert ((after >= 0) & (after <= 1)).all()
    assert (after[before > 0.9] > 0.5).all()
    assert (after[before < 0.1] < 0.5).all()


def test_the_shares_of_one_network_or_two_add_up_to_one() -> None:
    for weights in (weights_paths()[:1], weights_paths()):
        predictor = Predictor(*weights)
        for shares in (FIRST_LOOK, SECOND_LOOK, AFTER_CLICK):
            used = predictor.shares_of(shares)
            assert len(used) == len(weights)
            assert sum(map(sum, used)) == pytest.approx(1)


def test_the_frozen_part_is_the_same_in_all_packaged_networks() -> None:
    pixels = torch.randn(1, 3, 64, 64)
    one, other = (load_weights(path)[0].extract_features(pixels) for path in weights_paths())
    assert torch.equal(one.half, other.half)
    assert torch.equal(one.quarter, other.quarter)


def make_model(path: Path, *, planes: int = 4) -> None:
    """An ONNX model whose object is all pixels with red above 128."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    pick = numpy_helper.from_array(np.eye(1, planes, dtype=np.float32).reshape(1, planes, 1, 1), "pick")
    threshold = numpy_helper.from_array(np.array([-128.0], np.float32), "threshold")
    node = helper.make_node("Conv", ["input", "pick", "threshold"], ["output"], kernel_shape=[1, 1])
    graph = helper.make_graph(
        [node],
        "red",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, planes, 512, 512])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 512, 512])],
        [pick, threshold],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


def test_a_users_onnx_model_replaces_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "red.onnx")
    monkeypatch.setenv("GTSEG_AUTOSEGMENT_ONNX", str(tmp_path / "red.onnx"))
    image, mask = scene()
    assert iou(segment(image, extremes(mask)).full_mask(mask.shape), mask) > 0.95


@pytest.mark.parametrize("engine", ["onnxruntime", "opencv"])
def test_every_engine_returns_the_models_output(tmp_path: Path, engine: str) -> None:
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
    make_model(tmp_path / "red.onnx")
    path = tmp_path / "red.onnx"
    model = open_with_onnxruntime(path, "input") if engine == "onnxruntime" else open_with_opencv(path)
    planes = np.random.default_rng(0).uniform(0, 255, (1, 4, 512, 512)).astype(np.float32)
    np.testing.assert_allclose(model(planes)[0, 0], planes[0, 0] - 128, atol=1e-3)


def test_a_model_with_another_input_is_refused_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "three.onnx", planes=3)
    monkeypatch.setenv("GTSEG_AUTOSEGMENT_ONNX", str(tmp_path / "three.onnx"))
    with pytest.raises(ServiceError, match=r"input \(1 x 3 x 512 x 512\)"):
        segment(scene()[0], extremes(scene()[1]))


def test_a_server_with_a_users_model_segments_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_local_aws: Any
) -> None:
    make_model(tmp_path / "red.onnx")
    labeling = Labeling(start_local_aws(options={"outline_model": [tmp_path / "red.onnx"]}))
    image, mask = scene()
    job = labeling.create(
        [{"source-ref": labeling.put("scene.png", cv2.imencode(".png", image[..., ::-1])[1].tobytes())}]
    )
    worker = labeling.hire()
    task = labeling.lease(worker, job)
    status, answer = worker("POST", f"/tasks/{task['task']}/autosegment", {"points": extremes(mask)}, PORTAL)
    assert status == 200, answer
    assert answer["rows"] == segment(image, extremes(mask), models=[tmp_path / "red.onnx"]).rows()
    assert answer["rows"] != segment(image, extremes(mask)).rows()
    assert worker("GET", f"/tasks/{task['task']}/autosegment", None, PORTAL)[1]["starts"] == ["box", "points"]
    (tmp_path / "gtseg.toml").write_text('[project]\nname = "outlines"\n')
    settings = {**labeling.aws.environment, "GTSEG_LOCAL_DATA": str(labeling.aws.folder)}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(doctor.app, ["--json", "--settings", str(tmp_path / "gtseg.toml")])
    (finding,) = [item for item in json.loads(result.stdout) if item["subject"] == "outlines"]
    assert finding["level"] == "good"
    assert f"DEXTR ({tmp_path / 'red.onnx'}): " in finding["found"]


def test_a_dextr_model_supports_points_and_boxes_and_reports_that(tmp_path: Path) -> None:
    make_model(tmp_path / "red.onnx")
    image, mask = scene()
    ys, xs = np.nonzero(mask)
    box = [[int(xs.min()), int(ys.min())], [int(xs.max()), int(ys.max())]]
    assert iou(segment(image, box, models=[tmp_path / "red.onnx"]).full_mask(mask.shape), mask) > 0.9
    with pytest.raises(ServiceError, match="four extreme points or a box"):
        segment(image, [[120, 100]], models=[tmp_path / "red.onnx"])


def test_an_unreadable_onnx_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    monkeypatch.setenv("GTSEG_AUTOSEGMENT_ONNX", str(tmp_path / "bad.onnx"))
    with pytest.raises(ServiceError, match=r"bad\.onnx"):
        segment(scene()[0], extremes(scene()[1]))


def test_a_large_image_has_the_mask_of_the_small_image_enlarged() -> None:
    """The mask of a large object is enlarged in two steps, within its box."""
    image, mask = scene()
    large = np.asarray(cv2.resize(image, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST), np.uint8)
    points = [[8 * x + 4, 8 * y + 4] for x, y in extremes(mask)]
    found = segment(large, points)
    true = np.kron(mask, np.ones((8, 8), bool))
    assert iou(found.full_mask(true.shape), true) > 0.93
    assert found.reach is not None
    assert found.reach[0] < 8 * 50


@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_processor_without_16_bit_arithmetic_computes_in_32_bits(
    monkeypatch: pytest.MonkeyPatch, fast: bool, dtype: torch.dtype
) -> None:
    """Emulated 16-bit arithmetic takes nine times as long; the mask is the same."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    predictor = Predictor(*weights_paths())
    assert {p.dtype for net in predictor.nets for p in net.parameters()} == {dtype}
    image, mask = scene()
    found = predictor.segment(image, Start("points", np.array(extremes(mask), np.float32)))
    assert iou(found.full_mask(mask.shape), mask) > 0.93


def test_the_rows_of_a_large_object_are_those_of_its_enlarged_mask() -> None:
    """Within a pixel at each end of a run, including a hole, a separate part and the image's border."""
    window, shape = Window(-300.25, 120.5, 3000.0, SIZE), (3000, 2500)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    discs = np.hypot(x - 30, y - 80) - 45, 12 - np.hypot(x - 40, y - 90), np.hypot(x - 160, y - 150) - 25
    signed = np.minimum(np.maximum(discs[0], discs[1]), discs[2])
    probability = (1 / (1 + np.exp(np.clip(2 * signed, -30, 30)))).astype(np.float32)
    found = extract_mask(probability, window, shape, limits=None, inside=NONE)
    assert isinstance(found, ObjectRows)
    left, top, values = paste(window, probability, shape)
    plain = ObjectMask(left, top, values > 0.5).full_mask(shape).astype(np.uint8)
    across = np.ones((5, 5), np.uint8)
    whole = found.full_mask(shape)
    assert (cv2.erode(plain, across) <= whole).all()
    assert (whole <= cv2.dilate(plain, across)).all()


def test_an_empty_result_has_no_rows_at_any_size() -> None:
    nothing = np.zeros((SIZE, SIZE), np.float32)
    for side in (100.0, 5000.0):
        found = extract_mask(nothing, Window(0, 0, side, SIZE), (5000, 5000), limits=None, inside=NONE)
        assert found.rows() == []
