"""How a job trains, decided once: the user's hyperparameters, and what the network needs where the user left them unset.

Where `backbone` is given, everything is as the built-in algorithm documents it. Where it is absent the network is
EfficientNet-Lite0 with ImageNet weights or, with use_pretrained_model = false, the compact network from random weights (with
a GPU the documented ResNet). Whatever the user left unset follows the network's own recipe.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from gtseg.local.algorithm.hyperparameters import Hyperparameters
from gtseg.local.algorithm.pairs import VOID

# -------- sight -----------------------------------------------------------------------------------
#
# How large a picture has to be seen, read off the annotations before training.
#
# A compact network answers on a grid of a quarter of its input. So the finest mask that it could draw is the annotation
# averaged over that grid and enlarged again; the mIoU of that with the annotation is the best it can score at that size.
# Photographs of one animal lose nothing at 128 pixels, streets seen from a satellite lose half: time goes where it pays.

SIZES = (128, 160, 192, 256)  # long sides, pixels
ENOUGH = 0.93  # mIoU: finer pictures cost as much time again as they are larger
STRIDE = 4


@dataclass
class Detail:
    """Intersections and unions per size and class, over the masks added."""

    num_classes: int
    inter: np.ndarray = field(init=False)  # (sizes, C)
    union: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.inter = np.zeros((len(SIZES), self.num_classes))
        self.union = np.zeros((len(SIZES), self.num_classes))

    def add(self, mask: np.ndarray) -> None:
        """(H, W) uint8 class indices."""
        step = max(1, max(mask.shape) // 640)
        mask = np.ascontiguousarray(mask[::step, ::step])
        counted = mask != VOID
        for row, size in enumerate(SIZES):
            drawn = best_drawn(mask, size)
            for c in np.unique(mask[counted]):
                truth, guess = (mask == c) & counted, (drawn == c) & counted
                self.inter[row, c] += np.count_nonzero(truth & guess)
                self.union[row, c] += np.count_nonzero(truth | guess)

    def ceilings(self) -> np.ndarray:
        """(sizes,) the best mIoU over the classes present; 1 where there are none."""
        present = self.union[0] > 0
        if not present.any():
            return np.ones(len(SIZES))
        return np.asarray((self.inter[:, present] / np.maximum(self.union[:, present], 1)).mean(1))

    def sight(self) -> int:
        """The smallest size that costs less than 1 - ENOUGH, or the largest there is."""
        enough = np.flatnonzero(self.ceilings() >= ENOUGH)
        return SIZES[int(enough[0])] if len(enough) else SIZES[-1]


def best_drawn(mask: np.ndarray, size: int) -> np.ndarray:
    """(H, W) uint8 -> (H, W) uint8: the mask as a network that sees `size` pixels could draw it at best; void is drawn as nothing."""
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


# -------- recipe ----------------------------------------------------------------------------------

FROZEN = 5
DETAILED = 640  # long side, pixels, at which pictures with much detail are seen


@dataclass(frozen=True)
class Recipe:
    network: str  # "efficientnet-lite0", "compact" or "dilated"
    augmentation: str  # "whole" or "builtin"
    base_size: int  # the long side, pixels, that training varies around
    inference_size: int  # the long side, pixels, at which a picture is seen in validation and in service
    crop_size: int  # the side of a training sample, pixels
    crops: tuple[int, ...]  # crop sizes one after the other over the progress of the job; the last is crop_size
    batch: int
    validation_batch: int
    optimizer: str  # one of the contract's, or "muon"
    learning_rate: float
    scheduler: str  # one of the contract's, or "warm-cosine"
    momentum: float
    weight_decay: float
    average: float  # decay of the moving average of the weights; 0: none
    balanced: bool  # square-root class weights plus half a Dice loss
    aux_weight: float
    mirror: bool  # validation and service average over the picture and its mirror image
    frozen: int  # blocks of the pretrained encoder that do not learn
    half: bool  # bfloat16 (float16 on a GPU) where it is safe
    seed: int = 1

    @property
    def multiple(self) -> int:
        """Sides of pictures that the network sees are multiples of this."""
        return 32 if self.network == "efficientnet-lite0" else 16


@dataclass(frozen=True)
class Pictures:
    """What the training channel holds: `sight`, the long side in pixels that the annotations' detail asks for (see `sight`),
    and `long_side`, the pictures' own (their median)."""

    sight: int = 128
    long_side: int = 640


def choose(
    h: Hyperparameters,
    *,
    has_gpu: bool,
    fast_half: bool = False,
    pictures: Pictures = Pictures(),
    network: str | None = None,
    imagenet: bool = True,
) -> Recipe:
    """`network`: the one that an earlier model or checkpoint has, which this job goes on from; `imagenet`: its
    weights may be used."""
    if "backbone" in h.given:
        return documented(h)
    if network is None:
        network = "efficientnet-lite0" if h.use_pretrained_model and imagenet else "dilated" if has_gpu else "compact"
    if network == "compact":
        return compact(h, fast_half=fast_half, sight=pictures.sight)
    return documented(h) if network == "dilated" else pretrained(h, fast_half=fast_half, pictures=pictures)


def documented(h: Hyperparameters) -> Recipe:
    """The built-in algorithm's own way: gluon-cv's dilated backbones, augmentation and schedules."""
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
        mirror=False,
        frozen=0,
        half=h.precision_dtype == "float16",
    )


def compact(h: Hyperparameters, *, fast_half: bool, sight: int) -> Recipe:
    """From nothing on two cores: small pictures, Muon, one warm-up and one cosine over the time there is.

    Most of a job's time goes into pictures of the size that inference sees; the last quarter trains on larger ones, because
    objects come out larger in crops than in whole pictures. With 100 CPU s on 236 photographs: 0.686 mIOU at 192 pixels
    throughout with Muon; 0.693 growing 128, 128, 160, 192; 0.704 when the pictures are then seen at 160. AdamW: 0.673.
    """
    own = "optimizer" not in h.given
    crops: tuple[int, ...] = (sight * 3 // 4, sight, sight, sight * 5 // 4)
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
        mirror=True,
        frozen=0,
        half=fast_half,
    )


def pretrained(h: Hyperparameters, *, fast_half: bool, pictures: Pictures) -> Recipe:
    """EfficientNet-Lite0 from ImageNet: AdamW, a quarter of the rate for the encoder, one warm-up, one cosine.

    Where the annotations have more detail than a small picture shows (poles, signs, roofs), samples are parts of a larger picture.
    Validation mIoU after 120 CPU s, parts of 320 pixels of pictures at 448, seen at 640: streets of 480 x 360 pixels 0.687, aerial scenes
    0.659. Whole pictures at 352, seen at 512: 0.658 and 0.630.
    """
    own = "optimizer" not in h.given
    detailed = pictures.sight == SIZES[-1]
    wanted = DETAILED if detailed else max(384, 2 * pictures.sight)
    seen = round_to(min(wanted, max(224, 1.5 * pictures.long_side)), 32)
    crop = round_to(seen / (2 if detailed else 1.5), 32)
    base = round(0.7 * seen) if detailed else crop
    if {"crop_size", "base_size"} & h.given:
        crop = h.crop_size if "crop_size" in h.given else min(round_to(h.base_size, 32), h.crop_size)
        seen = round_to(h.base_size, 32) if "base_size" in h.given else max(crop * 3 // 64, 1) * 32
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
        mirror=False,
        frozen=FROZEN,
        half=fast_half,
    )


def round_to(value: float, multiple: int) -> int:
    """The nearest multiple, at least one."""
    return max(1, round(value / multiple)) * multiple


def describe(r: Recipe, h: Hyperparameters) -> str:
    """What the log says where a job does not train the way its Final configuration reads."""
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
        f"base_size {r.base_size}, crop_size {crops}, pictures seen at {r.inference_size}. Give 'backbone' for the dilated ResNet."
    )
