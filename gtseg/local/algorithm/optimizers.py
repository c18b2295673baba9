"""The contract's five optimizers, and Muon for the compact networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gtseg.local.algorithm.hyperparameters import Hyperparameters
from gtseg.local.algorithm.recipe import Recipe

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
