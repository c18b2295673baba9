"""GrabCut seeded by extreme points: what can be had with no weights at all, and the second opinion on what the network has not learned.

Source: Rother, Kolmogorov, Blake, "GrabCut" (2004), as cv2.grabCut."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment.crop import Points, box, quad

SIZE = 256  # pixels of the window that GrabCut alone works on
ROUNDS = 3


def cut_out(photo: NDArray[np.uint8], marks: NDArray[np.uint8], *, rounds: int) -> NDArray[np.uint8]:
    """(S, S, 3) photo + (S, S) marks of cv2.GC_* -> (S, S) 0/1."""
    back, front = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its colour models start from random clusters: the same question gets the same answer
    try:
        cv2.grabCut(
            np.ascontiguousarray(photo), marks, (0, 0, 1, 1), back, front, rounds, cv2.GC_INIT_WITH_MASK
        )
    except cv2.error:  # one of the two sides is empty, or of one colour
        return (marks & 1).astype(np.uint8)
    return (marks & 1).astype(np.uint8)  # GC_FGD is 1, GC_PR_FGD 3


def mark_clicks(marks: NDArray[np.uint8], points: Points, kind: int) -> None:
    radius = max(1, marks.shape[0] // 60)
    for x, y in points:
        cv2.circle(marks, (round(float(x)), round(float(y))), radius, kind, -1)


def seed(extreme: Points, size: int) -> NDArray[np.uint8]:
    """Marks from four window points: outside their box is background; the heart of their quadrilateral is object."""
    marks = np.full((size, size), cv2.GC_BGD, np.uint8)
    inner = quad(extreme, size)
    marks[box(extreme, size, slack=size / 80) > 0] = cv2.GC_PR_BGD
    marks[inner > 0] = cv2.GC_PR_FGD
    heart = cv2.erode(inner, np.ones((3, 3), np.uint8), iterations=size // 10)
    marks[heart > 0] = cv2.GC_FGD
    mark_clicks(marks, extreme + (extreme.mean(0) - extreme) * 0.03, cv2.GC_FGD)
    return marks


def segment_without_weights(
    photo: NDArray[np.uint8], extreme: Points, *, inside: Points, outside: Points
) -> NDArray[np.uint8]:
    """(S, S, 3) window + window points -> (S, S) 0/1 mask."""
    marks = seed(extreme, photo.shape[0])
    mark_clicks(marks, inside, cv2.GC_FGD)
    mark_clicks(marks, outside, cv2.GC_BGD)
    return cut_out(photo, marks, rounds=ROUNDS)


def refine(
    photo: NDArray[np.uint8],
    probability: NDArray[np.float32],
    *,
    inside: Points,
    outside: Points,
    band: float = 0.15,
    rounds: int = 2,
) -> NDArray[np.uint8]:
    """Let the photograph's own edges settle what the network leaves open: only pixels between `band` and 1 - `band` may change sides."""
    marks = np.where(probability > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[probability > 1 - band] = cv2.GC_FGD
    marks[probability < band] = cv2.GC_BGD
    mark_clicks(marks, inside, cv2.GC_FGD)
    mark_clicks(marks, outside, cv2.GC_BGD)
    return cut_out(photo, marks, rounds=rounds)
