"""Batches: every one a pure function of (seed, its number), so that a resumed job goes on with the same ones.

The batches of training roll over the end of an epoch, as the built-in algorithm's do (its learning rates show it):
with N samples and batches of B, epoch e ends after floor((e + 1) N / B) batches, and at least one batch per epoch.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch

from gtseg.local.algorithm.container import Folders
from gtseg.local.algorithm.efficientnet import MEAN_BGR, STD_BGR
from gtseg.local.algorithm.pairs import (
    VOID,
    Pair,
    check_pair,
    find_pairs,
    read_image,
    read_label_map,
    read_mask,
)
from gtseg.local.algorithm.recipe import Detail, Pictures, Recipe

# -------- augment ---------------------------------------------------------------------------------
#
# One picture and its mask -> one training sample. Both are (H, W) uint8 arrays in memory; one warp does it all.
#
# Two ways, both pure functions of a generator, so that batch t is the same batch after a resume:
# `crop_as_builtin` is what the built-in algorithm documents; `crop_whole` is for networks that start from nothing.

Sample = tuple[np.ndarray, np.ndarray]
GREY = (104, 116, 124)  # the mean colour, BGR: padding that is zero after normalisation


def crop_as_builtin(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, *, base: int, crop: int) -> Sample:
    """(H, W, 3), (H, W) -> (crop, crop, 3), (crop, crop).

    Long side = base x U(0.5, 2), mirrored half the time, a random crop, blurred half the time: gluon-cv's
    `SegmentationDataset._sync_transform`, which the hyperparameter page describes. Padding is void here (gluon-cv: class 0).
    """
    height, width = mask.shape
    scale = base * rng.uniform(0.5, 2.0) / max(height, width)
    mirror = rng.random() < 0.5
    left, top = (max(side * scale - crop, 0) * rng.random() for side in (width, height))
    matrix = np.array([[scale, 0, -left], [0, scale, -top]])
    if mirror:
        matrix[0] = [-scale, 0, width * scale - left]
    image, mask = warp(image, mask, matrix, crop)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), max(rng.random() * crop / 400, 1e-3))
    return image, mask


def crop_whole(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, *, base: int, crop: int) -> Sample:
    """(H, W, 3), (H, W) -> (crop, crop, 3), (crop, crop): most of the picture in every sample.

    Scale 0.6 to 1.6 of the long side = base, a little rotation and stretch, mirrored half the time, anywhere that overlaps.
    """
    height, width = mask.shape
    scale = base / max(height, width) * math.exp(rng.uniform(math.log(0.6), math.log(1.6)))
    angle, stretch = math.radians(rng.normal(0, 8)), math.exp(rng.normal(0, 0.08))
    cos, sin = math.cos(angle), math.sin(angle)
    linear = scale * np.array([[stretch * cos, -sin], [sin, cos / stretch]])  # (2, 2)
    if rng.random() < 0.5:
        linear[:, 0] *= -1
    spare = (np.abs(linear) @ [width, height] - crop) / 2  # > 0: the picture is larger than the crop
    shift = crop / 2 - linear @ [width / 2, height / 2] + rng.uniform(-1, 1, 2) * np.abs(spare)
    return warp(image, mask, np.column_stack([linear, shift]), crop)


def warp(image: np.ndarray, mask: np.ndarray, matrix: np.ndarray, crop: int) -> Sample:
    size = (crop, crop)
    return (
        cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=GREY),
        cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST, borderValue=VOID),
    )


# -------- data ------------------------------------------------------------------------------------


@dataclass
class Channel:
    """One split. Pictures stay in memory at `long_side`, uint8, as many as fit into `room` bytes.

    `mask_sizes[i]` is (H, W) as given; `counts` (num_classes,) pixels per class as given; `sight` see `sight`.
    """

    name: str
    pairs: list[Pair]
    table: np.ndarray
    counts: np.ndarray
    mask_sizes: list[tuple[int, int]]
    sight: int
    room: int
    long_side: int = 640
    kept: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    truths: dict[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def pictures(self) -> Pictures:
        return Pictures(self.sight, round(statistics.median(max(size) for size in self.mask_sizes)))

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 BGR and (h, w) uint8 indices, the long side at most `long_side`."""
        if index in self.kept:
            return self.kept[index]
        size = fitted(self.mask_sizes[index], self.long_side, multiple=1)
        image = read_image(self.pairs[index].image, smallest=self.long_side)
        if max(size) >= max(self.mask_sizes[index]):
            size = self.mask_sizes[index]
        mask = self.mask(index)
        image, mask = resize(image, size, cv2.INTER_AREA), resize(mask, size, cv2.INTER_NEAREST)
        if self.room > image.nbytes + mask.nbytes:
            self.room -= image.nbytes + mask.nbytes
            self.kept[index] = image, mask
        return image, mask

    def mask(self, index: int) -> np.ndarray:
        """(H, W) uint8 at the size that was given."""
        return read_mask(self.pairs[index].annotation, self.table)

    def truth(self, index: int) -> np.ndarray:
        """The same, kept in memory: validation asks for it in every epoch."""
        if index not in self.truths:
            mask = self.mask(index)
            if self.room < mask.nbytes:
                return mask
            self.room -= mask.nbytes
            self.truths[index] = mask
        return self.truths[index]


def open_channel(folders: Folders, name: str, *, num_classes: int) -> Channel:
    """Reads every annotation once: a wrong one must end the job now, not in an hour. Raises ClientError."""
    pairs = find_pairs(folders, name)
    table = read_label_map(folders, name, num_classes=num_classes)
    counts, sizes, detail = np.zeros(256, np.int64), [], Detail(num_classes)
    for n, pair in enumerate(pairs):
        mask = check_pair(pair, table)
        counts += np.bincount(mask.ravel(), minlength=256)
        sizes.append((mask.shape[0], mask.shape[1]))
        if n % -(-len(pairs) // 32) == 0:  # 32 of them tell
            detail.add(mask)
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
    return Channel(name, pairs, table, counts[:num_classes], sizes, detail.sight(), room)


# ----------------------------------------------------------------------------------------------- training


def batches_through(epoch: int, *, samples: int, batch: int) -> int:
    """How many batches of training have been seen when `epoch` (from 0) ends; 0 for epoch -1."""
    return epoch + 1 if samples < batch else (epoch + 1) * samples // batch


def sample_indices(t: int, *, samples: int, batch: int, seed: int) -> list[int]:
    """Which pictures batch t holds: a new order for each pass over the channel, passes laid end to end."""
    orders: dict[int, np.ndarray] = {}
    chosen = []
    for position in range(t * batch, (t + 1) * batch):
        turn, place = divmod(position, samples)
        if turn not in orders:
            orders[turn] = np.random.default_rng([seed, 1, turn]).permutation(samples)
        chosen.append(int(orders[turn][place]))
    return chosen


def training_batch(channel: Channel, t: int, recipe: Recipe, *, crop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Batch t -> (B, 3, crop, crop) float32 normalised BGR, (B, crop, crop) uint8 indices."""
    rng = np.random.default_rng([recipe.seed, 2, t])
    cut = crop_as_builtin if recipe.augmentation == "builtin" else crop_whole
    base = round(recipe.base_size * crop / recipe.crop_size)  # progressive sizes shrink the picture, not the view
    chosen = sample_indices(t, samples=len(channel), batch=recipe.batch, seed=recipe.seed)
    images = np.empty((recipe.batch, crop, crop, 3), np.uint8)
    masks = np.empty((recipe.batch, crop, crop), np.uint8)
    for i, index in enumerate(chosen):
        images[i], masks[i] = cut(*channel.load(index), rng, base=base, crop=crop)
    x = normalise(torch.from_numpy(images))
    return jitter(x, rng) if recipe.augmentation == "whole" else x, torch.from_numpy(masks)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, channels last in memory."""
    x = images.permute(0, 3, 1, 2).float()  # already channels last
    return x.sub_(torch.tensor(MEAN_BGR).view(1, 3, 1, 1)).div_(torch.tensor(STD_BGR).view(1, 3, 1, 1))


def jitter(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Contrast, brightness, saturation and tint of each sample: (B, 3, H, W) normalised in, the same out."""

    def uniform(reach: float, channels: int = 1) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(-reach, reach, (len(x), channels, 1, 1)).astype(np.float32))

    mean = x.mean((2, 3), keepdim=True)  # (B, 3, 1, 1)
    x = (x - mean) * (1 + uniform(0.4)) + mean + uniform(0.5) + uniform(0.15, 3)
    grey = x.mean(1, keepdim=True)  # (B, 1, H, W)
    return torch.lerp(grey, x, 1 + uniform(0.5))


# --------------------------------------------------------------------------------------------- validation


def fitted(size: tuple[int, int], long_side: int, *, multiple: int) -> tuple[int, int]:
    """(H, W) -> (h, w) with the long side at `long_side`, each side a multiple of `multiple`."""
    scale = long_side / max(size)
    height, width = (max(multiple, round(side * scale / multiple) * multiple) for side in size)
    return height, width


def resize(picture: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    """`size` is (h, w)."""
    if picture.shape[:2] == size:
        return picture
    return cv2.resize(picture, size[::-1], interpolation=how)


def for_network(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 -> (h, w, 3) at `size`, which `fitted` gives for the scale that the network was trained at."""
    return resize(image, size, cv2.INTER_AREA if max(size) < max(image.shape[:2]) else cv2.INTER_LINEAR)


def validation_batches(channel: Channel, recipe: Recipe) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """(b, 3, h, w) normalised and the indices of its pictures: b <= validation_batch, one size per batch."""
    waiting: dict[tuple[int, int], list[int]] = {}
    for index, size in enumerate(channel.mask_sizes):
        bucket = waiting.setdefault(fitted(size, recipe.inference_size, multiple=recipe.multiple), [])
        bucket.append(index)
        if len(bucket) == recipe.validation_batch:
            yield stack(channel, bucket, recipe), bucket.copy()
            bucket.clear()
    for bucket in waiting.values():
        if bucket:
            yield stack(channel, bucket, recipe), bucket


def stack(channel: Channel, indices: Sequence[int], recipe: Recipe) -> torch.Tensor:
    """The size comes from the annotation's, not from the kept picture's: that one's is rounded."""
    sizes = [fitted(channel.mask_sizes[i], recipe.inference_size, multiple=recipe.multiple) for i in indices]
    pictures = [for_network(channel.load(i)[0], size) for i, size in zip(indices, sizes, strict=True)]
    return normalise(torch.from_numpy(np.stack(pictures)))


def class_weights(counts: np.ndarray) -> np.ndarray:
    """(C,) pixel counts -> (C,) float32 weights ~ 1 / sqrt(share), mean 1; an absent class weighs like a rare one."""
    share = np.maximum(counts / max(counts.sum(), 1), 1e-4)
    weights = 1 / np.sqrt(share)
    return np.asarray(weights / weights.mean(), np.float32)
