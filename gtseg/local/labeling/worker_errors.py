"""Errors of simulated workers, modeled on human ones: inexact borders, missed objects, wrong classes.

`error` is the expected fraction of the marked area that is wrong: OBJECT_SHARE of it by whole objects (connected
regions of one class: missed, or given another class if the job has several), the rest at borders. Border errors follow
smooth noise; exactly as many pixels change as the error requires, those nearest the border first.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np

OBJECT_SHARE = 0.3
WRONG_CLASS_SHARE = 0.5
"""Share of wrong-class objects among the wrong ones, if the job has several classes."""
REACH = 8
"""Limit on the shift of a border, as a multiple of the mean shift."""
WOBBLES = 6
"""Bends of a border along an object's longer side."""


def draw_generator(*parts: object) -> np.random.Generator:
    """Return a random generator that depends only on these values, such as seed, worker and object."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def add_errors(mask: np.ndarray, error: float, *, labels: int, random: np.random.Generator) -> np.ndarray:
    """Add a worker's errors to (H, W) uint8 class indices (0 background, 1 to `labels`). Error 0 changes nothing."""
    if error <= 0 or not mask.any():
        return mask.copy()
    answer = np.zeros_like(mask)
    for label in np.unique(mask[mask > 0]):
        count, regions, boxes, _ = cv2.connectedComponentsWithStats((mask == label).astype(np.uint8), connectivity=8)
        for number in range(1, count):
            given = choose_class(int(label), error * OBJECT_SHARE, labels=labels, random=random)
            draw_object(answer, mask, (regions, number, boxes[number]), given, error * (1 - OBJECT_SHARE), random)
    return answer


def choose_class(label: int, error: float, *, labels: int, random: np.random.Generator) -> int:
    """Return the class that the worker gives an object: usually its own, sometimes another, sometimes none (0)."""
    chance, kind, other = random.random(3)
    if chance >= error:
        return label
    if labels < 2 or kind >= WRONG_CLASS_SHARE:
        return 0
    return 1 + (label + int(other * (labels - 1))) % labels


def draw_object(
    answer: np.ndarray,
    mask: np.ndarray,
    region: tuple[np.ndarray, int, np.ndarray],
    given: int,
    error: float,
    random: np.random.Generator,
) -> None:
    """Draw one object of the true mask onto the answer, with border errors."""
    regions, number, (left, top, width, height, area) = region
    margin = 4 + int(0.5 * error * max(width, height))
    rows = slice(max(0, top - margin), top + height + margin)
    columns = slice(max(0, left - margin), left + width + margin)
    inside = regions[rows, columns] == number
    wobble = draw_wobble(inside.shape, random)
    if given == 0:
        return
    flip = choose_flips(inside, mask[rows, columns] == 0, round(error * int(area)), wobble)
    answer[rows, columns][inside ^ flip] = given


def draw_wobble(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Return (h, w) float32 smooth noise with about WOBBLES bends along the longer side."""
    height, width = shape
    step = max(2.0, max(height, width) / WOBBLES)
    coarse = random.standard_normal((2 + int(height / step), 2 + int(width / step))).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def choose_flips(inside: np.ndarray, background: np.ndarray, count: int, wobble: np.ndarray) -> np.ndarray:
    """Return an (h, w) bool mask of the `count` pixels that a border moved by `wobble` flips first.

    A pixel at distance d from the border flips when the amplitude exceeds d / |wobble| and the border moves its way;
    pixels outside flip only where the truth is background.
    """
    flip = np.zeros(inside.shape, bool)
    if count <= 0:
        return flip
    depth = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 3)
    distance = depth + cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, 3)  # one of the two terms is 0
    border = max(1, int(np.count_nonzero((depth > 0) & (depth < 1.5))))
    near = distance < REACH * (2 + count / border)  # pixels farther away are never among the first
    movable = near & np.where(inside, wobble < 0, (wobble > 0) & background)
    amplitude = distance[movable] / (np.abs(wobble[movable]) + 1e-6)
    if len(amplitude) > count:
        movable[movable] = amplitude <= np.partition(amplitude, count - 1)[count - 1]
    return movable
