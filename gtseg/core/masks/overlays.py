"""Overlays: an image with its mask drawn over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from gtseg.core.masks.colors import Classes

if TYPE_CHECKING:
    import numpy as np


def draw_overlay(image: Image.Image, indices: np.ndarray, classes: Classes, *, opacity: float = 0.5) -> Image.Image:
    """Return `image` as RGB, each pixel of a class tinted in its color; background and unknown classes unchanged.

    `indices`: (H, W) uint8, scaled to the image by nearest neighbor if sizes differ.
    """
    import numpy as np

    photo = image.convert("RGB")
    if (indices.shape[1], indices.shape[0]) != photo.size:
        indices = np.asarray(Image.fromarray(indices).resize(photo.size, Image.Resampling.NEAREST))
    strength = np.zeros(256, dtype=np.uint8)
    strength[1 : len(classes.names)] = round(255 * opacity)
    tint = Image.fromarray(indices).convert("L").copy()
    tint.putpalette(classes.palette)
    photo.paste(tint.convert("RGB"), mask=Image.fromarray(strength[indices]))
    outline = Image.fromarray(_edges(indices, len(classes.names)))
    photo.paste(tint.convert("RGB"), mask=outline)
    return photo


def _edges(indices: np.ndarray, classes: int) -> np.ndarray:
    """Return (H, W) uint8: 255 where the right or lower neighbor has another class, else 0."""
    import numpy as np

    edge = np.zeros(indices.shape, dtype=bool)
    edge[:, :-1] |= indices[:, :-1] != indices[:, 1:]
    edge[:-1] |= indices[:-1] != indices[1:]
    return np.where(edge & (indices > 0) & (indices < classes), 255, 0).astype(np.uint8)
