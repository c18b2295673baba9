"""What every network here is made of. x: (B, C, H, W)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.BatchNorm2d):
    """Batch normalisation that also takes a single value per channel (one sample, pooled to 1x1): by what it saw before.

    PyTorch refuses that in training; a mini_batch_size of 1 is allowed here.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(x)


class ConvNorm(nn.Sequential):
    """Convolution, normalisation, ReLU. `k` odd; the size stays, divided by `stride`."""

    def __init__(
        self, i: int, o: int, k: int = 3, *, stride: int = 1, dilation: int = 1, relu: bool = True
    ) -> None:
        padding = k // 2 * dilation
        layers: list[nn.Module] = [
            nn.Conv2d(i, o, k, stride, padding, dilation=dilation, bias=False),
            Norm(o),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class PyramidPool(nn.Module):
    """The picture's mean over 1, 2x2, 3x3 and 6x6 cells, each projected and set beside x: C -> C + 4 * (C // 4)."""

    def __init__(self, channels: int, *, bins: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.bins = bins
        self.projections = nn.ModuleList(ConvNorm(channels, channels // 4, 1) for _ in bins)
        self.out_channels = channels + len(bins) * (channels // 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = [
            enlarge(p(F.adaptive_avg_pool2d(x, b)), x)
            for b, p in zip(self.bins, self.projections, strict=True)
        ]
        return torch.cat([x, *pooled], 1)


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, 3x3 at three dilations, and the picture's mean, set side by side."""

    def __init__(self, i: int, o: int, *, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [ConvNorm(i, o, 1), *(ConvNorm(i, o, 3, dilation=dilation) for dilation in dilations)]
        )
        self.mean = ConvNorm(i, o, 1)
        self.out_channels = o * (len(dilations) + 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = enlarge(self.mean(x.mean((2, 3), keepdim=True)), x)
        return torch.cat([*(branch(x) for branch in self.branches), mean], 1)


def enlarge(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """x at the height and width of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def start_convolutions(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
