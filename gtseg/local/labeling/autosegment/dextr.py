"""DEXTR-type models as one ONNX file: from a window and its points to the object's probability.

The model is run by ONNX Runtime if that is installed (`gtseg[onnx]`, all operators), otherwise by OpenCV's importer
(most operators). It has one input and one output:

    input    (1, 4, S, S) float32: the window around the object as RGB in 0..255, then a plane in 0..255 with a Gaussian
             (sigma S / 51) at each extreme point and click inside, and a negative one at each click outside; S = 512.
             This is DEXTR's input (Maninis et al., "Deep Extreme Cut", 2018).
    output   (1, 1, s, s) or (1, s, s) float32, any s: the object's probability, or a logit (detected by values outside
             0..1).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment import crop
from gtseg.local.labeling.autosegment.crop import Points
from gtseg.local.labeling.autosegment.mask_crop import SegmentedObject, extract_mask
from gtseg.local.labeling.autosegment.onnx_session import has_onnxruntime, open_session
from gtseg.local.labeling.autosegment.outline_models import Choice
from gtseg.local.labeling.autosegment.prompts import Start

SIZE = 512
Planes = NDArray[np.float32]
"""(1, 4, 512, 512)"""
Model = Callable[[Planes], NDArray[np.float32]]


def open_with_onnxruntime(path: Path, name: str) -> Model:
    """Return the model as a function, run by ONNX Runtime. Raises ServiceError InvalidRequest."""
    run = open_session(path)
    return lambda planes: np.asarray(next(iter(run({name: planes}).values())), np.float32)


def open_with_opencv(path: Path) -> Model:
    """Return the model as a function, run by OpenCV. Loading and each run raise ServiceError InvalidRequest."""
    try:
        net = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise ServiceError("InvalidRequest", f"The outline model {path} cannot be loaded: {error}") from None

    def run(planes: Planes) -> NDArray[np.float32]:
        try:
            net.setInput(planes)
            return np.asarray(net.forward(), np.float32)
        except cv2.error as error:
            raise ServiceError("InvalidRequest", f"The outline model {path} failed: {error}") from None

    return run


class Dextr:
    """A DEXTR-type model. Thread-safe."""

    def __init__(self, choice: Choice) -> None:
        self.path = choice.encoder
        (name,) = choice.graphs[0].inputs
        self.model = open_with_onnxruntime(self.path, name) if has_onnxruntime() else open_with_opencv(self.path)
        self._lock = threading.Lock()  # cv2.dnn.Net is not thread-safe

    def segment(
        self, image: NDArray[np.uint8], start: Start, *, inside: Points, outside: Points, key: object = None
    ) -> SegmentedObject:
        """Segment the object of four extreme points, or of a box, for which the middles of its sides are used.

        Raises ServiceError InvalidRequest for a click, or if the model fails.
        """
        if start.kind == "click":
            raise ServiceError(
                "InvalidRequest",
                f"The outline model {self.path} requires four extreme points or a box, not one click.",
            )
        window = crop.window_of(start.around, SIZE)
        photo = crop.cut(image, window)
        points, yes, no = window.inward(start.around), window.inward(inside), window.inward(outside)
        with self._lock:
            result = np.squeeze(self.model(model_input(photo, points, inside=yes, outside=no)))
        if result.ndim != 2:
            raise ServiceError(
                "InvalidRequest",
                f"The outline model {self.path} must return one (s, s) map; it returned {result.shape}.",
            )
        if result.min() < 0 or result.max() > 1:
            result = np.asarray(1 / (1 + np.exp(-np.clip(result, -60, 60))), np.float32)
        probability = np.asarray(cv2.resize(result, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.float32)
        return extract_mask(probability, window, image.shape[:2], limits=points, inside=yes)

    def prepare(self, image: NDArray[np.uint8], key: object) -> None:
        """Do nothing: DEXTR has no features that depend on the image alone."""


def model_input(photo: NDArray[np.uint8], extreme: Points, *, inside: Points, outside: Points) -> NDArray[np.float32]:
    """Return the model's (1, 4, S, S) float32 input for a window and window points."""
    size = photo.shape[0]
    bumps = crop.heat(np.concatenate([extreme, inside]), size, sigma=size / 51) - crop.heat(
        outside, size, sigma=size / 51
    )
    return np.concatenate([photo.transpose(2, 0, 1).astype(np.float32), 255 * bumps[None]])[None]
