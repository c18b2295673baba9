"""Worst, median and best images: photograph, labels, prediction and errors, as small inline pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from gtseg.aws.s3 import S3
from gtseg.core.classes import VOID
from gtseg.core.hosting.endpoint_images import open_image, read_mask, scale_mask, to_rgb
from gtseg.core.masks import Classes, draw_overlay
from gtseg.core.scores.metrics import Mask
from gtseg.pipeline.run import DatasetSection, EvaluationSection

SIDE = 360
"""Longer side in pixels of a picture: four fit side by side."""
EACH = 2
INVENTED, MISSED, CONFUSED = (0xE6, 0x39, 0x46), (0x1D, 0x7A, 0xF2), (0xB0, 0x3A, 0xD9)
"""Colors of errors: false positive, missed, wrong class."""


@dataclass(frozen=True)
class Panel:
    """One image; its pictures are data: URLs."""

    name: str
    rank: str
    miou: float | None
    pixel_accuracy: float | None
    pictures: tuple[tuple[str, str], ...]
    ratio: float


def choose(images: Sequence[dict[str, Any]], *, each: int = EACH) -> list[tuple[str, dict[str, Any]]]:
    """Return (rank, image) of the worst, median and best images, without repetition; `images` are sorted worst first.

    An image whose labels are all background is used only if there are no others.
    """
    scored = [image for image in images if image["miou"] is not None]
    with_objects = [image for image in scored if image.get("has_objects", True)]
    scored = with_objects if len(with_objects) >= 3 else scored
    if len(scored) <= 3 * each:
        ranks = ["worst", *["median"] * (len(scored) - 2), "best"] if len(scored) > 1 else ["only"] * len(scored)
        return list(zip(ranks, scored, strict=True))
    middle = (len(scored) - each) // 2
    return [
        *(("worst", image) for image in scored[:each]),
        *(("median", image) for image in scored[middle : middle + each]),
        *(("best", image) for image in reversed(scored[-each:])),
    ]


def draw_panels(
    images: Sequence[dict[str, Any]],
    data: DatasetSection,
    evaluation: EvaluationSection,
    classes: Classes,
    s3: S3,
) -> list[Panel]:
    panels = []
    for rank, image in choose(images):
        stem = image["name"]
        photo = to_rgb(open_image(s3.read(f"{data.channels}{evaluation.split}/{stem}.jpg")[0]))
        truth = read_mask(s3.read(f"{data.channels}{evaluation.split}_annotation/{stem}.png")[0])
        prediction = read_mask(s3.read(f"{evaluation.predictions}{stem}.png")[0])
        photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        pictures = _draw(photo, scale_mask(truth, photo.size), scale_mask(prediction, photo.size), classes)
        panels.append(Panel(stem, rank, image["miou"], image["pixel_accuracy"], pictures, photo.width / photo.height))
    return panels


def _draw(photo: Image.Image, truth: Mask, prediction: Mask, classes: Classes) -> tuple[tuple[str, str], ...]:
    return (
        ("image", data_address(photo)),
        ("labels", data_address(draw_overlay(photo, truth, classes))),
        ("prediction", data_address(draw_overlay(photo, prediction, classes))),
        ("errors", data_address(draw_errors(photo, truth, prediction))),
    )


def draw_errors(photo: Image.Image, truth: Mask, prediction: Mask) -> Image.Image:
    """Return the image in light gray, wrong pixels in the color of their kind, void hatched darker."""
    gray = np.asarray(photo.convert("L"), np.float32) * 0.35 + 150
    drawn = np.repeat(gray[..., None], 3, -1).astype(np.uint8)
    counted = truth != VOID
    wrong = (truth != prediction) & counted
    drawn[wrong & (truth == 0)] = INVENTED
    drawn[wrong & (prediction == 0)] = MISSED
    drawn[wrong & (truth != 0) & (prediction != 0)] = CONFUSED
    drawn[~counted] = drawn[~counted] // 2
    return Image.fromarray(drawn)


def data_address(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
