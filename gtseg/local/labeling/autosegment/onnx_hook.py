"""A user's own ONNX model for auto-segment: `GTSEG_AUTOSEGMENT_ONNX=/path/to/model.onnx`.

The model is run by ONNX Runtime where that is installed (`gtseg[onnx]`: every operator), otherwise by OpenCV's own reader
(nothing to install: most operators). It takes one input and gives one output:

    input    (1, 4, S, S) float32: the window around the object as RGB in 0..255, then a plane in 0..255 with a Gaussian bump (sigma
             S / 51) on each extreme point and each click inside (a click outside: a negative bump); S = 512. That is DEXTR's input (Maninis et al., "Deep Extreme Cut", 2018).
    output   (1, 1, s, s) or (1, s, s) float32: the object's probability, or a logit (any value outside 0..1 tells), any s.

A click model such as SAM is wrapped into that signature when it is exported; the four points are its positive clicks."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment import crop
from gtseg.local.labeling.autosegment.crop import Points
from gtseg.local.labeling.autosegment.found import Found, settle

__all__ = ["find_with_onnx"]

SIZE = 512
Planes = NDArray[np.float32]  # (1, 4, 512, 512)
Model = Callable[[Planes], NDArray[np.float32]]
_lock = threading.Lock()  # cv2.dnn.Net is not safe to run from two threads


def open_with_onnxruntime(path: Path) -> Model:
    """Raises ImportError where ONNX Runtime is not installed."""
    session = importlib.import_module("onnxruntime").InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda planes: np.asarray(session.run(None, {name: planes})[0], np.float32)


def open_with_opencv(path: Path) -> Model:
    net = cv2.dnn.readNetFromONNX(str(path))

    def run(planes: Planes) -> NDArray[np.float32]:
        net.setInput(planes)
        return np.asarray(net.forward(), np.float32)

    return run


@lru_cache(maxsize=1)
def read_model(path: Path) -> Model:
    try:
        return open_with_onnxruntime(path)
    except ImportError:
        return open_with_opencv(path)


def model_input(
    photo: NDArray[np.uint8], extreme: Points, *, inside: Points, outside: Points
) -> NDArray[np.float32]:
    size = photo.shape[0]
    bumps = crop.heat(np.concatenate([extreme, inside]), size, sigma=size / 51) - crop.heat(
        outside, size, sigma=size / 51
    )
    return np.concatenate([photo.transpose(2, 0, 1).astype(np.float32), 255 * bumps[None]])[None]


def answer_of(path: Path, planes: Planes) -> NDArray[np.float32]:
    """Both engines raise classes of their own for a file or a shape that they cannot take: their words are passed on."""
    with _lock:
        try:
            model = read_model(path)
        except Exception as error:
            raise ServiceError(
                "InvalidRequest", f"GTSEG_AUTOSEGMENT_ONNX={path} cannot be read: {error}"
            ) from None
        try:
            return model(planes)
        except Exception as error:
            raise ServiceError(
                "InvalidRequest",
                f"GTSEG_AUTOSEGMENT_ONNX={path} does not take (1, 4, {SIZE}, {SIZE}): {error}",
            ) from None


def find_with_onnx(
    path: Path, image: NDArray[np.uint8], extreme: Points, *, inside: Points, outside: Points
) -> Found:
    """(H, W, 3) RGB + (4, 2) points -> the object, by the user's model. Raises ServiceError InvalidRequest if it does not fit."""
    if len(extreme) != 4:
        raise ServiceError("InvalidRequest", f"GTSEG_AUTOSEGMENT_ONNX={path} takes four extreme points.")
    window = crop.window_of(extreme, SIZE)
    photo = crop.cut(image, window)
    points, yes, no = window.inward(extreme), window.inward(inside), window.inward(outside)
    result = np.squeeze(answer_of(path, model_input(photo, points, inside=yes, outside=no)))
    if result.ndim != 2:
        raise ServiceError(
            "InvalidRequest",
            f"GTSEG_AUTOSEGMENT_ONNX={path} must give one (s, s) map; it gives {result.shape}.",
        )
    if result.min() < 0 or result.max() > 1:
        result = np.asarray(1 / (1 + np.exp(-np.clip(result, -60, 60))), np.float32)
    probability = np.asarray(cv2.resize(result, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.float32)
    return settle(probability, window, image.shape[:2], limits=points, inside=yes)
