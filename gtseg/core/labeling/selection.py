"""Which images are worth labeling next: what a model is unsure of, unlike what is labeled, near-duplicates once.

The labeling server orders its tasks by a rule of its own (the halves share no code); here a model is an endpoint that
answers probabilities, and images are compared by what they look like.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.errors import ImageError

Vector = NDArray[np.float64]
SIDE = 8
"""Pixels of the thumbnail that images are compared by."""
NEAR = 6
"""Bits of 64 by which the difference hashes of near-duplicates differ at most (Krawetz, "Kind of Like That": 10 and less)."""

NEAR_COLOR = 0.05
"""Mean difference of their colors at most."""


@dataclass(frozen=True)
class Look:
    """What an image looks like: `hash` of 64 bits, `colors` (48,) mean colors of a 4 x 4 grid, 0 to 1."""

    hash: int
    colors: Vector

    def is_near(self, other: Look) -> bool:
        """Whether they are near-duplicates: the same gradients and the same colors."""
        is_alike = float(np.abs(self.colors - other.colors).mean()) <= NEAR_COLOR
        return is_alike and (self.hash ^ other.hash).bit_count() <= NEAR


def look_at(body: bytes) -> Look:
    """Of an encoded image. Raises ImageError."""
    try:
        with Image.open(io.BytesIO(body)) as image:
            image.draft("RGB", (64, 64))
            small = image.convert("RGB")
            gray = np.asarray(small.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX), np.int16)
            colors = np.asarray(small.resize((4, 4), Image.Resampling.BOX), np.float64).reshape(-1) / 255
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"cannot be decoded: {error}") from None
    bits = (gray[:, 1:] > gray[:, :-1]).reshape(-1)
    return Look(int("".join("1" if bit else "0" for bit in bits), 2), colors)


def expected_iou(probabilities: NDArray[np.float32]) -> float:
    """The mean IoU without background that a model itself expects of its mask, from (C, H, W) probabilities.

    Of a class, the sum of its probability over its pixels is the expected intersection; its probability elsewhere is what the
    union is expected to have beside them. Of a mask without any class: how surely there is nothing.
    """
    mask = probabilities.argmax(0)
    found = []
    for index in range(1, len(probabilities)):
        inside = mask == index
        if inside.any():
            plane = probabilities[index].astype(np.float64)
            hit = float(plane[inside].sum())
            found.append(hit / (np.count_nonzero(inside) + float(plane.sum()) - hit))
    return float(np.mean(found)) if found else float(probabilities[0].min())


def choose_next(
    sureness: Sequence[float], looks: Sequence[Look], *, labeled: Sequence[Look] = (), count: int
) -> list[int]:
    """Positions of at most `count` images, the most worth labeling first.

    The next is the one with the largest product of its rank by uncertainty and its distance, in colors, to the nearest image
    that is labeled or was chosen before it. A near-duplicate of one of those is left out.
    """
    n = len(sureness)
    if not n:
        return []
    colors = np.stack([look.colors for look in looks])
    uncertainty = np.empty(n)
    uncertainty[np.argsort(-np.asarray(sureness), kind="stable")] = np.linspace(0, 1, n)
    distance, left = np.full(n, np.inf), np.ones(n, bool)
    for look in labeled:
        distance = np.minimum(distance, np.linalg.norm(colors - look.colors, axis=1))
        left &= ~_near(looks, look)
    if not labeled:
        distance[:] = 1.0
    chosen: list[int] = []
    while len(chosen) < count and left.any():
        position = int(np.argmax(np.where(left, (0.1 + uncertainty) * (0.02 + distance), -1)))
        chosen.append(position)
        distance = np.minimum(distance, np.linalg.norm(colors - colors[position], axis=1))
        left &= ~_near(looks, looks[position])
        left[position] = False
    return chosen


def _near(looks: Sequence[Look], other: Look) -> NDArray[np.bool_]:
    return np.array([look.is_near(other) for look in looks], bool)
