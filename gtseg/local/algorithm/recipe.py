"""Training recipe: the user's hyperparameters, and the network's own values for those that are unset.

If `backbone` is given, everything is as the built-in algorithm documents it. Otherwise the network is
EfficientNet-Lite0 with ImageNet weights or, with use_pretrained_model = false, the compact network from random weights
(the documented ResNet with a GPU). Unset hyperparameters follow the network's own recipe.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from gtseg.local.algorithm.hyperparameters import Hyperparameters
from gtseg.local.algorithm.pairs import VOID

# --- resolution ---

SIZES = (128, 160, 192, 256)
"""Candidate long sides in pixels."""
ENOUGH = 0.93
"""Sufficient mIoU; training time grows with the image area."""
STRIDE = 4


@dataclass
class Detail:
    """Detail of annotations, which determines the resolution of training: intersections and unions per size and class.

    A compact network predicts on a grid of a quarter of its input. The best mask that it could predict is the
    annotation averaged over that grid and enlarged again; the mIoU of that with the annotation is an upper bound at
    that size. Photographs of one animal lose nothing at 128 pixels, satellite images of streets lose half.
    """

    num_classes: int
    inter: np.ndarray = field(init=False)
    """(sizes, C)."""
    union: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.inter = np.zeros((len(SIZES), self.num_classes))
        self.union = np.zeros((len(SIZES), self.num_classes))

    def add(self, mask: np.ndarray) -> None:
        """Add a mask: (H, W) uint8 class indices."""
        step = max(1, max(mask.shape) // 640)
        mask = np.ascontiguousarray(mask[::step, ::step])
        counted = mask != VOID
        for row, size in enumerate(SIZES):
            drawn = predict_best(mask, size)
            for c in np.unique(mask[counted]):
                truth, guess = (mask == c) & counted, (drawn == c) & counted
                self.inter[row, c] += np.count_nonzero(truth & guess)
                self.union[row, c] += np.count_nonzero(truth | guess)

    def ceilings(self) -> np.ndarray:
        """Return (sizes,): the upper bound of mIoU over the classes present; 1 if there are none."""
        present = self.union[0] > 0
        if not present.any():
            return np.ones(len(SIZES))
        return np.asarray((self.inter[:, present] / np.maximum(self.union[:, present], 1)).mean(1))

    def required_size(self) -> int:
        """Return the smallest size with an upper bound of at least ENOUGH, else the largest size."""
        enough = np.flatnonzero(self.ceilings() >= ENOUGH)
        return SIZES[int(enough[0])] if len(enough) else SIZES[-1]


def predict_best(mask: np.ndarray, size: int) -> np.ndarray:
    """Return the best mask that a network with an input of `size` pixels could predict, (H, W) uint8; void is 0."""
    height, width = mask.shape
    scale = size / STRIDE / max(height, width)
    grid = (max(1, round(width * scale)), max(1, round(height * scale)))
    best, drawn = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.uint8)
    for c in np.unique(mask[mask != VOID]):
        share = cv2.resize((mask == c).astype(np.float32), grid, interpolation=cv2.INTER_AREA)
        share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
        drawn[share > best] = c
        np.maximum(best, share, out=best)
    return drawn


# --- recipe ---

FROZEN = 5
DETAILED = 640
"""Long side in pixels of images whose annotations have much detail, in validation and serving."""


@dataclass(frozen=True)
class Recipe:
    """How a job trains."""

    network: str
    """efficientnet-lite0, compact or dilated."""
    augmentation: str
    """whole or builtin."""
    base_size: int
    """Long side, in pixels, around which training varies the scale."""
    inference_size: int
    """Long side, in pixels, of images in validation and serving."""
    crop_size: int
    """Side of a training sample in pixels."""
    crops: tuple[int, ...]
    """Crop sizes over the progress of the job; the last one is crop_size."""
    batch: int
    validation_batch: int
    optimizer: str
    """One of the contract's, or muon or adamw."""
    learning_rate: float
    scheduler: str
    """One of the contract's, or warm-cosine."""
    momentum: float
    weight_decay: float
    average: float
    """Decay of the moving average of the weights; 0: none."""
    balanced: bool
    """Square-root class weights plus half a Dice loss."""
    aux_weight: float
    centered: bool
    """Masks are reduced to the output grid without a shift."""
    mirror: bool
    """Average predictions over the image and its mirror image in validation and serving."""
    frozen: int
    """Blocks of the pretrained encoder that are not trained."""
    half: bool
    """bfloat16 (float16 on a GPU) where it is safe."""
    seed: int = 1

    @property
    def multiple(self) -> int:
        """Divisor of the sides of the network's input."""
        return 32 if self.network == "efficientnet-lite0" else 16


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of the training channel's images in pixels.

    `required_size`: long side that the annotations' detail requires (see `Detail`); `long_side`: the images'
    median long side.
    """

    required_size: int = 128
    long_side: int = 640


def choose(
    h: Hyperparameters,
    *,
    has_gpu: bool,
    fast_half: bool = False,
    pictures: ImageSizes = ImageSizes(),
    network: str | None = None,
    imagenet: bool = True,
) -> Recipe:
    """Choose the recipe.

    `network`: that of an earlier model or checkpoint, from which the job continues; `imagenet`: ImageNet weights may be
    used.
    """
    if "backbone" in h.given:
        return documented(h)
    if network is None:
        network = "efficientnet-lite0" if h.use_pretrained_model and imagenet else "dilated" if has_gpu else "compact"
    if network == "compact":
        return compact(h, fast_half=fast_half, required_size=pictures.required_size)
    return documented(h) if network == "dilated" else pretrained(h, fast_half=fast_half, pictures=pictures)


def documented(h: Hyperparameters) -> Recipe:
    """Return the built-in algorithm's recipe: gluon-cv's dilated backbones, augmentation and schedules."""
    return Recipe(
        network="dilated",
        augmentation="builtin",
        base_size=h.base_size,
        inference_size=h.base_size,
        crop_size=h.crop_size,
        crops=(h.crop_size,),
        batch=h.mini_batch_size,
        validation_batch=h.validation_mini_batch_size,
        optimizer=h.optimizer,
        learning_rate=h.learning_rate,
        scheduler=h.lr_scheduler,
        momentum=h.momentum,
        weight_decay=h.weight_decay,
        average=0.0,
        balanced=False,
        aux_weight=0.5,
        centered=False,
        mirror=False,
        frozen=0,
        half=h.precision_dtype == "float16",
    )


def compact(h: Hyperparameters, *, fast_half: bool, required_size: int) -> Recipe:
    """Return the recipe for random weights on two cores: small images, Muon, one warm-up and one cosine over the time.

    Most of the time is spent on images of the inference size; the last quarter trains on larger ones, because objects
    are larger in crops than in whole images. With 100 CPU s on 236 photographs: 0.686 mIOU at 192 pixels throughout
    with Muon; 0.693 growing 128, 128, 160, 192; 0.704 with inference at 160. AdamW: 0.673.
    """
    own = "optimizer" not in h.given
    crops: tuple[int, ...] = (required_size * 3 // 4, required_size, required_size, required_size * 5 // 4)
    if {"crop_size", "base_size"} & h.given:
        crops = (h.crop_size,) if "crop_size" in h.given else (min(h.base_size // 8 * 8, h.crop_size),)
    crop = crops[-1]
    return Recipe(
        network="compact",
        augmentation="builtin" if "base_size" in h.given else "whole",
        base_size=h.base_size if "base_size" in h.given else crop,
        inference_size=h.base_size if "base_size" in h.given else crop * 4 // 5,
        crop_size=crop,
        crops=crops,
        batch=h.mini_batch_size,
        validation_batch=h.validation_mini_batch_size,
        optimizer="muon" if own else h.optimizer,
        learning_rate=h.learning_rate if not own or "learning_rate" in h.given else 2e-3,
        scheduler=h.lr_scheduler if "lr_scheduler" in h.given else "warm-cosine",
        momentum=h.momentum if not own or "momentum" in h.given else 0.95,
        weight_decay=h.weight_decay if not own or "weight_decay" in h.given else 0.0,
        average=0.99,
        balanced=True,
        aux_weight=0.0,
        centered=False,
        mirror=True,
        frozen=0,
        half=fast_half,
    )


def pretrained(h: Hyperparameters, *, fast_half: bool, pictures: ImageSizes) -> Recipe:
    """Return the recipe for EfficientNet-Lite0.

    AdamW, a quarter of the rate for the encoder, one warm-up, one cosine. If the annotations have details that a small
    image does not show (poles, signs, roofs), samples are parts of a larger image. Validation mIoU after 120 CPU s with
    parts of 320 pixels of images at 448 and inference at 640: streets of 480 x 360 pixels 0.687, aerial scenes 0.659;
    with whole images at 352 and inference at 512: 0.658 and 0.630.
    """
    own = "optimizer" not in h.given
    detailed = pictures.required_size == SIZES[-1]
    wanted = DETAILED if detailed else max(384, 2 * pictures.required_size)
    seen = _round_to(min(wanted, max(224, 1.5 * pictures.long_side)), 32)
    crop = _round_to(seen / (2 if detailed else 1.5), 32)
    base = round(0.7 * seen) if detailed else crop
    if {"crop_size", "base_size"} & h.given:
        crop = h.crop_size if "crop_size" in h.given else min(_round_to(h.base_size, 32), h.crop_size)
        seen = _round_to(h.base_size, 32) if "base_size" in h.given else max(crop * 3 // 64, 1) * 32
        base = h.base_size if "base_size" in h.given else crop
    return Recipe(
        network="efficientnet-lite0",
        augmentation="builtin" if "base_size" in h.given else "whole",
        base_size=base,
        inference_size=seen,
        crop_size=crop,
        crops=(crop,),
        batch=h.mini_batch_size if "mini_batch_size" in h.given else 8,
        validation_batch=h.validation_mini_batch_size,
        optimizer="adamw" if own else h.optimizer,
        learning_rate=h.learning_rate if not own or "learning_rate" in h.given else 2e-3,
        scheduler=h.lr_scheduler if "lr_scheduler" in h.given else "warm-cosine",
        momentum=h.momentum if not own or "momentum" in h.given else 0.9,
        weight_decay=h.weight_decay if not own or "weight_decay" in h.given else 0.03,
        average=0.99,
        balanced=True,
        aux_weight=0.0,
        centered=True,
        mirror=False,
        frozen=FROZEN,
        half=fast_half,
    )


def _round_to(value: float, multiple: int) -> int:
    """Return the nearest multiple, at least one."""
    return max(1, round(value / multiple)) * multiple


def describe(r: Recipe, h: Hyperparameters) -> str:
    """Return the log line for a job that does not train as its Final configuration says."""
    crops = " -> ".join(str(c) for c in dict.fromkeys(r.crops))
    start = (
        f"EfficientNet-Lite0 under the head '{h.algorithm}', starting from ImageNet weights. "
        if r.network == "efficientnet-lite0"
        else f"compact network '{h.algorithm}', learning from scratch. "
    )
    return (
        f"No 'backbone' given: {start}"
        f"Where hyperparameters are unset its own recipe applies: optimizer {r.optimizer}, learning_rate "
        f"{r.learning_rate:g}, lr_scheduler {r.scheduler}, momentum {r.momentum:g}, weight_decay {r.weight_decay:g}, "
        f"base_size {r.base_size}, crop_size {crops}, pictures seen at {r.inference_size}. "
        "Give 'backbone' for the dilated ResNet."
    )
