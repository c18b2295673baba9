"""Auto-segment: four extreme points of an object, a box or one click (and corrective clicks) -> its mask.

Ground Truth's own tool does it from four points with DEXTR (developer guide, sms-auto-segmentation.md). Here a network that
starts from ImageNet (`network`) proposes, and the photograph's own colors and edges decide what it leaves open; without
PyTorch or weights GrabCut does all of it. `$GTSEG_AUTOSEGMENT_ONNX` names a user's own model instead (see onnx_hook)."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment.crop import Points
from gtseg.local.labeling.autosegment.finder import Finder, weights_paths
from gtseg.local.labeling.autosegment.found import Found
from gtseg.local.labeling.autosegment.starts import Start

__all__ = ["Finder", "Found", "segment", "weights_paths"]

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


def segment(
    image: NDArray[np.uint8],
    points: Sequence[Sequence[float]],
    *,
    inside: Sequence[Sequence[float]] = (),
    outside: Sequence[Sequence[float]] = (),
    key: object = None,
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
    model = os.environ.get("GTSEG_AUTOSEGMENT_ONNX")
    if model:
        from gtseg.local.labeling.autosegment.onnx_hook import find_with_onnx

        return find_with_onnx(Path(model), image, given, inside=yes, outside=no)
    start = Start(COUNTS[len(given)], given)  # type: ignore[arg-type]
    return shared_finder().find(image, start, inside=yes, outside=no, key=key)


def read_points(points: Sequence[Sequence[float]], shape: tuple[int, int], *, name: str) -> Points:
    """Checked (N, 2) float32. Raises ServiceError InvalidRequest."""
    try:
        array = np.asarray(points, np.float32).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ServiceError("InvalidRequest", f"{name} must be a list of [x, y] pairs in pixels.") from None
    height, width = shape
    if len(array) and (
        not np.isfinite(array).all() or array.min() < -1 or (array > (width + 1, height + 1)).any()
    ):
        raise ServiceError(
            "InvalidRequest", f"{name} must lie on the image, which is {width} x {height} pixels."
        )
    return np.clip(array, 0, (width - 1, height - 1)).astype(np.float32)
