"""Scenes drawn by program: textures, shapes with limbs, shading, things in front. For weights that have seen no photograph of the class."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (S, S, 3)
Mask = NDArray[np.uint8]  # (S, S) 0/1
SIZE = 256


def draw_noise(rng: np.random.Generator, size: int, *, slope: float) -> NDArray[np.float32]:
    """(size, size) fractal noise, zero mean, unit deviation; `slope` 1 is rough, 2.5 is smooth clouds."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1
    stretch = rng.uniform(0.4, 2.5) if rng.random() < 0.4 else 1.0
    turned = np.hypot(np.fft.fftfreq(size)[:, None] * stretch, np.fft.rfftfreq(size)[None]) + 1 / size
    spectrum = turned**-slope * np.exp(2j * np.pi * rng.random(frequency.shape))
    noise = np.fft.irfft2(spectrum, s=(size, size))
    return ((noise - noise.mean()) / (noise.std() + 1e-9)).astype(np.float32)


def draw_pattern(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """(size, size) stripes, spots or patches, in about -1..1."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    kind = rng.integers(4)
    bend = draw_noise(rng, size, slope=2.2) * rng.uniform(0, 12)
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 50)
    along = np.cos(angle) * x + np.sin(angle) * y + bend
    across = -np.sin(angle) * x + np.cos(angle) * y + bend
    if kind == 0:
        return np.sin(2 * np.pi * along / period)
    if kind == 1:
        return np.sin(2 * np.pi * along / period) * np.sin(2 * np.pi * across / period)
    if kind == 2:
        return np.sign(draw_noise(rng, size, slope=2.0) - rng.uniform(-0.8, 0.8)).astype(np.float32)
    return np.sign(np.sin(2 * np.pi * along / period) + np.sin(2 * np.pi * across / period)).astype(
        np.float32
    )


def draw_texture(rng: np.random.Generator, size: int = SIZE) -> Image:
    """A surface: a colour or two, rough or smooth, sometimes patterned."""
    base = rng.uniform(20, 235, 3).astype(np.float32)
    if rng.random() < 0.6:
        base = base.mean() + (base - base.mean()) * rng.uniform(0, 0.6)
    other = np.clip(base + rng.normal(0, 60, 3), 0, 255).astype(np.float32)
    mix = 0.5 + 0.35 * draw_noise(rng, size, slope=rng.uniform(0.9, 2.4))
    if rng.random() < 0.45:
        mix = mix * 0.5 + 0.5 * (0.5 + 0.5 * draw_pattern(rng, size))
    surface = base + (other - base) * np.clip(mix, 0, 1)[..., None]
    surface += draw_noise(rng, size, slope=rng.uniform(0.3, 1.2))[..., None] * rng.uniform(0, 18)
    return np.clip(surface, 0, 255).astype(np.uint8)


def draw_blob(rng: np.random.Generator, size: int, *, centre: NDArray[np.float64], radius: float) -> Mask:
    """A closed smooth or angular outline."""
    count = int(rng.integers(5, 12)) if rng.random() < 0.4 else 90
    angles = (
        np.sort(rng.uniform(0, 2 * np.pi, count))
        if count < 20
        else np.linspace(0, 2 * np.pi, count, endpoint=False)
    )
    rough = np.ones(count)
    for wave in range(1, 7):
        rough += rng.normal(0, 0.28 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    stretch = np.exp(rng.normal(0, 0.3, 2))
    turn = rng.uniform(0, np.pi)
    points = (
        (radius * np.clip(rough, 0.25, 2))[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1) * stretch
    )
    points = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) + centre
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask


def draw_limb(
    rng: np.random.Generator, mask: Mask, *, start: NDArray[np.float64], length: float, thick: float
) -> None:
    """A leg, a tail, an ear: a bent line that gets thinner."""
    place, heading = start.copy(), rng.uniform(0, 2 * np.pi)
    bend = rng.normal(0, 0.25)
    steps = 9
    for step in range(steps):
        after = place + np.array([np.cos(heading), np.sin(heading)]) * length / steps
        width = max(2, round(thick * (1 - 0.6 * step / steps)))
        cv2.line(mask, tuple(np.round(place).astype(int)), tuple(np.round(after).astype(int)), 1, width)
        place, heading = after, heading + bend + rng.normal(0, 0.12)


def draw_shape(rng: np.random.Generator, size: int = SIZE) -> Mask:
    """An object's silhouette: one or more bodies, with or without limbs."""
    centre = rng.uniform(0.35, 0.65, 2) * size
    radius = rng.uniform(0.1, 0.27) * size
    mask = draw_blob(rng, size, centre=centre, radius=radius)
    for _ in range(int(rng.choice([0, 0, 1, 1, 2]))):
        shift = rng.normal(0, 1, 2)
        place = centre + shift / (np.hypot(*shift) + 1e-6) * radius * rng.uniform(0.6, 1.3)
        mask |= draw_blob(rng, size, centre=place, radius=radius * rng.uniform(0.3, 0.7))
    for _ in range(int(rng.choice([0, 0, 1, 2, 3, 4]))):
        draw_limb(
            rng,
            mask,
            start=centre + rng.normal(0, radius * 0.6, 2),
            length=radius * rng.uniform(0.8, 2),
            thick=radius * rng.uniform(0.12, 0.5),
        )
    return mask


def largest_part(mask: Mask) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return mask
    return (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)


def lay(canvas: NDArray[np.float32], mask: Mask, surface: Image, *, softness: float) -> None:
    """Put a textured shape on the canvas with a slightly blurred edge."""
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), softness)[..., None]
    canvas += (surface.astype(np.float32) - canvas) * alpha


def shade(rng: np.random.Generator, mask: Mask, surface: Image) -> Image:
    """Light from one side, darker towards the outline: a body and not a cut-out."""
    size = mask.shape[0]
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.7) * (np.cos(angle) * x + np.sin(angle) * y)
    if rng.random() < 0.5:
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
        light *= 1 - rng.uniform(0, 0.5) * np.exp(-depth / rng.uniform(4, 25))
    return np.clip(surface * light[..., None], 0, 255).astype(np.uint8)


def many_coloured(rng: np.random.Generator, textures: list[Image], size: int = SIZE) -> Image:
    """A surface made of one to three textures in patches."""
    surface = pick(rng, textures).copy()
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        patch = draw_noise(rng, size, slope=rng.uniform(1.6, 2.4)) > rng.uniform(-0.2, 1.2)
        surface[patch] = pick(rng, textures)[patch]
    return surface


def pick(rng: np.random.Generator, textures: list[Image]) -> Image:
    """One of the textures, flipped, turned and tinted."""
    surface = np.rot90(textures[rng.integers(len(textures))], int(rng.integers(4)))
    if rng.random() < 0.5:
        tint = rng.uniform(0.7, 1.3, 3) * rng.uniform(0.6, 1.4)
        surface = np.clip(surface * tint, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(surface)


def draw_scene(rng: np.random.Generator, textures: list[Image]) -> tuple[Image, Mask]:
    """-> (256, 256, 3) scene and the 0/1 mask of one object's visible part."""
    canvas = pick(rng, textures).astype(np.float32)
    for _ in range(int(rng.integers(0, 4))):  # what stands behind
        behind = draw_blob(rng, SIZE, centre=rng.uniform(0, SIZE, 2), radius=rng.uniform(20, 110))
        lay(canvas, behind, pick(rng, textures), softness=rng.uniform(0.4, 1.5))
    mask = draw_shape(rng)
    surface = many_coloured(rng, textures)
    lay(canvas, mask, shade(rng, mask, surface), softness=rng.uniform(0.4, 1.4))
    if rng.random() < 0.45:  # another of the same kind, or something in front
        twin = draw_blob(rng, SIZE, centre=rng.uniform(0, SIZE, 2), radius=rng.uniform(12, 60))
        near = surface if rng.random() < 0.5 else pick(rng, textures)
        if rng.random() < 0.5:
            twin &= 1 - mask
        lay(canvas, twin, near, softness=rng.uniform(0.4, 1.2))
        mask = mask & (1 - twin)
    canvas += rng.normal(0, rng.uniform(0, 6), canvas.shape)
    return np.clip(canvas, 0, 255).astype(np.uint8), largest_part(mask)
