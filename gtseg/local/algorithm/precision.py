"""Whether 16-bit arithmetic pays on this machine."""

from __future__ import annotations

import torch

__all__ = ["half_dtype", "has_fast_half"]


def has_fast_half(device: torch.device) -> bool:
    """Whether 16-bit arithmetic is in the hardware: emulated, as on most laptops, an outline takes nine times as long."""
    return device.type == "cuda" or bool(torch.cpu._is_avx512_bf16_supported())


def half_dtype(device: torch.device) -> torch.dtype:
    return torch.float16 if device.type == "cuda" else torch.bfloat16
