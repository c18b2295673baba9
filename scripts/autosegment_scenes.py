"""Draw synthetic scenes: textures, shapes with limbs, cut-outs, shading and occlusion.

Weights trained on them have seen no photograph of the class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (S, S, 3)
Mask = NDArray[np.uint8]  # (S, S) 0/1
Cutout = NDArray[np.uint8]  # (h, w, 4) colors and alpha, longer side at most CUTOUT
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
    """A surface: a color or two, rough or smooth, sometimes patterned."""
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


def draw_blob(rng: np.random.Generator, size: int, *, center: NDArray[np.float64], radius: float) -> Mask:
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
    points = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) + center
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
    center = rng.uniform(0.35, 0.65, 2) * size
    radius = rng.uniform(0.1, 0.27) * size
    mask = draw_blob(rng, size, center=center, radius=radius)
    for _ in range(int(rng.choice([0, 0, 1, 1, 2]))):
        shift = rng.normal(0, 1, 2)
        place = center + shift / (np.hypot(*shift) + 1e-6) * radius * rng.uniform(0.6, 1.3)
        mask |= draw_blob(rng, size, center=place, radius=radius * rng.uniform(0.3, 0.7))
    for _ in range(int(rng.choice([0, 0, 1, 2, 3, 4]))):
        draw_limb(
            rng,
            mask,
            start=center + rng.normal(0, radius * 0.6, 2),
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


def many_colored(rng: np.random.Generator, textures: list[Image], size: int = SIZE) -> Image:
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
        behind = draw_blob(rng, SIZE, center=rng.uniform(0, SIZE, 2), radius=rng.uniform(20, 110))
        lay(canvas, behind, pick(rng, textures), softness=rng.uniform(0.4, 1.5))
    mask = draw_shape(rng)
    surface = many_colored(rng, textures)
    lay(canvas, mask, shade(rng, mask, surface), softness=rng.uniform(0.4, 1.4))
    if rng.random() < 0.45:  # another of the same kind, or something in front
        twin = draw_blob(rng, SIZE, center=rng.uniform(0, SIZE, 2), radius=rng.uniform(12, 60))
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
    """The cut-out turned, stretched, bent and put somewhere -> its 0/1 silhouette and its colors."""
    height, width = cutout.shape[:2]
    scale = rng.uniform(0.22, 0.75) * size / max(height, width)
    turn = rng.normal(0, 0.35)
    m = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
    m = (
        m
        @ np.diag(np.exp(rng.normal(0, 0.16, 2)) * (rng.choice([-1, 1]), 1))
        @ np.array([[1, rng.normal(0, 0.15)], [0, 1]])
    )
    center = rng.uniform(0.15, 0.85, 2) * size
    back = np.linalg.inv(m)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    bend = rng.uniform(0, 9)
    x = x - center[0] + bend * draw_noise(rng, size, slope=2.6)
    y = y - center[1] + bend * draw_noise(rng, size, slope=2.6)
    from_x = (back[0, 0] * x + back[0, 1] * y + width / 2).astype(np.float32)
    from_y = (back[1, 0] * x + back[1, 1] * y + height / 2).astype(np.float32)
    moved = cv2.remap(cutout, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return (moved[..., 3] > 127).astype(np.uint8), np.asarray(moved[..., :3], np.uint8)


def dress(rng: np.random.Generator, own: Image | None, textures: list[Image]) -> Image:
    """An object's surface: its own colors made duller and rougher, or textures."""
    surface = many_colored(rng, textures)
    if own is None or rng.random() < 0.55:
        return surface
    grey = own.mean(-1, keepdims=True)
    colors = grey + (own - grey) * rng.uniform(0.1, 0.9)
    rough = (surface.astype(np.float32) - surface.mean((0, 1))) * rng.uniform(0.2, 1.0)
    return np.clip(colors * rng.uniform(0.5, 1.1) + rough + rng.uniform(-25, 25), 0, 255).astype(np.uint8)


def draw_strands(rng: np.random.Generator, canvas: NDArray[np.float32]) -> None:
    """Grass, wires, twigs before the lens: nobody cuts them out of an outline."""
    size = canvas.shape[0]
    color = rng.uniform(20, 220, 3)
    heading = rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(3, 25))):
        start = rng.uniform(0, size, 2)
        angle = heading + rng.normal(0, 0.3)
        end = start + np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(20, 140)
        shade = np.clip(color + rng.normal(0, 18, 3), 0, 255)
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
        behind = draw_blob(rng, SIZE, center=rng.uniform(0, SIZE, 2), radius=rng.uniform(15, 90))
        lay(canvas, behind, pick(rng, textures), softness=rng.uniform(0.4, 1.5))
    alike = rng.random() < 0.5
    cutout, common = cutouts[rng.integers(len(cutouts))], many_colored(rng, textures)
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
        front = draw_blob(rng, SIZE, center=rng.uniform(0, SIZE, 2), radius=rng.uniform(12, 60))
        lay(canvas, front, pick(rng, textures), softness=rng.uniform(0.4, 1.2))
        masks = [earlier & (1 - front) for earlier in masks]
    if rng.random() < 0.2:
        draw_strands(rng, canvas)
    if rng.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.3, 1.2))
    canvas += rng.normal(0, rng.uniform(0, 8), canvas.shape)
    masks = [largest_part(m) for m in masks]
    return np.clip(canvas, 0, 255).astype(np.uint8), [m for m in masks if m.sum() >= 300]


def groups(rng: np.random.Generator, masks: list[Mask]) -> list[Mask]:
    """One mask of two objects that touch, in two scenes of five that have such: people outline a group as one."""
    reach = np.ones((5, 5), np.uint8)
    pairs = [
        one | other
        for number, one in enumerate(masks)
        for other in masks[:number]
        if (cv2.dilate(one, reach) & other).sum() > 8
    ]
    if not pairs or rng.random() > 0.4:
        return []
    joined = cv2.morphologyEx(pairs[rng.integers(len(pairs))], cv2.MORPH_CLOSE, reach)
    return [largest_part(np.asarray(joined, np.uint8))]


# ---- colonies: many of one kind that touch, as cells, fruit or pebbles do ------------------------------------------


def draw_grain(rng: np.random.Generator, center: NDArray[np.float64], radius: float, size: int = SIZE) -> Mask:
    """A round body: an ellipse, a little bent."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    rough = np.ones(72)
    bent = rng.choice([0.02, 0.06, 0.15])
    for wave in range(2, 6):
        rough += rng.normal(0, bent / (wave - 1)) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    stretch = np.exp(rng.normal(0, 0.2) * np.array([1, -1]))
    turn = rng.uniform(0, np.pi)
    points = (radius * rough)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1) * stretch
    points = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) + center
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    return mask


def draw_lobes(rng: np.random.Generator, center: NDArray[np.float64], radius: float, size: int = SIZE) -> Mask:
    """Two to five round parts in a bent row, joined by narrower bridges: a lobed nucleus, a horseshoe, a string."""
    count = int(rng.integers(2, 6))
    bend = rng.choice([-1, 1]) * rng.uniform(0.2, 2.3 * np.pi / count)
    headings = rng.uniform(0, 2 * np.pi) + bend * np.arange(count)
    stride = rng.uniform(0.8, 1.3)
    row = np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * stride, 0)
    row -= (row.min(0) + row.max(0)) / 2
    row = center + row * radius / (np.hypot(*row.T).max() + 0.7)
    lobe = radius / (count * rng.uniform(0.35, 0.6) + 1)
    mask = np.zeros((size, size), np.uint8)
    for place in row:
        mask |= draw_grain(rng, place, lobe * rng.uniform(0.75, 1.25))
    bridge = max(1, round(2 * lobe * rng.uniform(0.15, 1.0)))
    cv2.polylines(mask, [np.round(row * 16).astype(np.int32)], False, 1, bridge, shift=4)
    return mask


def moved_outwards(masks: list[Mask], pixels: float) -> list[Mask]:
    """The masks as people draw them who keep outside of a blurred edge, or inside (`pixels` < 0), without overlap."""
    if abs(pixels) < 0.5:
        return masks
    taken = np.asarray(np.max([*masks, np.zeros((SIZE, SIZE), np.uint8)], axis=0), np.uint8)
    moved = []
    for mask in masks:
        if pixels > 0:
            near = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3) <= pixels
            mask = mask | (near & (taken == 0)).astype(np.uint8)
            taken |= mask
        else:
            mask = (cv2.distanceTransform(mask, cv2.DIST_L2, 3) > -pixels).astype(np.uint8)
        moved.append(mask)
    return moved


def draw_ground(rng: np.random.Generator, textures: list[Image]) -> NDArray[np.float32]:
    """An even ground with soft differences, or a surface."""
    if rng.random() < 0.35:
        return pick(rng, textures).astype(np.float32)
    base = rng.uniform(0, 255, 3) if rng.random() < 0.6 else rng.uniform(0, 40) * np.ones(3)
    if rng.random() < 0.4:
        base[:] = base.mean()
    soft = draw_noise(rng, SIZE, slope=rng.uniform(1.5, 2.6))[..., None] * rng.uniform(0, 14)
    return np.clip(base + soft, 0, 255).astype(np.float32)


def draw_colony(rng: np.random.Generator, textures: list[Image]) -> tuple[Image, list[Mask]]:
    """-> (256, 256, 3) scene of bodies alike, some with a core, and the 0/1 masks of visible bodies and cores."""
    canvas = draw_ground(rng, textures)
    ground = canvas.mean((0, 1))
    radius = float(np.exp(rng.uniform(np.log(7), np.log(45))))
    color = np.clip(ground + rng.choice([-1, 1]) * rng.uniform(15, 150) + rng.normal(0, 30, 3), 0, 255)
    if np.ptp(ground) < 2 and rng.random() < 0.6:
        color[:] = color.mean()
    inner = np.clip(color + rng.choice([-1, 1]) * rng.uniform(20, 110) + rng.normal(0, 15, 3), 0, 255)
    cored, crowded, spread = rng.random() < 0.5, rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.4)
    lobed = rng.choice([0.2, 1.0, 1.0, 1.0])
    paler = rng.uniform(0.1, 0.8) if rng.random() < 0.5 else 0.0
    habit = rng.uniform(-0.06, 0.12) * radius if rng.random() < 0.3 else 0.0
    rim, even = rng.uniform(-0.4, 0.35) if rng.random() < 0.5 else 0.0, rng.random() < 0.5
    soft, loud = rng.uniform(0.4, 2.0), rng.uniform(0.03, 0.35)
    count = int(np.clip(rng.uniform(0.1, 0.8) * SIZE * SIZE / (3 * radius**2), 2, 40))
    grain = draw_noise(rng, SIZE, slope=rng.uniform(0.8, 2.0))
    places: list[tuple[NDArray[np.float64], float]] = []
    masks: list[Mask] = []
    cores: list[Mask] = []
    for _ in range(count):
        own = radius * float(np.exp(rng.normal(0, spread)))
        center = rng.uniform(-0.03, 1.03, 2) * SIZE
        if places and rng.random() < crowded:
            near, other = places[rng.integers(len(places))]
            angle = rng.uniform(0, 2 * np.pi)
            center = near + np.array([np.cos(angle), np.sin(angle)]) * (own + other) * rng.uniform(0.7, 1.1)
        places.append((center, own))
        mask = draw_grain(rng, center, own) if cored or rng.random() > 0.25 * lobed else draw_lobes(rng, center, own)
        if mask.sum() < 60:
            continue
        if rng.random() < 0.6:  # beside those before, not over them
            mask &= 1 - np.asarray(np.max([*masks, np.zeros_like(mask)], axis=0), np.uint8)
            mask = largest_part(mask)
        surface = np.broadcast_to(color * np.exp(rng.normal(0, loud)), (SIZE, SIZE, 3)).astype(np.float32)
        rough = np.roll(grain, tuple(rng.integers(0, SIZE, 2)), (0, 1))[..., None]
        surface = surface + rough * (rng.uniform(0, 8) if even else rng.uniform(5, 30))
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[..., None]
        surface = np.clip(surface * (1 + rim * np.exp(-depth / (0.12 * own + 1))), 0, 255).astype(np.uint8)
        lay(canvas, mask, surface, softness=soft)
        masks = [earlier & (1 - mask) for earlier in masks] + [mask]
        if cored:
            place = center + rng.normal(0, 0.1 * own, 2)
            if paler:  # nearer to the ground in the middle, as cytoplasm between the lobes of a nucleus
                middle = draw_grain(rng, place, own * rng.uniform(0.2, 0.6)) & mask
                pale = np.clip(color + (ground - color) * paler + rough * 8, 0, 255).astype(np.uint8)
                lay(canvas, middle, pale, softness=2 * soft)
            if rng.random() < lobed:
                core = draw_lobes(rng, place, own * rng.uniform(0.55, 0.95)) & mask
            else:
                core = draw_grain(rng, place, own * rng.uniform(0.35, 0.85)) & mask
            lay(canvas, core, np.clip(inner + rough * 10, 0, 255).astype(np.uint8), softness=soft)
            cores = [earlier & (1 - mask) for earlier in cores] + [core]
    if rng.random() < 0.4:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.6))
    canvas += rng.normal(0, rng.uniform(0, 9), canvas.shape)
    bodies = [] if cores and rng.random() < 0.6 else moved_outwards(masks, habit)
    kept = [largest_part(mask) for mask in [*bodies, *moved_outwards(cores, habit)]]
    return np.clip(canvas, 0, 255).astype(np.uint8), [mask for mask in kept if mask.sum() >= 120]


# ---- made things and figures: several parts of different surfaces that belong together ------------------------------


Parts = list[tuple[Mask, bool]]
RENDERED = 0.75
"""Share of rendered people among the figures."""


def polygon(points: NDArray[np.float64]) -> Mask:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    return mask


def quadrangle(rng: np.random.Generator, x0: float, y0: float, x1: float, y1: float, *, lean: float) -> Mask:
    """A box whose upper side is shorter at both ends by up to `lean` of its width."""
    left, right = rng.uniform(0, lean, 2) * (x1 - x0)
    mask = polygon(np.array([[x0 + left, y0], [x1 - right, y0], [x1, y1], [x0, y1]]))
    blur = rng.uniform(0, 0.06) * (x1 - x0)
    return mask if blur < 1 else (cv2.GaussianBlur(mask * np.float32(1), (0, 0), blur) > 0.5).astype(np.uint8)


def disc(x: float, y: float, across: float, down: float) -> Mask:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return polygon(np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], 1))


def draw_machine(rng: np.random.Generator, x: float, y: float, side: float) -> Parts:
    """A body with an upper part, inner panes, and round or square feet: (mask, whether it is dark)."""
    wide, high = side, side * rng.uniform(0.4, 1.0)
    middle = y + high * rng.uniform(-0.15, 0.15)
    inset0, inset1 = rng.uniform(0, 0.3, 2) * wide
    lower = quadrangle(rng, x - wide / 2, middle - 0.05 * high, x + wide / 2, y + 0.42 * high, lean=0.08)
    upper = quadrangle(rng, x - wide / 2 + inset0, y - high / 2, x + wide / 2 - inset1, middle + 0.05 * high, lean=0.25)
    parts: Parts = []
    feet = int(rng.choice([0, 2, 2, 2, 4]))
    for foot in range(feet):
        at = x + wide * (foot / max(1, feet - 1) - 0.5) * rng.uniform(0.6, 0.85)
        size = high * rng.uniform(0.09, 0.18)
        parts.append((disc(at, y + 0.42 * high, size * rng.uniform(0.5, 1.1), size), rng.random() < 0.85))
    parts += [(lower, False), (upper, False)]
    panes = int(rng.integers(0, 4))
    for pane in range(panes):
        left = x - wide / 2 + inset0 + (wide - inset0 - inset1) * (pane + 0.12) / panes
        width = (wide - inset0 - inset1) / panes * 0.75
        inner = quadrangle(rng, left, y - 0.42 * high, left + width, middle, lean=0.2) & (upper | lower)
        parts.append((inner, rng.random() < 0.7))
    for _ in range(int(rng.integers(0, 4))):  # lamps, plates, handles
        at = np.array([x, y]) + rng.uniform(-0.45, 0.45, 2) * (wide, high)
        size = rng.uniform(0.02, 0.09) * wide
        parts.append(
            (
                quadrangle(rng, at[0] - size, at[1] - size / 2, at[0] + size, at[1] + size / 2, lean=0.1)
                & (upper | lower),
                False,
            )
        )
    return parts


def draw_figure(rng: np.random.Generator, x: float, y: float, side: float) -> Parts:
    """A standing figure: legs, trunk, arms, head, perhaps with a load."""
    high, wide = side, side * rng.uniform(0.16, 0.3)
    top, hip, ground = y - high / 2, y + high * rng.uniform(-0.02, 0.1), y + high / 2
    head = high * rng.uniform(0.06, 0.085)
    step = wide * rng.uniform(0, 0.9)
    thick = max(1.5, wide * rng.uniform(0.22, 0.4))
    legs = np.zeros((SIZE, SIZE), np.uint8)
    for way in (-1, 1):
        ends = ((int(x + way * wide * 0.15), int(hip)), (int(x + way * step / 2), int(ground - thick / 2)))
        cv2.line(legs, *ends, 1, max(1, round(thick)))
    trunk = quadrangle(rng, x - wide / 2, top + 2 * head, x + wide / 2, hip + 0.06 * high, lean=0.2)
    parts: Parts = [(legs, rng.random() < 0.6), (trunk, False)]
    for way in (-1, 1):
        arm = np.zeros((SIZE, SIZE), np.uint8)
        end = (int(x + way * wide * rng.uniform(0.2, 0.9)), int(hip - high * rng.uniform(-0.05, 0.15)))
        cv2.line(arm, (int(x + way * wide * 0.4), int(top + 2.5 * head)), end, 1, max(1, round(thick * 0.6)))
        parts.append((arm, False))
    if rng.random() < 0.3:
        at = x + rng.choice([-1, 1]) * wide * 0.6
        size = high * rng.uniform(0.06, 0.16)
        parts.append((quadrangle(rng, at - size / 2, hip - size, at + size / 2, hip + size, lean=0.2), False))
    parts.append(
        (disc(x + rng.normal(0, 0.1) * wide, top + head, head * rng.uniform(0.7, 1), head), rng.random() < 0.5)
    )
    return parts


def read_people(folder: Path) -> list[Cutout]:
    """The rendered people of a folder, RGBA; beyond the silhouette colors continue those within."""
    found = []
    for path in sorted(folder.glob("*.png")):
        picture = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
        alpha = picture[..., 3:].astype(np.float32) / 255
        shares = cv2.GaussianBlur(alpha, (0, 0), 3)[..., None]
        around = cv2.GaussianBlur(picture[..., :3] * alpha, (0, 0), 3) / np.maximum(shares, 1e-3)
        colors = np.where(alpha > 0.5, picture[..., :3], around)
        found.append(np.dstack([np.clip(colors, 0, 255).astype(np.uint8), picture[..., 3]]))
    return found


def stand(rng: np.random.Generator, person: Cutout, x: float, y: float, side: float) -> tuple[Parts, Image]:
    """A rendered person of `side` pixels in height, perhaps with a load -> its parts and its colors on the canvas."""
    height, width = person.shape[:2]
    scale = side / height
    wide = rng.uniform(0.88, 1.12) * scale * rng.choice([-1, 1])
    m = np.array([[wide, rng.normal(0, 0.04) * scale, 0], [0, scale, y - side / 2]])
    m[0, 2] = x - m[0, 0] * width / 2 - m[0, 1] * height / 2
    if scale < 0.6:  # averaged first: a plain warp would alias
        factor = scale * 1.4
        person = np.asarray(cv2.resize(person, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        m[:, 0] *= width / person.shape[1]
        m[:, 1] *= height / person.shape[0]
    alpha = cv2.warpAffine(person[..., 3], m, (SIZE, SIZE))
    colors = cv2.warpAffine(person[..., :3], m, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    parts: Parts = [((alpha > 127).astype(np.uint8), False)]
    if rng.random() < 0.25:  # a bag, a parcel, a rucksack
        at = np.array([x + rng.choice([-1, 1]) * rng.uniform(0.05, 0.14) * side, y + rng.uniform(-0.3, 0.15) * side])
        across, down = rng.uniform(0.03, 0.1, 2) * side
        load = quadrangle(rng, at[0] - across, at[1] - down, at[0] + across, at[1] + down, lean=0.25)
        colors = np.where(load[..., None] > 0, rng.uniform(5, 240, 3).astype(np.uint8), colors)
        parts.append((load, False))
    return parts, np.asarray(colors, np.uint8)


@dataclass(frozen=True)
class Light:
    """How bright a scene is, the grain of its surfaces, and the color that an unlit figure has, if it is unlit."""

    dim: float
    grain: NDArray[np.float32]
    dull: NDArray[np.float64] | None

    def on(self, rng: np.random.Generator, surface: NDArray[np.float64], *, rough: float) -> Image:
        moved = np.roll(self.grain, tuple(rng.integers(0, SIZE, 2)), (0, 1))[..., None]
        return np.clip(self.dim * surface + moved * rng.uniform(0, rough), 0, 255).astype(np.uint8)


def lay_person(
    rng: np.random.Generator, canvas: NDArray[np.float32], parts: Parts, colors: Image, *, light: Light
) -> None:
    """Draw a rendered person in paler or grayer colors, or hardly different from the unlit color."""
    visible = np.asarray(np.max([mask for mask, _ in parts], axis=0), np.uint8)
    pixels = colors.astype(np.float64)
    mean = pixels[visible > 0].mean(0)
    if light.dull is not None:
        pixels = np.clip(light.dull + rng.normal(0, 12) + (pixels - mean) * rng.uniform(0.05, 0.5), 3, 245)
    else:
        gray = pixels.mean(-1, keepdims=True)
        pixels = gray + (pixels - gray) * rng.uniform(0.15, 1.0)
        pixels = np.clip(mean + (pixels - mean) * rng.uniform(0.5, 1.1) + rng.uniform(-25, 25), 3, 250)
    lay(canvas, visible, light.on(rng, pixels, rough=8), softness=rng.uniform(0.4, 1.0))


def lay_parts(
    rng: np.random.Generator,
    canvas: NDArray[np.float32],
    parts: Parts,
    textures: list[Image],
    *,
    light: Light,
    is_figure: bool,
) -> None:
    """Draw a machine or a figure: dark parts dark, each part of a figure and small parts in colors of their own."""
    size = np.max([mask for mask, _ in parts], axis=0).sum()
    body, soft = pick(rng, textures) if rng.random() < 0.5 else None, rng.uniform(0.4, 1.0)
    tone = rng.uniform(10, 245, 3) if rng.random() < 0.4 else rng.uniform(10, 245) + rng.normal(0, 8, 3)
    for mask, dark in parts:
        if light.dull is not None:
            color = np.clip(light.dull + rng.normal(0, 12), 3, 245)
        elif dark:
            color = rng.uniform(5, 70, 3)
        elif is_figure or mask.sum() < 0.2 * size:
            color = rng.uniform(10, 245, 3)
        else:
            color = tone if body is None else body
        surface = np.broadcast_to(color, (SIZE, SIZE, 3))
        lay(canvas, mask, shade(rng, mask, light.on(rng, surface, rough=12)), softness=soft)


def without_gaps(mask: Mask, radius: int) -> Mask:
    """The mask with gaps of up to twice the radius closed."""
    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = np.pad(mask, radius)
    return np.ascontiguousarray(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, ball)[radius:-radius, radius:-radius])


def draw_walls(rng: np.random.Generator, canvas: NDArray[np.float32], textures: list[Image]) -> None:
    """A floor, walls with openings, posts."""
    horizon = rng.uniform(0.2, 0.8) * SIZE
    if rng.random() < 0.8:
        lay(
            canvas,
            polygon(np.array([[0, horizon], [SIZE, horizon + rng.normal(0, 15)], [SIZE, SIZE], [0, SIZE]])),
            pick(rng, textures),
            softness=0.8,
        )
    for _ in range(int(rng.integers(0, 5))):
        x, wide, high = rng.uniform(0, SIZE), rng.uniform(10, 110), rng.uniform(20, 150)
        surface = pick(rng, textures)
        lay(canvas, quadrangle(rng, x - wide, horizon - high, x + wide, horizon + 3, lean=0.05), surface, softness=0.6)
        if rng.random() < 0.5:
            tone = np.broadcast_to(rng.uniform(10, 200, 3), surface.shape).astype(np.uint8)
            for row in range(int(rng.integers(1, 4))):
                for column in range(int(rng.integers(1, 5))):
                    at = x - wide + 0.4 * wide * column, horizon - high + 0.3 * high * row + 4
                    lay(
                        canvas,
                        quadrangle(rng, at[0], at[1], at[0] + 0.2 * wide, at[1] + 0.18 * high, lean=0.02),
                        tone,
                        softness=0.5,
                    )


def draw_machines(
    rng: np.random.Generator, textures: list[Image], people: Sequence[Cutout] = ()
) -> tuple[Image, list[Mask]]:
    """-> (256, 256, 3) scene of made things and figures, partly behind one another, and each one's visible 0/1 mask."""
    canvas = pick(rng, textures).astype(np.float32)
    draw_walls(rng, canvas, textures)
    masks: list[Mask] = []
    dim, grain = rng.uniform(0.6, 1.0), draw_noise(rng, SIZE, slope=1.5)
    figure, x, y, side = False, 0.0, 0.0, 0.0
    for _ in range(int(rng.choice([1, 2, 3, 4, 6]))):
        company = bool(masks) and figure and rng.random() < 0.5  # people walk side by side
        figure = company or rng.random() < (0.6 if people else 0.5)
        if company:
            x, y, side = x + rng.choice([-1, 1]) * rng.uniform(0.15, 0.4) * side, y, side * rng.uniform(0.85, 1.15)
        else:
            side = float(np.exp(rng.uniform(np.log(28), np.log(170))))
            x, y = rng.uniform(0.05, 0.95) * SIZE, rng.uniform(0.3, 0.75) * SIZE
        colors: Image | None = None
        if figure and people and rng.random() < RENDERED:
            parts, colors = stand(rng, people[rng.integers(len(people))], x, y, side)
        else:
            parts = (draw_figure if figure else draw_machine)(rng, x, y, side)
        whole = np.asarray(np.max([mask for mask, _ in parts], axis=0), np.uint8)
        if figure and rng.random() < 0.45:  # people outline a figure without the gaps between its limbs
            whole = without_gaps(whole, max(2, round(0.06 * side)))
        if figure and rng.random() < 0.3:  # or around it, a little off the edge
            off = max(1.0, rng.uniform(0, 0.025) * side)
            whole = (cv2.distanceTransform(1 - whole, cv2.DIST_L2, 3) <= off).astype(np.uint8)
        if colors is None and rng.random() < 0.3:  # seen from aside
            m = cv2.getRotationMatrix2D((x, y), float(rng.normal(0, 20)), 1.0)
            m[0, 1] += rng.normal(0, 0.15)
            parts = [(np.asarray(cv2.warpAffine(mask, m, (SIZE, SIZE)), np.uint8), dark) for mask, dark in parts]
            whole = np.asarray(cv2.warpAffine(whole, m, (SIZE, SIZE)), np.uint8)
        if whole.sum() < 120:
            continue
        if rng.random() < 0.7:
            low = int(np.nonzero(whole)[0].max())
            shadow = disc(x + rng.normal(0, 0.1) * side, low, side * (0.15 if figure else 0.5), side * 0.06)
            alpha = cv2.GaussianBlur(shadow.astype(np.float32), (0, 0), rng.uniform(1, 5))[..., None]
            canvas *= 1 - rng.uniform(0.3, 0.85) * alpha
        place = tuple(np.clip([y, x], 0, SIZE - 1).astype(int))
        dull = canvas[place] if rng.random() < 0.3 else rng.uniform(8, 60) * np.ones(3)  # as what is behind, or dark
        light = Light(dim, grain, dull if figure and rng.random() < 0.35 else None)
        if colors is None:
            lay_parts(rng, canvas, parts, textures, light=light, is_figure=figure)
        else:
            lay_person(rng, canvas, parts, colors, light=light)
        masks = [earlier & (1 - whole) for earlier in masks] + [whole]
    for _ in range(int(rng.choice([0, 0, 1, 2]))):  # a post or a bush in front
        x = rng.uniform(0, SIZE)
        front = quadrangle(rng, x, -5, x + rng.uniform(2, 14), SIZE * rng.uniform(0.6, 1.1), lean=0.05)
        if rng.random() < 0.3:
            front = draw_blob(rng, SIZE, center=rng.uniform(0, SIZE, 2), radius=rng.uniform(12, 60))
        lay(canvas, front, pick(rng, textures), softness=0.7)
        masks = [earlier & (1 - front) for earlier in masks]
    if rng.random() < 0.5:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.3, 1.2))
    canvas += rng.normal(0, rng.uniform(0, 8), canvas.shape)
    kept = [largest_part(mask) for mask in masks]
    return np.clip(canvas, 0, 255).astype(np.uint8), [mask for mask in kept if mask.sum() >= 150]
