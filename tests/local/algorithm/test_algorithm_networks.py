"""Networks of every algorithm and backbone: structure, losses, training."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gtseg.local.algorithm.hyperparameters import ALGORITHMS, BACKBONES
from gtseg.local.algorithm.model import build, probabilities
from gtseg.local.algorithm.networks.compact import start_convolutions
from gtseg.local.algorithm.optimization import _downsample_masks, compute_loss

KINDS = [(n, a, "resnet-50") for n in ("compact", "efficientnet-lite0") for a in ALGORITHMS] + [
    ("dilated", a, b) for a in ALGORITHMS for b in BACKBONES
]


def made(kind: tuple[str, str, str], *, num_classes: int = 3) -> nn.Module:
    network, algorithm, backbone = kind
    torch.manual_seed(0)
    return build(network, algorithm=algorithm, backbone=backbone, num_classes=num_classes)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_every_network_trains_a_step(kind: tuple[str, str, str]) -> None:
    """One update on a tiny crop changes every parameter of the network."""
    model = made(kind).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    x, y = torch.randn(2, 3, 64, 64), torch.randint(0, 3, (2, 64, 64), dtype=torch.uint8)
    y[:, :8] = 255
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(1 if kind[0] == "dilated" else 3):  # compact blocks and classifiers open one after the other
        optimizer.zero_grad()
        outputs = model(x)
        compute_loss(outputs, y, aux_weight=0.5, weights=None).backward()
        optimizer.step()
    still = [n for n, p in model.named_parameters() if torch.equal(p, before[n])]
    assert still == []
    assert len(outputs) == (2 if kind[0] == "dilated" else 1)
    assert outputs[0].shape[:2] == (2, 3)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(KINDS, 2)), ids=str)
def test_each_network_has_its_own_parameter_names(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    with torch.device("meta"):
        names = [frozenset(name for name, _ in made(kind).named_parameters()) for kind in (one, other)]
    assert names[0] != names[1]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_dilated_backbone_has_stride_eight(backbone: str) -> None:
    with torch.device("meta"):
        model = made(("dilated", "fcn", backbone)).eval()
        middle, last = model.backbone(torch.zeros(1, 3, 64, 96))  # type: ignore[operator]
    assert middle.shape == (1, 1024, 8, 12)
    assert last.shape == (1, 2048, 8, 12)


@pytest.mark.parametrize(("backbone", "blocks"), [("resnet-50", 16), ("resnet-101", 33)])
def test_a_backbone_has_the_parameter_count_of_its_resnet(backbone: str, blocks: int) -> None:
    with torch.device("meta"):
        model = made(("dilated", "fcn", backbone))
    count = sum(p.numel() for p in model.backbone.parameters())  # type: ignore[union-attr]
    assert count + 2048 * 1000 + 1000 == {16: 25_557_032, 33: 44_549_160}[blocks]  # torchvision's, with its classifier


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_compact_networks_take_any_multiple_of_32(algorithm: str) -> None:
    model = made(("compact", algorithm, "resnet-50")).eval()
    planes = probabilities(model, torch.randn(2, 3, 32, 96))
    assert planes.shape == (2, 3, 8, 24)
    assert torch.allclose(planes.sum(1), torch.ones(2, 8, 24), atol=1e-5)


def test_averaged_predictions_are_mirrored_with_the_image() -> None:
    model, x = made(("compact", "fcn", "resnet-50")).eval(), torch.randn(2, 3, 64, 64)
    one, other = (probabilities(model, picture, mirror=True) for picture in (x, x.flip(3)))
    assert torch.allclose(one, other.flip(3), atol=1e-5)
    assert not torch.allclose(one, probabilities(model, x), atol=1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_batch_of_one_small_sample_trains(algorithm: str) -> None:
    model = made(("compact", algorithm, "resnet-50")).train()
    outputs = model(torch.randn(1, 3, 24, 24))
    compute_loss(outputs, torch.zeros(1, 24, 24, dtype=torch.uint8), aux_weight=0, weights=None).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("weights", [None, torch.ones(3)])
def test_no_term_of_the_loss_includes_void_pixels(weights: torch.Tensor | None) -> None:
    logits = torch.randn(1, 3, 8, 8)
    mask = torch.randint(0, 3, (1, 32, 32), dtype=torch.uint8)
    mask[:, :, 16:] = 255
    changed = logits.clone()
    changed[:, :, :, 4:] += torch.randn(1, 3, 8, 4)
    losses = [float(compute_loss((z,), mask, aux_weight=0, weights=weights)) for z in (logits, changed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_batch_of_void_pixels_only_has_a_finite_loss() -> None:
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = compute_loss((logits,), torch.full((1, 16, 16), 255, dtype=torch.uint8), aux_weight=0, weights=torch.ones(2))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()  # type: ignore[arg-type]


def test_convolutions_start_with_the_variance_of_he() -> None:
    layer = nn.Conv2d(64, 64, 3)
    start_convolutions(layer)
    assert float(layer.weight.detach().std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


def cells(mask: torch.Tensor, *, centered: bool) -> torch.Tensor:
    """(n, h, w) class indices at the centers of a mask's cells of 4 x 4 pixels."""
    return _downsample_masks(mask[None], torch.Size([side // 4 for side in mask.shape]), centered=centered)[:, 0]


def test_centered_targets_turn_with_the_mask() -> None:
    mask = torch.randint(0, 3, (32, 48), dtype=torch.uint8)
    turned = cells(mask.flip(0, 1), centered=True)
    assert torch.equal(turned, cells(mask, centered=True).flip(0, 1, 2))
    assert not torch.equal(cells(mask.flip(0, 1), centered=False), cells(mask, centered=False).flip(0, 1, 2))


def test_centered_targets_have_an_edge_where_the_mask_has_it() -> None:
    """Every edge at an even column is met exactly; without centering the same edges lie half a pixel too far left."""
    edges = range(8, 57, 2)
    found = {
        centered: [
            4
            * float(
                (cells((torch.arange(64) < edge).byte().expand(4, 64), centered=centered) > 0).sum(2).float().mean()
            )
            for edge in edges
        ]
        for centered in (True, False)
    }
    assert found[True] == list(edges)
    assert sum(found[False]) < sum(edges)


def test_the_centered_loss_is_least_where_the_logits_follow_the_mask() -> None:
    """At an edge in the middle of a cell, logits without a side are best; without centering one side is preferred."""
    mask = (torch.arange(32) < 18).byte().expand(1, 32, 32)
    logits = torch.zeros(1, 2, 8, 8, requires_grad=True)
    for centered in (True, False):
        logits.grad = None
        compute_loss((logits,), mask, aux_weight=0, weights=None, centered=centered).backward()
        assert logits.grad is not None
        assert (float(logits.grad[0, 0, 0, 4].abs()) < 1e-9) == centered


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_without_centering_the_loss_is_exactly_that_of_version_0_1_0(weights: torch.Tensor | None) -> None:
    """So training from random weights gives the same weights as before."""
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 8, 8)
    masks = torch.randint(0, 3, (2, 32, 32), dtype=torch.uint8)
    masks[:, :9] = 255
    target = masks[:, 2::4, 2::4].long()
    counted = target != 255
    total = F.cross_entropy(logits, target, weight=weights, ignore_index=255, reduction="sum")
    expected = total / (counted.sum() if weights is None else weights[target[counted]].sum())
    if weights is not None:
        truth = F.one_hot(target.where(counted, 0), 3).permute(0, 3, 1, 2) * counted[:, None]
        guess = logits.softmax(1) * counted[:, None]
        inter, both = (guess * truth).sum((0, 2, 3)), guess.sum((0, 2, 3)) + truth.sum((0, 2, 3))
        expected = expected + 0.5 * (1 - ((2 * inter + 1) / (both + 1)).mean())
    found = compute_loss((logits,), masks, aux_weight=0, weights=weights)
    assert torch.equal(found, expected)
    assert not torch.equal(found, compute_loss((logits,), masks, aux_weight=0, weights=weights, centered=True))
