"""compare: runs, or folders of predicted masks, on the same test images, scored again on the images that they share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gtseg.aws.s3 import S3
from gtseg.core.hosting.endpoint_images import scale_mask
from gtseg.core.masks import Classes, draw_overlay
from gtseg.core.masks.colors import SPARE_COLORS, WHITE
from gtseg.core.scores.evaluation import Result, Tally, conclude
from gtseg.errors import MaskError, StageError
from gtseg.pipeline.run import Context, DatasetSection, Run
from gtseg.pipeline.run.pictures import read_image, read_mask_at
from gtseg.pipeline.stages.report.panels import SIDE, data_address, draw_errors
from gtseg.pipeline.stages.report.stage import percent_text, score_text
from gtseg.settings.templates import read_template

SHOWN = 12


@dataclass(frozen=True)
class Contender:
    """Column of the page: its name, and the location of the mask of each test image."""

    name: str
    masks: Mapping[str, str]
    note: str = ""
    classes: tuple[str, ...] = ()
    """Names by class index; () if unknown."""


@dataclass(frozen=True)
class Comparison:
    """Scores of every contender on the images that all of them predicted; mIoU of each per image."""

    stems: tuple[str, ...]
    results: tuple[Result, ...]
    per_image: tuple[tuple[float | None, ...], ...]


def contender_of_run(run: Run, s3: S3) -> Contender:
    """Return a contender of the predictions that `gtseg evaluate` stored. Raises StageError if the run has none."""
    if run.evaluation is None:
        raise StageError(f"Run {run.name!r} has not been evaluated: `gtseg evaluate --run {run.name}`")
    note = ""
    if run.training_job:
        shown = ("algorithm", "backbone", "learning_rate", "epochs")
        note = ", ".join(f"{k} {v}" for k in shown if (v := run.training_job.hyperparameters.get(k)))
    classes = run.dataset.classes if run.dataset else ()
    return Contender(run.name, _by_stem(run.evaluation.predictions, s3), note, classes)


def contender_of_folder(folder: Path, name: str = "") -> Contender:
    """Return a contender of the index PNGs of a folder, under the folder's name unless `name` is given.

    Raises StageError if it has none.
    """
    masks = {path.stem: str(path) for path in sorted(folder.glob("*.png"))}
    if not masks:
        raise StageError(f"{folder}: no predicted masks (.png) found")
    return Contender(name or folder.resolve().name, masks, str(folder))


def _by_stem(uri: str, s3: S3) -> dict[str, str]:
    bucket = uri.split("/")[2]
    keys = (item.key for item in s3.list_objects(uri))
    return {Path(key).stem: f"s3://{bucket}/{key}" for key in keys if key.endswith(".png")}


def compare(run: Run, contenders: Sequence[Contender], context: Context) -> tuple[str, dict[str, Any]]:
    """Return (the page, its data). All columns are scored on the first run's test split.

    Raises StageError if they share no test image, or a run has other classes.
    """
    if run.dataset is None:
        raise StageError(f"Run {run.name!r} has no dataset to compare on: `gtseg dataset --run {run.name}`")
    for contender in contenders:
        if contender.classes and contender.classes != run.dataset.classes:
            raise StageError(
                f"Run {contender.name!r} has the classes {', '.join(contender.classes)}, run {run.name!r} has "
                f"{', '.join(run.dataset.classes)}: only runs with equal labels in equal order can be compared."
            )
    context = context.of("compare")
    s3 = context.s3
    photos = _channel(run.dataset, "test", s3)
    truths = _channel(run.dataset, "test_annotation", s3)
    shared = sorted(stem for stem in photos if stem in truths and all(stem in c.masks for c in contenders))
    if not shared:
        raise StageError(
            f"{', '.join(c.name for c in contenders)} have no predicted test image of {run.name!r} in common"
        )
    if len(shared) < len(photos):
        context.warn(f"only {len(shared)} of the {len(photos)} test images were predicted by all")
    compared = _score(shared, truths, contenders, run.dataset, context)
    classes = _classes(run.dataset)
    panels = [_panel(stem, photos, truths, contenders, compared, classes, s3) for stem in _most_different(compared)]
    facts = _facts(run, contenders, compared)
    return _render(facts, panels), facts


def _channel(data: DatasetSection, name: str, s3: S3) -> dict[str, str]:
    uri = f"{data.channels}{name}/"
    bucket = uri.split("/")[2]
    return {Path(item.key).stem: f"s3://{bucket}/{item.key}" for item in s3.list_objects(uri)}


def _classes(data: DatasetSection) -> Classes:
    colors = [WHITE, *(SPARE_COLORS[n % len(SPARE_COLORS)] for n in range(len(data.classes) - 1))]
    return Classes(tuple(data.classes), tuple(colors))


def _score(
    stems: Sequence[str],
    truths: Mapping[str, str],
    contenders: Sequence[Contender],
    data: DatasetSection,
    context: Context,
) -> Comparison:
    options, s3 = context.settings.evaluate, context.s3
    tallies = [Tally(len(data.classes), options.boundary_tolerance) for _ in contenders]
    per_image = []
    for number, stem in enumerate(stems, 1):
        truth = read_mask_at(truths[stem], s3)
        scores = []
        for tally, contender in zip(tallies, contenders, strict=True):
            prediction = read_mask_at(contender.masks[stem], s3)
            if prediction.shape != truth.shape:
                raise StageError(
                    f"{contender.masks[stem]}: {prediction.shape[1]}x{prediction.shape[0]} pixels, but the label has "
                    f"{truth.shape[1]}x{truth.shape[0]}"
                )
            try:
                scores.append(tally.add(stem, truth, prediction).miou)
            except MaskError as error:
                raise MaskError(f"{contender.masks[stem]}: {str(error).removeprefix(f'{stem}: ')}") from None
        per_image.append(tuple(scores))
        context.progress("scoring", number, len(stems))
    results = tuple(conclude(tally, seed=options.seed, resamples=options.resamples) for tally in tallies)
    return Comparison(tuple(stems), results, tuple(per_image))


def _most_different(compared: Comparison) -> list[str]:
    """Return the images whose predictions differ most; equal ones in order of name."""
    spread = [
        (-(max(known) - min(known)) if (known := [s for s in scores if s is not None]) else 0.0, stem)
        for stem, scores in zip(compared.stems, compared.per_image, strict=True)
    ]
    return [stem for _, stem in sorted(spread)[:SHOWN]]


def _panel(
    stem: str,
    photos: Mapping[str, str],
    truths: Mapping[str, str],
    contenders: Sequence[Contender],
    compared: Comparison,
    classes: Classes,
    s3: S3,
) -> dict[str, Any]:
    """Return a panel of pairs of pictures: image and label, then each prediction and its errors."""
    photo = read_image(photos[stem], s3)
    photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    truth = scale_mask(read_mask_at(truths[stem], s3), photo.size)
    scores = compared.per_image[compared.stems.index(stem)]
    pictures = [
        ("image", data_address(photo)),
        ("label", data_address(draw_overlay(photo, truth, classes))),
    ]
    for contender, score in zip(contenders, scores, strict=True):
        prediction = scale_mask(read_mask_at(contender.masks[stem], s3), photo.size)
        drawn = draw_overlay(photo, prediction, classes)
        pictures.append((f"{contender.name} {score_text(score)}", data_address(drawn)))
        wrong = draw_errors(photo, truth, np.asarray(prediction))
        pictures.append((f"errors of {contender.name}", data_address(wrong)))
    return {"name": stem, "pictures": pictures}


def _facts(run: Run, contenders: Sequence[Contender], compared: Comparison) -> dict[str, Any]:
    assert run.dataset is not None
    columns = [
        {
            "name": contender.name,
            "note": contender.note,
            "miou": result.miou,
            "interval": result.intervals.get("miou"),
            "pixel_accuracy": result.pixel_accuracy,
            "miou_foreground": result.miou_foreground,
            "classes": {name: c.iou for name, c in zip(run.dataset.classes, result.classes, strict=True)},
        }
        for contender, result in zip(contenders, compared.results, strict=True)
    ]
    return {
        "run": run.name,
        "images": len(compared.stems),
        "classes": list(run.dataset.classes),
        "columns": columns,
    }


def _render(facts: Mapping[str, Any], panels: Sequence[Mapping[str, Any]]) -> str:
    """Render the page: one HTML file without external resources, in the style of the report."""
    from jinja2 import Environment, StrictUndefined

    style = re.search(r"<style>(.*?)</style>", read_template("report.html.j2"), re.S)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"score": score_text, "percent": percent_text}
    template = environment.from_string(read_template("compare.html.j2"))
    return template.render(**facts, panels=panels, style=style[1] if style else "")
