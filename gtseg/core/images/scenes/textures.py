"""Colored fractal noise for water, sand and foam. Colors are (H, W, 3) floats 0 to 255."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.float32]  # (H, W)
Picture = NDArray[np.float32]  # (H, W, 3)
Size = tuple[int, int]  # height, width


def noise(rng: np.random.Generator, size: Size, *, coarse: int, octaves: int = 4, stretch: float = 1.0) -> Plane:
    """Return (H, W) fractal noise of about zero mean and unit deviation; its coarsest scale is `coarse` pixels."""
    height, width = size
    total: Plane = np.zeros(size, np.float32)
    for octave in range(octaves):
        step = max(2.0, coarse / 2**octave)
        grid = (max(2, round(height / step * stretch) + 2), max(2, round(width / step) + 2))
        small = Image.fromarray(rng.normal(0, 1, grid).astype(np.float32))
        total += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) * 0.6**octave
    total -= total.mean()
    total /= total.std() + 1e-6
    return total


def blend(one: Picture, other: Picture, share: Plane) -> Picture:
    """Mix two colors: `share` 0 is `one`, 1 is `other`."""
    weight = np.clip(share, 0, 1)[..., None]
    return one * (1 - weight) + other * weight


def solid_color(rgb: tuple[float, float, float], size: Size) -> Picture:
    return np.broadcast_to(np.array(rgb, np.float32), (*size, 3)).copy()


def water(rng: np.random.Generator, size: Size) -> Picture:
    """Return water from shallow to deep, with ripples and caustics."""
    shallow, deep = _WATERS[rng.integers(len(_WATERS))]
    depth = 0.5 + 0.35 * noise(rng, size, coarse=220, octaves=2)
    picture = blend(solid_color(shallow, size), solid_color(deep, size), depth)
    ripples = noise(rng, size, coarse=int(rng.integers(14, 34)), octaves=3, stretch=float(rng.uniform(1.2, 2.4)))
    picture += ripples[..., None] * rng.uniform(3, 8)
    net = 1 - np.abs(noise(rng, size, coarse=int(rng.integers(26, 60)), octaves=2))
    picture += (np.clip(net - 0.72, 0, None) * (1.2 - np.clip(depth, 0, 1)))[..., None] * rng.uniform(40, 130)
    return picture


_WATERS = (
    ((96.0, 204.0, 200.0), (16.0, 104.0, 140.0)),
    ((126.0, 214.0, 196.0), (24.0, 120.0, 150.0)),
    ((70.0, 150.0, 172.0), (12.0, 62.0, 100.0)),
    ((104.0, 170.0, 150.0), (30.0, 92.0, 98.0)),
)


def sand(rng: np.random.Generator, size: Size) -> Picture:
    """Return sand with grains and soft waves."""
    warm = rng.uniform(-10, 10)
    base = solid_color((222 + warm, 198 + warm * 0.6, 156.0), size)
    picture = base + noise(rng, size, coarse=150, octaves=3)[..., None] * 9
    picture += noise(rng, size, coarse=18, octaves=2, stretch=2.0)[..., None] * 3
    return picture + rng.normal(0, 6, (*size, 1)).astype(np.float32)


def background(rng: np.random.Generator, size: Size) -> tuple[Picture, Plane]:
    """Return (image, share of land per pixel 0 to 1): open water, or a beach with foam at its edge."""
    sea = water(rng, size)
    if rng.random() < 0.45:
        return sea, np.zeros(size, np.float32)
    height, width = size
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    along = np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5)
    edge = along - rng.uniform(0.0, 0.28) + 0.03 * noise(rng, size, coarse=110, octaves=3)
    land = np.clip(edge * 60, 0, 1)
    wet = np.clip(1 - np.abs(edge - 0.01) * 16, 0, 1)
    picture = blend(sea, sand(rng, size) - wet[..., None] * 26, land)
    lace = np.clip(1 - np.abs(edge + 0.012 + 0.012 * noise(rng, size, coarse=24, octaves=3)) * 75, 0, 1)
    return blend(picture, solid_color((246.0, 250.0, 250.0), size), lace * 0.85), land
