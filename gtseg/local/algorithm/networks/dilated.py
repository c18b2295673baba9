"""The built-in algorithm's networks: a dilated ResNet (output stride 8) under an FCN, PSP or DeepLab v3 head.

Built as in gluon-cv, with an auxiliary FCN head on stage 3. Parameter names below `backbone.` are torchvision's, so
that its ImageNet weights load unchanged.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from gtseg.local.algorithm.networks.compact import AtrousPyramid, ConvNorm, PyramidPool, enlarge, start_convolutions

DEPTHS = {"resnet-50": (3, 4, 6, 3), "resnet-101": (3, 4, 23, 3)}


class Bottleneck(nn.Module):
    """ResNet bottleneck block: 1x1, 3x3, 1x1 convolutions and a shortcut, i -> 4 * width channels."""

    def __init__(self, i: int, width: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        o = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(i, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, o, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = (
            nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o)) if stride > 1 or i != o else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class DilatedResNet(nn.Module):
    """(B, 3, H, W) -> stage 3 (B, 1024, H/8, W/8), stage 4 (B, 2048, H/8, W/8)."""

    def __init__(self, depth: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.layer1 = stage(64, 64, depth[0])
        self.layer2 = stage(256, 128, depth[1], stride=2)
        self.layer3 = stage(512, 256, depth[2], dilation=2, first_dilation=1)
        self.layer4 = stage(1024, 512, depth[3], dilation=4, first_dilation=2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)  # (B, 64, H/2, W/2)
        x = F.max_pool2d(x, 3, 2, 1)  # (B, 64, H/4, W/4)
        x = self.layer2(self.layer1(x))  # (B, 512, H/8, W/8)
        x = self.layer3(x)
        return x, self.layer4(x)


def stage(
    i: int, width: int, blocks: int, *, stride: int = 1, dilation: int = 1, first_dilation: int | None = None
) -> nn.Sequential:
    first = Bottleneck(i, width, stride=stride, dilation=first_dilation or dilation)
    rest = (Bottleneck(4 * width, width, stride=1, dilation=dilation) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


class FcnHead(nn.Sequential):
    """FCN head: (B, i, h, w) -> (B, num_classes, h, w)."""

    def __init__(self, i: int, num_classes: int) -> None:
        super().__init__(ConvNorm(i, i // 4, 3), nn.Dropout(0.1), nn.Conv2d(i // 4, num_classes, 1))


class PspHead(nn.Sequential):
    """PSP head: (B, i, h, w) -> (B, num_classes, h, w)."""

    def __init__(self, i: int, num_classes: int) -> None:
        pool = PyramidPool(i)
        super().__init__(
            pool, ConvNorm(pool.out_channels, i // 4, 3), nn.Dropout(0.1), nn.Conv2d(i // 4, num_classes, 1)
        )


class DeepLabHead(nn.Sequential):
    """DeepLab v3 head: (B, i, h, w) -> (B, num_classes, h, w)."""

    def __init__(self, i: int, num_classes: int) -> None:
        atrous = AtrousPyramid(i, i // 8, dilations=(12, 24, 36))
        super().__init__(
            atrous,
            ConvNorm(atrous.out_channels, i // 8, 1),
            nn.Dropout(0.5),
            ConvNorm(i // 8, i // 8, 3),
            nn.Dropout(0.1),
            nn.Conv2d(i // 8, num_classes, 1),
        )


HEADS: dict[str, Callable[[int, int], nn.Module]] = {"fcn": FcnHead, "psp": PspHead, "deeplab": DeepLabHead}


class DilatedNetwork(nn.Module):
    """(B, 3, H, W) -> logits (B, num_classes, H, W); in training also those of the auxiliary head."""

    def __init__(self, algorithm: str, backbone: str, num_classes: int) -> None:
        super().__init__()
        self.backbone = DilatedResNet(DEPTHS[backbone])
        setattr(self, algorithm, HEADS[algorithm](2048, num_classes))
        self.algorithm = algorithm
        self.auxiliary = FcnHead(1024, num_classes)
        start_convolutions(self)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        middle, last = self.backbone(x)
        out = enlarge(getattr(self, self.algorithm)(last), x)
        return (out, enlarge(self.auxiliary(middle), x)) if self.training else (out,)
