"""Auto-segment: four extreme points of an object, a box or one click (and corrective clicks) -> its mask.

Ground Truth's own tool does it from four points with DEXTR (developer guide, sms-auto-segmentation.md). Here a network that
starts from ImageNet (`network`) proposes, and the photograph's own colors and edges decide what it leaves open; without
PyTorch or weights GrabCut does all of it. Models of people's own may take their place (outline_models, sam, dextr)."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment.crop import Points
from gtseg.local.labeling.autosegment.mask_correction import box_of, correct_mask, refine_mask
from gtseg.local.labeling.autosegment.mask_crop import Found
from gtseg.local.labeling.autosegment.outline_models import choose_kind, models_of_environment
from gtseg.local.labeling.autosegment.predictor import Finder, weights_paths
from gtseg.local.labeling.autosegment.prompts import Start

__all__ = [
    "Finder",
    "Found",
    "Outlines",
    "correct",
    "open_models",
    "outlines",
    "refine_mask",
    "segment",
    "shared_finder",
    "weights_paths",
]

IMAGENET_ENV = "GTSEG_IMAGENET_WEIGHTS"
"""The same switch as for training (gtseg.local.algorithm.state): "off" forbids weights that start from ImageNet."""
COUNTS = {4: "points", 2: "box", 1: "click"}

_lock = threading.Lock()
_finder: Finder | None = None


def shared_finder() -> Finder:
    global _finder
    with _lock:
        if _finder is None:
            _finder = Finder(*(() if os.environ.get(IMAGENET_ENV) == "off" else weights_paths()))
        return _finder


class Outlines(Protocol):
    """What finds objects: our own network, or a model of the user's."""

    def see(self, image: NDArray[np.uint8], key: object) -> object:
        """Compute what depends on the picture (H, W, 3) alone, and keep it under `key`."""

    def find(self, image: NDArray[np.uint8], start: Start, *, inside: Points, outside: Points, key: object) -> Found:
        """The object; what does not depend on the clicks is kept under `key`, where that is not None."""


@lru_cache(maxsize=1)
def open_models(files: tuple[Path, ...]) -> Outlines:
    """A user's model, loaded once. Raises ServiceError InvalidRequest."""
    try:
        choice = choose_kind(files)
    except ValueError as error:
        raise ServiceError("InvalidRequest", str(error)) from None
    if choice.kind == "DEXTR":
        from gtseg.local.labeling.autosegment.dextr import Dextr

        return Dextr(choice)
    from gtseg.local.labeling.autosegment.sam import Sam

    return Sam(choice)


def outlines(files: Sequence[Path] | None = None) -> Outlines:
    """What answers: the models of `files` (None: of the environment), where there are any."""
    chosen = models_of_environment() if files is None else tuple(files)
    return open_models(chosen) if chosen else shared_finder()


def segment(
    image: NDArray[np.uint8],
    points: Sequence[Sequence[float]],
    *,
    inside: Sequence[Sequence[float]] = (),
    outside: Sequence[Sequence[float]] = (),
    key: object = None,
    models: Sequence[Path] | None = None,
) -> Found:
    """(H, W, 3) RGB as stored, and a start [[x, y], ...] in its pixels (+ clicks) -> Found. Raises ServiceError InvalidRequest.

    Four points are the object's extreme points, two are opposite corners of its box, one is a click on it. `key` names the
    image; with it, a further click on the same object costs little.
    """
    shape = image.shape[:2]
    given = read_points(points, shape, name="points")
    if len(given) not in COUNTS:
        raise ServiceError(
            "InvalidRequest",
            "points must be the four extreme points of the object, two corners of its box or one click on it; "
            f"there are {len(given)}.",
        )
    yes, no = read_points(inside, shape, name="inside"), read_points(outside, shape, name="outside")
    start = Start(COUNTS[len(given)], given)  # type: ignore[arg-type]
    return outlines(models).find(image, start, inside=yes, outside=no, key=key)


def correct(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    *,
    inside: Sequence[Sequence[float]] = (),
    outside: Sequence[Sequence[float]] = (),
    key: object = None,
    models: Sequence[Path] | None = None,
) -> Found:
    """(H, W, 3) RGB as stored and the (H, W) mask of an object in it (+ clicks) -> Found. Raises ServiceError InvalidRequest.

    A model of the user's begins from the mask's box: it knows nothing of masks.
    """
    shape = image.shape[:2]
    if mask.shape != shape or not mask.any():
        raise ServiceError("InvalidRequest", f"The mask has no object in an image of {shape[1]} x {shape[0]} pixels.")
    yes, no = read_points(inside, shape, name="inside"), read_points(outside, shape, name="outside")
    answers = outlines(models)
    if isinstance(answers, Finder):
        return correct_mask(answers, image, mask, inside=yes, outside=no, key=key)
    return answers.find(image, Start("box", box_of(mask)), inside=yes, outside=no, key=key)


def read_points(points: Sequence[Sequence[float]], shape: tuple[int, int], *, name: str) -> Points:
    """Checked (N, 2) float32. Raises ServiceError InvalidRequest."""
    try:
        array = np.asarray(points, np.float32).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ServiceError("InvalidRequest", f"{name} must be a list of [x, y] pairs in pixels.") from None
    height, width = shape
    if len(array) and (not np.isfinite(array).all() or array.min() < -1 or (array > (width + 1, height + 1)).any()):
        raise ServiceError("InvalidRequest", f"{name} must lie on the image, which is {width} x {height} pixels.")
    return np.clip(array, 0, (width - 1, height - 1)).astype(np.float32)
