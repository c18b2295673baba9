"""Draw synthetic scenes: textures, shapes with limbs, cut-outs, shading and occlusion.

Weights trained on them have seen no photograph of the class.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (S, S, 3)
Mask = NDArray[np.uint8]  # (S, S) 0/1
Cutout = NDArray[np.uint8]  # (h, w, 4) colours and alpha, longer side at most CUTOUT
SIZE = 256
CUTOUT = 160


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
    return np.sign(np.sin(2 * np.pi * along / period) + np.sin(2 * np.pi * across / period)).astype(np.float32)


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
        np.sort(rng.uniform(0, 2 * np.pi, count)) if count < 20 else np.linspace(0, 2 * np.pi, count, endpoint=False)
    )
    rough = np.ones(count)
    for wave in range(1, 7):
        rough += rng.normal(0, 0.28 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    stretch = np.exp(rng.normal(0, 0.3, 2))
    turn = rng.uniform(0, np.pi)
    points = (radius * np.clip(rough, 0.25, 2))[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1) * stretch
    points = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) + centre
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask


def draw_limb(rng: np.random.Generator, mask: Mask, *, start: NDArray[np.float64], length: float, thick: float) -> None:
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


# ---- cut-outs: clip art and icons with an alpha plane, whose silhouettes have legs, ears and tails


def read_cutouts(folders: list[Path], *, leave_out: str, most: int, rng: np.random.Generator) -> list[Cutout]:
    """Pictures with an alpha plane below the folders, except those whose path matches `leave_out`, in random order."""
    unwanted = re.compile(leave_out, re.IGNORECASE)
    paths = [
        p
        for folder in folders
        for p in sorted(folder.rglob("*"))
        if p.suffix in (".png", ".webp") and not unwanted.search(str(p.relative_to(folder)))
    ]
    found: list[Cutout] = []
    for at in rng.permutation(len(paths)):
        picture = cv2.imread(str(paths[at]), cv2.IMREAD_UNCHANGED)
        if picture is not None and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 4:
            cutout = trim(picture)
            if cutout is not None:
                found.append(cutout)
        if len(found) == most:
            break
    return found


def trim(picture: NDArray[np.uint8]) -> Cutout | None:
    """BGRA as read -> RGBA of its largest solid part, holes filled; None for lines, full rectangles and specks."""
    factor = min(1.0, CUTOUT / max(picture.shape[:2]))
    if factor < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    outlines, _ = cv2.findContours((picture[..., 3] > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    largest = max(outlines, key=cv2.contourArea)
    x, y, w, h = cv2.boundingRect(largest)
    solid = cv2.contourArea(largest) / (w * h)
    if min(w, h) < 24 or not 0.25 < solid < 0.93:
        return None
    filled = np.zeros(picture.shape[:2], np.uint8)
    cv2.drawContours(filled, [largest], 0, 255, -1)
    cutout = np.dstack([picture[..., 2::-1], filled])[y : y + h, x : x + w]
    return np.ascontiguousarray(cutout)


def place_cutout(rng: np.random.Generator, cutout: Cutout, size: int) -> tuple[Mask, Image]:
    """The cut-out turned, stretched, bent and put somewhere -> its 0/1 silhouette and its colours."""
    height, width = cutout.shape[:2]
    scale = rng.uniform(0.22, 0.75) * size / max(height, width)
    turn = rng.normal(0, 0.35)
    m = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
    m = (
        m
        @ np.diag(np.exp(rng.normal(0, 0.16, 2)) * (rng.choice([-1, 1]), 1))
        @ np.array([[1, rng.normal(0, 0.15)], [0, 1]])
    )
    centre = rng.uniform(0.15, 0.85, 2) * size
    back = np.linalg.inv(m)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    bend = rng.uniform(0, 9)
    x = x - centre[0] + bend * draw_noise(rng, size, slope=2.6)
    y = y - centre[1] + bend * draw_noise(rng, size, slope=2.6)
    from_x = (back[0, 0] * x + back[0, 1] * y + width / 2).astype(np.float32)
    from_y = (back[1, 0] * x + back[1, 1] * y + height / 2).astype(np.float32)
    moved = cv2.remap(cutout, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return (moved[..., 3] > 127).astype(np.uint8), np.asarray(moved[..., :3], np.uint8)


def dress(rng: np.random.Generator, own: Image | None, textures: list[Image]) -> Image:
    """An object's surface: its own colours made duller and rougher, or textures."""
    surface = many_coloured(rng, textures)
    if own is None or rng.random() < 0.55:
        return surface
    grey = own.mean(-1, keepdims=True)
    colours = grey + (own - grey) * rng.uniform(0.1, 0.9)
    rough = (surface.astype(np.float32) - surface.mean((0, 1))) * rng.uniform(0.2, 1.0)
    return np.clip(colours * rng.uniform(0.5, 1.1) + rough + rng.uniform(-25, 25), 0, 255).astype(np.uint8)


def draw_strands(rng: np.random.Generator, canvas: NDArray[np.float32]) -> None:
    """Grass, wires, twigs before the lens: nobody cuts them out of an outline."""
    size = canvas.shape[0]
    colour = rng.uniform(20, 220, 3)
    heading = rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(3, 25))):
        start = rng.uniform(0, size, 2)
        angle = heading + rng.normal(0, 0.3)
        end = start + np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(20, 140)
        shade = np.clip(colour + rng.normal(0, 18, 3), 0, 255)
        cv2.line(
            canvas,
            tuple(int(v) for v in start),
            tuple(int(v) for v in end),
            tuple(float(v) for v in shade),
            int(rng.integers(1, 3)),
            cv2.LINE_AA,
        )


def cast_shadow(rng: np.random.Generator, canvas: NDArray[np.float32], mask: Mask) -> None:
    """Darkness under and beside an object, on what is behind it."""
    shift = np.array([[1, 0, rng.normal(0, 8)], [0, 1, rng.uniform(0, 10)]])
    moved = cv2.warpAffine(mask.astype(np.float32), shift, mask.shape[::-1])
    soft = cv2.GaussianBlur(moved, (0, 0), rng.uniform(2, 10))
    canvas *= 1 - rng.uniform(0.2, 0.6) * soft[..., None]


def draw_crowd(rng: np.random.Generator, textures: list[Image], cutouts: list[Cutout]) -> tuple[Image, list[Mask]]:
    """-> (256, 256, 3) scene with one to five objects, often alike, and the 0/1 mask of each one's visible part."""
    canvas = pick(rng, textures).astype(np.float32)
    if rng.random() < 0.5:  # a wall behind a floor, a hedge behind a path
        y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32) / SIZE - 0.5
        angle, edge = rng.uniform(-0.5, 0.5), rng.uniform(-0.3, 0.3)
        lay(
            canvas,
            (np.cos(angle) * y + np.sin(angle) * x > edge).astype(np.uint8),
            pick(rng, textures),
            softness=1.0,
        )
    for _ in range(int(rng.integers(0, 4))):
        behind = draw_blob(rng, SIZE, centre=rng.uniform(0, SIZE, 2), radius=rng.uniform(15, 90))
        lay(canvas, behind, pick(rng, textures), softness=rng.uniform(0.4, 1.5))
    alike = rng.random() < 0.5
    cutout, common = cutouts[rng.integers(len(cutouts))], many_coloured(rng, textures)
    masks: list[Mask] = []
    for _ in range(int(rng.choice([1, 1, 2, 3, 4, 5]))):
        if rng.random() < 0.25:
            mask, own = draw_shape(rng), None
        else:
            kin = alike and rng.random() < 0.7
            mask, own = place_cutout(rng, cutout if kin else cutouts[rng.integers(len(cutouts))], SIZE)
        if mask.sum() < 300:
            continue
        if rng.random() < 0.5:
            cast_shadow(rng, canvas, mask)
        surface = common if alike and rng.random() < 0.5 else dress(rng, own, textures)
        lay(canvas, mask, shade(rng, mask, surface), softness=rng.uniform(0.4, 1.4))
        masks = [earlier & (1 - mask) for earlier in masks] + [mask]
    if rng.random() < 0.4:  # something in front
        front = draw_blob(rng, SIZE, centre=rng.uniform(0, SIZE, 2), radius=rng.uniform(12, 60))
        lay(canvas, front, pick(rng, textures), softness=rng.uniform(0.4, 1.2))
        masks = [earlier & (1 - front) for earlier in masks]
    if rng.random() < 0.2:
        draw_strands(rng, canvas)
    if rng.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.3, 1.2))
    canvas += rng.normal(0, rng.uniform(0, 8), canvas.shape)
    masks = [largest_part(m) for m in masks]
    return np.clip(canvas, 0, 255).astype(np.uint8), [m for m in masks if m.sum() >= 300]
