"""The scripts that train and measure auto-segment: drawn scenes, training examples, simulated clicks."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from gtseg.local.labeling.autosegment.network import save_weights
from gtseg.local.labeling.autosegment.prompts import NONE
from scripts import autosegment_people as people
from scripts import autosegment_scenes as scenes
from scripts.benchmark_autosegment import Object, Question, click_on, measure_clicks, worst_place
from scripts.portal_robot import agreement, cells, deepest, street
from scripts.train_autosegment import (
    STEADY,
    Sample,
    averaged,
    begin,
    click_rounds,
    darkened,
    drawn_by_hand,
    example,
    extreme_points,
    look_again,
    points_by_people,
    rate_at,
    some_click,
    start_network,
    turn_and_scale,
    weights_of,
)

Draw = Callable[[np.random.Generator, list[np.ndarray]], tuple[np.ndarray, list[np.ndarray]]]


def square(left: int, right: int) -> np.ndarray:
    mask = np.zeros((60, 60), bool)
    mask[20:40, left:right] = True
    return mask


def clip_art() -> np.ndarray:
    """(90, 120, 4) BGRA: a ring with a tail on a transparent background."""
    picture = np.zeros((90, 120, 4), np.uint8)
    cv2.circle(picture, (45, 45), 35, (40, 90, 200, 255), 12)
    cv2.line(picture, (75, 45), (115, 80), (40, 90, 200, 255), 8)
    return picture


def test_a_missing_part_is_clicked_as_inside_and_an_excess_part_as_outside() -> None:
    x, y, missing = worst_place(square(10, 20), square(10, 50))
    assert missing
    assert square(20, 50)[int(y), int(x)]
    x, y, missing = worst_place(square(10, 50), square(10, 20))
    assert not missing
    assert square(20, 50)[int(y), int(x)]


def test_clicks_are_added_to_those_before() -> None:
    question = Question(np.zeros((60, 60, 3), np.uint8), NONE)
    question = click_on(question, square(10, 20), square(10, 50))
    question = click_on(question, square(10, 50), square(10, 20))
    assert len(question.inside) == len(question.outside) == 1


def test_the_score_of_a_method_that_follows_clicks_rises_with_each_click() -> None:
    """A method that segments the left half, and the columns near each click inside."""

    def obedient(question: Question) -> np.ndarray:
        found = square(10, 20)
        for x, _ in question.inside:
            found[20:40, max(0, int(x) - 6) : int(x) + 6] = True
        return found

    rows = measure_clicks([Object(np.zeros((60, 60, 3), np.uint8), square(10, 50))], obedient)
    assert (np.diff(rows[0]) > 0).all()


def test_a_cutout_is_the_largest_part_with_its_holes_filled() -> None:
    cutout = scenes.trim(clip_art())
    assert cutout is not None
    assert cutout.shape[2] == 4
    assert cutout[45 - 10, 45 - 10, 3] == 255  # the ring's inside
    assert cutout[40, 6, 0] > cutout[40, 6, 2]  # BGR as read has become RGB


def test_a_full_rectangle_is_not_a_cutout() -> None:
    assert scenes.trim(np.full((80, 80, 4), 255, np.uint8)) is None


def test_images_can_be_left_out_by_name(tmp_path: Path) -> None:
    for name in ("dog.png", "housecats/tom.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), clip_art())
    read = [
        len(scenes.read_cutouts([tmp_path], leave_out=unwanted, most=9, rng=np.random.default_rng(0)))
        for unwanted in ("^$", "cat")
    ]
    assert read == [2, 1]


def test_masks_of_a_drawn_crowd_do_not_overlap_and_depend_on_the_seed_alone() -> None:
    cutout = scenes.trim(clip_art())
    assert cutout is not None
    crowds = []
    for _ in range(2):
        rng = np.random.default_rng(4)
        textures = [scenes.draw_texture(rng) for _ in range(3)]
        crowds.append([scenes.draw_crowd(rng, textures, [cutout]) for _ in range(4)])
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(*crowds, strict=True))
    assert any(len(masks) > 1 for _, masks in crowds[0])
    for _, masks in crowds[0]:
        assert np.sum(masks, axis=0).max(initial=0) <= 1


def test_a_second_look_has_the_mask_of_the_first_as_its_guess_except_after_a_click() -> None:
    rng = np.random.default_rng(0)
    sample = Sample(*disc_sample())
    batch = [begin(one) for _ in range(20) if (one := example(sample, rng, size=64, wild=False)) is not None]
    before = [one.example.outline for one in batch]
    look_again(start_network().eval(), batch)
    assert {one.example.start.kind for one in batch} == {"points", "box", "click"}
    for one, outline in zip(batch, before, strict=True):
        if one.example.start.kind == "click":
            assert one.example.outline is outline
            assert not outline.guess.any()
        else:
            assert not np.array_equal(one.example.outline.guess, outline.guess)
            assert np.array_equal(one.example.outline.place, outline.place)


def test_objects_of_all_sizes_are_learned_and_points_are_pixels_off_at_each() -> None:
    rng = np.random.default_rng(0)
    sizes, errors = [], []
    for _ in range(60):
        turned = turn_and_scale(Sample(*disc_sample()), rng)
        points = extreme_points(turned.mask)
        sizes.append(np.ptp(points[:, 0]) + 1)
        errors.append(np.abs(points_by_people(turned.mask, rng) - points)[[0, 1, 2, 3], [1, 0, 1, 0]].max())
    assert min(sizes) < 20 < 70 < max(sizes)
    assert 3 < max(errors) < 12


@pytest.mark.parametrize("draw", [scenes.draw_colony, scenes.draw_machines])
def test_drawn_scenes_repeat_with_their_seed_and_their_masks_are_large_enough(draw: Draw) -> None:
    made = []
    for _ in range(2):
        rng = np.random.default_rng(5)
        textures = [scenes.draw_texture(rng) for _ in range(2)]
        made.append([draw(rng, textures) for _ in range(3)])
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(*made, strict=True))
    masks = [mask for _, found in made[0] for mask in found]
    assert masks
    assert min(mask.sum() for mask in masks) >= 120


def test_a_mask_drawn_by_hand_is_at_most_two_pixels_off_and_smoother() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((90, 90), np.uint8)
    cv2.circle(mask, (45, 45), 30, 1, -1)
    mask[::4] &= np.roll(mask[::4], 1, 1)
    made = [drawn_by_hand(mask, rng) for _ in range(40)]
    core, hull = cv2.erode(mask, np.ones((7, 7))), cv2.dilate(mask, np.ones((7, 7)))
    assert all((core <= one).all() and (one <= hull).all() for one in made)
    lengths = [cv2.arcLength(cv2.findContours(m, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0], True) for m in made]
    jagged = cv2.arcLength(cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0], True)
    assert np.median(lengths) < jagged
    areas = [int(one.sum()) for one in made]
    assert min(areas) < 1.02 * mask.sum() < 1.05 * mask.sum() < max(areas)
    speck = np.zeros((20, 20), np.uint8)
    speck[10, 10] = 1
    assert all(drawn_by_hand(speck, rng).any() for _ in range(20))


def write_meshes(folder: Path) -> tuple[Path, Path]:
    """MakeHuman's files with a board as the body, its garments boards beside it, and hardly changed shapes."""
    data, assets = folder / "code" / "makehuman" / "data", folder / "assets" / "base"
    for place in ("3dobjs", "rigs", "targets/macrodetails"):
        (data / place).mkdir(parents=True)
    corners = [(x, y, 0.1 * x * y) for y in (-8, -4, 0, 4, 8) for x in (-2, 2)]
    strips = "".join(f"f {i}/1 {i + 1}/2 {i + 3}/3 {i + 2}/4\n" for i in (1, 3, 5, 7))
    lines = "".join("v {} {} {}\n".format(*corner) for corner in corners)
    (data / "3dobjs" / "base.obj").write_text(f"# board\n{lines}g body\n{strips}g helper\nf 1 2 3\n")
    bones = {
        name: {"parent": parent if parent != name else None, "head": name} for name, parent in people.BONES.items()
    }
    bones["finger"] = {"parent": "lowerarm01.L", "head": "root"}
    joints = {name: [i % 10, (i + 3) % 10] for i, name in enumerate(people.BONES)}
    (data / "rigs" / "default.mhskel").write_text(json.dumps({"bones": bones, "joints": joints}))
    moved = {"root": [[0, 1.0], [1, 0.5]], "finger": [[1, 0.5], [2, 1.0]]}
    (data / "rigs" / "default_weights.mhw").write_text(json.dumps({"weights": moved}))
    for sex, age in itertools.product(("male", "female"), ("young", "old", "child")):
        shapes = [f"universal-{sex}-{age}-averagemuscle-{much}weight" for much in ("average", "max", "min")]
        for name in shapes + [f"{origin}-{sex}-{age}" for origin in ("african", "asian", "caucasian")]:
            (data / "targets" / "macrodetails" / f"{name}.target").write_text("# moved\n4 .1 0 0\n")
    names = ("male_suit", "female_suit", "shoes01", "fedora")
    for kind, name in [*(("clothes", n) for n in names), *(("hair", n) for n in ("short01", "bob01"))]:
        (assets / kind / name).mkdir(parents=True)
        (assets / kind / name / f"{name}_mesh.obj").write_text("v 0 0 0\n" * 4 + "f 1 2 3 4\n")
        (assets / kind / name / f"{name}.mhclo").write_text(
            f"name {name}\nobj_file {name}_mesh.obj\nx_scale 0 1 4.0\ny_scale 0 8 8.0\nz_scale 0 9 1.0\nverts 0\n"
            f"material {name}.mhmat\n 0 1 2 0.5 0.25 0.25 0.1 0.2 0.3\n 3\n 9\n 6\ndelete_verts\n0 - 2 5\n"
        )
    return folder / "code", folder / "assets"


def test_rendered_people_repeat_with_their_seed_and_stand_in_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, assets = write_meshes(tmp_path)
    for out in ("one", "two"):
        options = ["--makehuman", str(code), "--assets", str(assets), "--out", str(tmp_path / out), "--count", "6"]
        monkeypatch.setattr(sys, "argv", ["autosegment_people.py", *options])
        people.main()
    made = [scenes.read_people(tmp_path / out) for out in ("one", "two")]
    assert len(made[0]) == 6
    assert all(np.array_equal(a, b) for a, b in zip(*made, strict=True))
    assert all(one.shape[2] == 4 and (one[..., 3] > 127).sum() > 1000 for one in made[0])
    rng, stood, stand = np.random.default_rng(2), [], scenes.stand
    monkeypatch.setattr(scenes, "stand", lambda *given: stood.append(given) or stand(*given))
    textures = [scenes.draw_texture(rng) for _ in range(2)]
    for _ in range(6):
        scenes.draw_machines(rng, textures, made[0])
    assert stood
    parts, colors = scenes.stand(rng, made[0][0], 128, 128, 100)
    ys = np.nonzero(parts[0][0])[0]
    assert 95 <= np.ptp(ys) + 1 <= 101
    assert colors.shape == (256, 256, 3)


def test_a_garment_is_read_with_its_hidden_vertices_and_stays_at_its_place_on_the_body(tmp_path: Path) -> None:
    code, assets = write_meshes(tmp_path)
    kit = people.read_kit(code, assets)
    suit = next(cloth for cloth in kit.clothes if cloth.name == "male_suit")
    assert np.flatnonzero(suit.hidden).tolist() == [0, 1, 2, 5]
    assert len(kit.skin) == 4  # without the helper
    placed = suit.place(kit.body)
    assert np.allclose(placed[1], kit.body[3])
    where = kit.body[[0, 1, 2]].T @ [0.5, 0.25, 0.25]
    size = [4 / 4, 16 / 8, abs(kit.body[0, 2] - kit.body[9, 2])]
    assert np.allclose(placed[0], where + np.array([0.1, 0.2, 0.3]) * size)
    assert kit.weights[1].tolist() == [0.5 if name in ("root", "lowerarm01.L") else 0 for name in people.BONES]
    assert (kit.weights.sum(1) == 1).all()


def test_connected_parts_of_a_mesh_have_one_number_each() -> None:
    faces = np.array([[0, 1, 2, 2], [2, 3, 4, 4], [5, 6, 7, 7]])
    assert people.connected(faces, 9).tolist() == [0] * 5 + [5] * 3 + [8]


def test_lobes_are_connected_and_stay_within_their_radius() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = scenes.draw_lobes(rng, np.array([128.0, 128.0]), 60.0)
        assert cv2.connectedComponents(mask, connectivity=8)[0] == 2
        ys, xs = np.nonzero(mask)
        assert 15 < np.hypot(xs - 128, ys - 128).max() < 90


def test_two_touching_objects_become_one_and_distant_ones_never() -> None:
    rng = np.random.default_rng(0)
    left, right, far = (np.zeros((80, 80), np.uint8) for _ in range(3))
    left[10:40, 5:20] = right[15:40, 21:40] = far[60:70, 60:70] = 1
    found = [group for _ in range(40) for group in scenes.groups(rng, [left, right, far])]
    assert 8 < len(found) < 30
    assert all(group[left | right > 0].all() and not group[far > 0].any() for group in found)
    assert not any(scenes.groups(rng, [left, far]) for _ in range(20))


def test_some_images_are_darkened_and_none_is_brightened() -> None:
    rng = np.random.default_rng(0)
    image = np.random.default_rng(1).integers(60, 256, (32, 32, 3)).astype(np.uint8)
    means = [darkened(image, rng).mean() / image.mean() for _ in range(80)]
    assert 8 < sum(mean < 0.9 for mean in means) < 32
    assert min(means) < 0.3
    assert max(means) <= 1.05


def test_the_learning_rate_rises_stays_and_falls_to_zero() -> None:
    rates = [rate_at(used, whole=1000, rate=1.0, fall=0.3) for used in (0, 59, 400, 700, 850, 999)]
    assert rates[0] < 0.03
    assert rates[1] == rates[2] == rates[3]
    assert rates[3] > rates[4] > rates[5]
    assert rates[5] < 0.001


def disc_sample() -> tuple[np.ndarray, np.ndarray]:
    image, mask = np.full((160, 160, 3), 60, np.uint8), np.zeros((160, 160), np.uint8)
    cv2.circle(mask, (80, 80), 40, 1, -1)
    image[mask > 0] = (200, 120, 40)
    return image, mask


def test_examples_start_with_points_boxes_and_clicks_on_the_object() -> None:
    rng = np.random.default_rng(0)
    sample = Sample(*disc_sample())
    made = [one for _ in range(30) if (one := example(sample, rng, size=64, wild=False)) is not None]
    assert {one.start.kind for one in made} == {"points", "box", "click"}
    for one in made:
        if one.start.kind == "click":
            x, y = one.start.points[0].round().astype(int)
            assert one.mask[y, x]


def test_simulated_clicks_are_in_the_middle_of_an_error_and_have_its_side() -> None:
    _, mask = disc_sample()
    place = some_click(np.zeros(mask.shape, bool), mask, np.random.default_rng(0))
    assert place is not None
    assert place[2]
    assert mask[int(place[1]), int(place[0])]
    assert some_click(mask > 0, mask, np.random.default_rng(0)) is None


def test_the_average_of_weights_lies_between_them(tmp_path: Path) -> None:
    low, high = start_network(), start_network()
    for net, value in ((low, 0.2), (high, 0.4)):
        torch.nn.init.constant_(net.to_full.bias, value)
        save_weights(net, tmp_path / f"{value}.npz", seen="nothing")
    mean = averaged([tmp_path / "0.2.npz", tmp_path / "0.4.npz"])
    assert mean.to_full.bias.detach().numpy() == pytest.approx(0.3, abs=1e-3)


def test_click_rounds_keep_the_first_mask_as_a_prompt() -> None:
    rng = np.random.default_rng(0)
    batch = [begin(one) for one in [example(Sample(*disc_sample()), rng, size=64, wild=False)] if one]
    click_rounds(start_network().eval(), batch, 2, rng)
    assert batch[0].present is not None
    assert batch[0].planes().shape == (7, 64, 64)


def test_correct_pixels_before_the_clicks_weigh_more_and_the_mean_weight_is_one() -> None:
    rng = np.random.default_rng(0)
    batch = [begin(one) for one in [example(Sample(*disc_sample()), rng, size=64, wild=False)] if one]
    masks = torch.from_numpy(batch[0].example.mask[None, None].astype(np.float32))
    assert bool((weights_of(batch, masks) == 1).all())
    batch[0].present = np.where(np.arange(64)[:, None] < 32, masks[0, 0].numpy(), 1 - masks[0, 0].numpy())
    weights = weights_of(batch, masks)[0, 0]
    assert float(weights.mean()) == pytest.approx(1)
    assert float(weights[0, 0] / weights[63, 0]) == pytest.approx(STEADY)


def test_the_robots_scenes_are_reproducible_and_have_nonempty_objects() -> None:
    for draw in (street, cells):
        scene = draw(3)
        assert np.array_equal(scene.picture, draw(3).picture)
        assert all(mask.any() for _, mask in scene.objects)
        assert agreement(scene.truth, scene.truth) == 1
        assert agreement(np.zeros_like(scene.truth), scene.truth) == 0


def test_the_robot_clicks_in_the_middle_of_the_largest_error() -> None:
    wrong = np.zeros((40, 60), bool)
    wrong[5:8, 5:8] = wrong[10:31, 20:41] = True
    x, y, depth = deepest(wrong)
    assert (x, y) == (30, 20)
    assert depth > 9
