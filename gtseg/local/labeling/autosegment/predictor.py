"""Segmentation with gtseg's own network: weights loaded once, and a cache of the objects being labeled."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment import crop, grabcut
from gtseg.local.labeling.autosegment.crop import Outline, Points, Window
from gtseg.local.labeling.autosegment.mask_crop import SegmentedObject, extract_mask, fit_to_points
from gtseg.local.labeling.autosegment.prompts import NONE, Start, click_window, middles, second_outline

if TYPE_CHECKING:
    from torch import Tensor

    from gtseg.local.labeling.autosegment.network import Features, PromptNet

Shares = tuple[tuple[float, float], ...]
"""Weight of each network's result for the window and for its mirror image; what weighs 0 is not computed."""
FIRST_LOOK: Shares = ((0, 0), (1, 0))
"""One result, for the object's colors, of the last network, which was trained on more kinds of objects."""
SECOND_LOOK: Shares = ((0.35, 0.35), (0.3, 0))
AFTER_CLICK: Shares = ((0.7, 0), (0, 0.3))
"""One result of each network, so that a click takes less time."""
KEPT = 64
"""Objects in the cache, about 2 MB each."""
CLICKS_KEPT = 64
"""Corrected masks cached per object, for the next click and for undoing a click."""
REMOVING, ADDING = 0.36, 0.3
"""Margins beyond 0.5, at the click, that the network needs to remove a pixel from the mask or to add one."""
CAUTION = 4.0
"""Increase of that margin per window side of distance from the click; the limit is CERTAIN."""
CERTAIN = 0.46
CLICK_SIDES = (0.2, 0.45, 0.9)
"""Sizes of the windows around a first click, as shares of the image's shorter side; the most certain result is used."""


@dataclass
class ObjectState:
    """Cached state of an object: its window, features that depend on the start alone, and masks."""

    start: Start
    """The start in window pixels: points, or a box for a click or a mask."""
    window: Window
    photo: NDArray[np.uint8]
    outline: Outline
    views: Tensor | None = None
    """Pixels of the window and of its mirror image, (2, 3, S, S)."""
    features: Features | None = None
    """Features of both, the same for every network."""
    first: NDArray[np.float32] | None = None
    """The mask before all corrective clicks, (S, S) in 0 to 1."""
    corrected: OrderedDict[tuple[bytes, bytes], NDArray[np.float32]] = field(default_factory=OrderedDict)
    """Masks by the clicks inside and outside that they result from."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while `first` is computed, which also changes `outline`."""


def weights_paths() -> list[Path]:
    """Return the paths of the packaged weights."""
    return sorted(Path(__file__).parent.glob("weights*.npz"))


class Predictor:
    """Predictor with gtseg's own network, or with GrabCut alone without weights or PyTorch. Thread-safe."""

    def __init__(self, *weights: Path) -> None:
        self.nets: list[PromptNet] = []
        self.trained_on = "nothing: GrabCut alone"
        self.size = grabcut.SIZE
        self._kept: OrderedDict[tuple[object, ...], ObjectState] = OrderedDict()
        self._lock = threading.Lock()
        if not weights:
            return
        try:
            import torch

            from gtseg.local.algorithm.hardware.precision import half_dtype, has_fast_half
            from gtseg.local.labeling.autosegment.network import SIZE, load_weights
        except ImportError:
            return
        loaded = [load_weights(path) for path in weights]
        processor = torch.device("cpu")
        self.dtype = half_dtype(processor) if has_fast_half(processor) else torch.float32
        self.nets = [net.to(self.dtype).requires_grad_(False) for net, _ in loaded]
        self.trained_on, self.size = "; ".join(trained_on for _, trained_on in loaded), SIZE

    def prepare(self, image: NDArray[np.uint8], key: object) -> None:
        """Do nothing: the networks use windows around objects, not the whole image."""

    def segment(
        self,
        image: NDArray[np.uint8],
        start: Start,
        *,
        inside: Points = NONE,
        outside: Points = NONE,
        key: object = None,
    ) -> SegmentedObject:
        """Segment an object of an (H, W, 3) RGB image in stored orientation.

        `inside` and `outside` are corrective clicks, (N, 2) x, y in pixels. `key` names the image; with it, the
        features of this start are cached for the next click.
        """
        state = self.find_state(image, start, key=key)
        yes, no = state.window.inward(inside), state.window.inward(outside)
        if start.kind == "click":
            yes = np.concatenate([state.window.inward(start.points), yes])
        if self.nets:
            probability = self.predict_corrected(state, inside=yes, outside=no)
        else:
            probability = grabcut.segment_without_weights(
                state.photo, state.start.around, inside=yes, outside=no
            ).astype(np.float32)
        limits = None if start.kind == "click" else state.start.around
        return extract_mask(probability, state.window, image.shape[:2], limits=limits, inside=yes)

    def find_state(self, image: NDArray[np.uint8], start: Start, *, key: object) -> ObjectState:
        """Return the state of an object, from the cache if `key` is given."""
        whole = None if key is None else (key, start.kind, start.points.tobytes())
        return self.cache(whole, lambda: self._begin(image, start))

    def cache(self, whole: tuple[object, ...] | None, begin: Callable[[], ObjectState]) -> ObjectState:
        """Return the cached state with this name, else the result of `begin`, cached unless the name is None."""
        if whole is None:
            return begin()
        with self._lock:
            if whole in self._kept:
                self._kept.move_to_end(whole)
                return self._kept[whole]
        state = begin()
        with self._lock:
            self._kept[whole] = state
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return state

    def _begin(self, image: NDArray[np.uint8], start: Start) -> ObjectState:
        boxed = start if start.kind != "click" else self.find_clicked_box(image, start)
        window = boxed.window(self.size)
        photo, within = crop.cut_balanced(image, window), boxed.within(window)
        state = ObjectState(within, window, photo, within.outline(photo))
        if self.nets:
            self.extract_features(state)
        return state

    # --- networks ---

    def extract_features(self, state: ObjectState) -> None:
        """Compute the features of the window and its mirror image."""
        import torch

        from gtseg.local.labeling.autosegment.network import normalized

        # A window is too small for two threads: on a busy machine they spend more time waiting than computing.
        torch.set_num_threads(1)
        with torch.inference_mode():
            pixels = normalized(np.stack([state.photo, state.photo[:, ::-1]]))
            state.views = pixels.to(self.dtype, memory_format=torch.channels_last)
            state.features = self.nets[0].extract_features(state.views)

    def predict(
        self,
        state: ObjectState,
        *,
        inside: Points,
        outside: Points,
        present: NDArray[np.float32] | None,
        shares: Shares = AFTER_CLICK,
    ) -> NDArray[np.float32]:
        """Return the (S, S) probabilities in 0 to 1, the mean of the networks' results by `shares`."""
        import torch

        assert state.views is not None
        assert state.features is not None
        torch.set_num_threads(1)
        planes = crop.prompts(
            self.size,
            extreme=state.start.extreme,
            inside=inside,
            outside=outside,
            outline=state.outline,
            present=present,
        )
        both = torch.from_numpy(np.stack([planes, planes[:, :, ::-1]]))
        logits = np.zeros((self.size, self.size), np.float32)
        with torch.inference_mode():
            both = both.to(self.dtype, memory_format=torch.channels_last)
            for net, (plain, mirrored) in zip(self.nets, self.shares_of(shares), strict=True):
                begin, end = (0 if plain else 1), (2 if mirrored else 1)
                if begin == end:
                    continue
                views = slice(begin, end)
                results = (
                    net.decode(state.views[views], state.features.select(views), both[views]).float().numpy()[:, 0]
                )
                if plain:
                    logits += plain * results[0]
                if mirrored:
                    logits += mirrored * results[-1, :, ::-1]
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)

    def shares_of(self, shares: Shares) -> Shares:
        """Return the shares for the networks that there are: a single one decides alone."""
        if len(self.nets) == len(shares):
            return shares
        return (FIRST_LOOK[-1],) if shares is FIRST_LOOK else ((0.5, 0.5),)

    def predict_first(self, state: ObjectState) -> NDArray[np.float32]:
        """Return the (S, S) mask in 0 to 1 from the start alone.

        The second look knows the mask of the first one, and the object's colors measured in it. Its result is fitted to
        the points.
        """
        first = self.predict(state, inside=NONE, outside=NONE, present=None, shares=FIRST_LOOK)
        state.outline = second_outline(state.photo, state.outline, state.start.around, first)
        second = self.predict(state, inside=NONE, outside=NONE, present=None, shares=SECOND_LOOK)
        return fit_to_points(second, state.window, state.start.around)

    def predict_corrected(self, state: ObjectState, *, inside: Points, outside: Points) -> NDArray[np.float32]:
        """Return the (S, S) mask in 0 to 1.

        A click changes the part of the mask at the click; the rest stays as computed from the start alone.
        """
        with state.lock:
            if state.first is None:
                state.first = self.predict_first(state)
        if not len(inside) and not len(outside):
            return state.first
        before, added, removed = self.find_last_click(state, inside=inside, outside=outside)
        probability = self.predict(state, inside=inside, outside=outside, present=state.first)
        corrected = enforce_clicks(state.photo, probability, inside=inside, outside=outside)
        result = apply_near_clicks(before, corrected, inside=added, outside=removed)
        with self._lock:
            state.corrected[inside.tobytes(), outside.tobytes()] = result
            while len(state.corrected) > CLICKS_KEPT:
                state.corrected.popitem(last=False)
        return result

    def find_last_click(
        self, state: ObjectState, *, inside: Points, outside: Points
    ) -> tuple[NDArray[np.float32], Points, Points]:
        """Return the mask before the last click, and that click as (mask, inside, outside).

        If that mask is not cached, return the mask before all clicks, and all clicks.
        """
        assert state.first is not None
        with self._lock:
            for shorter, other, added in ((inside, outside, True), (outside, inside, False)):
                if not len(shorter):
                    continue
                pair = (shorter[:-1], other) if added else (other, shorter[:-1])
                if not len(pair[0]) and not len(pair[1]):
                    found: NDArray[np.float32] | None = state.first
                else:
                    found = state.corrected.get((pair[0].tobytes(), pair[1].tobytes()))
                if found is not None:
                    return (found, shorter[-1:], NONE) if added else (found, NONE, shorter[-1:])
        return state.first, inside, outside

    def find_clicked_box(self, image: NDArray[np.uint8], start: Start) -> Start:
        """Return the box of the object most likely meant by a first click, from windows of several sizes."""
        shorter = min(image.shape[:2])
        best, best_score = None, -1.0
        for share in CLICK_SIDES if self.nets else (0.45,):
            window = click_window(start.points, max(share * shorter, 24.0), self.size)
            photo, within = crop.cut_balanced(image, window), start.within(window)
            if self.nets:
                state = ObjectState(within, window, photo, within.outline(photo))
                self.extract_features(state)
                probability = self.predict(state, inside=within.points, outside=NONE, present=None)
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


def apply_near_clicks(
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


def enforce_clicks(
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
