"""Loss, learning rate schedule and optimizers."""

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

# --- loss ---


def compute_loss(
    outputs: tuple[torch.Tensor, ...],
    masks: torch.Tensor,
    *,
    aux_weight: float,
    weights: torch.Tensor | None,
    centered: bool = False,
) -> torch.Tensor:
    """Return cross entropy of the main logits plus `aux_weight` x that of the auxiliary ones.

    With `weights`, plus half a Dice loss. Void pixels (255) are ignored.

    outputs: (B, C, h, w) logits; masks: (B, H, W) uint8; weights: (C,) class weights or None; centered: see
    `_downsample_masks`.
    """
    main, *auxiliary = outputs
    targets = _downsample_masks(masks, main.shape[-2:], centered=centered)
    total = cross_entropy(main.float(), targets, weights)
    for logits in auxiliary:
        others = _downsample_masks(masks, logits.shape[-2:], centered=centered)
        total = total + aux_weight * cross_entropy(logits.float(), others, weights)
    return total if weights is None else total + 0.5 * _dice_loss(main.float(), targets)


def _downsample_masks(masks: torch.Tensor, size: torch.Size, *, centered: bool) -> torch.Tensor:
    """Return the mask's values at the center of each cell of the output grid: (B, H, W) -> (n, B, h, w) int64.

    The center of a cell of 4 x 4 pixels lies between its pixels. `centered`: the four pixels around it, n = 4;
    otherwise the lower right one of them, n = 1, which moves everything that is learned by half a pixel.
    """
    step_y, step_x = masks.shape[1] // size[0], masks.shape[2] // size[1]
    rows, columns = (((step - 1) // 2, step // 2) if centered else (step // 2,) for step in (step_y, step_x))
    return torch.stack([masks[:, y::step_y, x::step_x] for y in rows for x in columns]).long()


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Return the mean over non-void pixels of (n, B, h, w) targets; 0 instead of NaN if there are none."""
    likely = logits.log_softmax(1)
    total = logits.new_zeros(())
    for target in targets:
        total = total + F.nll_loss(likely, target, weight=weights, ignore_index=VOID, reduction="sum")
    counted = (targets != VOID).sum() if weights is None else weights[targets[targets != VOID]].sum()
    return total / counted.clamp(min=1e-6)


def _dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return 1 - mean over classes of the batch's soft Dice score; targets: (n, B, h, w)."""
    counts = (targets != VOID)[:, :, None]  # (n, B, 1, h, w)
    truth = F.one_hot(targets.where(counts[:, :, 0], 0), logits.shape[1]).permute(0, 1, 4, 2, 3) * counts
    shares, truth = counts.float().mean(0), truth.float().mean(0)  # (B, 1, h, w), (B, C, h, w)
    guess = logits.softmax(1) * shares
    inter = (guess * truth).sum((0, 2, 3))
    return 1 - ((2 * inter + 1) / (guess.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)).mean()


# --- schedule ---


@dataclass
class Budget:
    """Time limit of a job: `seconds` of `clock`, including its resumed runs; None: no limit.

    `spent`: before this process. `reserve` seconds are kept for the last validation and saving; training updates it
    from measurements.
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
        """Return whether the whole budget is used, including the reserve."""
        return self.seconds is not None and self.used() >= self.seconds

    def has_room(self, seconds: float) -> bool:
        """Return whether `seconds` more would leave the reserve untouched."""
        return self.seconds is None or self.used() + seconds <= self.seconds - self.reserve

    def share(self) -> float:
        """Return the used share (0 to 1) of the training time."""
        if self.seconds is None:
            return 0.0
        return min(1.0, self.used() / max(self.seconds - self.reserve, 1e-9))


def planned_updates(h: Hyperparameters, batch: int) -> tuple[int, int]:
    """Return (updates per epoch, updates of the job) from the user's num_training_samples."""
    per_epoch = max(1, h.num_training_samples // batch)
    return per_epoch, per_epoch * h.epochs


def rate_factor(name: str, progress: float, h: Hyperparameters) -> float:
    """Return the factor of the initial learning rate at `progress` (0 at the start, 1 at the planned end).

    Progress is the larger of the share of planned updates and the share of the time budget, so that the rate has
    decayed when either ends. The built-in algorithm plans T = floor(num_training_samples / mini_batch_size) x epochs
    updates (its log prints both), and its poly is (1 - t/T)^0.9: 38 of the 40 rates in a real log agree to the last
    digit.
    """
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
    """Return the crop size at `progress`."""
    return crops[min(int(progress * len(crops)), len(crops) - 1)]


# --- optimizers ---

ENCODER_RATE = 0.25


def build(model: nn.Module, recipe: Recipe, h: Hyperparameters) -> list[torch.optim.Optimizer]:
    """Build one optimizer for all weights; for Muon two: kernels, and all other weights."""
    if recipe.optimizer == "muon":
        return _muon_and_adam(model, recipe)
    weights, lr = _parameter_groups(model, recipe), recipe.learning_rate
    momentum, decay = recipe.momentum, recipe.weight_decay
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adamw": lambda: torch.optim.AdamW(weights, lr, fused=True),
        "sgd": lambda: torch.optim.SGD(weights, lr, momentum=momentum, weight_decay=decay),
        "nag": lambda: torch.optim.SGD(weights, lr, momentum=momentum, weight_decay=decay, nesterov=True),
        "adam": lambda: torch.optim.Adam(weights, lr),
        "adagrad": lambda: torch.optim.Adagrad(weights, lr),
        # MXNet's centered RMSProp: gamma1 is the decay of the squares, gamma2 the momentum
        "rmsprop": lambda: torch.optim.RMSprop(weights, lr, alpha=h.gamma1, momentum=h.gamma2, centered=True),
    }
    optimizer = makers[recipe.optimizer]()
    _remember_rates(optimizer)
    return [optimizer]


def _parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the parameter groups: a pretrained encoder at ENCODER_RATE x the rate; AdamW decays kernels only."""
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


def _muon_and_adam(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Build Muon (rate: 15 x AdamW's) for inner kernels and AdamW for the rest: first and last
    kernels, biases, norms.
    """
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
        _remember_rates(optimizer)
    return both


def _remember_rates(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalized to the nearest semi-orthogonal matrix (Jordan et al. 2024)."""

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
        weight.add_(orthogonalize(rows).view_as(update), alpha=-group["lr"] * scale)


def orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
    """Return an (m, n) matrix with all singular values near 1: five Newton-Schulz steps, x <- (a + b xx' + c (xx')^2)
    x.

    Every step is a polynomial in the first xx', so all five are computed on that small square and x is multiplied once
    at the end: the same result in two thirds of the time in bfloat16.
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
