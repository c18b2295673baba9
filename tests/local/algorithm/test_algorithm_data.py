"""Batches: contents, order, reproducibility after a resume, padding, class weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtseg.local.algorithm.container import Folders
from gtseg.local.algorithm.data import (
    Channel,
    class_weights,
    crop_as_builtin,
    crop_whole,
    fit_size,
    open_channel,
    sample_indices,
    training_batch,
    validation_batches,
)
from gtseg.local.algorithm.hyperparameters import parse
from gtseg.local.algorithm.recipe import Recipe, choose

SIZES = [(40, 60), (60, 40), (50, 50), (40, 60), (30, 90)]  # (H, W)


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    for name in ("train", "train_annotation"):
        (tmp_path / "input/data" / name).mkdir(parents=True)
    for n, (height, width) in enumerate(SIZES):
        pixels = np.random.default_rng(n).integers(0, 255, (height, width, 3), np.uint8)
        mask = np.zeros((height, width), np.uint8)
        mask[: height // 2] = 1
        Image.fromarray(pixels).save(tmp_path / f"input/data/train/{n}.jpg")
        Image.fromarray(mask).save(tmp_path / f"input/data/train_annotation/{n}.png")
    opened = open_channel(Folders(tmp_path), "train", num_classes=2)
    opened.long_side = 64
    return opened


@pytest.fixture
def recipe() -> Recipe:
    h = parse({"num_classes": "2", "num_training_samples": "5", "mini_batch_size": "2", "crop_size": "32"})
    return dataclasses.replace(choose(h, has_gpu=False), validation_batch=2)


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 5))
def test_every_pass_has_every_image_exactly_once(samples: int, batch: int, seed: int) -> None:
    batches = -(-3 * samples // batch)
    seen = [i for t in range(batches) for i in sample_indices(t, samples=samples, batch=batch, seed=seed)]
    for turn in range(3):
        assert sorted(seen[turn * samples : (turn + 1) * samples]) == list(range(samples))


def test_a_batch_is_a_pure_function_of_its_number(channel: Channel, recipe: Recipe) -> None:
    first, second = training_batch(channel, 7, recipe, crop=32), training_batch(channel, 7, recipe, crop=32)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], training_batch(channel, 8, recipe, crop=32)[0])
    assert first[0].shape == (2, 3, 32, 32)
    assert first[1].shape == (2, 32, 32)


@pytest.mark.parametrize("cut", [crop_as_builtin, crop_whole])
def test_image_and_mask_are_transformed_alike_and_padding_is_void(cut: object) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[:, 40:] = 1
    image = np.where(mask[..., None] == 1, np.uint8(250), np.uint8(5)).repeat(3, axis=2)
    for seed in range(30):
        x, y = cut(image, mask, np.random.default_rng(seed), base=64, crop=48)  # type: ignore[operator]
        assert set(np.unique(y)) <= {0, 1, 255}
        inside = y != 255
        assert np.mean((x[..., 0] > 127)[inside] == (y == 1)[inside]) > 0.95


def test_validation_yields_every_image_once_and_one_size_per_batch(channel: Channel, recipe: Recipe) -> None:
    batches = list(validation_batches(channel, recipe))
    assert sorted(i for _, indices in batches for i in indices) == list(range(len(SIZES)))
    for x, indices in batches:
        assert len(x) == len(indices) <= 2
        assert all(x.shape[2:] == fit_size(SIZES[i], recipe.inference_size, multiple=recipe.multiple) for i in indices)


@given(
    st.lists(st.tuples(st.integers(20, 400), st.integers(20, 400)), min_size=1, max_size=12),
    st.integers(32, 256),
)
def test_validation_batches_contain_every_image_once_for_any_sizes(sizes: list[tuple[int, int]], seen: int) -> None:
    """The cached sizes are rounded; the size in the batch must be that of the annotation."""
    channel = Channel("validation", [], np.arange(256), np.zeros(2), sizes, 128, 0, long_side=seen * 5 // 4)
    for n, size in enumerate(sizes):
        height, width = fit_size(size, channel.long_side, multiple=1)
        channel.kept[n] = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    h = parse({"num_classes": "2", "num_training_samples": "5"})
    recipe = dataclasses.replace(choose(h, has_gpu=False), inference_size=seen)
    assert sorted(i for _, indices in validation_batches(channel, recipe) for i in indices) == list(range(len(sizes)))


def test_images_beyond_the_memory_limit_are_read_again(channel: Channel) -> None:
    channel.room = 0
    first, second = channel.load(0), channel.load(0)
    assert not channel.kept
    np.testing.assert_array_equal(first[0], second[0])


def test_images_are_reduced_and_masks_keep_their_size(channel: Channel) -> None:
    image, mask = channel.load(4)
    assert image.shape == (21, 64, 3)
    assert mask.shape == (21, 64)
    assert channel.mask(4).shape == (30, 90)


def test_rare_classes_weigh_more_and_absent_ones_have_finite_weights() -> None:
    weights = class_weights(np.array([900, 100, 0]))
    assert weights[0] < weights[1] < weights[2]
    assert weights.mean() == pytest.approx(1)
    assert np.isfinite(class_weights(np.zeros(3, np.int64))).all()


def test_centered_masks_shrink_without_a_shift(channel: Channel) -> None:
    mask = np.random.default_rng(0).integers(0, 2, (48, 96), np.uint8)

    def loaded(shown: np.ndarray) -> np.ndarray:
        Image.fromarray(shown).save(channel.pairs[4].annotation)
        channel.kept.clear()
        return channel.load(4)[1]

    channel.mask_sizes[4] = mask.shape[0], mask.shape[1]
    for channel.centered in (True, False):
        same = np.array_equal(loaded(mask[::-1, ::-1]), loaded(mask)[::-1, ::-1])
        assert same == channel.centered
