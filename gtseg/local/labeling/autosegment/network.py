"""The network: EfficientNet-Lite0 with ImageNet weights and a decoder, from a window with prompts to a mask.

Trained by scripts/train_autosegment.py. The stem and the first blocks depend on the image alone and are frozen: their
features are computed once per object (`extract_features`) and cached. Points, clicks and the present mask are added to
these features (`decode`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gtseg.local.algorithm.networks.efficientnet import MEAN_BGR, STD_BGR, Encoder
from gtseg.local.algorithm.networks.efficientnet import load_encoder as load_imagenet

SIZE = 192
"""Side of the network's window in pixels."""
FROZEN = 3
"""Encoder blocks after the stem that depend on the image alone."""
PROMPTS = 7
"""Number of planes of `crop.prompts`."""
HIDDEN, HALF, FULL = 64, 24, 8
ENTRY = 5
"""Encoder block after which the prompts enter a second time, at stride 16."""
SIDES = (2, 4, 10, 15)
"""Encoder blocks whose outputs the decoder uses: 24, 40, 112, 320 channels at strides 4, 8, 16, 32."""


def conv(inp: int, out: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inp, out, kernel, 1, kernel // 2), nn.ReLU(inplace=True))


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class Prompts(nn.Module):
    """Convolutions from averaged prompt planes to a term added to the encoder's features; initially 0."""

    def __init__(self, stride: int, out: int) -> None:
        super().__init__()
        self.stride = stride
        self.first, self.last = conv(PROMPTS, 24), nn.Conv2d(24, out, 3, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, planes: Tensor) -> Tensor:
        x: Tensor = self.last(self.first(F.avg_pool2d(planes, self.stride)))
        return x


@dataclass(frozen=True)
class Features:
    """Features of the frozen part for a window: (N, 16, S/2, S/2) and (N, 24, S/4, S/4)."""

    half: Tensor
    quarter: Tensor

    def select(self, which: slice) -> Features:
        """Return the features of some of the N windows."""
        return Features(self.half[which], self.quarter[which])


class PromptNet(nn.Module):
    """Map (N, 3, S, S) pixels and (N, PROMPTS, S, S) planes to (N, 1, S, S) logits, S a multiple of 32.

    The image is rotated by 180 degrees inside, as the encoder's kernels are (see convert_efficientnet_lite.py).
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.encoder.freeze(FROZEN)
        self.early, self.late = Prompts(4, 24), Prompts(16, 80)
        self.lateral = nn.ModuleList(nn.Conv2d(width, HIDDEN, 1) for width in (24, 40, 112, 320))
        self.gate = nn.Linear(320, HIDDEN)
        self.mix = nn.ModuleList(conv(HIDDEN, HIDDEN) for _ in range(3))
        self.to_half = nn.Conv2d(HIDDEN, HALF, 1)
        self.at_half = nn.Sequential(conv(HALF + 16 + PROMPTS, HALF), conv(HALF, HALF))
        self.to_full = nn.Conv2d(HALF, FULL, 1)
        self.at_full = nn.Sequential(conv(FULL + 3 + PROMPTS, FULL), nn.Conv2d(FULL, 1, 3, 1, 1))

    @torch.no_grad()
    def extract_features(self, pixels: Tensor) -> Features:
        """Return the frozen part's features of (N, 3, S, S) pixels from `normalized`."""
        x = F.relu6(self.encoder.stem(pixels.flip(2, 3)))
        half = self.encoder.blocks[0](x)
        x = half
        for block in self.encoder.blocks[1:FROZEN]:
            x = block(x)
        return Features(half, x)

    def decode(self, pixels: Tensor, features: Features, prompts: Tensor) -> Tensor:
        """Return (N, 1, S, S) logits from pixels, their features and (N, PROMPTS, S, S) prompt planes."""
        planes = prompts.flip(2, 3)
        x = features.quarter + self.early(planes)
        sides = [x]
        for number, block in enumerate(self.encoder.blocks[FROZEN:], FROZEN):
            x = block(x)
            if number == ENTRY:
                x = x + self.late(planes)
            if number in SIDES:
                sides.append(x)
        y = self.lateral[3](sides[3]) * torch.sigmoid(self.gate(sides[3].mean((2, 3))))[:, :, None, None]
        for k in (2, 1, 0):
            y = self.mix[k](enlarged(y, sides[k]) + self.lateral[k](sides[k]))
        half = torch.cat([enlarged(self.to_half(y), features.half), features.half, F.avg_pool2d(planes, 2)], 1)
        y = self.at_half(half)
        full = torch.cat([enlarged(self.to_full(y), planes), pixels.flip(2, 3), planes], 1)
        logits: Tensor = self.at_full(full)
        return logits.flip(2, 3)

    def forward(self, pixels: Tensor, prompts: Tensor) -> Tensor:
        return self.decode(pixels, self.extract_features(pixels), prompts)


def normalized(photo: np.ndarray) -> Tensor:
    """Convert (..., S, S, 3) uint8 RGB to the encoder's input, (..., 3, S, S) float32."""
    x = torch.from_numpy(np.ascontiguousarray(photo[..., ::-1])).float()
    return ((x - torch.tensor(MEAN_BGR)) / torch.tensor(STD_BGR)).movedim(-1, -3)


def start() -> PromptNet:
    """Return a network to train: the ImageNet encoder with an untrained decoder."""
    net = PromptNet()
    load_imagenet(net.encoder)
    return net


# --- weights: trained ones as 8-bit integers with a scale per output channel; frozen ones are in the encoder's file ---


def trained_names(net: PromptNet) -> list[str]:
    return sorted(name for name, value in net.named_parameters() if value.requires_grad)


def save_weights(net: PromptNet, path: Path, *, seen: str) -> None:
    """Write the trained weights, and `seen`, a description of their training data."""
    arrays: dict[str, np.ndarray] = {}
    state = net.state_dict()
    for name in trained_names(net):
        value = state[name].detach().float().numpy()
        if value.ndim < 2:
            arrays[name] = value.astype(np.float16)
            continue
        scale = np.maximum(np.abs(value).reshape(len(value), -1).max(1), 1e-8) / 127
        arrays[name] = np.round(value / scale.reshape(-1, *[1] * (value.ndim - 1))).astype(np.int8)
        arrays[f"{name}:scale"] = scale.astype(np.float32)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays, about=np.array(json.dumps({"seen": seen})))  # type: ignore[arg-type]


def load_weights(path: Path) -> tuple[PromptNet, str]:
    """Return the network in evaluation mode, and the description of its training data."""
    net = start()
    state = net.state_dict()
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        for name in stored.files:
            if name == "about" or name.endswith(":scale"):
                continue
            value = stored[name].astype(np.float32)
            if f"{name}:scale" in stored.files:
                value *= stored[f"{name}:scale"].reshape(-1, *[1] * (value.ndim - 1))
            state[name] = torch.from_numpy(value)
    net.load_state_dict(state)
    return net.eval().to(memory_format=torch.channels_last), str(about["seen"])  # type: ignore[call-overload]
