"""A trained network as a function: encoded image in, mask or probabilities of the same size out."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import torch

from gtseg.local.algorithm.data import fitted, for_network, normalise
from gtseg.local.algorithm.errors import ClientError
from gtseg.local.algorithm.model import has_fast_half, load_network, probabilities
from gtseg.local.algorithm.pictures import PictureError, open_picture
from gtseg.local.algorithm.score import to_mask
from gtseg.local.algorithm.threads import Threads, cores


class Predictor:
    """Safe to call from several threads: decoding and encoding overlap, the network runs once at a time."""

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
        self.probabilities(
            np.zeros((self.inference_size, self.inference_size, 3), np.uint8)
        )  # the first run allocates

    def prepared(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 BGR -> (1, 3, h, w) normalised, at the scale that the network was trained for."""
        size = fitted((image.shape[0], image.shape[1]), self.inference_size, multiple=self.multiple)
        return normalise(torch.from_numpy(for_network(image, size)[None])).to(self.device)

    def run(self, x: torch.Tensor) -> torch.Tensor:
        """(1, 3, h, w) -> (C, h', w') float32 probabilities at the network's own output size."""
        with self.turn, self.threads.step():
            return probabilities(self.model, x, half=self.half, mirror=self.mirror)[0]

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        return self.run(self.prepared(image)).cpu().numpy()

    def mask(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(H, W) uint8 class indices at `size`, the size of the image that was sent."""
        return to_mask(self.probabilities(image), size)

    def full_probabilities(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(C, H, W) float32 at `size`; sums to 1 over C."""
        planes = self.probabilities(image)
        return np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes])


def decode(body: bytes, *, smallest: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Encoded JPEG or PNG -> (h, w, 3) uint8 BGR and the (H, W) that it has in full; ClientError where it is neither.

    A JPEG twice (four times) `smallest` is decoded at half (a quarter of) its size: the network would shrink it anyway.
    """
    try:
        with open_picture(body) as header:
            width, height = header.size
            kind = header.format
    except PictureError as error:
        raise ClientError(
            f"the body ({len(body)} bytes) is not a readable image: it {error} (image/jpeg and image/png can be decoded)"
        ) from None
    times = max(width, height) // smallest if kind != "PNG" else 1
    flags = cv2.IMREAD_COLOR
    if times >= 2:
        flags = cv2.IMREAD_REDUCED_COLOR_2 if times < 4 else cv2.IMREAD_REDUCED_COLOR_4
    image = cv2.imdecode(np.frombuffer(body, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ClientError(f"the body ({len(body)} bytes) is a broken {kind} image")
    return image, (height, width)


def encode_png(mask: np.ndarray) -> bytes:
    """(H, W) uint8 -> a single-channel PNG of the values; fast rather than small: large even areas compress anyhow."""
    done, buffer = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, 3])
    if not done:
        raise RuntimeError("OpenCV could not encode the mask")
    return buffer.tobytes()
