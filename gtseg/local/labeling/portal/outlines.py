"""The auto-segment call: from a click, a box or four extreme points to the rows of a mask, computed in a child process.

The child process keeps decoded images, so each image is sent to it once. Requests are handled in order. If the
process dies, it is restarted and the request is sent once more; if it times out, it fails.
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

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.child_process import ChildProcess, ChildProcessDied
from gtseg.local.labeling.input_objects import MAX_IMAGE_BYTES
from gtseg.local.labeling.tasks import Task
from gtseg.local.storage.objects import Objects, split_uri

MODULE = "gtseg.local.labeling.portal.outline_process"
SECONDS = 60.0
"""Time limit of one request, including the start of the process."""
BAND_PIXELS = 1 << 20
"""Pixels converted at a time."""
MAX_QUEUED = 200
"""Limit on outline requests waiting at a time, of all workers; further ones are answered 503."""
MAX_QUEUED_PER_WORKER = 12
MAX_CLICKS = 200
"""Limit on clicks inside, and on clicks outside, of one object; a handful is typical."""


def decode_stored(body: bytes, *, make_room: Callable[[int], None] = lambda pixels: None) -> NDArray[np.uint8]:
    """Decode an image to (H, W, 3) uint8 RGB in stored orientation; the EXIF orientation is not applied.

    `make_room` is called with the number of pixels before they are decoded. Raises ServiceError InvalidRequest.
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


def check_points(places: Any, *, name: str) -> None:
    """Raise ServiceError InvalidRequest unless `places` is a list of at most MAX_CLICKS pairs of finite numbers."""
    if not isinstance(places, list) or not all(is_point(place) for place in places):
        raise ServiceError("InvalidRequest", f"{name} must be a list of [x, y] pairs in pixels.")
    if len(places) > MAX_CLICKS:
        raise ServiceError("InvalidRequest", f"{name} has {len(places)} points; the limit is {MAX_CLICKS}.")


def is_point(place: Any) -> bool:
    """Return whether the value is [x, y], two numbers smaller than 1e9."""
    return (
        isinstance(place, list)
        and len(place) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e9 for v in place)
    )


class OutlineClient:
    """Client of the outline process. Requests are sent one at a time; waiting does not occupy a request thread."""

    def __init__(self, objects: Objects, models: Sequence[Path] = ()) -> None:
        """`models` are ONNX files used instead of gtseg's own network."""
        self.objects = objects
        self.child = ChildProcess(MODULE, [str(path) for path in models])
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="outlines")
        self.waiting: Counter[str] = Counter()
        """Number of waiting requests by worker."""

    async def prepare(self, task: Task) -> dict[str, Any]:
        """Load the network and the image. Return {"starts": [...]}, the supported ways to start an outline."""
        return {"starts": (await self._request("prepare", task, {}))["starts"]}

    async def outline(
        self, task: Task, request: dict[str, Any], *, suggested: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Segment an object. Raises ServiceError InvalidRequest.

        Request: {"points": [[x, y] x 4, 2 or 1], "inside": [[x, y], ...], "outside": [[x, y], ...]}
                 {"suggested": n, "inside": ..., "outside": ...}: correct the n-th of the `suggested` objects (from 0)
        Result:  {"rows": [[y, x0, x1, ...], ...], "reach": [left, top, right, bottom] or null}

        x1 is exclusive. A click beyond `reach` belongs to another object; null means no limit.
        """
        number, present = request.get("suggested"), None
        if suggested is not None:
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(suggested):
                raise ServiceError("InvalidRequest", f"suggested must be a number from 0 to {len(suggested) - 1}.")
            present = suggested[number]["rows"]
        elif not isinstance(request.get("points"), list):
            raise ServiceError(
                "InvalidRequest",
                'Send {"points": [[x, y], ...]}: one click, two corners or four extreme points.',
            )
        fields = {side: request.get(side) or [] for side in ("points", "inside", "outside")}
        for side, clicks in fields.items():
            check_points(clicks, name=side)
        answer = await self._request("outline", task, {**fields, "present": present})
        return {"rows": answer["rows"], "reach": answer["reach"]}

    async def scissors(self, task: Task, request: dict[str, Any]) -> dict[str, Any]:
        """Return {"path": [[x, y], ...]} for {"from": [x, y], "to": [x, y]}. Raises ServiceError InvalidRequest."""
        if not isinstance(request.get("from"), list) or not isinstance(request.get("to"), list):
            raise ServiceError("InvalidRequest", 'Send {"from": [x, y], "to": [x, y]}.')
        check_points([request["from"], request["to"]], name="from and to")
        answer = await self._request("scissors", task, {"start": request["from"], "end": request["to"]})
        return {"path": answer["path"]}

    async def examine(self) -> dict[str, Any]:
        """Load the models, segment a synthetic disc, and return what was measured. Raises ServiceError."""
        loop = asyncio.get_running_loop()
        answer: dict[str, Any] = await loop.run_in_executor(self.thread, self._examine)
        return answer

    def _examine(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self.child.request({"do": "examine"}, seconds=SECONDS)
        except ChildProcessDied as error:
            raise ServiceError("Unavailable", f"The outline process does not answer: {error}.", 503) from None
        return answer

    async def _request(self, do: str, task: Task, fields: dict[str, Any]) -> dict[str, Any]:
        if self.waiting[task.worker] >= MAX_QUEUED_PER_WORKER or self.waiting.total() >= MAX_QUEUED:
            raise ServiceError("SlowDown", "Too many outlines are being computed. Try again in a few seconds.", 503)
        self.waiting[task.worker] += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.thread, self._request_child, do, task.uri, fields)
        finally:
            self.waiting[task.worker] -= 1
            if not self.waiting[task.worker]:
                del self.waiting[task.worker]

    def _request_child(self, do: str, uri: str, fields: dict[str, Any]) -> dict[str, Any]:
        bucket, key = split_uri(uri)
        info = self.objects.head(bucket, key)
        if info is None:
            raise ServiceError("NotFound", f"The image {uri} does not exist.", 404)
        if info.size > MAX_IMAGE_BYTES:
            raise ServiceError("InvalidRequest", f"The image has {info.size} bytes; the limit is {MAX_IMAGE_BYTES}.")
        message = {"do": do, "picture": f"{uri} {info.etag}", **fields}
        for attempt in (1, 2):
            try:
                answer: dict[str, Any] = self.child.request(message, seconds=SECONDS)
                if not answer["has_picture"]:
                    content = self.objects.get(bucket, key)
                    answer = self.child.request(message | {"content": content}, seconds=SECONDS)
                return answer
            except ChildProcessDied as error:
                if attempt == 2 or error.timed_out:
                    raise ServiceError(
                        "Unavailable", f"The outline of this image was not computed: {error}.", 503
                    ) from None
        raise AssertionError("two attempts end in an answer or an error")

    def close(self) -> None:
        self.thread.shutdown(wait=False, cancel_futures=True)
        self.child.close()
