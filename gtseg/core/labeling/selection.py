"""Active learning: select images that a model is uncertain about and that differ from labeled ones.

The labeling server orders its tasks by its own rule (the halves share no code). Here the model is an endpoint that
returns probabilities, and images are compared by appearance.
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
"""Side in pixels of the thumbnail for comparing images."""
NEAR = 6
"""Maximum Hamming distance, of 64 bits, between difference hashes of near-duplicates (Krawetz, "Kind of Like That").

Krawetz gives 10 or less.
"""

NEAR_COLOR = 0.05
"""Maximum mean color difference of near-duplicates."""


@dataclass(frozen=True)
class Appearance:
    """Appearance of an image. `hash`: 64 bits; `colors`: (48,) mean colors of a 4 x 4 grid, 0 to 1."""

    hash: int
    colors: Vector

    def is_near(self, other: Appearance) -> bool:
        """Return whether two images are near-duplicates: similar gradients and similar colors."""
        is_alike = float(np.abs(self.colors - other.colors).mean()) <= NEAR_COLOR
        return is_alike and (self.hash ^ other.hash).bit_count() <= NEAR


def compute_appearance(body: bytes) -> Appearance:
    """Compute the appearance of an encoded image. Raises ImageError."""
    try:
        with Image.open(io.BytesIO(body)) as image:
            image.draft("RGB", (64, 64))
            small = image.convert("RGB")
            gray = np.asarray(small.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX), np.int16)
            colors = np.asarray(small.resize((4, 4), Image.Resampling.BOX), np.float64).reshape(-1) / 255
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"cannot be decoded: {error}") from None
    bits = (gray[:, 1:] > gray[:, :-1]).reshape(-1)
    return Appearance(int("".join("1" if bit else "0" for bit in bits), 2), colors)


def expected_iou(probabilities: NDArray[np.float32]) -> float:
    """Return the mean IoU without background that a model expects of its mask, from (C, H, W) probabilities.

    For a class, the sum of its probability over its pixels is the expected intersection; its probability on other
    pixels adds to the expected union. For an empty mask: the mean probability of background.
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
    confidences: Sequence[float], appearances: Sequence[Appearance], *, labeled: Sequence[Appearance] = (), count: int
) -> list[int]:
    """Return the positions of at most `count` images, the most useful first.

    The next is the one with the largest product of its rank by uncertainty and its color distance to the nearest image
    that is labeled or already chosen. Near-duplicates of those are omitted.
    """
    n = len(confidences)
    if not n:
        return []
    colors = np.stack([look.colors for look in appearances])
    uncertainty = np.empty(n)
    uncertainty[np.argsort(-np.asarray(confidences), kind="stable")] = np.linspace(0, 1, n)
    distance, left = np.full(n, np.inf), np.ones(n, bool)
    for look in labeled:
        distance = np.minimum(distance, np.linalg.norm(colors - look.colors, axis=1))
        left &= ~_near(appearances, look)
    if not labeled:
        distance[:] = 1.0
    chosen: list[int] = []
    while len(chosen) < count and left.any():
        position = int(np.argmax(np.where(left, (0.1 + uncertainty) * (0.02 + distance), -1)))
        chosen.append(position)
        distance = np.minimum(distance, np.linalg.norm(colors - colors[position], axis=1))
        left &= ~_near(appearances, appearances[position])
        left[position] = False
    return chosen


def _near(appearances: Sequence[Appearance], other: Appearance) -> NDArray[np.bool_]:
    return np.array([look.is_near(other) for look in appearances], bool)
