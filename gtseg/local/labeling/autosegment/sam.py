"""SAM 1, MobileSAM, SAM 2 and EfficientSAM as ONNX files: an image is embedded once, clicks use the cached embedding.

Each model family scales images and clicks in its own way (source: its own inference code):

    SAM 1, MobileSAM    longer side to S, padded at the right and bottom; clicks in those pixels; a click without a box
                        is followed by a padding point (0, 0) with label -1; a box is two points with labels 2 and 3
    SAM 2               both sides to S, regardless of the aspect ratio
    EfficientSAM        no padding; the network itself scales images and clicks to its own size

Masks are read at the network's own resolution if it returns that (low_res_masks), and enlarged here only within the
object's box: the files' own enlargement takes seconds on large images, and that of SAM 1 is fixed to one aspect ratio
by its export.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment.crop import Points
from gtseg.local.labeling.autosegment.mask_crop import ObjectMask, SegmentedObject, without_specks
from gtseg.local.labeling.autosegment.onnx_session import Run, open_session
from gtseg.local.labeling.autosegment.outline_models import SAM2_ALIASES, Choice
from gtseg.local.labeling.autosegment.prompts import Start

SIZE = 1024
"""Input size of an encoder with an open input shape."""
KEPT_BYTES = 512 << 20
"""Limit on cached embeddings: 4 MB per image with SAM 1, 17 MB with SAM 2."""
FINE = 4
"""Image pixels per mask pixel above which a mask is enlarged in two steps."""
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
INSIDE, OUTSIDE, CORNERS, PADDING = 1, 0, (2, 3), -1
Floats = NDArray[np.float32]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Scale:
    """Position of an image in the encoder's input.

    `across` and `down` are input pixels per image pixel, `height` and `width` the size of the image in the input.
    """

    across: float
    down: float
    height: int
    width: int

    def inward(self, points: Points) -> Floats:
        return np.asarray(points * np.array([self.across, self.down]), np.float32)


@dataclass(frozen=True)
class Embedding:
    """The encoder's outputs for an image, by the decoder's input names."""

    scale: Scale
    arrays: dict[str, NDArray[Any]]

    @property
    def size(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())


class Sam:
    """A SAM model: `prepare` embeds an image, `segment` segments objects in it. Thread-safe."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.kind = choice.kind
        self.encoder: Run = open_session(choice.encoder)
        self.decoder: Run = self.encoder if choice.encoder == choice.decoder else open_session(choice.decoder)
        self.one_file = choice.encoder == choice.decoder
        names = list(choice.graphs[0].inputs)
        self.picture_name = "batched_images" if "batched_images" in names else names[0]
        self.shape = choice.graphs[0].inputs[self.picture_name]
        self._kept: OrderedDict[object, Embedding] = OrderedDict()
        self._lock = threading.Lock()

    # --- images ---

    def prepare(self, image: Image, key: object) -> Embedding:
        """Return the embedding of an (H, W, 3) RGB image, cached under `key` unless it is None."""
        with self._lock:
            if key is not None and key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            embedding = self._embed(image)
            if key is not None:
                self._kept[key] = embedding
                while len(self._kept) > 1 and sum(kept.size for kept in self._kept.values()) > KEPT_BYTES:
                    self._kept.popitem(last=False)
            return embedding

    def _embed(self, image: Image) -> Embedding:
        """Compute the embedding of an image."""
        scale = self.scale_of(image.shape[:2])
        pixels = self.pixels(image, scale)
        if self.one_file:
            return Embedding(scale, {self.picture_name: pixels})
        given = self.encoder({self.picture_name: pixels})
        wanted = self.choice.graphs[1].inputs
        if self.kind == "SAM 2":
            return Embedding(scale, {name: array for name, array in given.items() if name in wanted})
        return Embedding(scale, {"image_embeddings": next(iter(given.values()))})

    def scale_of(self, size: tuple[int, int]) -> Scale:
        """Return the position of an image of (height, width) `size` in the encoder's input."""
        height, width = size
        fixed = [n for n in self.shape if n is not None and n > 3]
        if self.kind == "SAM 2" or (self.kind == "EfficientSAM" and len(fixed) == 2):
            down, across = fixed if len(fixed) == 2 else (SIZE, SIZE)
            return Scale(across / width, down / height, down, across)
        longer = fixed[-1] if fixed and self.kind == "SAM 1" else SIZE
        factor = longer / max(height, width)
        if self.kind == "EfficientSAM":
            factor = min(factor, 1.0)
        small = (max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5)))
        return Scale(small[1] / width, small[0] / height, *small)

    def pixels(self, image: Image, scale: Scale) -> NDArray[Any]:
        """Return the encoder's input array."""
        shrinks = scale.width < image.shape[1]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small = cv2.resize(image, (scale.width, scale.height), interpolation=way).astype(np.float32)
        if len(self.shape) == 3:  # the model normalizes and pads
            return small
        if self.kind == "EfficientSAM":
            return np.ascontiguousarray((small / 255).transpose(2, 0, 1)[None])
        planes = ((small - MEAN) / STD).transpose(2, 0, 1)[None]
        if self.kind == "SAM 2":
            return np.ascontiguousarray(planes)
        side = max(scale.height, scale.width)
        padded = np.zeros((1, 3, side, side), np.float32)
        padded[..., : scale.height, : scale.width] = planes
        return padded

    # --- clicks ---

    def segment(self, image: Image, start: Start, *, inside: Points, outside: Points, key: object) -> SegmentedObject:
        """Segment an object. Raises ServiceError InvalidRequest if the model fails."""
        embedding = self.prepare(image, key)
        points, labels = prompts(start, inside=inside, outside=outside)
        with self._lock:
            given = self.decoder(self.question(embedding, points, labels))
        logits, whole = self.logits(given, embedding.scale, clicks=len(labels))
        begun = start.points if start.kind == "click" else np.zeros((0, 2), np.float32)
        return enlarge(logits, whole, image.shape[:2], inside=np.concatenate([begun, inside]))

    def question(self, embedding: Embedding, points: Points, labels: Floats) -> dict[str, NDArray[Any]]:
        """Return the decoder's inputs for points and labels."""
        scaled = embedding.scale.inward(points)
        size = np.array([embedding.scale.height, embedding.scale.width])
        if self.kind == "EfficientSAM":
            clicks = {"batched_point_coords": scaled[None, None], "batched_point_labels": labels[None, None]}
            return {**embedding.arrays, **clicks, "orig_im_size": size}
        if self.kind == "SAM 1" and CORNERS[0] not in labels:
            scaled = np.concatenate([scaled, np.zeros((1, 2), np.float32)])
            labels = np.concatenate([labels, np.array([PADDING], np.float32)])
        named: dict[str, NDArray[Any]] = {
            "point_coords": scaled[None],
            "point_labels": labels[None],
            "mask_input": np.zeros((1, 1, *self.mask_size(embedding)), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": size,
        }
        aliases = {alias: named[name] for alias, name in SAM2_ALIASES.items() if name in named}
        return {**aliases, **named, **embedding.arrays}

    def mask_size(self, embedding: Embedding) -> tuple[int, int]:
        """Return the size of the decoder's mask input, four times that of the embedding."""
        name = next(n for n in embedding.arrays if n in ("image_embeddings", "image_embed"))
        height, width = embedding.arrays[name].shape[-2:]
        return 4 * height, 4 * width

    def logits(
        self, given: dict[str, NDArray[Any]], scale: Scale, *, clicks: int
    ) -> tuple[Floats, tuple[float, float]]:
        """Return the best mask (h, w) as logits, and the image pixels per mask pixel (across, down)."""
        name = next((n for n in ("low_res_masks", "masks", "output_masks") if n in given), next(iter(given)))
        masks = np.asarray(given[name], np.float32)
        if masks.ndim < 3:
            raise ServiceError(
                "InvalidRequest", f"The outline model {self.choice.decoder} returned {name} of shape {masks.shape}."
            )
        height, width = masks.shape[-2:]
        masks = masks.reshape(-1, height, width)
        scores = np.asarray(given.get("iou_predictions", np.zeros(len(masks))), np.float32).reshape(-1)
        best = choose_mask(scores, len(masks), clicks=clicks)
        if self.kind == "SAM 1" and name == "low_res_masks":  # a mask of the padded square
            side = max(scale.height, scale.width)
            step = side / width
            return masks[best], (step / scale.across, step / scale.down)
        return masks[best], (scale.width / width / scale.across, scale.height / height / scale.down)


def prompts(start: Start, *, inside: Points, outside: Points) -> tuple[Points, Floats]:
    """Return (N, 2) points and their N labels; four extreme points become a box."""
    if start.kind == "click":
        first, labels = start.points, [INSIDE]
    else:
        first, labels = np.stack([start.points.min(0), start.points.max(0)]), list(CORNERS)
    points = np.concatenate([first, inside, outside]).astype(np.float32)
    return points, np.array([*labels, *[INSIDE] * len(inside), *[OUTSIDE] * len(outside)], np.float32)


def choose_mask(scores: Floats, count: int, *, clicks: int) -> int:
    """Return the index of the mask with the highest score.

    Of four masks, the first is SAM's result for several clicks, the others are for one click.
    """
    if count == 4:
        return 0 if clicks > 1 else 1 + int(scores[1:4].argmax())
    return int(scores[:count].argmax()) if len(scores) >= count else 0


def enlarge(logits: Floats, step: tuple[float, float], shape: tuple[int, int], *, inside: Points) -> SegmentedObject:
    """Return the mask of (h, w) logits, enlarged by `step` (across, down) within the box of positive logits."""
    height, width = shape
    if max(step) > FINE:  # remove noise before the mask is enlarged, and enlarge in bytes
        size = (logits.shape[1] * FINE, logits.shape[0] * FINE)
        logits = np.asarray(cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR), np.float32)
        step = (step[0] / FINE, step[1] / FINE)
        kept = without_specks((logits > 0).astype(np.uint8), keep=np.asarray(inside / np.array(step), np.float32))
        near = cv2.dilate(kept.astype(np.uint8), np.ones((5, 5), np.uint8))
        values: NDArray[Any] = np.clip(128 + 16 * logits * near - 128 * (near == 0), 0, 255).astype(np.uint8)
        threshold = 127
    else:
        kept, values, threshold = logits > 0, logits, 0
    ys, xs = np.nonzero(kept)
    if not len(xs):
        return ObjectMask(0, 0, np.zeros((1, 1), bool))
    x0, x1 = int(max(0, (xs.min() - 1) * step[0])), int(min(width, np.ceil((xs.max() + 2) * step[0])))
    y0, y1 = int(max(0, (ys.min() - 1) * step[1])), int(min(height, np.ceil((ys.max() + 2) * step[1])))
    if x1 <= x0 or y1 <= y0:  # the mask is in the padding only
        return ObjectMask(0, 0, np.zeros((1, 1), bool))
    back = np.array([[1 / step[0], 0, (x0 + 0.5) / step[0] - 0.5], [0, 1 / step[1], (y0 + 0.5) / step[1] - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    large = cv2.warpAffine(values, back, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if threshold:
        return ObjectMask(x0, y0, large > threshold)
    return ObjectMask(
        x0, y0, without_specks((large > 0).astype(np.uint8), keep=inside - np.array([x0, y0], np.float32))
    )
