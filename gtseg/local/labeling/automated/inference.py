"""The model over the objects that nobody has labeled, and over the validation set: a process of its own for each round."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gtseg.local.algorithm.pictures import PictureError, open_picture
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.hosting.artifact import ArtifactError, unpack_artifact
from gtseg.local.jobs.container_images import image_uri
from gtseg.local.jobs.processes import Process
from gtseg.local.labeling.automated.training import Failure
from gtseg.local.labeling.pictures import decoding
from gtseg.local.storage.objects import StorageUnavailable, split_uri

__all__ = ["Score", "Scoring", "fits", "measure_quality", "read_values"]

NICENESS = 5
LARGEST = (1920, 1080)
"""Pixels of an image (developer guide, "Automated data labeling")."""


@dataclass(frozen=True)
class Score:
    """`classes`: the confidence of each class index that the mask has."""

    confidence: float
    classes: Mapping[int, float]
    is_fitting: bool = True
    """Whether the image is one that automated labeling takes (LARGEST)."""


class Scoring:
    """The folder of one round: `images` of the job (shared by its rounds), the model, the masks, the process."""

    def __init__(self, embedded: Embedded, folder: Path, number: int) -> None:
        self.embedded = embedded
        self.images = folder / "images"
        self.root = folder / f"round-{number}"
        self.process = Process(self.root / "process")

    def place_image(self, line: int, uri: str) -> None:
        """The object's image as a file; nothing where it cannot be read: it will have no score."""
        target = self.images / name_of(line)
        if target.exists():
            return
        part = target.with_name(f".{target.name}.part")
        part.unlink(missing_ok=True)
        try:
            bucket, key = split_uri(uri)
            self.embedded.objects.download(bucket, key, part, shared=True)
        except StorageUnavailable:
            raise
        except ServiceError:
            return
        os.replace(part, target)

    def prepare(self, lines: Sequence[int], *, artifact: str) -> None:
        """The model and the list of images. Raises Failure."""
        image = image_uri(self.embedded.store.region)
        self.embedded.objects.head(*split_uri(artifact))  # where the storage is away, that is no fault of the artifact
        try:
            unpack_artifact(self.embedded.objects, artifact, self.root / "model", image=image, runnable=True)
        except ArtifactError as error:
            raise Failure(f"ClientError: {error}") from None
        present = [name_of(line) for line in lines if (self.images / name_of(line)).exists()]
        (self.root / "input").mkdir(parents=True, exist_ok=True)
        part = self.root / "input" / ".names.part"
        part.write_text("".join(f"{name}\n" for name in present), encoding="utf-8")
        os.replace(part, self.root / "input" / "names")

    def launch(self) -> None:
        """Start the process. It ends with this one, however that ends."""
        command = [sys.executable, "-m", "gtseg.local.algorithm", "score", "--root", str(self.root)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process.launch(
            [*command, "--images", str(self.images)],
            environment=environment,
            dies_with_us=True,
            niceness=NICENESS,
        )

    def find_failure(self) -> str:
        """The process's own reason for having failed; '' without one."""
        failure = self.root / "output" / "failure"
        return failure.read_text(errors="replace").strip() if failure.exists() else ""

    def read(self) -> dict[int, Score]:
        """Line of the manifest -> its score; objects whose image cannot be read have none."""
        path = self.root / "output" / "scores.jsonl"
        found: dict[int, Score] = {}
        for text in path.read_bytes().splitlines() if path.exists() else ():
            entry = json.loads(text)
            if "confidence" in entry:
                classes = {int(index): float(value) for index, value in entry["classes"].items()}
                is_fitting = fits(*entry.get("size", (1, 1)))
                found[int(entry["name"])] = Score(float(entry["confidence"]), classes, is_fitting)
        return found

    def mask(self, line: int) -> np.ndarray:
        """(H, W) uint8 class indices that the model gave an object."""
        return read_values((self.root / "output" / "masks" / f"{name_of(line)}.png").read_bytes())


def fits(width: int, height: int) -> bool:
    """Whether automated labeling takes an image of this size."""
    return width <= LARGEST[0] and height <= LARGEST[1]


def name_of(line: int) -> str:
    return f"{line:06d}"


def read_values(content: bytes) -> np.ndarray:
    """(H, W) uint8 values of an index PNG. Raises ValueError."""
    try:
        with open_picture(content, formats=("PNG",)) as picture, decoding(picture.size):
            values: np.ndarray = np.array(picture, dtype=np.uint8)
    except PictureError as error:
        raise ValueError(f"the mask {error}") from None
    if values.ndim != 2:
        raise ValueError("the mask is no index PNG")
    return values


def measure_quality(guess: np.ndarray, truth: np.ndarray) -> float:
    """The mean IoU over the classes that either (H, W) mask has, background excluded; 1 where both have none."""
    if guess.shape != truth.shape:
        return 0.0
    size = int(max(guess.max(initial=0), truth.max(initial=0))) + 1
    joint = np.bincount(truth.reshape(-1).astype(np.int64) * size + guess.reshape(-1), minlength=size * size).reshape(
        size, size
    )
    hits = np.diag(joint)
    unions = joint.sum(0) + joint.sum(1) - hits
    present = unions[1:] > 0
    return float((hits[1:][present] / unions[1:][present]).mean()) if present.any() else 1.0
