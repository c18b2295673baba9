"""Drawing of one scene: coast, turtles and boats with shadows and wakes, and distractors."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from gtseg.core.images.scenes.shapes import Part, boat, oval, put, raster, turtle, window_of
from gtseg.core.images.scenes.textures import Picture, background, noise
from gtseg.core.masks import encode_palette_png
from gtseg.core.masks.colors import SPARE_COLORS, WHITE

LABELS = ("turtle", "boat")
TURTLE, BOAT = 1, 2
SIZES = ((288, 384), (320, 400), (300, 360), (384, 320))
QUALITY = 92


@dataclass(frozen=True)
class Scene:
    """A scene. `pixels` (H, W, 3) uint8; `mask` (H, W) uint8: 0 background, 1 turtle, 2 boat."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    def jpeg(self) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()

    def png(self) -> bytes:
        colors = [WHITE, *SPARE_COLORS[: len(LABELS)]]
        palette = b"".join(color.to_bytes(3, "big") for color in colors).ljust(768, b"\xff")
        height, width = self.mask.shape
        return encode_palette_png(self.mask, width, height, palette=palette)


@dataclass(frozen=True)
class SceneObject:
    """A planned turtle or boat: position, length in pixels, heading in radians."""

    kind: int
    x: float
    y: float
    length: float
    turn: float

    def is_ashore(self, land: NDArray[np.float32]) -> bool:
        height, width = land.shape
        x, y = min(max(round(self.x), 0), width - 1), min(max(round(self.y), 0), height - 1)
        return bool(land[y, x] >= 0.3)


def draw_scene(number: int, *, seed: int = 0) -> Scene:
    """Draw scene `number` of the world `seed`.

    The mask is exact: a pixel belongs to the object that covers most of it.
    """
    rng = np.random.default_rng([seed, number])
    size = SIZES[rng.integers(len(SIZES))]
    picture, land = background(rng, size)
    picture = _draw_distractors(rng, picture)
    mask = np.zeros(size, np.uint8)
    objects = _place_all(rng, size, _choose_classes(rng, number))
    for item in objects:
        if item.kind == BOAT and not item.is_ashore(land) and rng.random() < 0.6:
            picture = _wake(rng, picture, item)
    for item in objects:
        _draw_object(rng, picture, mask, item, murky=item.kind == TURTLE and not item.is_ashore(land))
    return Scene(_apply_exposure(rng, picture), mask)


def _place_all(rng: np.random.Generator, size: tuple[int, int], kinds: list[int]) -> list[SceneObject]:
    """Place objects without overlap; those that do not fit are dropped."""
    objects: list[SceneObject] = []
    for kind in kinds:
        length = float(rng.uniform(0.26, 0.5) if kind == TURTLE else rng.uniform(0.34, 0.7)) * min(size)
        if (place := _free_place(rng, size, objects, length)) is not None:
            objects.append(SceneObject(kind, *place, length, float(rng.uniform(0, 2 * math.pi))))
    return objects


def _choose_classes(rng: np.random.Generator, number: int) -> list[int]:
    """Return the classes of up to four objects: 1 turtle, 2 boat, about equally often; sometimes none."""
    if number % 17 == 16:
        return []
    first = 1 + number % 2
    return [first, *(int(rng.integers(1, 3)) for _ in range(rng.integers(0, 4)))]


def _free_place(
    rng: np.random.Generator, size: tuple[int, int], objects: list[SceneObject], length: float
) -> tuple[float, float] | None:
    """Return a free position (x, y); objects may partly leave the image."""
    height, width = size
    for _ in range(30):
        x, y = float(rng.uniform(0.08, 0.92)) * width, float(rng.uniform(0.08, 0.92)) * height
        if all(math.hypot(x - t.x, y - t.y) > (t.length + length) * 0.5 for t in objects):
            return x, y
    return None


def _draw_object(
    rng: np.random.Generator, picture: Picture, mask: NDArray[np.uint8], item: SceneObject, *, murky: bool
) -> None:
    """Draw one object and its shadow into image and mask, in place."""
    draw = turtle if item.kind == TURTLE else boat
    shift = item.length * float(rng.uniform(0.03, 0.1))
    parts = put(draw(rng), x=item.x, y=item.y, length=item.length, turn=item.turn)
    window = window_of(parts, mask.shape, margin=3 * shift)
    parts = put(parts, x=-window[1].start, y=-window[0].start, length=1, turn=0)
    part, size = picture[window], mask[window].shape
    part *= 1 - 0.38 * _shadow(parts, size, shift=shift)
    drawn = np.asarray(raster(parts, size), np.float32)
    cover = drawn[..., 3:] / 255
    shade = 1 + 0.08 * noise(rng, size, coarse=30, octaves=3)[..., None]
    murk = float(rng.uniform(0.0, 0.28)) if murky else 0.0
    body = drawn[..., :3] / np.maximum(cover, 1e-3) * shade * (1 - murk) + part * murk
    picture[window] = part * (1 - cover) + body * cover
    mask[window][np.asarray(raster(parts, size, body_only=True))[..., 3] > 127] = item.kind


def _shadow(parts: list[Part], size: tuple[int, int], *, shift: float) -> NDArray[np.float32]:
    """Return the (H, W, 1) share of light that the shadow takes, 0 to 1."""
    moved = put([part for part in parts if part.is_body], x=shift, y=shift * 0.8, length=1, turn=0)
    alpha = raster(moved, size).getchannel("A").filter(ImageFilter.GaussianBlur(max(1.0, shift * 0.5)))
    light: NDArray[np.float32] = np.asarray(alpha, np.float32)[..., None] / np.float32(255)
    return light


def _wake(rng: np.random.Generator, picture: Picture, item: SceneObject) -> Picture:
    """Draw the two foam lines behind a moving boat: water, not boat."""
    reach = float(rng.uniform(0.7, 1.6))
    arms = [
        np.array(
            [
                [-0.4, s * 0.13],
                [-0.45 - reach, s * (0.16 + 0.32 * reach)],
                [-0.5 - reach * 0.9, s * 0.14 * reach],
            ]
        )
        for s in (-1, 1)
    ]
    trail = np.array([[-0.48, -0.1], [-0.5 - reach, -0.05], [-0.5 - reach, 0.05], [-0.48, 0.1]])
    white = [Part(points, (255, 255, 255)) for points in (*arms, trail)]
    parts = put(white, x=item.x, y=item.y, length=item.length, turn=item.turn)
    size = (picture.shape[0], picture.shape[1])
    alpha = raster(parts, size).getchannel("A").filter(ImageFilter.GaussianBlur(item.length * 0.03))
    lace = np.clip(0.55 + 0.4 * noise(rng, size, coarse=12, octaves=3), 0, 1)
    foam = (np.asarray(alpha, np.float32) / 255 * lace * float(rng.uniform(0.5, 0.85)))[..., None]
    covered: Picture = picture * (1 - foam) + 250 * foam
    return covered


def _draw_distractors(rng: np.random.Generator, picture: Picture) -> Picture:
    """Draw rocks, weed and driftwood: neither class, so that color alone does not suffice."""
    parts = []
    height, width = picture.shape[:2]
    for _ in range(rng.integers(0, 9)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        kind = rng.integers(3)
        if kind == 0:
            gray = int(rng.integers(70, 130))
            for _ in range(rng.integers(1, 4)):
                points = oval(
                    x + rng.normal(0, 8),
                    y + rng.normal(0, 8),
                    long=rng.uniform(5, 17),
                    wide=rng.uniform(4, 12),
                    turn=rng.uniform(0, 3),
                )
                parts.append(Part(points + rng.normal(0, 0.7, points.shape), (gray, gray - 6, gray - 14)))
        elif kind == 1:
            green = (int(rng.integers(40, 80)), int(rng.integers(80, 110)), int(rng.integers(40, 70)))
            for _ in range(rng.integers(3, 8)):
                parts.append(
                    Part(
                        oval(
                            x + rng.normal(0, 12),
                            y + rng.normal(0, 12),
                            long=rng.uniform(6, 16),
                            wide=rng.uniform(1.5, 4),
                            turn=rng.uniform(0, 6),
                        ),
                        green,
                    )
                )
        else:
            parts.append(
                Part(
                    oval(
                        x,
                        y,
                        long=rng.uniform(14, 34),
                        wide=rng.uniform(1.6, 3.6),
                        turn=rng.uniform(0, 6),
                        power=4,
                    ),
                    (124, 98, 72),
                )
            )
    if not parts:
        return picture
    drawn = np.asarray(raster(parts, (height, width)).filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    cover: Picture = drawn[..., 3:] / np.float32(255) * np.float32(0.9)
    body: Picture = drawn[..., :3] + noise(rng, (height, width), coarse=9, octaves=2)[..., None] * 12
    return picture * (1 - cover) + body * cover


def _apply_exposure(rng: np.random.Generator, picture: Picture) -> NDArray[np.uint8]:
    """Apply light, slight blur and grain, as a camera does."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    corner = np.hypot(x / width - 0.5, y / height - 0.5)
    lit = picture * rng.uniform(0.84, 1.1) * (1.06 - 0.3 * corner[..., None] ** 2)
    lit *= 1 + rng.normal(0, 0.025, 3).astype(np.float32)
    soft = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7))
    )
    grain = rng.normal(0, rng.uniform(1.5, 5), (height, width, 1))
    return np.clip(np.asarray(soft, np.float32) + grain, 0, 255).astype(np.uint8)
