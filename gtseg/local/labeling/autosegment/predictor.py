"""Segmentation with gtseg's own network: weights loaded once, and a cache of the objects being labeled."""

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

FIRST_SHARE = 0.7
"""Weight of the first network if there are two; it is the one trained on photographed objects."""
EDGES_SHARE = 0.5
"""Weight of GrabCut's result where the networks are uncertain."""
KEPT = 64
"""Objects in the cache, about 2 MB each."""
CLICKS_KEPT = 64
"""Corrected masks cached per object, for the next click and for undoing a click."""
REMOVING, ADDING = 0.3, 0.3
"""Margins beyond 0.5, at the click, that the network needs to remove a pixel from the mask or to add one."""
CAUTION = 3.0
"""Increase of that margin per window side of distance from the click; the limit is CERTAIN."""
CERTAIN = 0.45
CLICK_SIDES = (0.2, 0.45, 0.9)
"""Sizes of the windows around a first click, as shares of the image's shorter side; the most certain result is used."""


@dataclass
class Work:
    """Cached state of an object: its window, features that depend on the start alone, and masks."""

    start: Start
    """The start in window pixels."""
    window: Window
    photo: NDArray[np.uint8]
    outline: Outline
    views: list[Any] = field(default_factory=list)
    """Pixels of each view, (1, 3, S, S)."""
    seen: list[Seen] = field(default_factory=list)
    first: NDArray[np.float32] | None = None
    settled: NDArray[np.float32] | None = None
    """`first` refined by GrabCut."""
    corrected: OrderedDict[tuple[bytes, bytes], NDArray[np.float32]] = field(default_factory=OrderedDict)
    """Masks by the clicks inside and outside that they result from."""


def weights_paths() -> list[Path]:
    """Return the paths of the packaged weights."""
    return sorted(Path(__file__).parent.glob("weights*.npz"))


class Finder:
    """Predictor with gtseg's own network, or with GrabCut alone without weights or PyTorch. Thread-safe."""

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
        """Do nothing: the networks use windows around objects, not the whole image."""

    def find(
        self,
        image: NDArray[np.uint8],
        start: Start,
        *,
        inside: Points = NONE,
        outside: Points = NONE,
        key: object = None,
    ) -> Found:
        """Segment an object of an (H, W, 3) RGB image in stored orientation.

        `inside` and `outside` are corrective clicks, (N, 2) x, y in pixels. `key` names the image; with it, the
        features of this start are cached for the next click.
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
        """Return the state of an object, from the cache if `key` is given."""
        whole = None if key is None else (key, start.kind, start.points.tobytes())
        return self.keep(whole, lambda: self._begin(image, start))

    def keep(self, whole: tuple[object, ...] | None, begin: Callable[[], Work]) -> Work:
        """Return the cached state with this name, else the result of `begin`, cached unless the name is None."""
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

    # --- networks ---

    def look(self, work: Work) -> None:
        """Compute the features of two views, the window and its mirror image, with one network each or one for both."""
        import torch

        from gtseg.local.labeling.autosegment.network import normalized

        # A window is too small for two threads: on a busy machine they spend more time waiting than computing.
        torch.set_num_threads(1)
        with torch.inference_mode():
            pixels = normalized(np.stack([work.photo, work.photo[:, ::-1]]))
            views = pixels.to(self.dtype, memory_format=torch.channels_last)
            work.views = [views[:1], views[1:]]
            work.seen = [net.look_at(view) for net, view in zip(self.nets * 2, work.views, strict=False)]

    def answer(
        self, work: Work, *, inside: Points, outside: Points, present: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Return the networks' (S, S) probabilities in 0 to 1."""
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
        """Return the (S, S) mask in 0 to 1: the networks' result, refined by GrabCut where they are uncertain.

        A click changes the part of the mask at the click; the rest stays as computed from the start alone.
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
        """Return the mask before the last click, and that click as (mask, inside, outside).

        If that mask is not cached, return the mask before all clicks, and all clicks.
        """
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
        """Return the mean of the probability and GrabCut's refinement of it."""
        edges = grabcut.refine(work.photo, probability, inside=inside, outside=outside)
        return np.asarray((1 - EDGES_SHARE) * probability + EDGES_SHARE * edges, np.float32)

    def box_of_click(self, image: NDArray[np.uint8], start: Start) -> Start:
        """Return the box of the object most likely meant by a first click, from windows of several sizes."""
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
    """Return the certainty of a result for a click, and the corners (2, 2) of the part at the click.

    A result is certain if the mask hardly depends on the threshold and stays within the window.
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
    """Return `before` with the parts of `after` at the clicks: added at clicks inside, removed at clicks outside.

    The required certainty of `after` grows with the distance from the click.
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
    """Return the (size, size) distance in pixels to the nearest of (N, 2) points."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return np.asarray(np.min([np.hypot(x - px, y - py) for px, py in points], axis=0), np.float32)


def obey(
    photo: NDArray[np.uint8], probability: NDArray[np.float32], *, inside: Points, outside: Points
) -> NDArray[np.float32]:
    """Move the probability around each click, across similar colors, to the click's side."""
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
