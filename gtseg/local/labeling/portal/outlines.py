"""The auto-segment call: a click, a box or four points -> rows of a mask, computed in a process of its own, so that nobody else waits for it.

The process keeps decoded pictures; a picture is sent to it once while people work on it. Whoever asks waits in order; a
process that dies or takes too long is started anew, and the question asked once more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.local.algorithm.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.children import Child, ChildDied
from gtseg.local.labeling.input_objects import MAX_IMAGE_BYTES
from gtseg.local.labeling.tasks import Task
from gtseg.local.storage.objects import Objects, split_uri

__all__ = ["Outliner", "decode_stored"]

MODULE = "gtseg.local.labeling.portal.outline_process"
SECONDS = 60.0  # for one question, the start of the process included
BAND_PIXELS = 1 << 20  # converted at once
WAITING, WAITING_OF_ONE = 200, 12  # questions at once, in all and of one worker; more are answered 503
MAX_CLICKS = 200  # on either side of one object: people need a handful


def decode_stored(body: bytes, *, make_room: Callable[[int], None] = lambda pixels: None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB in stored orientation: an EXIF tag is not acted on. Raises ServiceError InvalidRequest.

    `make_room` is told the number of pixels before they are decoded.
    """
    try:
        with open_picture(body) as image:
            width, height = image.size
            make_room(width * height)
            pixels = np.empty((height, width, 3), np.uint8)
            rows = max(1, BAND_PIXELS // max(1, width))
            for top in range(0, height, rows):
                band = image.crop((0, top, width, min(height, top + rows)))
                pixels[top : top + rows] = np.asarray(band if band.mode == "RGB" else band.convert("RGB"))
            return pixels
    except PictureError as error:
        raise ServiceError("InvalidRequest", f"The image cannot be decoded: it {error}.") from None


def check_places(places: Any, *, name: str) -> None:
    """Raise ServiceError InvalidRequest unless it is a list of at most MAX_CLICKS pairs of plain numbers."""
    if not isinstance(places, list) or not all(is_place(place) for place in places):
        raise ServiceError("InvalidRequest", f"{name} must be a list of [x, y] pairs in pixels.")
    if len(places) > MAX_CLICKS:
        raise ServiceError("InvalidRequest", f"{name} has {len(places)} places; {MAX_CLICKS} is the limit.")


def is_place(place: Any) -> bool:
    """Whether it is [x, y] in numbers that a float holds."""
    return (
        isinstance(place, list)
        and len(place) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e9 for v in place)
    )


class Outliner:
    """Asks the process, one question after the other; waiting holds no thread of those that serve requests."""

    def __init__(self, objects: Objects, models: Sequence[Path] = ()) -> None:
        """`models`: ONNX files that outline instead of our own network."""
        self.objects = objects
        self.child = Child(MODULE, [str(path) for path in models])
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="outlines")
        self.waiting: Counter[str] = Counter()
        """Questions by worker."""

    async def prepare(self, task: Task) -> dict[str, Any]:
        """Load the network and the image -> {"starts": [...]}: how a person may begin."""
        return {"starts": (await self._ask("prepare", task, {}))["starts"]}

    async def outline(self, task: Task, request: dict[str, Any]) -> dict[str, Any]:
        """{"points": [[x, y] x 4, 2 or 1], "inside": [...], "outside": [...]} -> {"rows": [[y, x0, x1, ...], ...], "reach": [l, t, r, b]}.

        x1 is excluded; beyond `reach` (null: nowhere) a click belongs to another object.
        """
        if not isinstance(request.get("points"), list):
            raise ServiceError(
                "InvalidRequest",
                'Send {"points": [[x, y], ...]}: one click, two corners or four extreme points.',
            )
        fields = {side: request.get(side) or [] for side in ("points", "inside", "outside")}
        for side, clicks in fields.items():
            check_places(clicks, name=side)
        answer = await self._ask("outline", task, fields)
        return {"rows": answer["rows"], "reach": answer["reach"]}

    async def scissors(self, task: Task, request: dict[str, Any]) -> dict[str, Any]:
        """{"from": [x, y], "to": [x, y]} -> {"path": [[x, y], ...]}. Raises ServiceError InvalidRequest."""
        if not isinstance(request.get("from"), list) or not isinstance(request.get("to"), list):
            raise ServiceError("InvalidRequest", 'Send {"from": [x, y], "to": [x, y]}.')
        check_places([request["from"], request["to"]], name="from and to")
        answer = await self._ask("scissors", task, {"start": request["from"], "end": request["to"]})
        return {"path": answer["path"]}

    async def examine(self) -> dict[str, Any]:
        """What outlines, and whether it does: loads the models and outlines a drawn disc. Raises ServiceError."""
        loop = asyncio.get_running_loop()
        answer: dict[str, Any] = await loop.run_in_executor(self.thread, self._examine)
        return answer

    def _examine(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self.child.ask({"do": "examine"}, seconds=SECONDS)
        except ChildDied as error:
            raise ServiceError("Unavailable", f"The outline models do not answer: {error}.", 503) from None
        return answer

    async def _ask(self, do: str, task: Task, fields: dict[str, Any]) -> dict[str, Any]:
        if self.waiting[task.worker] >= WAITING_OF_ONE or self.waiting.total() >= WAITING:
            raise ServiceError("SlowDown", "Too many outlines are being computed.", 503)
        self.waiting[task.worker] += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.thread, self._ask_child, do, task.uri, fields)
        finally:
            self.waiting[task.worker] -= 1
            if not self.waiting[task.worker]:
                del self.waiting[task.worker]

    def _ask_child(self, do: str, uri: str, fields: dict[str, Any]) -> dict[str, Any]:
        bucket, key = split_uri(uri)
        info = self.objects.head(bucket, key)
        if info is None:
            raise ServiceError("NotFound", f"The image {uri} is gone.", 404)
        if info.size > MAX_IMAGE_BYTES:
            raise ServiceError("InvalidRequest", f"The image has {info.size} bytes; {MAX_IMAGE_BYTES} is the limit.")
        question = {"do": do, "picture": f"{uri} {info.etag}", **fields}
        for attempt in (1, 2):
            try:
                answer: dict[str, Any] = self.child.ask(question, seconds=SECONDS)
                if not answer["has_picture"]:
                    content = self.objects.get(bucket, key)
                    answer = self.child.ask(question | {"content": content}, seconds=SECONDS)
                return answer
            except ChildDied as error:
                if attempt == 2 or error.timed_out:
                    raise ServiceError("Unavailable", f"No outline for this image: {error}.", 503) from None
        raise AssertionError("two attempts end in an answer or an error")

    def close(self) -> None:
        self.thread.shutdown(wait=False, cancel_futures=True)
        self.child.close()
