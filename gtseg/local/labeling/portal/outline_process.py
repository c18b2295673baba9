"""The process that computes outlines (outlines.py): the network, and the decoded pictures of the tasks that people work on now."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment import outlines, segment
from gtseg.local.labeling.autosegment.edges import follow_edge
from gtseg.local.labeling.autosegment.outline_models import choose_kind, models_of_environment
from gtseg.local.labeling.children import serve_questions
from gtseg.local.labeling.portal.outlines import decode_stored

KEPT_PIXELS = 120_000_000  # of decoded pictures: about 360 MB at most
MEMORY = 12 << 30  # bytes of address space: torch asks for much more than it uses
SECONDS = 120.0  # of processor time for one question
NICE = 5  # handing out tasks goes before

pictures: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()


def find_picture(question: dict[str, Any]) -> NDArray[np.uint8] | None:
    """The question's picture, decoded once and kept; None where its bytes are needed first."""
    name, content = question["picture"], question.get("content")
    if name in pictures:
        pictures.move_to_end(name)
    elif content is None:
        return None
    else:
        pictures[name] = decode_stored(content, make_room=forget)
    return pictures[name]


def forget(pixels: int) -> None:
    """Drop the pictures that nobody has asked for the longest, until there is room for so many pixels more."""
    while pictures and pixels + sum(i.shape[0] * i.shape[1] for i in pictures.values()) > KEPT_PIXELS:
        pictures.popitem(last=False)


def prepare(question: dict[str, Any]) -> dict[str, Any]:
    """Load the network, and compute what depends on the picture alone, before anybody waits for them."""
    image = find_picture(question)
    if image is None:
        return {"has_picture": False}
    outlines(models).see(image, question["picture"])
    return {"has_picture": True, "starts": starts()}


def starts() -> list[str]:
    """How a person may begin."""
    chosen = models and choose_kind(models)
    return ["box", "points"] if chosen and chosen.kind == "DEXTR" else ["click", "box", "points"]


def outline(question: dict[str, Any]) -> dict[str, Any]:
    image = find_picture(question)
    if image is None:
        return {"has_picture": False}
    clicks = {side: question[side] for side in ("inside", "outside")}
    found = segment(image, question["points"], **clicks, key=question["picture"], models=models)
    return {"has_picture": True, "rows": found.rows(), "reach": found.reach}


def scissors(question: dict[str, Any]) -> dict[str, Any]:
    image = find_picture(question)
    if image is None:
        return {"has_picture": False}
    path = follow_edge(image, question["start"], question["end"], key=question["picture"])
    return {"has_picture": True, "path": path.round(2).tolist()}


def examine(question: dict[str, Any]) -> dict[str, Any]:
    """Load the models and outline a drawn disc: what they are, and the seconds that a picture and a further click take."""
    picture = np.full((480, 640, 3), 60, np.uint8)
    ys, xs = np.mgrid[:480, :640]
    picture[(ys - 240) ** 2 + (xs - 320) ** 2 < 100**2] = (210, 160, 40)
    begun = time.perf_counter()
    outlines(models).see(picture, "examined")
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
    serve_questions({**answers}, memory=MEMORY, seconds=SECONDS, nice=NICE)
