"""Auto-segment: four extreme points of an object (and corrective clicks) -> its mask.

Ground Truth's own tool does the same with DEXTR (developer guide, sms-auto-segmentation.md). Here a small network trained by
scripts/train_autosegment.py proposes, and the photograph's own colours and edges decide what it leaves open; without torch or weights GrabCut
does all of it. `$GTSEG_AUTOSEGMENT_ONNX` names a user's own model instead (see onnx_hook)."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment import crop, grabcut
from gtseg.local.labeling.autosegment.crop import Points
from gtseg.local.labeling.autosegment.found import Found, settle

if TYPE_CHECKING:
    from gtseg.local.labeling.autosegment.network import PointNet

__all__ = ["Finder", "Found", "segment", "weights_paths"]

NONE: Points = np.zeros((0, 2), np.float32)
FIRST_SHARE = 0.7  # of two networks' word; cats 0.842 and other objects as good as at 0.5 (cats 0.839), at 1 a class is worse than GrabCut


def weights_paths() -> list[Path]:
    """The weights that ship with the package."""
    return sorted(Path(__file__).parent.glob("weights*.npz"))


def read_points(points: Sequence[Sequence[float]], shape: tuple[int, int], *, name: str) -> Points:
    """Checked (N, 2) float32. Raises ServiceError InvalidRequest."""
    try:
        array = np.asarray(points, np.float32).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ServiceError("InvalidRequest", f"{name} must be a list of [x, y] pairs in pixels.") from None
    height, width = shape
    if len(array) and (
        not np.isfinite(array).all() or array.min() < -1 or (array > (width + 1, height + 1)).any()
    ):
        raise ServiceError(
            "InvalidRequest", f"{name} must lie on the image, which is {width} x {height} pixels."
        )
    return np.clip(array, 0, (width - 1, height - 1)).astype(np.float32)


class Finder:
    """The networks' weights, loaded once. Safe to use from several threads."""

    def __init__(self, *weights: Path) -> None:
        self.nets: list[PointNet] = []
        self.seen = "nothing: GrabCut alone"
        self.size = grabcut.SIZE
        if not weights:
            return
        try:
            from gtseg.local.labeling.autosegment.network import SIZE, fold_norms, load_weights
        except ImportError:  # torch is not installed: GrabCut alone
            return
        loaded = [load_weights(path) for path in weights]
        self.nets = [fold_norms(net) for net, _ in loaded]
        self.seen, self.size = "; ".join(seen for _, seen in loaded), SIZE

    def find(
        self, image: NDArray[np.uint8], points: Points, *, inside: Points = NONE, outside: Points = NONE
    ) -> Found:
        """(H, W, 3) RGB as stored, (4, 2) extreme points in any order, (N, 2) corrective clicks, all x, y in pixels -> the object."""
        window = crop.window_of(points, self.size)
        photo = crop.cut(image, window)
        extreme, yes, no = window.inward(points), window.inward(inside), window.inward(outside)
        if not self.nets:
            probability = grabcut.segment_without_weights(photo, extreme, inside=yes, outside=no).astype(
                np.float32
            )
        else:
            probability = self.propose(photo, extreme, inside=yes, outside=no)
        return settle(probability, window, image.shape[:2], extreme=extreme, inside=yes, outside=no)

    def propose(
        self, photo: NDArray[np.uint8], extreme: Points, *, inside: Points, outside: Points
    ) -> NDArray[np.float32]:
        """(S, S) in 0..1: half the networks' word, half GrabCut's between what they are sure of; clicks are obeyed."""
        hint = grabcut.hint(photo, extreme, inside=inside, outside=outside)
        planes = crop.features(photo, extreme, hint, inside=inside, outside=outside)
        probability = obey(photo, self.look(planes), inside=inside, outside=outside)
        edges = grabcut.refine(photo, probability, inside=inside, outside=outside)
        return 0.5 * probability + 0.5 * edges

    def look(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(9, S, S) features -> (S, S) in 0..1. Two looks, by two networks or twice by one: at the window, and at its mirror image."""
        import torch

        # One window is too little work for two threads: on a busy machine they wait for each other ten times as long as they work.
        torch.set_num_threads(1)
        views = torch.from_numpy(np.stack([planes, planes[:, :, ::-1]]))
        with torch.inference_mode():
            views = views.to(torch.bfloat16, memory_format=torch.channels_last)
            first, second = (net(view[None]) for net, view in zip(self.nets * 2, views, strict=False))
            share = FIRST_SHARE if len(self.nets) > 1 else 0.5
            logits = (share * first + (1 - share) * second.flip(-1)).float().numpy()[0, 0]
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def obey(
    photo: NDArray[np.uint8], probability: NDArray[np.float32], *, inside: Points, outside: Points
) -> NDArray[np.float32]:
    """A click is always right: around it, and as far as its colour goes, the probability is moved to its side."""
    size = photo.shape[0]
    lab = cv2.cvtColor(cv2.GaussianBlur(photo, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    result = probability.copy()
    for points, wanted in ((inside, 1.0), (outside, 0.0)):
        for px, py in points:
            cx, cy = int(np.clip(round(float(px)), 0, size - 1)), int(np.clip(round(float(py)), 0, size - 1))
            distance = np.hypot(x - px, y - py)
            alike = np.exp(-((lab - lab[cy, cx]) ** 2).sum(-1) / (2 * 22.0**2))
            reach = np.exp(-(distance**2) / (2 * (size / 11) ** 2)) * alike
            reach[distance < size / 64] = 1
            lacking = max(0.0, 0.75 - abs(result[cy, cx] - (1 - wanted)))
            result += (1 if wanted else -1) * reach * lacking
    return np.clip(result, 0, 1)


_lock = threading.Lock()
_finder: Finder | None = None


def shared_finder() -> Finder:
    global _finder
    with _lock:
        if _finder is None:
            _finder = Finder(*weights_paths())
        return _finder


def segment(
    image: NDArray[np.uint8],
    points: Sequence[Sequence[float]],
    *,
    inside: Sequence[Sequence[float]] = (),
    outside: Sequence[Sequence[float]] = (),
) -> Found:
    """(H, W, 3) RGB as stored + four extreme points [[x, y], ...] (+ clicks) -> Found. Raises ServiceError InvalidRequest."""
    shape = image.shape[:2]
    extreme = read_points(points, shape, name="points")
    if len(extreme) != 4:
        raise ServiceError(
            "InvalidRequest",
            f"points must be the four extreme points of the object; there are {len(extreme)}.",
        )
    yes, no = read_points(inside, shape, name="inside"), read_points(outside, shape, name="outside")
    model = os.environ.get("GTSEG_AUTOSEGMENT_ONNX")
    if model:
        from gtseg.local.labeling.autosegment.onnx_hook import find_with_onnx

        return find_with_onnx(Path(model), image, extreme, inside=yes, outside=no)
    return shared_finder().find(image, extreme, inside=yes, outside=no)
