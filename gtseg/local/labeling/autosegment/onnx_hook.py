"""A user's own ONNX model for auto-segment: `GTSEG_AUTOSEGMENT_ONNX=/path/to/model.onnx`.

The model, run by OpenCV's own ONNX reader (nothing else to install), takes one input and gives one output:

    input    (1, 4, S, S) float32: the window around the object as RGB in 0..255, then a plane in 0..255 with a Gaussian bump (sigma
             S / 51) on each extreme point and each click inside (a click outside: a negative bump); S = 512. That is DEXTR's input (Maninis et al., "Deep Extreme Cut", 2018).
    output   (1, 1, s, s) or (1, s, s) float32: the object's probability, or a logit (any value outside 0..1 tells), any s.

A click model such as SAM is wrapped into that signature when it is exported; the four points are its positive clicks."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment import Found, crop, settle
from gtseg.local.labeling.autosegment.crop import Points

__all__ = ["find_with_onnx"]

SIZE = 512
_lock = threading.Lock()  # cv2.dnn.Net is not safe to run from two threads


@lru_cache(maxsize=1)
def read_model(path: Path) -> cv2.dnn.Net:
    try:
        return cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise ServiceError(
            "InvalidRequest", f"GTSEG_AUTOSEGMENT_ONNX={path} cannot be read: {error.err}"
        ) from None


def model_input(
    photo: NDArray[np.uint8], extreme: Points, *, inside: Points, outside: Points
) -> NDArray[np.float32]:
    size = photo.shape[0]
    bumps = crop.heat(np.concatenate([extreme, inside]), size, sigma=size / 51) - crop.heat(
        outside, size, sigma=size / 51
    )
    return np.concatenate([photo.transpose(2, 0, 1).astype(np.float32), 255 * bumps[None]])[None]


def find_with_onnx(
    path: Path, image: NDArray[np.uint8], extreme: Points, *, inside: Points, outside: Points
) -> Found:
    """(H, W, 3) RGB + (4, 2) points -> the object, by the user's model. Raises ServiceError InvalidRequest if it does not fit."""
    window = crop.window_of(extreme, SIZE)
    photo = crop.cut(image, window)
    points, yes, no = window.inward(extreme), window.inward(inside), window.inward(outside)
    with _lock:
        model = read_model(path)
        try:
            model.setInput(model_input(photo, points, inside=yes, outside=no))
            result = np.squeeze(np.asarray(model.forward(), np.float32))
        except cv2.error as error:
            raise ServiceError(
                "InvalidRequest",
                f"GTSEG_AUTOSEGMENT_ONNX={path} does not take (1, 4, {SIZE}, {SIZE}): {error.err}",
            ) from None
    if result.ndim != 2:
        raise ServiceError(
            "InvalidRequest",
            f"GTSEG_AUTOSEGMENT_ONNX={path} must give one (s, s) map; it gives {result.shape}.",
        )
    if result.min() < 0 or result.max() > 1:
        result = np.asarray(1 / (1 + np.exp(-np.clip(result, -60, 60))), np.float32)
    probability = np.asarray(cv2.resize(result, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.float32)
    return settle(probability, window, image.shape[:2], extreme=points, inside=yes, outside=no)
