"""The child process that computes outlines for `outlines.py`; keeps the network and decoded images in memory."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment import correct, open_model, segment
from gtseg.local.labeling.autosegment.edges import follow_edge
from gtseg.local.labeling.autosegment.outline_models import choose_kind, models_of_environment
from gtseg.local.labeling.child_process import serve_requests
from gtseg.local.labeling.portal.outlines import decode_stored

KEPT_PIXELS = 120_000_000
"""Limit on the decoded images kept, about 360 MB."""
MEMORY = 12 << 30
"""Address space in bytes; torch reserves much more than it uses."""
SECONDS = 120.0
"""Processor time per request."""
NICE = 5
"""Lower priority than the server that hands out tasks."""

pictures: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()


def find_picture(request: dict[str, Any]) -> NDArray[np.uint8] | None:
    """Return the request's image, decoded once and kept; None if its content must be sent first."""
    name, content = request["picture"], request.get("content")
    if name in pictures:
        pictures.move_to_end(name)
    elif content is None:
        return None
    else:
        pictures[name] = decode_stored(content, make_room=drop_oldest)
    return pictures[name]


def drop_oldest(pixels: int) -> None:
    """Drop the least recently used images until an image of `pixels` pixels fits."""
    while pictures and pixels + sum(i.shape[0] * i.shape[1] for i in pictures.values()) > KEPT_PIXELS:
        pictures.popitem(last=False)


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Load the network and compute the features of the image, before the worker's first click."""
    image = find_picture(request)
    if image is None:
        return {"has_picture": False}
    open_model(models).prepare(image, request["picture"])
    return {"has_picture": True, "starts": starts()}


def starts() -> list[str]:
    """Return the ways to start an outline that the models support."""
    chosen = models and choose_kind(models)
    return ["box", "points"] if chosen and chosen.kind == "DEXTR" else ["click", "box", "points"]


def outline(request: dict[str, Any]) -> dict[str, Any]:
    """Segment an object from the request's points and clicks."""
    image = find_picture(request)
    if image is None:
        return {"has_picture": False}
    clicks = {side: request[side] for side in ("inside", "outside")}
    if request.get("present") is not None:
        mask = fill_rows(request["present"], (image.shape[0], image.shape[1]))
        found = correct(image, mask, **clicks, key=request["picture"], models=models)
    else:
        found = segment(image, request["points"], **clicks, key=request["picture"], models=models)
    return {"has_picture": True, "rows": found.rows(), "reach": found.reach}


def fill_rows(rows: list[list[int]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (H, W) bool mask of rows [y, x0, x1, x0, x1, ...]; x1 is exclusive."""
    mask = np.zeros(shape, bool)
    for y, *ends in rows:
        for start, end in zip(ends[::2], ends[1::2], strict=True):
            mask[y, start:end] = True
    return mask


def scissors(request: dict[str, Any]) -> dict[str, Any]:
    """Return the path between two points that follows the edges of the image."""
    image = find_picture(request)
    if image is None:
        return {"has_picture": False}
    path = follow_edge(image, request["start"], request["end"], key=request["picture"])
    return {"has_picture": True, "path": path.round(2).tolist()}


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """Load the models and segment a synthetic disc; return their kind and the seconds per image and per click."""
    picture = np.full((480, 640, 3), 60, np.uint8)
    ys, xs = np.mgrid[:480, :640]
    picture[(ys - 240) ** 2 + (xs - 320) ** 2 < 100**2] = (210, 160, 40)
    begun = time.perf_counter()
    open_model(models).prepare(picture, "examined")
    box = [[220, 140], [420, 340]]
    segment(picture, box, key="examined", models=models)
    seen = time.perf_counter()
    segment(picture, box, inside=[[320, 240]], key="examined", models=models)
    kind = choose_kind(models).kind if models else "gtseg's own network"
    seconds = {"picture_seconds": seen - begun, "click_seconds": time.perf_counter() - seen}
    return {"kind": kind, "files": [str(path) for path in models], "starts": starts(), **seconds}


models: tuple[Path, ...] = ()

if __name__ == "__main__":
    models = tuple(Path(name) for name in sys.argv[1:]) or models_of_environment()
    answers = {"prepare": prepare, "outline": outline, "scissors": scissors, "examine": examine}
    serve_requests({**answers}, memory=MEMORY, seconds=SECONDS, nice=NICE)
