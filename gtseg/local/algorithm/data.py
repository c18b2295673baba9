"""Training and validation batches. A batch is a pure function of (seed, number), so that a resumed job repeats none.

Training batches span the ends of epochs, as in the built-in algorithm (visible in its learning rates): with N samples
and batches of B, epoch e ends after floor((e + 1) N / B) batches, with at least one batch per epoch.
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
from gtseg.local.algorithm.networks.efficientnet import MEAN_BGR, STD_BGR
from gtseg.local.algorithm.pairs import (
    VOID,
    Pair,
    check_pair,
    find_pairs,
    read_image,
    read_label_map,
    read_mask,
)
from gtseg.local.algorithm.recipe import Detail, ImageSizes, Recipe

# --- augmentation ---

Sample = tuple[np.ndarray, np.ndarray]
"""(image, mask), uint8."""
GRAY = (104, 116, 124)
"""Mean color, BGR: padding with it is zero after normalization."""


def crop_as_builtin(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, *, base: int, crop: int) -> Sample:
    """Augment as the built-in algorithm documents: (H, W, 3), (H, W) -> (crop, crop, 3), (crop, crop).

    Long side = base x U(0.5, 2), mirrored with probability 0.5, random crop, blurred with probability 0.5: gluon-cv's
    `SegmentationDataset._sync_transform`, which the hyperparameter page describes. Padding is void here (class 0 in
    gluon-cv).
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
    """Augment with most of the image in every sample: (H, W, 3), (H, W) -> (crop, crop, 3), (crop, crop).

    Scale 0.6 to 1.6 of long side = base, slight rotation and stretch, mirrored with probability 0.5, at any position
    with overlap. For networks trained from random weights.
    """
    height, width = mask.shape
    scale = base / max(height, width) * math.exp(rng.uniform(math.log(0.6), math.log(1.6)))
    angle, stretch = math.radians(rng.normal(0, 8)), math.exp(rng.normal(0, 0.08))
    cos, sin = math.cos(angle), math.sin(angle)
    linear = scale * np.array([[stretch * cos, -sin], [sin, cos / stretch]])  # (2, 2)
    if rng.random() < 0.5:
        linear[:, 0] *= -1
    spare = (np.abs(linear) @ [width, height] - crop) / 2  # > 0: the image is larger than the crop
    shift = crop / 2 - linear @ [width / 2, height / 2] + rng.uniform(-1, 1, 2) * np.abs(spare)
    return warp(image, mask, np.column_stack([linear, shift]), crop)


def warp(image: np.ndarray, mask: np.ndarray, matrix: np.ndarray, crop: int) -> Sample:
    """Apply one affine `matrix` (2, 3) to image and mask; both become `crop` pixels square."""
    size = (crop, crop)
    return (
        cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=GRAY),
        cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST, borderValue=VOID),
    )


# --- channels ---


@dataclass
class Channel:
    """A data channel. Images are cached in memory at `long_side`, uint8, up to `room` bytes.

    `centered`: see `Recipe.centered`; `mask_sizes[i]`: (H, W) as given; `counts`: (num_classes,) pixels per class;
    `required_size`: see `recipe.Detail`.
    """

    name: str
    pairs: list[Pair]
    table: np.ndarray
    counts: np.ndarray
    mask_sizes: list[tuple[int, int]]
    required_size: int
    room: int
    long_side: int = 640
    centered: bool = False
    kept: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    truths: dict[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def pictures(self) -> ImageSizes:
        return ImageSizes(self.required_size, round(statistics.median(max(size) for size in self.mask_sizes)))

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (h, w, 3) uint8 BGR and (h, w) uint8 class indices, with a long side of at most `long_side`."""
        if index in self.kept:
            return self.kept[index]
        size = fit_size(self.mask_sizes[index], self.long_side, multiple=1)
        image = read_image(self.pairs[index].image, smallest=self.long_side)
        if max(size) >= max(self.mask_sizes[index]):
            size = self.mask_sizes[index]
        mask = self.mask(index)
        nearest = cv2.INTER_NEAREST_EXACT if self.centered else cv2.INTER_NEAREST
        image, mask = resize(image, size, cv2.INTER_AREA), resize(mask, size, nearest)
        if self.room > image.nbytes + mask.nbytes:
            self.room -= image.nbytes + mask.nbytes
            self.kept[index] = image, mask
        return image, mask

    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 class indices at the annotation's size."""
        return read_mask(self.pairs[index].annotation, self.table)

    def truth(self, index: int) -> np.ndarray:
        """Return the same as `mask`, cached in memory for validation in every epoch."""
        if index not in self.truths:
            mask = self.mask(index)
            if self.room < mask.nbytes:
                return mask
            self.room -= mask.nbytes
            self.truths[index] = mask
        return self.truths[index]


def open_channel(folders: Folders, name: str, *, num_classes: int) -> Channel:
    """Open a channel; reads every annotation, so that an invalid one fails the job at its start. Raises ClientError."""
    pairs = find_pairs(folders, name)
    table = read_label_map(folders, name, num_classes=num_classes)
    counts, sizes, detail = np.zeros(256, np.int64), [], Detail(num_classes)
    for n, pair in enumerate(pairs):
        mask = check_pair(pair, table)
        counts += np.bincount(mask.ravel(), minlength=256)
        sizes.append((mask.shape[0], mask.shape[1]))
        if n % -(-len(pairs) // 32) == 0:  # 32 masks are sufficient
            detail.add(mask)
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
    return Channel(name, pairs, table, counts[:num_classes], sizes, detail.required_size(), room)


# --- training ---


def batches_through(epoch: int, *, samples: int, batch: int) -> int:
    """Return the number of training batches up to the end of `epoch` (from 0); 0 for epoch -1."""
    return epoch + 1 if samples < batch else (epoch + 1) * samples // batch


def sample_indices(t: int, *, samples: int, batch: int, seed: int) -> list[int]:
    """Return the image indices of batch t: a new permutation for each pass over the channel, passes concatenated."""
    orders: dict[int, np.ndarray] = {}
    chosen = []
    for position in range(t * batch, (t + 1) * batch):
        turn, place = divmod(position, samples)
        if turn not in orders:
            orders[turn] = np.random.default_rng([seed, 1, turn]).permutation(samples)
        chosen.append(int(orders[turn][place]))
    return chosen


def training_batch(channel: Channel, t: int, recipe: Recipe, *, crop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return batch t: (B, 3, crop, crop) float32 normalized BGR, (B, crop, crop) uint8 class indices."""
    rng = np.random.default_rng([recipe.seed, 2, t])
    cut = crop_as_builtin if recipe.augmentation == "builtin" else crop_whole
    base = round(recipe.base_size * crop / recipe.crop_size)  # a smaller crop shows the same part of the image
    chosen = sample_indices(t, samples=len(channel), batch=recipe.batch, seed=recipe.seed)
    images = np.empty((recipe.batch, crop, crop, 3), np.uint8)
    masks = np.empty((recipe.batch, crop, crop), np.uint8)
    for i, index in enumerate(chosen):
        images[i], masks[i] = cut(*channel.load(index), rng, base=base, crop=crop)
    x = normalize(torch.from_numpy(images))
    return jitter(x, rng) if recipe.augmentation == "whole" else x, torch.from_numpy(masks)


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Normalize (B, H, W, 3) uint8 to (B, 3, H, W) float32, channels last in memory."""
    x = images.permute(0, 3, 1, 2).float()  # already channels last
    return x.sub_(torch.tensor(MEAN_BGR).view(1, 3, 1, 1)).div_(torch.tensor(STD_BGR).view(1, 3, 1, 1))


def jitter(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Vary contrast, brightness, saturation and tint of each sample: (B, 3, H, W) normalized -> the same shape."""

    def uniform(reach: float, channels: int = 1) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(-reach, reach, (len(x), channels, 1, 1)).astype(np.float32))

    mean = x.mean((2, 3), keepdim=True)  # (B, 3, 1, 1)
    x = (x - mean) * (1 + uniform(0.4)) + mean + uniform(0.5) + uniform(0.15, 3)
    gray = x.mean(1, keepdim=True)  # (B, 1, H, W)
    return torch.lerp(gray, x, 1 + uniform(0.5))


# --- validation ---


def fit_size(size: tuple[int, int], long_side: int, *, multiple: int) -> tuple[int, int]:
    """Return (h, w) for (H, W), with the long side at `long_side` and each side a multiple of `multiple`."""
    scale = long_side / max(size)
    height, width = (max(multiple, round(side * scale / multiple) * multiple) for side in size)
    return height, width


def resize(picture: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    """Resize an image to `size` (h, w) with the interpolation `how`."""
    if picture.shape[:2] == size:
        return picture
    return cv2.resize(picture, size[::-1], interpolation=how)


def for_network(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to (h, w, 3); `size` comes from `fit_size` for the scale of training."""
    return resize(image, size, cv2.INTER_AREA if max(size) < max(image.shape[:2]) else cv2.INTER_LINEAR)


def validation_batches(channel: Channel, recipe: Recipe) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """Yield (b, 3, h, w) normalized and its image indices, b <= validation_batch, with one size per batch."""
    waiting: dict[tuple[int, int], list[int]] = {}
    for index, size in enumerate(channel.mask_sizes):
        bucket = waiting.setdefault(fit_size(size, recipe.inference_size, multiple=recipe.multiple), [])
        bucket.append(index)
        if len(bucket) == recipe.validation_batch:
            yield stack(channel, bucket, recipe), bucket.copy()
            bucket.clear()
    for bucket in waiting.values():
        if bucket:
            yield stack(channel, bucket, recipe), bucket


def stack(channel: Channel, indices: Sequence[int], recipe: Recipe) -> torch.Tensor:
    """Stack images at sizes derived from the annotations', because cached images have rounded sizes."""
    sizes = [fit_size(channel.mask_sizes[i], recipe.inference_size, multiple=recipe.multiple) for i in indices]
    pictures = [for_network(channel.load(i)[0], size) for i, size in zip(indices, sizes, strict=True)]
    return normalize(torch.from_numpy(np.stack(pictures)))


def class_weights(counts: np.ndarray) -> np.ndarray:
    """Return (C,) float32 weights ~ 1 / sqrt(share) with mean 1 for (C,) pixel counts; absent classes count as rare."""
    share = np.maximum(counts / max(counts.sum(), 1), 1e-4)
    weights = 1 / np.sqrt(share)
    return np.asarray(weights / weights.mean(), np.float32)
