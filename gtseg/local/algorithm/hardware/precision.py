"""16-bit arithmetic: hardware support and data type."""

from __future__ import annotations

import torch


def has_fast_half(device: torch.device) -> bool:
    """Return whether the hardware has 16-bit arithmetic; emulated, as on most laptops, an outline takes 9 x as long."""
    return device.type == "cuda" or bool(torch.cpu._is_avx512_bf16_supported())


def half_dtype(device: torch.device) -> torch.dtype:
    """Return the 16-bit data type of a device."""
    return torch.float16 if device.type == "cuda" else torch.bfloat16
