"""A small U-Net that turns a photograph with its extreme points marked into the object's mask. Trained by scripts/train_autosegment.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

SIZE = 192  # pixels of the window that the network sees; trained at 112 and 160, at 192 it is measurably better (0.825, 0.815 at 160)
WIDTHS = (24, 48, 96, 160)
PLANES = 9


def norm_conv(inp: int, out: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inp, out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )


class Block(nn.Module):
    """Two 3x3 convolutions around which the input is carried."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = norm_conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class Context(nn.Module):
    """The whole window's mean, given back to every place: is this the colour of the object or of its surroundings?"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.squeeze(x.mean((2, 3), keepdim=True)))


class Rise(nn.Module):
    """From a coarse map to the next finer one, with what the way down saw there."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(coarse, fine, 1, bias=False)
        self.merge = nn.Sequential(norm_conv(2 * fine, fine), Block(fine))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        up = F.interpolate(self.narrow(coarse), size=fine.shape[2:], mode="bilinear", align_corners=False)
        merged: Tensor = self.merge(torch.cat([up, fine], 1))
        return merged


class PointNet(nn.Module):
    """(N, 9, S, S) features -> (N, 1, S, S) logits, S a multiple of 16."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.at1 = norm_conv(PLANES, 8)
        self.at2 = nn.Sequential(norm_conv(8, a, 2), Block(a))
        self.at4 = nn.Sequential(norm_conv(a, b, 2), Block(b), Block(b))
        self.at8 = nn.Sequential(norm_conv(b, c, 2), Block(c), Block(c))
        self.at16 = nn.Sequential(norm_conv(c, d, 2), Block(d), Context(d), Block(d), Context(d))
        self.rise8, self.rise4, self.rise2 = Rise(d, c), Rise(c, b), Rise(b, a)
        self.narrow = nn.Conv2d(a, 8, 1, bias=False)
        self.head = nn.Sequential(norm_conv(16, 12), nn.Conv2d(12, 1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        full = self.at1(x)
        half = self.at2(full)
        quarter = self.at4(half)
        eighth = self.at8(quarter)
        up = self.rise8(self.at16(eighth), eighth)
        up = self.rise2(self.rise4(up, quarter), half)
        up = F.interpolate(self.narrow(up), size=full.shape[2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.head(torch.cat([up, full], 1))
        return logits


def save_weights(net: nn.Module, path: Path, *, seen: str) -> None:
    """Write half-precision weights and the words that say what they have been trained on."""
    arrays = {
        k: v.numpy().astype(np.float16)
        for k, v in net.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays, about=np.array(json.dumps({"seen": seen})))


def load_weights(path: Path) -> tuple[PointNet, str]:
    """-> the network in evaluation mode, and what its weights have seen."""
    with np.load(path) as stored:
        about = json.loads(str(stored["about"]))
        state = {k: torch.from_numpy(stored[k].astype(np.float32)) for k in stored.files if k != "about"}
    first = state["at1.0.weight"]
    if first.shape[1] < PLANES:  # made when the network saw fewer planes
        state["at1.0.weight"] = torch.cat(
            [first, first.new_zeros(first.shape[0], PLANES - first.shape[1], 3, 3)], 1
        )
    net = PointNet()
    net.load_state_dict(state, strict=False)
    return net.eval().to(memory_format=torch.channels_last), str(about["seen"])  # type: ignore[call-overload]


def fold_norms(net: PointNet) -> PointNet:
    """The same network for use alone: every norm folded into the convolution before it, half precision, a quarter faster."""
    for part in net.modules():
        if isinstance(part, nn.Sequential) and len(part) > 1:
            conv, norm = part[0], part[1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                part[0], part[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return net.to(torch.bfloat16)
