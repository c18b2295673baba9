"""Outlines of turtles and boats around (0, 0), one unit long and heading along +x, and their rasterization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]  # (N, 2) x, y
Rgb = tuple[int, int, int]
FINE = 2
"""Oversampling factor: shapes are drawn larger and averaged down for smooth edges; a mask pixel is more than half
covered.
"""


@dataclass(frozen=True)
class Part:
    """One filled outline."""

    points: Points
    fill: Rgb
    is_body: bool = True
    """Whether it is part of the mask; details on the body need not be."""


def oval(x: float, y: float, *, long: float, wide: float, turn: float = 0.0, power: float = 2.0) -> Points:
    """Return an ellipse, or a rounded box for a higher `power`."""
    angles = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    c, s = np.cos(angles), np.sin(angles)
    shape: Points = np.stack(
        [np.sign(c) * np.abs(c) ** (2 / power) * long, np.sign(s) * np.abs(s) ** (2 / power) * wide], 1
    )
    shape = rotate(shape, turn)
    shape += np.array([x, y])
    return shape


def rotate(points: Points, turn: float) -> Points:
    c, s = math.cos(turn), math.sin(turn)
    turned: Points = points @ np.array([[c, s], [-s, c]])
    return turned


def flipper(rng: np.random.Generator, *, x: float, side: int, long: float, sweep: float) -> Points:
    """Return a bent flipper from the shell's edge at `x`, on one side (-1 or 1), swept back by `sweep` radians."""
    bend = rng.uniform(0.1, 0.35)
    spine = np.linspace(0, 1, 12)
    out = np.stack([-bend * spine**2, spine], 1) * long
    width = 0.2 * long * np.sin(np.pi * np.clip(spine * 0.9 + 0.12, 0, 1)) ** 0.8
    left, right = out + np.stack([width, 0 * width], 1), out - np.stack([width, 0 * width], 1)
    blade: Points = rotate(np.concatenate([left, right[::-1]]), sweep)
    blade *= np.array([1, side])
    blade += np.array([x, side * 0.2])
    return blade


def turtle(rng: np.random.Generator) -> list[Part]:
    """Return a sea turtle from above: flippers, head, tail, shell with scutes."""
    skin, shell, seam = _turtle_colors(rng)
    swim = rng.uniform(-0.25, 0.35)
    parts = []
    for side in (-1, 1):
        stroke = swim + rng.uniform(-0.12, 0.12)
        parts.append(Part(flipper(rng, x=0.2, side=side, long=rng.uniform(0.34, 0.44), sweep=0.5 + stroke), skin))
        parts.append(
            Part(
                flipper(rng, x=-0.24, side=side, long=rng.uniform(0.16, 0.22), sweep=0.95 + stroke * 0.5),
                skin,
            )
        )
    nod = rng.uniform(-0.06, 0.06)
    parts.append(Part(oval(0.46, nod, long=0.14, wide=0.09), skin))
    parts.append(Part(np.array([[-0.36, -0.03], [-0.36, 0.03], [-0.5, 0.0]]), skin))
    parts.append(Part(oval(0, 0, long=0.4, wide=0.31, power=2.2), shell))
    return parts + _scutes(shell, seam)


def _turtle_colors(rng: np.random.Generator) -> tuple[Rgb, Rgb, Rgb]:
    kind = rng.integers(4)
    skin = ((122, 142, 92), (150, 138, 104), (96, 112, 84), (138, 150, 122))[kind]
    shell = ((104, 96, 48), (136, 96, 56), (78, 88, 54), (120, 84, 40))[kind]
    shift = rng.integers(-14, 15, 3)
    seam = tuple(int(v * 0.62) for v in shell)
    return _shift(skin, shift), _shift(shell, shift), _shift(seam, shift)


def _shift(rgb: Sequence[int], by: NDArray[np.int64]) -> Rgb:
    r, g, b = (int(np.clip(v + d, 0, 255)) for v, d in zip(rgb, by, strict=True))
    return r, g, b


def _scutes(shell: Rgb, seam: Rgb) -> list[Part]:
    """Return the scutes: five along the back, four on each side, slightly lighter than the seams."""
    light = _shift(shell, np.array([26, 22, 12]))
    parts = [Part(oval(0, 0, long=0.37, wide=0.28, power=2.2), seam, False)]
    for x in np.linspace(-0.27, 0.27, 5):
        parts.append(Part(oval(float(x), 0, long=0.062, wide=0.085, power=3), light, False))
    for x in np.linspace(-0.2, 0.2, 4):
        for side in (-1, 1):
            reach = 0.185 * math.sqrt(max(0.1, 1 - (x / 0.4) ** 2))
            parts.append(Part(oval(float(x), side * reach, long=0.045, wide=0.07, power=3), shell, False))
    return parts


HULLS: tuple[Rgb, ...] = (
    (240, 242, 240),
    (208, 62, 52),
    (38, 84, 150),
    (238, 186, 64),
    (150, 100, 62),
    (30, 120, 108),
)


def boat(rng: np.random.Generator) -> list[Part]:
    """Return a small boat from above: hull, deck, thwarts or a cabin, sometimes an engine."""
    hull = _shift(HULLS[rng.integers(len(HULLS))], rng.integers(-12, 13, 3))
    wide = rng.uniform(0.15, 0.2)
    bow = np.linspace(0, 1, 14)
    side = wide * (1 - bow**2.4)
    edge = np.stack([-0.15 + 0.65 * bow, side], 1)
    mirror = np.array([1, -1])
    stern = np.array([[-0.5, wide * rng.uniform(0.72, 0.9)]])
    outline = np.concatenate([stern, edge, (edge * mirror)[::-1], stern * mirror])
    parts = [Part(outline, hull)]
    deck = _shift(((206, 176, 132), (226, 226, 220), (120, 90, 64))[rng.integers(3)], rng.integers(-10, 11, 3))
    parts.append(Part(outline * np.array([0.86, 0.74]), deck, False))
    if rng.random() < 0.5:
        for x in (-0.3, -0.08, 0.14):
            parts.append(Part(oval(x, 0, long=0.035, wide=wide * 0.72, power=6), hull, False))
    else:
        roof = (250, 250, 248) if sum(hull) < 500 else (84, 96, 110)
        parts.append(Part(oval(-0.12, 0, long=0.15, wide=wide * 0.6, power=5), roof, False))
        parts.append(Part(oval(0.06, 0, long=0.03, wide=wide * 0.5, power=4), (60, 90, 110), False))
    if rng.random() < 0.5:
        parts.append(Part(oval(-0.53, 0, long=0.05, wide=0.045, power=4), (50, 54, 60)))
    return parts


def raster(parts: Sequence[Part], size: tuple[int, int], *, body_only: bool = False) -> Image.Image:
    """Return an RGBA image (W, H) of parts in pixel coordinates, with smooth edges."""
    height, width = size
    canvas = Image.new("RGBA", (width * FINE, height * FINE), (0, 0, 0, 0))
    pen = ImageDraw.Draw(canvas)
    for part in parts:
        if part.is_body or not body_only:
            pen.polygon([tuple(point) for point in (part.points * FINE).tolist()], fill=(*part.fill, 255))
    return canvas.reduce(FINE)


def put(parts: Sequence[Part], *, x: float, y: float, length: float, turn: float) -> list[Part]:
    """Return the parts in pixels: scaled to `length`, rotated to heading `turn`, moved to (x, y)."""
    return [Part(rotate(part.points * length, turn) + np.array([x, y]), part.fill, part.is_body) for part in parts]


def window_of(parts: Sequence[Part], size: tuple[int, int], *, margin: float) -> tuple[slice, slice]:
    """Return rows and columns of an image of `size` (height, width) that contain the parts, at least one pixel."""
    points = np.concatenate([part.points for part in parts])
    low = np.floor(points.min(0) - margin).astype(int)
    high = np.ceil(points.max(0) + margin).astype(int)
    left, top = (int(np.clip(v, 0, limit - 1)) for v, limit in zip(low, (size[1], size[0]), strict=True))
    return slice(top, max(top + 1, min(int(high[1]), size[0]))), slice(left, max(left + 1, min(int(high[0]), size[1])))
