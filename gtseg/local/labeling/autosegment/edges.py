"""Intelligent scissors: the path between two points that follows the edges of the image.

Mortensen and Barrett, "Intelligent Scissors for Image Composition" (1995), as cv2.segmentation.IntelligentScissorsMB.
It computes the paths to all pixels from a start point, therefore on a window around that point, reduced to at most SIZE
pixels. The result is cached per start point, so that following the pointer is fast.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment.crop import Points, Window, cut

SIZE = 320
"""Side of the reduced window in pixels; 70 ms for a new start point."""
SMALLEST = 160.0
"""Side of the smallest window in image pixels; each larger one is twice as wide."""
KEPT = 16

_lock = threading.Lock()
_kept: OrderedDict[tuple[object, ...], tuple[Window, Any]] = OrderedDict()


def follow_edge(
    image: NDArray[np.uint8], start: Sequence[float], end: Sequence[float], *, key: object = None
) -> Points:
    """Return the path from `start` to `end`, both included, as (N, 2) x, y in pixels of the (H, W, 3) image.

    Raises ServiceError InvalidRequest.
    """
    ends = read_ends(start, end, image.shape[:2])
    distance = float(np.abs(ends[1] - ends[0]).max())
    if distance < 2:
        return ends
    with _lock:
        window, search = search_from(image, ends[0], distance, key=key)
        found = np.asarray(search.getContour(place_in(window, ends[1])), np.float32).reshape(-1, 2)
    inside = (found + 0.5) / window.scale + np.array([window.left, window.top], np.float32)
    line = cv2.approxPolyDP(inside[:, None], 0.4 / window.scale, False)[
        :, 0
    ]  # no more corners than the reduced window resolves
    return np.concatenate([ends[:1], line[1:-1], ends[1:]]).astype(np.float32)


def read_ends(start: Sequence[float], end: Sequence[float], shape: tuple[int, int]) -> Points:
    """Return the two points, clipped to the image, as (2, 2) float32. Raises ServiceError InvalidRequest."""
    try:
        ends = np.asarray([start, end], np.float32).reshape(2, 2)
    except (TypeError, ValueError):
        raise ServiceError("InvalidRequest", "from and to must each be [x, y] in pixels.") from None
    if not np.isfinite(ends).all():
        raise ServiceError("InvalidRequest", "from and to must each be [x, y] in pixels.")
    return np.clip(ends, 0, (shape[1], shape[0])).astype(np.float32)


def search_from(
    image: NDArray[np.uint8], start: NDArray[np.float32], distance: float, *, key: object
) -> tuple[Window, Any]:
    """Return the window and the paths from `start` in it; it extends at least 1.25 times `distance` from `start`."""
    side = SMALLEST
    while side < 2.5 * distance:
        side *= 2
    name = (key, start.tobytes(), side)
    if key is not None and name in _kept:
        _kept.move_to_end(name)
        return _kept[name]
    window = Window(float(start[0]) - side / 2, float(start[1]) - side / 2, side, min(SIZE, int(side)))
    search = cv2.segmentation.IntelligentScissorsMB()
    search.setEdgeFeatureCannyParameters(32, 100)
    search.setGradientMagnitudeMaxLimit(200)
    search.applyImage(cut(image, window))
    search.buildMap(place_in(window, start))
    if key is not None:
        _kept[name] = (window, search)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return window, search


def place_in(window: Window, point: NDArray[np.float32]) -> tuple[int, int]:
    """Return the window pixel (x, y) of an image point."""
    x, y = ((float(v) - edge) * window.scale for v, edge in zip(point, (window.left, window.top), strict=True))
    return int(np.clip(x, 0, window.size - 1)), int(np.clip(y, 0, window.size - 1))
