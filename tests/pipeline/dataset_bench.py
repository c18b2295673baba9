"""Bucket with the output of a labeling job, and the dataset stage on it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.pipeline.run import Context, LabelSource, Run
from gtseg.pipeline.run.events import Event
from gtseg.pipeline.stages.dataset import dataset
from gtseg.settings import Settings

WHITE, GREEN, BLUE, ORANGE = (255, 255, 255), (0x2C, 0xA0, 0x2C), (0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)
CAT_DOG = {"BACKGROUND": WHITE, "cat": GREEN, "dog": BLUE}
LABEL = "pets-ref"


def jpeg(seed: int, size: tuple[int, int] = (32, 24)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return save(Image.fromarray(pixels), "JPEG")


def save(image: Image.Image, kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


def drawing(seed: int, classes: int = 3, size: tuple[int, int] = (32, 24)) -> np.ndarray:
    """(H, W) uint8 class indices with every class in it."""
    values = np.random.default_rng(seed).integers(0, classes, (size[1], size[0]), dtype=np.uint8)
    values.flat[:classes] = range(classes)
    return values


def ground_truth_png(indices: np.ndarray, colors: list[tuple[int, int, int]]) -> bytes:
    image = Image.fromarray(indices, "P")
    image.putpalette([v for color in colors for v in color] + [255] * (768 - 3 * len(colors)))
    return save(image)


def color_map(classes: dict[str, tuple[int, int, int]], confidence: float = 0) -> dict[str, Any]:
    return {
        str(i): {
            "class-name": name,
            "hex-color": "#{:02x}{:02x}{:02x}".format(*color),
            "confidence": confidence,
        }
        for i, (name, color) in enumerate(classes.items())
    }


@dataclass
class Bench:
    """Bucket, and a manifest to which lines are added."""

    clients: Clients
    bucket: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def root(self) -> str:
        return f"s3://{self.bucket}/run/"

    def put(self, key: str, body: bytes) -> str:
        S3(self.clients).write(f"s3://{self.bucket}/{key}", body)
        return f"s3://{self.bucket}/{key}"

    def add(
        self,
        key: str,
        image: bytes | None = None,
        mask: bytes | None = None,
        *,
        classes: dict[str, Any] | None = None,
        confidence: float = 0,
        human: str = "yes",
    ) -> None:
        number = len(self.lines)
        image = jpeg(number) if image is None else image
        classes = classes or CAT_DOG
        mask = ground_truth_png(drawing(number, len(classes)), list(classes.values())) if mask is None else mask
        reference = self.put(f"masks/{number}_2026-01-01T00:00:00.000001.png", mask)
        self.lines.append(
            {
                "source-ref": self.put(f"images/{key}", image),
                LABEL: reference,
                f"{LABEL}-metadata": {
                    "internal-color-map": color_map(classes, confidence),
                    "type": "groundtruth/semantic-segmentation",
                    "human-annotated": human,
                    "job-name": "labeling-job/pets",
                },
            }
        )

    def fill(self, count: int) -> Bench:
        for number in range(len(self.lines), len(self.lines) + count):
            self.add(f"p{number:03}.jpg")
        return self

    def manifest(self) -> str:
        return self.put("output.manifest", "".join(json.dumps(line) + "\n" for line in self.lines).encode())

    def make(self, **options: Any) -> Run:
        settings = {
            key: options.pop(key)
            for key in (
                "split",
                "seed",
                "group_by",
                "min_confidence",
                "alike_labels",
                "machine_labels",
                "check",
            )
            if key in options
        }
        options.setdefault("manifest", self.manifest())
        dry_run = options.pop("dry_run", False)
        self.events.clear()
        wanted = Settings(project={"name": "run", "bucket": self.bucket}, dataset=settings)
        return dataset(
            Run(name="run", root=self.root, account="1" * 12, region="us-east-1", created=datetime.now(UTC)),
            Context(wanted, self.clients, self.events.append, dry_run=dry_run),
            labels=LabelSource(**options),
        )

    def objects(self) -> dict[str, bytes]:
        """Return all objects of the run by key."""
        s3 = S3(self.clients)
        items = list(s3.list_objects(self.root))
        return {item.key.removeprefix("run/"): s3.read(f"s3://{self.bucket}/{item.key}")[0] for item in items}

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in S3(self.clients).read(f"{self.root}objects.jsonl")[0].splitlines()]

    def messages(self, kind: str = "warning") -> str:
        return "\n".join(event.message for event in self.events if event.kind == kind)
