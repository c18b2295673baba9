"""Muon's orthogonal updates, and the five documented optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gtseg.local.algorithm import optimization
from gtseg.local.algorithm.hyperparameters import OPTIMIZERS, parse
from gtseg.local.algorithm.optimization import Muon, orthogonalize, set_rate
from gtseg.local.algorithm.recipe import choose


@pytest.mark.parametrize("shape", [(8, 8), (8, 60), (60, 8), (1, 5), (96, 432)])
def test_an_orthogonalized_matrix_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert 0.4 < float(values.min()) <= float(values.max()) < 1.3


def test_the_fast_iteration_equals_the_plain_iteration() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(24, 90)
    x = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    assert torch.allclose(orthogonalize(matrix), x, atol=1e-4)


def test_a_zero_gradient_changes_no_parameter() -> None:
    weight = nn.Parameter(torch.ones(3, 2, 3, 3))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.1, momentum=0.9, decay=0.0).step()
    assert torch.equal(weight.detach(), torch.ones(3, 2, 3, 3))


def test_muon_reduces_the_loss() -> None:
    torch.manual_seed(0)
    weight, target = nn.Parameter(torch.zeros(6, 10)), torch.randn(6, 10)
    optimizer = Muon([weight], lr=0.05, momentum=0.9, decay=0.0)
    losses = []
    for _ in range(60):
        loss = (weight - target).square().mean()
        weight.grad = torch.autograd.grad(loss, weight)[0]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_documented_optimizer_is_built_with_its_hyperparameters(name: str) -> None:
    given = {
        "optimizer": name,
        "learning_rate": "0.02",
        "momentum": "0.7",
        "weight_decay": "0.003",
        "gamma1": "0.8",
        "gamma2": "0.6",
    }
    h = parse({"num_classes": "2", "num_training_samples": "4", "backbone": "resnet-50", **given})
    (made,) = optimization.build(nn.Linear(2, 2), choose(h, has_gpu=False), h)
    d = made.defaults
    assert d["lr"] == 0.02
    expected = {
        "sgd": ("SGD", {"momentum": 0.7, "weight_decay": 0.003, "nesterov": False}),
        "nag": ("SGD", {"momentum": 0.7, "weight_decay": 0.003, "nesterov": True}),
        "adam": ("Adam", {"weight_decay": 0}),
        "adagrad": ("Adagrad", {"weight_decay": 0}),
        "rmsprop": ("RMSprop", {"alpha": 0.8, "momentum": 0.6, "centered": True}),
    }[name]
    assert (type(made).__name__, {k: d[k] for k in expected[1]}) == expected


def test_the_learning_rate_is_the_initial_rate_times_a_factor() -> None:
    h = parse({"num_classes": "2", "num_training_samples": "4", "backbone": "resnet-50", "learning_rate": "0.5"})
    made = optimization.build(nn.Linear(2, 2), choose(h, has_gpu=False), h)
    for factor in (0.5, 0.1):
        set_rate(made, factor)
    assert made[0].param_groups[0]["lr"] == pytest.approx(0.05)
