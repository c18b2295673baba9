"""EfficientNet-Lite0 with ImageNet weights under the three heads: the default network.

Tan and Le 2019; the Lite variant has ReLU6 and no squeeze-and-excite. Batch normalization is folded into the
convolutions before training (batches of 8 are too small for it), and the depthwise kernels are fixed: PyTorch's
backward pass of depthwise convolutions in bfloat16 takes three quarters of a step on a CPU. Their biases and all 1x1
convolutions are trained.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.grad import conv2d_input

from gtseg.local.algorithm.container import AlgorithmError
from gtseg.local.algorithm.networks.compact import HEADS, HIDDEN

WEIGHTS = Path(__file__).with_name("efficientnet_lite0.npz")
SHA256 = "7a0801b4eea2783e1d577b8691f3fb870889c7005c52513431671631850f6575"
MEAN_BGR, STD_BGR = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
"""ImageNet's mean and standard deviation in OpenCV's channel order; the input normalization of every network here."""
STEM = 32
STAGES = (  # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TAKEN = (1, 2, 4, 6)
"""Stages whose outputs the heads read: strides 4, 8, 16, 32."""
WIDTHS = tuple(STAGES[i][4] for i in TAKEN)
BLOCKS = sum(stage[0] for stage in STAGES)


class FixedDepthwise(torch.autograd.Function):
    """Depthwise convolution with a fixed kernel: gradients for x and the bias only."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, stride: int) -> torch.Tensor:
        ctx.save_for_backward(kernel)
        ctx.shape, ctx.stride = x.shape, stride
        return depthwise(x, kernel, bias, stride)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (kernel,) = ctx.saved_tensors
        g, padding = gradients[0], kernel.shape[-1] // 2
        wanted = None
        if ctx.needs_input_grad[0] and ctx.stride == 1:
            wanted = F.conv2d(g, kernel.flip(2, 3).to(g.dtype), None, 1, padding, groups=len(kernel))
        elif ctx.needs_input_grad[0]:  # in float32: the bfloat16 kernel is about thirty times slower on a CPU
            wanted = conv2d_input(  # type: ignore[no-untyped-call]
                ctx.shape, kernel.float(), g.float(), ctx.stride, padding, groups=len(kernel)
            ).to(g.dtype)
        return wanted, None, g.float().sum((0, 2, 3)), None


def depthwise(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, stride: int) -> torch.Tensor:
    """(B, C, H, W) x (C, 1, k, k) -> (B, C, ceil(H / stride), ceil(W / stride))."""
    return F.conv2d(x, kernel.to(x.dtype), bias.to(x.dtype), stride, kernel.shape[-1] // 2, groups=len(kernel))


class Depthwise(nn.Module):
    """Depthwise convolution whose kernel is a buffer: saved, but not trained."""

    kernel: torch.Tensor

    def __init__(self, channels: int, k: int, stride: int) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.zeros(channels, 1, k, k))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.stride = stride
        nn.init.kaiming_normal_(self.kernel, mode="fan_out")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            apply = FixedDepthwise.apply
            y: torch.Tensor = apply(x, self.kernel, self.bias, self.stride)  # type: ignore[no-untyped-call]
            return y
        return depthwise(x, self.kernel, self.bias, self.stride)


class Block(nn.Module):
    """1x1 to `i` x `expansion` channels, depthwise, 1x1 to `o`; with a shortcut if the shape is unchanged."""

    def __init__(self, i: int, o: int, *, k: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(i, i * expansion, 1) if expansion > 1 else None
        self.depthwise = Depthwise(i * expansion, k, stride)
        self.project = nn.Conv2d(i * expansion, o, 1)
        self.shortcut = stride == 1 and i == o

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = F.relu6(self.expand(x), inplace=True) if self.expand is not None else x
        y: torch.Tensor = self.project(F.relu6(self.depthwise(wide), inplace=True))
        return y + x if self.shortcut else y


class Encoder(nn.Module):
    """(B, 3, H, W) -> outputs at strides 4, 8, 16, 32 with WIDTHS channels.

    The stem and the first `frozen` blocks are fixed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 3, 2, 1)
        blocks, self.taken, i = [], [], STEM
        for number, (repeats, k, stride, expansion, o) in enumerate(STAGES):
            for turn in range(repeats):
                blocks.append(Block(i, o, k=k, stride=1 if turn else stride, expansion=expansion))
                i = o
            if number in TAKEN:
                self.taken.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        self.frozen = -1

    def freeze(self, blocks: int) -> None:
        """Freeze the stem and the first `blocks` of the BLOCKS blocks; a negative number freezes nothing."""
        self.frozen = blocks
        parts = [self.stem, *self.blocks]
        for number, part in enumerate(parts):
            part.requires_grad_(number > blocks)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen < 0):
            x = F.relu6(self.stem(x), inplace=True)
        outputs = []
        for number, block in enumerate(self.blocks):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.frozen):
                x = block(x)
            if number in self.taken:
                outputs.append(x)
        return outputs


class PretrainedNetwork(nn.Module):
    """(B, 3, H, W) -> logits (B, num_classes, H/4, W/4), on which the loss is computed and from which masks are
    upsampled.
    """

    def __init__(self, algorithm: str, num_classes: int) -> None:
        super().__init__()
        self.encoder = Encoder()
        setattr(self, algorithm, HEADS[algorithm](WIDTHS))
        self.algorithm = algorithm
        self.classify = nn.Conv2d(HIDDEN, num_classes, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        stages = self.encoder(x.flip(2, 3))  # see scripts/convert_efficientnet_lite.py
        return (self.classify(getattr(self, self.algorithm)(stages)).flip(2, 3),)


def load_encoder(encoder: Encoder, path: Path = WEIGHTS) -> None:
    """Load the ImageNet weights shipped with the package. Raises AlgorithmError if the file is missing or modified."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AlgorithmError(f"the ImageNet weights {path.name} of the package cannot be read: {error}") from None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise AlgorithmError(
            f"{path.name} differs from the file that the package was built with. Reinstall gtseg, "
            "or train with use_pretrained_model = false"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        encoder.load_state_dict({k: torch.from_numpy(arrays[k].astype(np.float32)) for k in arrays.files})
