"""The networks' weights, loaded once, and the objects that people are working on: what does not change with a click is kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment import crop, grabcut
from gtseg.local.labeling.autosegment.crop import Outline, Points, Window
from gtseg.local.labeling.autosegment.mask_crop import Found, settle
from gtseg.local.labeling.autosegment.prompts import NONE, Start, click_window, middles

if TYPE_CHECKING:
    from gtseg.local.labeling.autosegment.network import PromptNet, Seen

__all__ = ["Finder", "weights_paths"]

FIRST_SHARE = 0.7
"""Of the first network's word where there are two: the one that has seen photographed objects."""
EDGES_SHARE = 0.5
"""Of GrabCut's word, where the networks leave something open."""
KEPT = 64
"""Objects whose windows are kept: about 2 MB each."""
CLICKS_KEPT = 64
"""Corrected masks that are kept of one object, for the click after them and for taking a click back."""
REMOVING, ADDING = 0.3, 0.3
"""How far below (above) 0.5 the answer to a click has to be beside it to take a pixel from the mask (to add one) ..."""
CAUTION = 3.0
"""... and how much farther for every window side that the pixel is away from the click; CERTAIN is always enough."""
CERTAIN = 0.45
CLICK_SIDES = (0.2, 0.45, 0.9)
"""Windows around a first click, as shares of the image's shorter side; the most certain answer is taken."""


@dataclass
class Work:
    """One object: its window, what follows from the start alone, and the answer before any corrective click."""

    start: Start
    """In window pixels."""
    window: Window
    photo: NDArray[np.uint8]
    outline: Outline
    views: list[Any] = field(default_factory=list)
    """Pixels of each look (1, 3, S, S)."""
    seen: list[Seen] = field(default_factory=list)
    first: NDArray[np.float32] | None = None
    settled: NDArray[np.float32] | None = None
    """The same with GrabCut's word."""
    corrected: OrderedDict[tuple[bytes, bytes], NDArray[np.float32]] = field(default_factory=OrderedDict)
    """By the clicks inside and outside that led to it."""


def weights_paths() -> list[Path]:
    """The weights that ship with the package."""
    return sorted(Path(__file__).parent.glob("weights*.npz"))


class Finder:
    """Finds objects. Without weights, or where PyTorch is not installed, GrabCut does it alone. Safe in several threads."""

    def __init__(self, *weights: Path) -> None:
        self.nets: list[PromptNet] = []
        self.seen = "nothing: GrabCut alone"
        self.size = grabcut.SIZE
        self._kept: OrderedDict[tuple[object, ...], Work] = OrderedDict()
        self._lock = threading.Lock()
        if not weights:
            return
        try:
            import torch

            from gtseg.local.algorithm.precision import half_dtype, has_fast_half
            from gtseg.local.labeling.autosegment.network import SIZE, load_weights
        except ImportError:
            return
        loaded = [load_weights(path) for path in weights]
        processor = torch.device("cpu")
        self.dtype = half_dtype(processor) if has_fast_half(processor) else torch.float32
        self.nets = [net.to(self.dtype).requires_grad_(False) for net, _ in loaded]
        self.seen, self.size = "; ".join(seen for _, seen in loaded), SIZE

    def see(self, image: NDArray[np.uint8], key: object) -> None:
        """The networks see windows around objects, never a whole picture."""

    def find(
        self,
        image: NDArray[np.uint8],
        start: Start,
        *,
        inside: Points = NONE,
        outside: Points = NONE,
        key: object = None,
    ) -> Found:
        """The object in (H, W, 3) RGB as stored. `inside`, `outside`: (N, 2) corrective clicks, x, y in pixels.

        `key` names the image: with it, what was computed for this start is kept for the next click.
        """
        work = self.work_on(image, start, key=key)
        yes, no = work.window.inward(inside), work.window.inward(outside)
        if start.kind == "click":
            yes = np.concatenate([work.window.inward(start.points), yes])
        if self.nets:
            probability = self.propose(work, inside=yes, outside=no)
        else:
            probability = grabcut.segment_without_weights(work.photo, work.start.around, inside=yes, outside=no).astype(
                np.float32
            )
        limits = None if start.kind == "click" else work.start.around
        return settle(probability, work.window, image.shape[:2], limits=limits, inside=yes)

    def work_on(self, image: NDArray[np.uint8], start: Start, *, key: object) -> Work:
        whole = None if key is None else (key, start.kind, start.points.tobytes())
        return self.keep(whole, lambda: self._begin(image, start))

    def keep(self, whole: tuple[object, ...] | None, begin: Callable[[], Work]) -> Work:
        """What was begun under this name, else what `begin` makes, kept under it; without a name nothing is kept."""
        if whole is None:
            return begin()
        with self._lock:
            if whole in self._kept:
                self._kept.move_to_end(whole)
                return self._kept[whole]
        work = begin()
        with self._lock:
            self._kept[whole] = work
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return work

    def _begin(self, image: NDArray[np.uint8], start: Start) -> Work:
        boxed = start if start.kind != "click" else self.box_of_click(image, start)
        window = boxed.window(self.size)
        photo, within = crop.cut(image, window), boxed.within(window)
        hint = (
            grabcut.hint(photo, within.around, inside=NONE, outside=NONE)
            if self.nets
            else np.zeros(photo.shape[:2], np.float32)
        )
        work = Work(within, window, photo, within.outline(photo, hint))
        if self.nets:
            self.look(work)
        return work

    # ------------------------------------------------------------------------------------------- the networks

    def look(self, work: Work) -> None:
        """Two looks, by two networks or twice by one: at the window, and at its mirror image."""
        import torch

        from gtseg.local.labeling.autosegment.network import normalized

        # One window is too little work for two threads: on a busy machine they wait for each other longer than they work.
        torch.set_num_threads(1)
        with torch.inference_mode():
            pixels = normalized(np.stack([work.photo, work.photo[:, ::-1]]))
            views = pixels.to(self.dtype, memory_format=torch.channels_last)
            work.views = [views[:1], views[1:]]
            work.seen = [net.look_at(view) for net, view in zip(self.nets * 2, work.views, strict=False)]

    def answer(
        self, work: Work, *, inside: Points, outside: Points, present: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """(S, S) probabilities in 0..1."""
        import torch

        torch.set_num_threads(1)
        planes = crop.prompts(
            self.size, extreme=work.start.extreme, inside=inside, outside=outside, outline=work.outline, present=present
        )
        both = torch.from_numpy(np.stack([planes, planes[:, :, ::-1]]))
        with torch.inference_mode():
            both = both.to(self.dtype, memory_format=torch.channels_last)
            first, second = (
                net.answer(view, seen, prompt[None]).float()
                for net, view, seen, prompt in zip(self.nets * 2, work.views, work.seen, both, strict=False)
            )
            share = FIRST_SHARE if len(self.nets) > 1 else 0.5
            logits = (share * first + (1 - share) * second.flip(-1)).numpy()[0, 0]
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)

    def propose(self, work: Work, *, inside: Points, outside: Points) -> NDArray[np.float32]:
        """(S, S) in 0..1: the networks' word, and GrabCut's between what they are sure of.

        A click changes the part of the mask that it is on, and leaves the rest as the start alone has it.
        """
        begun = inside[:1] if work.start.kind == "click" else NONE
        if work.first is None:
            work.first = self.answer(work, inside=begun, outside=NONE, present=None)
            work.settled = self.with_edges(work, work.first, inside=begun, outside=NONE)
        assert work.settled is not None
        if len(inside) == len(begun) and not len(outside):
            return work.settled
        before, added, removed = self.last_step(work, inside=inside, outside=outside)
        probability = self.answer(work, inside=inside, outside=outside, present=work.first)
        probability = obey(work.photo, probability, inside=inside, outside=outside)
        corrected = self.with_edges(work, probability, inside=inside, outside=outside)
        result = only_where_clicked(before, corrected, inside=added, outside=removed)
        with self._lock:
            work.corrected[inside.tobytes(), outside.tobytes()] = result
            while len(work.corrected) > CLICKS_KEPT:
                work.corrected.popitem(last=False)
        return result

    def last_step(self, work: Work, *, inside: Points, outside: Points) -> tuple[NDArray[np.float32], Points, Points]:
        """The mask before the last click, and that click: inside or outside. Where it is not kept: the mask before all of them."""
        assert work.settled is not None
        begun = 1 if work.start.kind == "click" else 0
        with self._lock:
            for shorter, other, added in ((inside, outside, True), (outside, inside, False)):
                if len(shorter) <= (begun if added else 0):
                    continue
                pair = (shorter[:-1], other) if added else (other, shorter[:-1])
                if len(pair[0]) == begun and not len(pair[1]):
                    found: NDArray[np.float32] | None = work.settled
                else:
                    found = work.corrected.get((pair[0].tobytes(), pair[1].tobytes()))
                if found is not None:
                    return (found, shorter[-1:], NONE) if added else (found, NONE, shorter[-1:])
        return work.settled, inside[begun:], outside

    def with_edges(
        self, work: Work, probability: NDArray[np.float32], *, inside: Points, outside: Points
    ) -> NDArray[np.float32]:
        edges = grabcut.refine(work.photo, probability, inside=inside, outside=outside)
        return np.asarray((1 - EDGES_SHARE) * probability + EDGES_SHARE * edges, np.float32)

    def box_of_click(self, image: NDArray[np.uint8], start: Start) -> Start:
        """A first click -> the box of what it is most likely on: windows of several sizes are looked at."""
        shorter = min(image.shape[:2])
        best, best_score = None, -1.0
        for share in CLICK_SIDES if self.nets else (0.45,):
            window = click_window(start.points, max(share * shorter, 24.0), self.size)
            photo, within = crop.cut(image, window), start.within(window)
            if self.nets:
                work = Work(within, window, photo, within.outline(photo, np.zeros(photo.shape[:2], np.float32)))
                self.look(work)
                probability = self.answer(work, inside=within.points, outside=NONE, present=None)
            else:
                square = np.array([[0.15, 0.15], [0.85, 0.85]], np.float32) * self.size
                found = grabcut.segment_without_weights(photo, middles(square), inside=within.points, outside=NONE)
                probability = found.astype(np.float32)
            score, corners = certainty(probability, within.points[0])
            if score > best_score:
                back = corners / window.scale + np.array([window.left, window.top], np.float32)
                best, best_score = back, score
        assert best is not None
        height, width = image.shape[:2]
        return Start("box", np.clip(best, 0, (width - 1, height - 1)).astype(np.float32))


def certainty(probability: NDArray[np.float32], click: NDArray[np.float32]) -> tuple[float, Points]:
    """How sure an answer to a click is, and the corners (2, 2) of the part that the click is on.

    Sure: the mask hardly changes with the threshold, and does not leave the window.
    """
    size = probability.shape[0]
    x, y = (int(np.clip(round(float(v)), 0, size - 1)) for v in click)
    _, labels = cv2.connectedComponents((probability > 0.5).astype(np.uint8), connectivity=8)
    part = labels == labels[y, x] if labels[y, x] else np.zeros(labels.shape, bool)
    if not part.any():
        reach = size / 10
        return 0.0, np.array([[x - reach, y - reach], [x + reach, y + reach]], np.float32)
    ys, xs = np.nonzero(part)
    low, high = (
        (probability > 0.3) & (cv2.dilate(part.astype(np.uint8), np.ones((25, 25))) > 0),
        probability > 0.7,
    )
    stable = (high & part).sum() / max(1, (low | part).sum())
    border = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]]).mean()
    small = min(1.0, part.mean() / 0.04)
    score = float(stable * (1 - border) ** 2 * small)
    return score, np.array([[xs.min(), ys.min()], [xs.max(), ys.max()]], np.float32)


def only_where_clicked(
    before: NDArray[np.float32], after: NDArray[np.float32], *, inside: Points, outside: Points
) -> NDArray[np.float32]:
    """`before`, with those parts of `after` that a click asked for: added where a click inside is, removed where one outside is.

    The farther from the click, the surer `after` has to be.
    """
    result, size = before.copy(), before.shape[0]
    for points, side, least in ((inside, 1.0, ADDING), (outside, -1.0, REMOVING)):
        if not len(points):
            continue
        away = distance_to(points, size) / size
        sure = side * (after - 0.5) > np.minimum(least + CAUTION * away, CERTAIN)
        change = (sure | (away < 1 / 48)) & (side * (after - 0.5) > 0) & (side * (before - 0.5) <= 0)
        _, labels = cv2.connectedComponents(change.astype(np.uint8), connectivity=4)
        asked = np.unique(labels[(away < 1 / 32) & change])
        taken = np.isin(labels, asked[asked > 0])
        result[taken] = after[taken]
        result[away < 1 / 64] = 0.5 + side * CERTAIN
    return result


def distance_to(points: Points, size: int) -> NDArray[np.float32]:
    """(size, size) pixels from each place to the nearest of (N, 2) points."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return np.asarray(np.min([np.hypot(x - px, y - py) for px, py in points], axis=0), np.float32)


def obey(
    photo: NDArray[np.uint8], probability: NDArray[np.float32], *, inside: Points, outside: Points
) -> NDArray[np.float32]:
    """A click is always right: around it, and as far as its color goes, the probability is moved to its side."""
    size = photo.shape[0]
    lab = cv2.cvtColor(cv2.GaussianBlur(photo, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    result, spread = probability.copy(), size / 22
    far = 4 * spread  # beyond it nothing is moved
    for points, wanted in ((inside, 1.0), (outside, 0.0)):
        for px, py in points:
            cx, cy = (int(np.clip(round(float(v)), 0, size - 1)) for v in (px, py))
            near = tuple(slice(max(0, int(c - far)), min(size, int(c + far) + 1)) for c in (cy, cx))
            y, x = np.mgrid[near].astype(np.float32)
            distance = np.hypot(x - px, y - py)
            alike = np.exp(-((lab[near] - lab[cy, cx]) ** 2).sum(-1) / (2 * 22.0**2))
            reach = np.exp(-(distance**2) / (2 * spread**2)) * alike
            reach[distance < size / 64] = 1
            lacking = max(0.0, 0.75 - abs(result[cy, cx] - (1 - wanted)))
            result[near] += (1 if wanted else -1) * reach * lacking
    return np.clip(result, 0, 1)
