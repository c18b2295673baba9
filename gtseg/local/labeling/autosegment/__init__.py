"""Auto-segment: the mask of an object from four extreme points, a box or one click, and corrective clicks.

Ground Truth's own tool does this from four points with DEXTR (developer guide, sms-auto-segmentation.md). Here networks
pretrained on ImageNet (`network`) compute the mask, in two looks (`prompts.second_outline`); GrabCut does so without
PyTorch or weights. A user's own models can replace them (outline_models, sam, dextr).
"""

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
from gtseg.local.labeling.autosegment.mask_crop import SegmentedObject
from gtseg.local.labeling.autosegment.outline_models import choose_kind, models_of_environment
from gtseg.local.labeling.autosegment.predictor import Predictor, weights_paths
from gtseg.local.labeling.autosegment.prompts import Start

__all__ = [
    "OutlineModel",
    "Predictor",
    "SegmentedObject",
    "correct",
    "load_model",
    "open_model",
    "refine_mask",
    "segment",
    "shared_predictor",
    "weights_paths",
]

IMAGENET_ENV = "GTSEG_IMAGENET_WEIGHTS"
"""Environment variable; "off" disables weights derived from ImageNet, as in gtseg.local.algorithm.state."""
COUNTS = {4: "points", 2: "box", 1: "click"}

_lock = threading.Lock()
_predictor: Predictor | None = None


def shared_predictor() -> Predictor:
    """Return the process's predictor with the packaged weights, loaded once."""
    global _predictor
    with _lock:
        if _predictor is None:
            _predictor = Predictor(*(() if os.environ.get(IMAGENET_ENV) == "off" else weights_paths()))
        return _predictor


class OutlineModel(Protocol):
    """A model that segments objects: gtseg's own network or a model of the user's."""

    def prepare(self, image: NDArray[np.uint8], key: object) -> object:
        """Compute and cache under `key` the features that depend on the (H, W, 3) image alone."""

    def segment(
        self, image: NDArray[np.uint8], start: Start, *, inside: Points, outside: Points, key: object
    ) -> SegmentedObject:
        """Segment an object. Features that do not depend on corrective clicks are cached under `key`, if given."""


@lru_cache(maxsize=1)
def load_model(files: tuple[Path, ...]) -> OutlineModel:
    """Load a user's model, once. Raises ServiceError InvalidRequest."""
    try:
        choice = choose_kind(files)
    except ValueError as error:
        raise ServiceError("InvalidRequest", str(error)) from None
    if choice.kind == "DEXTR":
        from gtseg.local.labeling.autosegment.dextr import Dextr

        return Dextr(choice)
    from gtseg.local.labeling.autosegment.sam import Sam

    return Sam(choice)


def open_model(files: Sequence[Path] | None = None) -> OutlineModel:
    """Return the model of `files` (None: those of the environment), or gtseg's own network if there are no files."""
    chosen = models_of_environment() if files is None else tuple(files)
    return load_model(chosen) if chosen else shared_predictor()


def segment(
    image: NDArray[np.uint8],
    points: Sequence[Sequence[float]],
    *,
    inside: Sequence[Sequence[float]] = (),
    outside: Sequence[Sequence[float]] = (),
    key: object = None,
    models: Sequence[Path] | None = None,
) -> SegmentedObject:
    """Segment an object of an (H, W, 3) uint8 RGB image in stored orientation. Raises ServiceError InvalidRequest.

    `points` are [[x, y], ...] in pixels: four extreme points, two opposite corners of the object's box, or one click on
    it. `inside` and `outside` are corrective clicks. `key` names the image; with it, further clicks on the same object
    reuse cached features.
    """
    shape = image.shape[:2]
    given = read_points(points, shape, name="points")
    if len(given) not in COUNTS:
        raise ServiceError(
            "InvalidRequest",
            "points must be the four extreme points of the object, two corners of its box or one click on it; "
            f"got {len(given)} points.",
        )
    yes, no = read_points(inside, shape, name="inside"), read_points(outside, shape, name="outside")
    start = Start(COUNTS[len(given)], given)  # type: ignore[arg-type]
    return open_model(models).segment(image, start, inside=yes, outside=no, key=key)


def correct(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    *,
    inside: Sequence[Sequence[float]] = (),
    outside: Sequence[Sequence[float]] = (),
    key: object = None,
    models: Sequence[Path] | None = None,
) -> SegmentedObject:
    """Correct the (H, W) bool mask of an object in an (H, W, 3) RGB image by clicks.

    A user's own model takes no mask: it segments the mask's box anew. Raises ServiceError InvalidRequest.
    """
    shape = image.shape[:2]
    if mask.shape != shape or not mask.any():
        raise ServiceError("InvalidRequest", f"The mask has no object in an image of {shape[1]} x {shape[0]} pixels.")
    yes, no = read_points(inside, shape, name="inside"), read_points(outside, shape, name="outside")
    model = open_model(models)
    if isinstance(model, Predictor):
        return correct_mask(model, image, mask, inside=yes, outside=no, key=key)
    return model.segment(image, Start("box", box_of(mask)), inside=yes, outside=no, key=key)


def read_points(points: Sequence[Sequence[float]], shape: tuple[int, int], *, name: str) -> Points:
    """Return the points as (N, 2) float32, clipped to the image. Raises ServiceError InvalidRequest."""
    try:
        array = np.asarray(points, np.float32).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ServiceError("InvalidRequest", f"{name} must be a list of [x, y] pairs in pixels.") from None
    height, width = shape
    if len(array) and (not np.isfinite(array).all() or array.min() < -1 or (array > (width + 1, height + 1)).any()):
        raise ServiceError("InvalidRequest", f"{name} must lie within the image, which has {width} x {height} pixels.")
    return np.clip(array, 0, (width - 1, height - 1)).astype(np.float32)
