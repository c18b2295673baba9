"""What training minimizes, at which rate, and with which optimizer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gtseg.local.algorithm.hyperparameters import Hyperparameters
from gtseg.local.algorithm.pairs import VOID
from gtseg.local.algorithm.recipe import Recipe

# -------- loss ------------------------------------------------------------------------------------
#
# What training minimises; 255 is out of every term.


def loss_of(
    outputs: tuple[torch.Tensor, ...], masks: torch.Tensor, *, aux_weight: float, weights: torch.Tensor | None
) -> torch.Tensor:
    """Cross entropy of the main logits plus `aux_weight` x that of each auxiliary one; with `weights`, half a Dice loss too.

    outputs: (B, C, h, w) logits; masks: (B, H, W) uint8; weights: (C,) class weights or None.
    """
    main, *auxiliary = outputs
    target = at_size(masks, main.shape[-2:])  # (B, h, w) int64
    total = cross_entropy(main.float(), target, weights)
    for logits in auxiliary:
        total = total + aux_weight * cross_entropy(logits.float(), at_size(masks, logits.shape[-2:]), weights)
    return total if weights is None else total + 0.5 * dice_loss(main.float(), target)


def at_size(masks: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """The mask's value in the middle of each cell of the output's grid."""
    step_y, step_x = masks.shape[1] // size[0], masks.shape[2] // size[1]
    return masks[:, step_y // 2 :: step_y, step_x // 2 :: step_x].long()


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """The mean over pixels that count; 0, not NaN, where none does."""
    total = F.cross_entropy(logits, target, weight=weights, ignore_index=VOID, reduction="sum")
    counted = (target != VOID).sum() if weights is None else weights[target[target != VOID]].sum()
    return total / counted.clamp(min=1e-6)


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - the mean over classes of the soft Dice score of the batch."""
    counts = (target != VOID)[:, None]  # (B, 1, h, w)
    truth = F.one_hot(target.where(counts[:, 0], 0), logits.shape[1]).permute(0, 3, 1, 2) * counts  # (B, C, h, w)
    guess = logits.softmax(1) * counts
    inter = (guess * truth).sum((0, 2, 3))
    return 1 - ((2 * inter + 1) / (guess.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)).mean()


# -------- schedule --------------------------------------------------------------------------------
#
# The learning rate as a factor of its start, a pure function of how far the job is.
#
# Progress is the larger of the share of the planned updates and the share of the time budget, so that the rate has come
# down when either ends. The built-in algorithm plans T = floor(num_training_samples / mini_batch_size) x epochs updates
# (its log prints both) and its poly is (1 - t/T)^0.9: 38 of the 40 rates in a real log fit to the last digit.


@dataclass
class Budget:
    """`seconds` of `clock` for the whole job, counted over its resumes; None: no limit. `spent`: before this process.

    `reserve` seconds are kept for the last validation and for saving; training grows it as it measures them.
    """

    seconds: float | None
    clock: Callable[[], float] = time.monotonic
    spent: float = 0.0
    reserve: float = 0.0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def used(self) -> float:
        return self.spent + self.clock() - self.started

    def is_used(self) -> bool:
        """Whether all of it is gone, the reserve too."""
        return self.seconds is not None and self.used() >= self.seconds

    def has_room(self, seconds: float) -> bool:
        """Whether so many seconds more leave the reserve untouched."""
        return self.seconds is None or self.used() + seconds <= self.seconds - self.reserve

    def share(self) -> float:
        """0..1 of the time that training may take."""
        if self.seconds is None:
            return 0.0
        return min(1.0, self.used() / max(self.seconds - self.reserve, 1e-9))


def planned_updates(h: Hyperparameters, batch: int) -> tuple[int, int]:
    """(updates per epoch, updates of the job) as the user's num_training_samples has them."""
    per_epoch = max(1, h.num_training_samples // batch)
    return per_epoch, per_epoch * h.epochs


def rate_factor(name: str, progress: float, h: Hyperparameters) -> float:
    """What to multiply the learning rate by at `progress` (0 at the start, 1 at the planned end)."""
    progress = min(max(progress, 0.0), 1.0)
    if name == "poly":
        return math.pow(1 - progress, 0.9)
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if name == "step":
        epoch = progress * h.epochs
        return h.lr_scheduler_factor ** sum(epoch >= step for step in h.lr_scheduler_step)
    warm = 0.03
    if progress < warm:
        return max(progress / warm, 0.02)
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm))) + 0.005


def crop_at(crops: tuple[int, ...], progress: float) -> int:
    return crops[min(int(progress * len(crops)), len(crops) - 1)]


# -------- optimizers ------------------------------------------------------------------------------
#
# The contract's five optimizers, and Muon for the compact networks.

ENCODER_RATE = 0.25


def build(model: nn.Module, recipe: Recipe, h: Hyperparameters) -> list[torch.optim.Optimizer]:
    """One optimizer over every weight; for Muon two: kernels, and everything that is no matrix."""
    if recipe.optimizer == "muon":
        return muon_and_adam(model, recipe)
    weights, lr = groups_of(model, recipe), recipe.learning_rate
    momentum, decay = recipe.momentum, recipe.weight_decay
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adamw": lambda: torch.optim.AdamW(weights, lr, fused=True),
        "sgd": lambda: torch.optim.SGD(weights, lr, momentum=momentum, weight_decay=decay),
        "nag": lambda: torch.optim.SGD(weights, lr, momentum=momentum, weight_decay=decay, nesterov=True),
        "adam": lambda: torch.optim.Adam(weights, lr),
        "adagrad": lambda: torch.optim.Adagrad(weights, lr),
        # MXNet's centred RMSProp: gamma1 is the decay of the squares, gamma2 the momentum
        "rmsprop": lambda: torch.optim.RMSprop(weights, lr, alpha=h.gamma1, momentum=h.gamma2, centered=True),
    }
    optimizer = makers[recipe.optimizer]()
    remember_rates(optimizer)
    return [optimizer]


def groups_of(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """What learns: a pretrained encoder at ENCODER_RATE of the rate; AdamW decays kernels only."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    adamw = recipe.optimizer == "adamw"
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            kind = name.startswith("encoder."), adamw and weight.ndim < 2
            groups.setdefault(kind, []).append(weight)
    rate, decay = recipe.learning_rate, recipe.weight_decay
    return [
        {"params": weights}
        | ({"lr": rate * ENCODER_RATE} if encoder else {})
        | ({"weight_decay": 0.0 if flat else decay} if adamw else {})
        for (encoder, flat), weights in groups.items()
    ]


def muon_and_adam(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon's rate is fifteen times AdamW's. First and last kernels, biases and norms get AdamW: they are no maps between hidden layers."""
    ends = {id(p) for name, p in model.named_parameters() if name.startswith(("stem.0.", "classify."))}
    kernels = [p for p in model.parameters() if p.ndim >= 2]
    inner = [p for p in kernels if id(p) not in ends]
    outer = [p for p in kernels if id(p) in ends]
    flat = [p for p in model.parameters() if p.ndim < 2]
    lr = recipe.learning_rate
    adam = torch.optim.AdamW(
        [{"params": outer, "weight_decay": recipe.weight_decay}, {"params": flat, "weight_decay": 0.0}],
        lr,
        fused=True,
    )
    both: list[torch.optim.Optimizer] = [
        Muon(inner, lr=15 * lr, momentum=recipe.momentum, decay=recipe.weight_decay),
        adam,
    ]
    for optimizer in both:
        remember_rates(optimizer)
    return both


def remember_rates(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


class Muon(torch.optim.Optimizer):
    """Momentum, then the nearest semi-orthogonal matrix (Jordan et al. 2024): every direction learns at one pace."""

    def __init__(self, weights: list[nn.Parameter], *, lr: float, momentum: float, decay: float) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.step_one(weight, weight.grad, group)

    def step_one(self, weight: nn.Parameter, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(state["momentum"], group["momentum"])  # Nesterov's look ahead
        rows = update.reshape(len(update), -1)  # (out, in * kh * kw)
        scale = max(1.0, rows.shape[0] / rows.shape[1]) ** 0.5
        weight.mul_(1 - group["lr"] * group["decay"])
        weight.add_(orthogonalise(rows).view_as(update), alpha=-group["lr"] * scale)


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """(m, n) -> (m, n) with all singular values near 1: five Newton-Schulz steps, x <- (a + b xx' + c (xx')^2) x.

    Every step is a polynomial in the first xx', so all five are done on that small square and x is multiplied once at the
    end: the same numbers at two thirds of the time in bfloat16.
    """
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    product: torch.Tensor | None = None
    for _ in range(5):
        factor = torch.addmm(gram, gram, gram, beta=-4.775, alpha=2.0315)
        factor.diagonal().add_(3.4445)
        product = factor if product is None else factor @ product
        gram = factor @ gram @ factor
    assert product is not None
    result: torch.Tensor = product @ x
    return result.T if matrix.shape[0] > matrix.shape[1] else result
