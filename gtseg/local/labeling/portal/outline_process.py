"""The process that computes outlines (outlines.py): the network, and the decoded pictures of the tasks that people work on now."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment import segment, shared_finder
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
    """Load the network and the picture, before anybody waits for them."""
    if not os.environ.get("GTSEG_AUTOSEGMENT_ONNX"):
        shared_finder()
    return {"has_picture": find_picture(question) is not None}


def outline(question: dict[str, Any]) -> dict[str, Any]:
    image = find_picture(question)
    if image is None:
        return {"has_picture": False}
    clicks = {side: question[side] for side in ("inside", "outside")}
    return {
        "has_picture": True,
        "rows": segment(image, question["points"], **clicks, key=question["picture"]).rows(),
    }


if __name__ == "__main__":
    serve_questions({"prepare": prepare, "outline": outline}, memory=MEMORY, seconds=SECONDS, nice=NICE)
