"""The start of an outline: four extreme points, a box, or one click on the object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment.crop import (
    MARGIN,
    Outline,
    Points,
    Window,
    box,
    heat,
    likelihood,
    quad,
    window_of,
)

NONE: Points = np.zeros((0, 2), np.float32)
CERTAINLY_INSIDE, CERTAINLY_OUTSIDE = 0.8, 0.3
"""Probabilities above and below which a pixel's color counts in `second_outline`."""
LEAST_PIXELS = 50
"""Fewer pixels on one side are not enough to measure colors."""
Kind = Literal["points", "box", "click", "mask"]


@dataclass(frozen=True)
class Start:
    """The start of an outline, as (N, 2) x, y in image pixels.

    `points` are four extreme points in any order, two opposite corners of a box or of a mask's box, or one click.
    """

    kind: Kind
    points: Points

    def window(self, size: int) -> Window:
        """Return the window of extreme points or a box; for a click, see `click_window`."""
        return window_of(self.points, size, margin=MARGIN)

    def within(self, window: Window) -> Start:
        """Return the same start in window pixels."""
        return Start(self.kind, window.inward(self.points))

    @property
    def extreme(self) -> Points:
        """Return the network's extreme points: the four points of a start with points, else none."""
        return self.points if self.kind == "points" else NONE

    @property
    def around(self) -> Points:
        """Return (4, 2) points on the sides of the object's box. Not defined for a click."""
        return self.points if self.kind == "points" else middles(self.points)

    def outline(self, photo: NDArray[np.uint8], mask: NDArray[np.float32] | None = None) -> Outline:
        """Return the planes for a window (S, S, 3) and this start in its pixels.

        `mask` (S, S) is the mask to correct, for a start of kind "mask".
        """
        size = photo.shape[0]
        if self.kind == "click":
            near = heat(self.points, size, sigma=size / 24) > 0.6
            far = np.ones((size, size), np.uint8)
            border = size // 12
            far[border:-border, border:-border] = 0
            nothing = np.zeros((size, size), np.float32)
            return Outline(likelihood(photo, near.astype(np.uint8), far), nothing, nothing)
        inner, outer = quad(self.around, size), box(self.around, size, slack=size / 60)
        place = 0.5 * inner.astype(np.float32) + 0.5 * outer.astype(np.float32)
        if self.kind == "mask":
            assert mask is not None
            inner, outer = erode_and_dilate(mask)
        colors = likelihood(photo, inner, 1 - outer)
        return Outline(colors, place, colors * inner if mask is None else mask)


def erode_and_dilate(mask: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return two (S, S) 0/1 masks: what is certainly inside the (S, S) mask, and what is not certainly outside."""
    plane = (mask > 0.5).astype(np.uint8)
    inner = np.asarray(cv2.erode(plane, np.ones((5, 5), np.uint8)), np.uint8)
    return inner if inner.any() else plane, np.asarray(cv2.dilate(plane, np.ones((15, 15), np.uint8)), np.uint8)


def second_outline(photo: NDArray[np.uint8], outline: Outline, around: Points, mask: NDArray[np.float32]) -> Outline:
    """Return the planes for a second look at a window (S, S, 3), from a first mask (S, S) in 0 to 1.

    The object's colors are measured in that mask: before, what lies between the parts of a lobed object counts as
    object. `around` are (4, 2) points on the sides of the object's box.
    """
    size = photo.shape[0]
    inner = (mask > CERTAINLY_INSIDE).astype(np.uint8)
    outer = (mask < CERTAINLY_OUTSIDE).astype(np.uint8) & box(around, size, slack=size / 32)
    if min(int(inner.sum()), int(outer.sum())) < LEAST_PIXELS:
        return replace(outline, guess=mask)
    return Outline(likelihood(photo, inner, outer), outline.place, mask)


def middles(corners: Points) -> Points:
    """Return the (4, 2) middles of the sides of a box, top, right, bottom, left, from two opposite corners."""
    (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([[x, y0], [x1, y], [x, y1], [x0, y]], np.float32)


def click_window(click: Points, side: float, size: int) -> Window:
    """Return a window of `side` image pixels around one click."""
    x, y = (float(v) for v in click[0] + 0.5)
    return Window(x - side / 2, y - side / 2, side, size)
