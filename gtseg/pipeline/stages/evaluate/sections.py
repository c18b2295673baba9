"""Scores in the form of run.json and evaluation.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gtseg.core.scores.evaluation import Result, Tally, known
from gtseg.core.scores.intervals import MIN_IMAGES
from gtseg.core.scores.metrics import iou
from gtseg.pipeline.run import ClassScores, EvaluationSection


def section_of(result: Result, names: Sequence[str], *, split: str, **origin: Any) -> EvaluationSection:
    """Return the section with class names and provenance."""
    values = asdict(result)
    classes = [ClassScores(name=name, **row) for name, row in zip(names, values.pop("classes"), strict=True)]
    return EvaluationSection(split=split, **values, classes=tuple(classes), **origin)


def details_of(tally: Tally, section: EvaluationSection) -> bytes:
    """Return evaluation.json: the section, and the scores of each image, worst first."""
    names = [one.name for one in section.classes]
    images = [
        {
            "name": image.name,
            "miou": image.miou,
            "pixel_accuracy": image.pixel_accuracy,
            "iou": {name: known(value) for name, value in zip(names, iou(image.counts), strict=True)},
            "void_pixels": image.void,
            "has_objects": bool(image.truth[1:].sum()),
        }
        for image in tally.images
    ]
    images.sort(key=lambda row: (row["miou"] is None, row["miou"] or 0.0, row["name"]))
    document = {"evaluation": section.model_dump(mode="json"), "images": images}
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def sentence(section: EvaluationSection) -> str:
    """Format the main scores as text."""
    if section.miou is None:
        return f"{section.images} {section.split} images have no pixel that can be scored"
    span = section.intervals.get("miou")
    interval = f" (95 % interval {span[0]:.3f} to {span[1]:.3f})" if span else ""
    if not span and section.images < MIN_IMAGES:
        interval = f" (no interval below {MIN_IMAGES} images)"
    accuracy = f", pixel accuracy {section.pixel_accuracy:.4f}" if section.pixel_accuracy is not None else ""
    missing = f" ({len(section.missing)} missing)" if section.missing else ""
    return f"mIoU {section.miou:.4f}{interval}{accuracy} on {section.images} {section.split} images{missing}"
