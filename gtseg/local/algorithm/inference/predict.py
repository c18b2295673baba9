"""Inference with a trained network, and its scores on an annotated channel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from gtseg.local.algorithm import log
from gtseg.local.algorithm.container import ClientError
from gtseg.local.algorithm.data import Channel, fit_size, for_network, normalize, validation_batches
from gtseg.local.algorithm.hardware.precision import has_fast_half
from gtseg.local.algorithm.hardware.threads import Threads, cores
from gtseg.local.algorithm.model import load_network, probabilities
from gtseg.local.algorithm.recipe import Recipe
from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture

# --- score ---


@dataclass
class Score:
    """Confusion matrix and gluon-cv's metrics: pixel accuracy, and mIOU = mean over all classes of inter / (eps +
    union).

    Accumulated over the whole channel at the annotations' size; void (255) is ignored. A class that is neither
    predicted nor present contributes 0 and lowers mIOU, as in the built-in algorithm.
    """

    num_classes: int
    confusion: np.ndarray = field(init=False)
    """(C, C) int64, rows truth, columns prediction."""

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.num_classes, self.num_classes), np.int64)

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Add a prediction and its truth, both (H, W) uint8."""
        c, rows = self.num_classes, max(1, 2**23 // truth.shape[1])  # float32 counts are exact up to 2^24
        for top in range(0, len(truth), rows):
            pair = [truth[top : top + rows], predicted[top : top + rows]]
            joint = cv2.calcHist(pair, [0, 1], None, [256, c], [0, 256, 0, c])  # (256, C)
            self.confusion += joint[:c].astype(np.int64)

    @property
    def pixel_accuracy(self) -> float:
        return float(np.diag(self.confusion).sum() / (np.spacing(1) + self.confusion.sum()))

    @property
    def miou(self) -> float:
        inter = np.diag(self.confusion)
        union = self.confusion.sum(0) + self.confusion.sum(1) - inter
        return float((inter / (np.spacing(1) + union)).mean())


def to_mask(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the most likely class of every pixel after bilinear resizing: (C, h, w) float32 -> (H, W) uint8."""
    if probabilities.shape[1:] == size:
        return np.asarray(probabilities.argmax(0), np.uint8)
    best = cv2.resize(probabilities[0], size[::-1], interpolation=cv2.INTER_LINEAR)
    mask = np.zeros(size, np.uint8)
    for c in range(1, len(probabilities)):  # class by class, without an array (C, H, W)
        other = cv2.resize(probabilities[c], size[::-1], interpolation=cv2.INTER_LINEAR)
        mask[other > best] = c
        np.maximum(best, other, out=best)
    return mask


# --- validation ---

LOG_EVERY = 20
"""Batches between two progress lines."""
PIXELS_AT_ONCE = 600_000
"""Pixels of images in one run of the network on a CPU; 16 images of 640 x 480 take 1.8 times as long as 8 times two,
because memory of that size is returned to the system after every layer."""


def score_channel(
    model: nn.Module,
    channel: Channel,
    r: Recipe,
    *,
    epoch: int,
    device: torch.device,
    is_late: Callable[[], bool] = lambda: False,
) -> tuple[Score, int]:
    """Score the network on a channel; return the score and the number of images, fewer if `is_late` returns True.

    Logs a progress line every 20 batches, as in training.
    """
    judged = 0
    score, since = Score(len(channel.counts)), time.time()
    model.eval()
    for n, (x, indices) in enumerate(validation_batches(channel, r), 1):
        together = len(x) if device.type == "cuda" else max(1, PIXELS_AT_ONCE // (x.shape[2] * x.shape[3]))
        for first in range(0, len(x), together):
            part = x[first : first + together].to(device, memory_format=torch.channels_last)
            guess = probabilities(model, part, half=r.half, mirror=r.mirror).cpu().numpy()  # (b, C, h, w)
            for picture, index in zip(guess, indices[first : first + together], strict=True):
                score.add(to_mask(picture, channel.mask_sizes[index]), channel.truth(index))
        judged += len(indices)
        if judged < len(channel) and is_late():
            break
        if n % LOG_EVERY == 0:
            log.progress(epoch, n, speed=LOG_EVERY * len(indices) / (time.time() - since + 1e-9))
            since = time.time()
    return score, judged


# --- prediction ---


class Predictor:
    """Encoded image -> mask or probabilities of the same size.

    Thread-safe: decoding overlaps, the network runs once at a time.
    """

    def __init__(self, folder: Path) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model, settings = load_network(folder)
        self.model = model.to(self.device)
        self.settings = settings
        self.inference_size = int(settings["_inference_size"])
        self.num_classes = int(settings["num_classes"])
        network = settings["_network"]
        self.half = network != "dilated" and has_fast_half(self.device)
        self.mirror = settings.get("_mirror", str(network == "compact")) == "True"
        self.multiple = 32 if network == "efficientnet-lite0" else 16
        self.turn = threading.Lock()
        self.threads = Threads(cores())
        # the first run allocates memory
        self.probabilities(np.zeros((self.inference_size, self.inference_size, 3), np.uint8))

    def prepared(self, image: np.ndarray) -> torch.Tensor:
        """Prepare (H, W, 3) uint8 BGR as (1, 3, h, w) normalized, at the scale of training."""
        size = fit_size((image.shape[0], image.shape[1]), self.inference_size, multiple=self.multiple)
        return normalize(torch.from_numpy(for_network(image, size)[None])).to(self.device)

    def run(self, x: torch.Tensor) -> torch.Tensor:
        """Run the network: (1, 3, h, w) -> (C, h', w') float32 probabilities at its output size."""
        with self.turn, self.threads.step():
            return probabilities(self.model, x, half=self.half, mirror=self.mirror)[0]

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        return self.run(self.prepared(image)).cpu().numpy()

    def mask(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return (H, W) uint8 class indices at `size`, the size of the request's image."""
        return to_mask(self.probabilities(image), size)

    def full_probabilities(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return (C, H, W) float32 probabilities at `size`; they sum to 1 over C."""
        planes = self.probabilities(image)
        return np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes])


def decode(body: bytes, *, smallest: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode a JPEG or PNG to (h, w, 3) uint8 BGR; return it with its full size (H, W). Raises ClientError.

    A JPEG twice (four times) as large as `smallest` is decoded at half (a quarter of) its size, because the network
    input is smaller.
    """
    try:
        with open_picture(body) as header:
            width, height = header.size
            kind = header.format
    except PictureError as error:
        raise ClientError(
            f"the body ({len(body)} bytes) is not a readable image: it {error} (supported: image/jpeg, image/png)"
        ) from None
    times = max(width, height) // smallest if kind != "PNG" else 1
    flags = cv2.IMREAD_COLOR
    if times >= 2:
        flags = cv2.IMREAD_REDUCED_COLOR_2 if times < 4 else cv2.IMREAD_REDUCED_COLOR_4
    image = cv2.imdecode(np.frombuffer(body, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ClientError(f"the body ({len(body)} bytes) is a damaged {kind} image")
    return image, (height, width)


def encode_png(mask: np.ndarray) -> bytes:
    """Encode (H, W) uint8 as a single-channel PNG of the values, fast rather than small."""
    done, buffer = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, 3])
    if not done:
        raise RuntimeError("OpenCV could not encode the mask")
    return buffer.tobytes()
