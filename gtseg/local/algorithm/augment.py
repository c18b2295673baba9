"""One picture and its mask -> one training sample. Both are (H, W) uint8 arrays in memory; one warp does it all.

Two ways, both pure functions of a generator, so that batch t is the same batch after a resume:
`crop_as_builtin` is what the built-in algorithm documents; `crop_whole` is for networks that start from nothing.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from gtseg.local.algorithm.pairs import VOID

Sample = tuple[np.ndarray, np.ndarray]
GREY = (104, 116, 124)  # the mean colour, BGR: padding that is zero after normalisation


def crop_as_builtin(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, *, base: int, crop: int
) -> Sample:
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


def crop_whole(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, *, base: int, crop: int
) -> Sample:
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
