"""Inference on the unlabeled objects and the validation set, in a process per round."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.hosting.artifact import ArtifactError, unpack_artifact
from gtseg.local.jobs.container_images import image_uri
from gtseg.local.jobs.processes import Process
from gtseg.local.labeling.automated.training import Failure
from gtseg.local.labeling.pictures import decoding
from gtseg.local.storage.objects import StorageUnavailable, split_uri

NICENESS = 5
LARGEST = (1920, 1080)
"""Largest image in pixels (developer guide, "Automated data labeling")."""


@dataclass(frozen=True)
class Score:
    """The model's result for an object; `classes` maps each class index in its mask to a confidence."""

    confidence: float
    classes: Mapping[int, float]
    is_supported: bool = True
    """Whether the image is within LARGEST."""


class Scoring:
    """Inference of one round: the job's images (shared by its rounds), the model, the masks, and the process."""

    def __init__(self, embedded: Embedded, folder: Path, number: int) -> None:
        self.embedded = embedded
        self.images = folder / "images"
        self.root = folder / f"round-{number}"
        self.process = Process(self.root / "process")

    def place_image(self, line: int, uri: str) -> None:
        """Download the object's image, unless present. An image that cannot be read is skipped and gets no score."""
        target = self.images / file_name(line)
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
        """Unpack the model and write the list of images. Raises Failure."""
        image = image_uri(self.embedded.store.region)
        # if the storage is unreachable, fail here rather than as an error of the artifact
        self.embedded.objects.head(*split_uri(artifact))
        try:
            unpack_artifact(self.embedded.objects, artifact, self.root / "model", image=image, runnable=True)
        except ArtifactError as error:
            raise Failure(f"ClientError: {error}") from None
        present = [file_name(line) for line in lines if (self.images / file_name(line)).exists()]
        (self.root / "input").mkdir(parents=True, exist_ok=True)
        part = self.root / "input" / ".names.part"
        part.write_text("".join(f"{name}\n" for name in present), encoding="utf-8")
        os.replace(part, self.root / "input" / "names")

    def launch(self) -> None:
        """Start the process, which ends when this process does."""
        command = [sys.executable, "-m", "gtseg.local.algorithm", "score", "--root", str(self.root)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process.launch(
            [*command, "--images", str(self.images)],
            environment=environment,
            dies_with_us=True,
            niceness=NICENESS,
        )

    def find_failure(self) -> str:
        """Return the failure reason written by the process; '' if there is none."""
        failure = self.root / "output" / "failure"
        return failure.read_text(errors="replace").strip() if failure.exists() else ""

    def read(self) -> dict[int, Score]:
        """Return line of the manifest -> score; objects with unreadable images have none."""
        path = self.root / "output" / "scores.jsonl"
        found: dict[int, Score] = {}
        for text in path.read_bytes().splitlines() if path.exists() else ():
            entry = json.loads(text)
            if "confidence" in entry:
                classes = {int(index): float(value) for index, value in entry["classes"].items()}
                is_supported = is_supported_size(*entry.get("size", (1, 1)))
                found[int(entry["name"])] = Score(float(entry["confidence"]), classes, is_supported)
        return found

    def mask(self, line: int) -> np.ndarray:
        """Return the model's (H, W) uint8 class indices of an object."""
        return read_values((self.root / "output" / "masks" / f"{file_name(line)}.png").read_bytes())


def is_supported_size(width: int, height: int) -> bool:
    """Return whether automated labeling supports an image of this size."""
    return width <= LARGEST[0] and height <= LARGEST[1]


def file_name(line: int) -> str:
    """Return the file name of an object."""
    return f"{line:06d}"


def read_values(content: bytes) -> np.ndarray:
    """Return the (H, W) uint8 values of an index PNG. Raises ValueError."""
    try:
        with open_picture(content, formats=("PNG",)) as picture, decoding(picture.size):
            values: np.ndarray = np.array(picture, dtype=np.uint8)
    except PictureError as error:
        raise ValueError(f"the mask {error}") from None
    if values.ndim != 2:
        raise ValueError("the mask is not an index PNG")
    return values


def measure_quality(guess: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean IoU over the classes in either (H, W) mask, without background; 1.0 if both have none."""
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
