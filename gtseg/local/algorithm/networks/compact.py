"""Compact networks, trained from random weights on two cores: a thin dense ResNet under three different heads.

Wide convolutions at low resolution run nearer to a CPU's peak than depthwise ones. The heads correspond to the
contract's names: fcn adds skips from every stride, psp pools a pyramid, deeplab uses atrous convolutions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

# --- layers: x is (B, C, H, W) ---


class Norm(nn.BatchNorm2d):
    """Batch normalization that accepts a single value per channel (one sample, pooled to 1x1), using running
    statistics.

    PyTorch rejects that in training, but a mini_batch_size of 1 is allowed here.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class ConvNorm(nn.Sequential):
    """Convolution, normalization, ReLU. `k` is odd; the size is kept, divided by `stride`."""

    def __init__(self, i: int, o: int, k: int = 3, *, stride: int = 1, dilation: int = 1, relu: bool = True) -> None:
        padding = k // 2 * dilation
        layers: list[nn.Module] = [
            nn.Conv2d(i, o, k, stride, padding, dilation=dilation, bias=False),
            Norm(o),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class PyramidPool(nn.Module):
    """Concatenate x with its means over 1, 2x2, 3x3 and 6x6 cells, each projected: C -> C + 4 * (C // 4)."""

    def __init__(self, channels: int, *, bins: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.bins = bins
        self.projections = nn.ModuleList(ConvNorm(channels, channels // 4, 1) for _ in bins)
        self.out_channels = channels + len(bins) * (channels // 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = [enlarge(p(F.adaptive_avg_pool2d(x, b)), x) for b, p in zip(self.bins, self.projections, strict=True)]
        return torch.cat([x, *pooled], 1)


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: concatenated 1x1, 3x3 at three dilations, and the image mean."""

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
    """Resize x bilinearly to the height and width of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def start_convolutions(model: nn.Module) -> None:
    """Initialize all convolutions (Kaiming, fan out)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


# --- network ---

STEM, WIDTHS, DEPTHS, HIDDEN = 32, (48, 96, 160, 192), (1, 2, 2, 1), 96


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut; initialized as the shortcut only."""

    def __init__(self, i: int, o: int, *, stride: int) -> None:
        super().__init__()
        self.first, self.second = ConvNorm(i, o, stride=stride), ConvNorm(o, o, relu=False)
        same = i == o and stride == 1
        halve = nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()
        self.shortcut = nn.Identity() if same else nn.Sequential(halve, ConvNorm(i, o, 1, relu=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.shortcut(x) + self.second(self.first(x)), inplace=True)


class FcnHead(nn.Module):
    """Sum of skips from every stride, coarse to fine; a gate of the image mean scales the coarsest."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNorm(w, HIDDEN, 1, relu=False) for w in widths)
        self.gate = nn.Linear(widths[-1], HIDDEN)
        self.mix = ConvNorm(HIDDEN, HIDDEN)

    def forward(self, stages: list[torch.Tensor]) -> torch.Tensor:
        gate = torch.sigmoid(self.gate(stages[-1].mean((2, 3))))  # (B, HIDDEN)
        y = self.lateral[-1](stages[-1]) * gate[:, :, None, None]  # (B, HIDDEN, H/32, W/32)
        for x, lateral in zip(stages[-2::-1], list(self.lateral)[-2::-1], strict=True):
            y = enlarge(y, x) + lateral(x)
        mixed: torch.Tensor = self.mix(F.relu(y))  # (B, HIDDEN, H/4, W/4)
        return mixed


class PspHead(nn.Module):
    """Pyramid pooling on stage 3, with a skip from stage 1."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.reduce = ConvNorm(widths[2] + widths[3], HIDDEN, 1)
        self.pyramid = PyramidPool(HIDDEN, bins=(1, 2, 3, 6))
        self.squeeze = ConvNorm(self.pyramid.out_channels, HIDDEN, 3, relu=False)
        self.skip = ConvNorm(widths[0], HIDDEN, 1, relu=False)
        self.mix = ConvNorm(HIDDEN, HIDDEN)

    def forward(self, stages: list[torch.Tensor]) -> torch.Tensor:
        y = self.reduce(torch.cat([stages[2], enlarge(stages[3], stages[2])], 1))  # (B, HIDDEN, H/16, W/16)
        y = self.squeeze(self.pyramid(y))
        mixed: torch.Tensor = self.mix(F.relu(enlarge(y, stages[0]) + self.skip(stages[0])))
        return mixed  # (B, HIDDEN, H/4, W/4)


class DeepLabHead(nn.Module):
    """Atrous convolutions at three rates on stage 3, then DeepLab v3+'s decoder with a skip from stage 1."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.reduce = ConvNorm(widths[2] + widths[3], HIDDEN, 1)
        self.atrous = AtrousPyramid(HIDDEN, HIDDEN // 2, dilations=(2, 4, 6))
        self.project = ConvNorm(self.atrous.out_channels, HIDDEN, 1)
        self.skip = ConvNorm(widths[0], HIDDEN // 4, 1)
        self.decode = ConvNorm(HIDDEN + HIDDEN // 4, HIDDEN)

    def forward(self, stages: list[torch.Tensor]) -> torch.Tensor:
        y = self.reduce(torch.cat([stages[2], enlarge(stages[3], stages[2])], 1))  # (B, HIDDEN, H/16, W/16)
        y = self.project(self.atrous(y))
        decoded: torch.Tensor = self.decode(torch.cat([enlarge(y, stages[0]), self.skip(stages[0])], 1))
        return decoded  # (B, HIDDEN, H/4, W/4)


HEADS: dict[str, type[nn.Module]] = {"fcn": FcnHead, "psp": PspHead, "deeplab": DeepLabHead}


class CompactNetwork(nn.Module):
    """(B, 3, H, W) -> logits (B, num_classes, H/4, W/4), on which the loss is computed and from which masks are
    upsampled.
    """

    def __init__(self, algorithm: str, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, STEM, stride=2), ConvNorm(STEM, WIDTHS[0], stride=2))
        inputs = (WIDTHS[0], *WIDTHS[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(i if d == 0 else o, o, stride=2 if d == 0 and k else 1) for d in range(depth)))
            for k, (i, o, depth) in enumerate(zip(inputs, WIDTHS, DEPTHS, strict=True))
        )
        setattr(self, algorithm, HEADS[algorithm](WIDTHS))
        self.algorithm = algorithm
        self.classify = nn.Conv2d(HIDDEN, num_classes, 1)
        for module in self.modules():
            if isinstance(module, Block):
                nn.init.zeros_(module.second[1].weight)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.stem(x)  # (B, 48, H/4, W/4)
        stages = []
        for stage in self.stages:
            x = stage(x)
            stages.append(x)  # H/4, H/8, H/16, H/32
        return (self.classify(getattr(self, self.algorithm)(stages)),)
