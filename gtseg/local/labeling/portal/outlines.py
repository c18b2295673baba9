"""The auto-segment call: a task's image, decoded once and kept while somebody works on it, and four points -> rows of a mask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.local.algorithm.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment import segment
from gtseg.local.labeling.tasks import Task
from gtseg.local.storage.objects import Objects, split_uri

__all__ = ["Outliner", "decode_stored"]

KEPT_PIXELS = 120_000_000  # of decoded images: about 360 MB at most


def decode_stored(body: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) RGB in stored orientation: an EXIF tag is not acted on. Raises ServiceError InvalidRequest."""
    try:
        with open_picture(body) as image:
            return np.asarray(image.convert("RGB"))
    except PictureError as error:
        raise ServiceError("InvalidRequest", f"The image cannot be decoded: it {error}.") from None


class Outliner:
    """Answers auto-segment calls; keeps the decoded images of the last tasks."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.images: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self.lock = threading.Lock()

    def read(self, uri: str) -> NDArray[np.uint8]:
        with self.lock:
            if uri in self.images:
                self.images.move_to_end(uri)
                return self.images[uri]
        image = decode_stored(self.objects.get(*split_uri(uri)))
        with self.lock:
            self.images[uri] = image
            while (
                len(self.images) > 1
                and sum(i.shape[0] * i.shape[1] for i in self.images.values()) > KEPT_PIXELS
            ):
                self.images.popitem(last=False)
        return image

    def prepare(self, task: Task) -> None:
        """Load the network, run it once, decode the image."""
        image = self.read(task.uri)
        height, width = image.shape[:2]
        segment(image, [[width / 2, 0], [width - 1, height / 2], [width / 2, height - 1], [0, height / 2]])

    def outline(self, task: Task, request: Any) -> dict[str, Any]:
        """{"points": [[x, y] x 4], "inside": [...], "outside": [...]} -> {"rows": [[y, x0, x1, ...], ...]}, x1 excluded."""
        if not isinstance(request, dict) or not isinstance(request.get("points"), list):
            raise ServiceError("InvalidRequest", 'Send {"points": [[x, y], [x, y], [x, y], [x, y]]}.')
        clicks = {side: request.get(side) or [] for side in ("inside", "outside")}
        return {"rows": segment(self.read(task.uri), request["points"], **clicks).rows()}
