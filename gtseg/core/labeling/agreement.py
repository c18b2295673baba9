"""Agreement of the workers of one image, from the worker responses that Ground Truth stores."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from gtseg.core.scores.metrics import Counts, Mask, Matrix, confusion_matrix, miou, miou_foreground
from gtseg.errors import MaskError


@dataclass(frozen=True)
class Identity:
    """Member of a private workforce: the Amazon Cognito user pool and the user's `sub` in it."""

    pool: str
    subject: str


@dataclass(frozen=True)
class WorkerAnswer:
    """One worker's mask, (H, W) class indices. `seconds` spent, None if Ground Truth did not record them."""

    worker: str
    mask: Mask
    seconds: float | None
    identity: Identity | None = None
    suggested_by: str = ""
    """The model whose mask the worker was shown; '' if none."""


def read_answers(response: Mapping[str, Any], classes: Sequence[str]) -> list[WorkerAnswer]:
    """Return the answers of one worker-response file. Raises MaskError if one is not a semantic segmentation answer.

    A pixel whose color has no label is background, as in the crowd element.
    """
    try:
        return [
            WorkerAnswer(
                str(answer.get("workerId", "?")),
                _read_mask(_element(answer["answerContent"]), classes),
                answer.get("timeSpentInSeconds"),
                _read_identity(answer.get("workerMetadata")),
                str(answer.get("suggestedBy") or ""),
            )
            for answer in response["answers"]
        ]
    except (KeyError, TypeError, AttributeError, ValueError, OSError, SyntaxError) as error:
        raise MaskError(f"not a semantic segmentation answer: {error!r}") from None


def _read_identity(metadata: Any) -> Identity | None:
    """Return the identity in `workerMetadata` (developer guide, sms-data-output); None for public or vendor
    workforces.
    """
    found = metadata.get("identityData") if isinstance(metadata, dict) else None
    if not isinstance(found, dict) or found.get("identityProviderType") != "Cognito":
        return None
    pool, subject = str(found.get("issuer", "")).rpartition("/")[2], str(found.get("sub", ""))
    return Identity(pool, subject) if pool and subject else None


def _element(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the value of the crowd element, whatever name the template gives it."""
    for value in content.values():
        if isinstance(value, dict) and "labeledImage" in value:
            return value
    raise KeyError("labeledImage")


def _read_mask(value: Mapping[str, Any], classes: Sequence[str]) -> Mask:
    image = Image.open(io.BytesIO(base64.b64decode(value["labeledImage"]["pngImageData"])), formats=("PNG",))
    pixels = np.asarray(image.convert("RGBA")).astype(np.uint32)  # (H, W, 4)
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    mask = np.zeros(packed.shape, np.uint8)
    for name, entry in value["labelMappings"].items():
        if name in classes:
            mask[(packed == int(entry["color"].lstrip("#"), 16)) & (pixels[..., 3] > 0)] = classes.index(name)
    return mask


def pairwise_agreement(masks: Sequence[Mask], classes: int) -> tuple[float, float] | None:
    """Return the mean over pairs of workers of (mIoU without background, share of equal pixels).

    Return None if fewer than two masks have the same size. Two empty masks agree completely.
    """
    scores = [
        (overlap_of(matrix), float(np.trace(matrix) / matrix.sum()))
        for one, other in itertools.combinations(masks, 2)
        if (matrix := compare(one, other, classes)) is not None
    ]
    if not scores:
        return None
    overlaps, equal = zip(*scores, strict=True)
    return float(np.mean(overlaps)), float(np.mean(equal))


def compare(truth: Mask, mask: Mask, classes: int) -> Matrix | None:
    """Return the confusion matrix of two masks, excluding pixels 255 of `truth`; None if their sizes differ."""
    if truth.shape != mask.shape or not truth.size:
        return None
    matrix = confusion_matrix(truth, mask, classes)
    return matrix if matrix.sum() else None


def overlap_of(matrix: Matrix) -> float:
    """Return mIoU without background; with it if both masks are background only, which is full agreement."""
    counts = Counts.of(matrix)
    objects = miou_foreground(counts)
    return float(miou(counts)) if np.isnan(objects) else float(objects)
