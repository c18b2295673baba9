"""How a job trains, decided once: the user's hyperparameters, and what the network needs where the user left them unset.

Where `backbone` is given, or there is a GPU, everything is as the built-in algorithm documents it. Only where `backbone` is
absent and there is no GPU the compact networks are used, and whatever the user left unset follows their own recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

from gtseg.local.algorithm.hyperparameters import Hyperparameters


@dataclass(frozen=True)
class Recipe:
    network: str  # "compact" or "dilated"
    augmentation: str  # "whole" or "builtin"
    base_size: int  # the long side, pixels, that training varies around
    inference_size: int  # the long side, pixels, at which a picture is seen in validation and in service
    crop_size: int  # the side of a training sample, pixels
    crops: tuple[
        int, ...
    ]  # crop sizes one after the other over the progress of the job; the last is crop_size
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
    half: bool  # bfloat16 (float16 on a GPU) where it is safe
    seed: int = 1


def choose(h: Hyperparameters, *, has_gpu: bool, fast_half: bool = False, sight: int = 128) -> Recipe:
    """`sight`: the long side, pixels, that the annotations' detail asks for (see `sight`)."""
    return (
        compact(h, fast_half=fast_half, sight=sight)
        if "backbone" not in h.given and not has_gpu
        else documented(h)
    )


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
        half=fast_half,
    )


def describe(r: Recipe, h: Hyperparameters) -> str:
    """What the log says where a job does not train the way its Final configuration reads."""
    crops = " -> ".join(str(c) for c in dict.fromkeys(r.crops))
    return (
        f"No GPU and no 'backbone' given: compact network '{h.algorithm}', learning from scratch on the CPU. "
        f"Where hyperparameters are unset its own recipe applies: optimizer {r.optimizer}, learning_rate "
        f"{r.learning_rate:g}, lr_scheduler {r.scheduler}, momentum {r.momentum:g}, weight_decay {r.weight_decay:g}, "
        f"base_size {r.base_size}, crop_size {crops}, pictures seen at {r.inference_size}. Give 'backbone' for the dilated ResNet."
    )
