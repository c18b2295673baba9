"""A robot that labels photographs on the portal's page by pointer and keyboard until IoU 0.9, and counts what it does.

It begins an object with a box (two actions: press and release), then clicks in the middle of the largest error (one
action each) until that object reaches the target, a click changes nothing, or CLICKS are used; the next box accepts it.
A label's key and the last Enter are an action each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
TARGET = 0.9
CLICKS = 6
GIVE_UP = 100
ANSWERED = "() => !document.querySelector('crowd-semantic-segmentation').tools.auto.pending.size"
READ = "() => document.querySelector('crowd-semantic-segmentation').map.data.join('')"


@dataclass(frozen=True)
class Scene:
    """A picture (H, W, 3), and its objects: a label from 1, and a mask (H, W)."""

    name: str
    picture: NDArray[np.uint8]
    objects: list[tuple[int, Mask]]

    @property
    def truth(self) -> NDArray[np.uint8]:
        whole = np.zeros(self.picture.shape[:2], np.uint8)
        for label, mask in self.objects:
            whole[mask] = label
        return whole


def agreement(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """IoU over everything that is labeled: pixels with the right label, of those that either labels."""
    return float(((found == truth) & (truth > 0)).sum() / max(1, ((found > 0) | (truth > 0)).sum()))


def iou(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


def deepest(wrong: Mask) -> tuple[int, int, float]:
    """x, y of the middle of the largest part, and how far it is from right pixels."""
    depth = cv2.distanceTransform(np.pad(wrong, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), wrong.shape)
    return int(x), int(y), float(depth.max())


class Robot:
    """Labels one scene on an open page; `pointer` turns image pixels into pointer events."""

    def __init__(self, page: Any, pointer: Any, scene: Scene) -> None:
        self.page, self.pointer, self.scene, self.actions = page, pointer, scene, 0
        self.truth, self.label = scene.truth, 1

    def drawn(self) -> NDArray[np.uint8]:
        self.page.wait_for_function(ANSWERED)
        text = self.page.evaluate(READ)
        return (np.frombuffer(text.encode(), np.uint8) - ord("0")).reshape(self.truth.shape)

    def work(self) -> tuple[int, float]:
        """-> (actions, agreement)."""
        self.page.keyboard.press("a")
        found, left = self.drawn(), list(self.scene.objects)
        while left and agreement(found, self.truth) < TARGET and self.actions < GIVE_UP:
            left.sort(key=lambda one: int((one[1] & (found != one[0])).sum()), reverse=True)
            label, mask = left.pop(0)
            if (mask & (found != label)).sum() > 0.15 * mask.sum():
                found = self.outline(label, mask, found)
        found = self.mend(found)
        self.act(lambda: self.page.keyboard.press("Enter"))
        return self.actions, agreement(self.drawn(), self.truth)

    def mend(self, found: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Correct what is wrong after every object was outlined: a click adds what is missing, a right one removes."""
        tried = np.zeros(self.truth.shape, bool)
        while (score := agreement(found, self.truth)) < TARGET and self.actions < GIVE_UP:
            self.act(lambda: self.page.keyboard.press("Enter"))
            x, y, much = deepest((found > 0) & (found != self.truth) & ~tried)
            u, v, little = deepest((self.truth > 0) & (found != self.truth) & ~tried)
            if max(much, little) < 2:
                break
            x, y, button = (u, v, "left") if little > much else (x, y, "right")
            if button == "left" and self.truth[y, x] != self.label:
                self.label = int(self.truth[y, x])
                self.act(lambda: self.page.keyboard.press(str(self.label)))
            self.act(
                lambda x=x, y=y, button=button: self.page.mouse.click(*self.pointer.at(x + 0.5, y + 0.5), button=button)
            )
            tried[max(0, y - 8) : y + 9, max(0, x - 8) : x + 9] = True
            before, found = found, self.drawn()
            if agreement(found, self.truth) <= score:
                self.act(lambda: self.page.keyboard.press("Escape"))
                found = before
        return found

    def act(self, do: Any, count: int = 1) -> None:
        do()
        self.actions += count

    def outline(self, label: int, mask: Mask, before: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if label != self.label:
            self.act(lambda: self.page.keyboard.press(str(label)))
            self.label = label
        ys, xs = np.nonzero(mask)
        low, high = (float(xs.min()), float(ys.min())), (float(xs.max()) + 0.9, float(ys.max()) + 0.9)
        self.act(lambda: self.pointer.drag(low, high), 2)
        found, dots = self.drawn(), [low, high]
        for _ in range(CLICKS):
            mine = (found == label) & ((before != label) | mask)
            score = iou(mine, mask)
            if score >= TARGET or agreement(found, self.truth) >= TARGET or self.actions >= GIVE_UP:
                break
            x, y, much = deepest((found == label) & (before != label) & (self.truth != label))
            u, v, little = deepest(mask & (found != label))
            if little > much:
                x, y = u, v
            if max(much, little) < 2 or any(math.dist((x, y), dot) < self.near for dot in dots):
                break
            button = "left" if little > much else "right"
            self.act(
                lambda x=x, y=y, button=button: self.page.mouse.click(*self.pointer.at(x + 0.5, y + 0.5), button=button)
            )
            dots.append((x, y))
            found = self.drawn()
            if abs(iou((found == label) & ((before != label) | mask), mask) - score) < 0.003:
                break
        return found

    @property
    def near(self) -> float:
        """Image pixels within which a click would be taken for one on a dot."""
        zoom = self.page.evaluate("() => document.querySelector('crowd-semantic-segmentation').view.zoom")
        return 10 / float(zoom)


# ---- scenes ----------------------------------------------------------------------------------------------------------


def photographs(folder: Path, names: Sequence[str]) -> Iterator[Scene]:
    """Photographs with an outline per object (polygons/NAME.txt: class x y x y ..., 0..1)."""
    for name in names:
        picture = cv2.imread(str(next((folder / "images").glob(f"{name}.*"))))[..., ::-1]
        height, width = picture.shape[:2]
        objects = []
        for line in (folder / "polygons" / f"{name}.txt").read_text().splitlines():
            points = np.array(line.split()[1:], float).reshape(-1, 2) * (width, height)
            mask = np.zeros((height, width), np.uint8)
            if len(points) > 2:
                cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
                objects.append((1, mask > 0))
        yield Scene(name, np.ascontiguousarray(picture), objects)


def noise(rng: np.random.Generator, shape: tuple[int, int], grain: int) -> NDArray[np.float64]:
    small = rng.normal(0, 1, (shape[0] // grain + 2, shape[1] // grain + 2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float64)


def textured(rng: np.random.Generator, color: Sequence[float], shape: tuple[int, int]) -> NDArray[np.float64]:
    rough = 10 * noise(rng, shape, 24) + 7 * noise(rng, shape, 3)
    return np.asarray(color, float) + rough[..., None]


def finished(canvas: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    blurred = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 0.9)
    return np.clip(blurred + rng.normal(0, 5, canvas.shape), 0, 255).astype(np.uint8)


def street(seed: int) -> Scene:
    """Sky, houses, a road; cars (1) and people (2) on it, which hide one another."""
    rng, shape = np.random.default_rng(seed), (480, 640)
    canvas = textured(rng, (150, 170, 195), shape)
    for x in range(0, 640, 80):
        top = int(rng.integers(60, 200))
        canvas[top:300, x : x + 80] = textured(rng, rng.uniform(90, 190, 3), (300 - top, 80))
        for wy in range(top + 15, 280, 36):
            for wx in range(x + 10, x + 66, 26):
                canvas[wy : wy + 20, wx : wx + 13] = rng.uniform(30, 90)
    canvas[300:] = textured(rng, (96, 96, 100), (180, 640))
    objects: list[tuple[int, Mask]] = []
    for n in range(int(rng.integers(4, 7))):
        base, part = 330 + 22 * n, np.zeros(shape, np.uint8)
        scale, x = (base - 260) / 100, int(rng.integers(60, 580))
        if rng.random() < 0.6:
            w, h = int(110 * scale), int(34 * scale)
            cv2.rectangle(part, (x - w // 2, base - h), (x + w // 2, base), 1, -1)
            roof = [
                (x - w // 3, base - h),
                (x - w // 5, base - int(1.9 * h)),
                (x + w // 5, base - int(1.9 * h)),
                (x + w // 3, base - h),
            ]
            cv2.fillPoly(part, [np.array(roof)], 1)
            label, color = 1, rng.uniform(20, 235, 3)
        else:
            r = max(4, int(9 * scale))
            cv2.ellipse(part, (x, base - int(4.2 * r)), (r, int(2.4 * r)), 0, 0, 360, 1, -1)
            cv2.circle(part, (x, base - int(7.4 * r)), r, 1, -1)
            for side in (-1, 1):
                cv2.line(part, (x, base - 3 * r), (x + side * r, base), 1, max(2, int(0.8 * r)))
            label, color = 2, rng.uniform(20, 235, 3)
        mask = part > 0
        canvas[mask] = textured(rng, color, shape)[mask]
        if label == 1:
            for side in (-1, 1):
                wheel = np.zeros(shape, np.uint8)
                cv2.circle(wheel, (x + side * w // 3, base), h // 3, 1, -1)
                canvas[wheel > 0] = 25
                mask = mask | (wheel > 0)
        objects = [(lab, one & ~mask) for lab, one in objects] + [(label, mask)]
    return Scene(f"street-{seed}", finished(canvas, rng), [(lab, one) for lab, one in objects if one.sum() > 150])


def cells(seed: int) -> Scene:
    """Stained cells of different sizes on a pale ground, with darker nuclei."""
    rng, shape = np.random.default_rng(1000 + seed), (480, 480)
    canvas = textured(rng, (214, 190, 208), shape)
    objects: list[tuple[int, Mask]] = []
    taken = np.zeros(shape, bool)
    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(float)
    while len(objects) < 9:
        cx, cy, r = rng.uniform(50, 430), rng.uniform(50, 430), rng.uniform(24, 48)
        turn = np.arctan2(ys - cy, xs - cx)
        edge = r * (1 + 0.1 * np.sin(2 * turn + rng.uniform(0, 6)) + 0.07 * np.sin(5 * turn + rng.uniform(0, 6)))
        mask = np.hypot(xs - cx, ys - cy) < edge
        if (cv2.dilate(mask.astype(np.uint8), np.ones((7, 7))) * taken).any():
            continue
        canvas[mask] = textured(rng, rng.normal((170, 110, 165), 12), shape)[mask]
        canvas[np.hypot(xs - cx - r / 6, ys - cy) < r / 2.6] = textured(rng, (92, 52, 120), shape)[
            np.hypot(xs - cx - r / 6, ys - cy) < r / 2.6
        ]
        taken |= mask
        objects.append((1, mask))
    return Scene(f"cells-{seed}", finished(canvas, rng), objects)
