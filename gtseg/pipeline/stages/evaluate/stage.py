"""evaluate: predict the test split with the endpoint or batch transform, and count every pixel once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from gtseg.core.hosting.endpoint_images import read_mask
from gtseg.core.masks import encode_palette_png
from gtseg.core.masks.colors import SPARE_COLORS, WHITE
from gtseg.core.plurals import counted
from gtseg.core.scores.caveats import score_warnings
from gtseg.core.scores.evaluation import Tally, conclude
from gtseg.core.scores.metrics import Mask
from gtseg.core.training.channels import channel_uri
from gtseg.errors import AWSError, GtsegError, Interrupted, StageError
from gtseg.pipeline.run import (
    Context,
    DatasetSection,
    EndpointSection,
    EvaluationSection,
    LearningPoint,
    Run,
    provenance,
)
from gtseg.pipeline.run.batch import BatchItem, open_batch, predict_batch
from gtseg.pipeline.run.inference import EndpointPredictor, await_endpoint, in_order
from gtseg.pipeline.run.locations import Entry, Place
from gtseg.pipeline.run.transform_jobs import Batch
from gtseg.pipeline.stages.evaluate.sections import details_of, section_of, sentence

SPLIT = "test"
SHOWN = 10
"""Number of missing images that are listed with reasons."""


@dataclass(frozen=True)
class Pair:
    """Image of the split, its mask, the location of its prediction, and whether that exists already."""

    stem: str
    image: str
    mask: str
    prediction: str
    is_there: bool


@dataclass(frozen=True)
class Scored:
    """(H, W) label and prediction of one image; seconds of the request, None if the prediction existed already."""

    truth: Mask
    prediction: Mask
    seconds: float | None


@dataclass(frozen=True)
class Model:
    """Model to score. `endpoint` is None in batch transform, `batch` is None with an endpoint."""

    model_data: str
    image_uri: str
    training_job: str | None
    endpoint: EndpointSection | None = None
    batch: Batch | None = None


def evaluate(run: Run, context: Context, *, in_batch: bool = False) -> Run:
    """Return the run with its evaluation; predictions and the scores of each image are stored below `evaluation/`.

    `in_batch`: the predictions come from a transform job of the run's model, whose cost is confirmed; no endpoint is
    needed.
    Existing predictions of this model and this dataset are not repeated. Images that the endpoint cannot predict are
    listed in `missing`; `evaluate` retries them.
    Raises StageError before `deploy`, if the endpoint does not exist, or if the dataset has no test split; GtsegError
    if no image can be scored.
    """
    context = context.of("evaluate")
    settings = context.settings
    data = _dataset(run)
    model = _batch_model(run, context) if in_batch else _endpoint_model(run)
    begun = time.monotonic()
    folder = f"{run.root}evaluation/{_mark(data, model)}/"
    pairs = _pairs(data, folder, context)
    failed: dict[str, str] = {}
    if model.batch:
        run, failed = _predict_in_batch(pairs, model.batch, context, classes=len(data.classes))
        if context.dry_run:
            return run
        pairs = [pair for pair in _pairs(data, folder, context) if pair.stem not in failed]
    elif model.endpoint and not all(pair.is_there for pair in pairs):
        await_endpoint(model.endpoint, context)
    tally = Tally(len(data.classes), settings.evaluate.boundary_tolerance)
    predictor = EndpointPredictor(context.hosting, model.endpoint, settings.predict) if model.endpoint else None
    latencies = _score(pairs, tally, predictor, context, failed)
    result = conclude(tally, seed=settings.evaluate.seed, resamples=settings.evaluate.resamples)
    for warning in score_warnings(result, data.classes):
        context.warn(warning)
    section = section_of(
        result,
        data.classes,
        split=SPLIT,
        missing=tuple(failed),
        endpoint=model.endpoint.name if model.endpoint else None,
        in_batch=in_batch,
        dataset=data.fingerprint,
        predictions=f"{folder}predictions/",
        details=f"{folder}evaluation.json",
        made=context.run_file(run).clock(),
        seconds=round(time.monotonic() - begun, 3),
        median_latency=float(np.median(latencies)) if latencies else _earlier_latency(run, folder),
        made_from=provenance(
            settings,
            "evaluate",
            "predict",
            dataset=data.fingerprint,
            split=SPLIT,
            endpoint=model.endpoint.name if model.endpoint else None,
            model_data=model.model_data,
            training_job=model.training_job,
        ),
    )
    context.s3.write(section.details, details_of(tally, section))
    _report_missing(failed, len(tally.images) + len(failed), context)
    _report(section, context)
    return run.update(evaluation=section, learning=add_point(run.learning, data, section))


def add_point(
    known: tuple[LearningPoint, ...], data: DatasetSection, section: EvaluationSection
) -> tuple[LearningPoint, ...]:
    """Return the scores with this evaluation's; the one of the same dataset is replaced."""
    span = section.intervals.get("miou")
    point = LearningPoint(
        labeled=data.counts.get("train", 0) + data.counts.get("validation", 0),
        by_machine=data.by_machine.get("train", 0) + data.by_machine.get("validation", 0),
        miou=section.miou,
        interval=(span[0], span[1]) if span else None,
        test=section.images,
        dataset=data.fingerprint,
        made=section.made or datetime.now(UTC),
    )
    return (*(one for one in known if one.dataset != data.fingerprint), point)


def _dataset(run: Run) -> DatasetSection:
    if run.dataset is None:
        raise StageError(f"Run {run.name!r} has no dataset to evaluate on. Make one: `gtseg dataset`.")
    if not run.dataset.counts.get(SPLIT):
        raise StageError(
            "The dataset has no test images: set a share for them in [dataset] split, then run `gtseg dataset`. "
            "Scores on training or validation images would be biased."
        )
    return run.dataset


def _endpoint_model(run: Run) -> Model:
    found = run.endpoint
    if found is None or found.deleted:
        raise StageError(
            f"Run {run.name!r} has no endpoint to evaluate. Start one with `gtseg deploy`, or use `gtseg evaluate "
            "--batch`."
        )
    return Model(found.model_data, found.image_uri, found.training_job, endpoint=found)


def _batch_model(run: Run, context: Context) -> Model:
    batch = open_batch(run, context)
    return Model(batch.hosting.model_data, batch.hosting.image_uri, batch.training_job, batch=batch)


def _predict_in_batch(pairs: list[Pair], batch: Batch, context: Context, *, classes: int) -> tuple[Run, dict[str, str]]:
    """Write missing predictions where the endpoint's would be; return the run, and why images have none."""
    missing = {pair.image: pair for pair in pairs if not pair.is_there}
    folders = {uri.rsplit("/", 1)[0] + "/" for uri in missing}
    listed = {entry.address: (place, entry) for folder in folders for place, entry in _listed(folder, context)}
    items = [BatchItem(missing[uri].stem, *listed[uri]) for uri in missing]
    palette = _palette(classes)

    def keep(item: BatchItem, mask: Mask) -> None:
        height, width = mask.shape
        body = encode_palette_png(mask, width, height, palette=palette)
        context.s3.write(missing[item.entry.address].prediction, body)

    run, failed = predict_batch(batch, items, keep)
    return run, {item.name: reason for item, reason in failed}


def _listed(folder: str, context: Context) -> list[tuple[Place, Entry]]:
    place = Place(folder, context.s3)
    return [(place, entry) for entry in place.entries()]


def _mark(data: DatasetSection, model: Model) -> str:
    """Return the name of the folder of predictions: of this model, on this dataset."""
    text = f"{data.fingerprint}\n{model.model_data}\n{model.image_uri}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _earlier_latency(run: Run, folder: str) -> float | None:
    earlier = run.evaluation
    return earlier.median_latency if earlier and earlier.predictions == f"{folder}predictions/" else None


def _pairs(data: DatasetSection, folder: str, context: Context) -> list[Pair]:
    """Return every test image with its mask, by name. Raises GtsegError if one has none."""
    images = _stems(channel_uri(data.channels, SPLIT), context)
    masks = _stems(channel_uri(data.channels, f"{SPLIT}_annotation"), context)
    if unpaired := sorted(images.keys() ^ masks.keys()):
        raise GtsegError(
            f"{len(unpaired)} objects of the test channels have an image or a mask but not both, like {unpaired[0]}. "
            "Run `gtseg dataset` again."
        )
    if not images:
        raise StageError("The test channel is empty. Run `gtseg dataset` again.")
    there = _stems(f"{folder}predictions/", context)
    return [
        Pair(stem, images[stem], masks[stem], f"{folder}predictions/{stem}.png", stem in there)
        for stem in sorted(images)
    ]


def _stems(uri: str, context: Context) -> dict[str, str]:
    bucket = uri.split("/")[2]
    found = (item.key for item in context.s3.list_objects(uri) if not item.key.endswith("/"))
    return {key.rsplit("/", 1)[-1].rsplit(".", 1)[0]: f"s3://{bucket}/{key}" for key in found}


def _score(
    pairs: list[Pair], tally: Tally, predictor: EndpointPredictor | None, context: Context, failed: dict[str, str]
) -> list[float]:
    """Add every pair to the tally and return the seconds of the requests made now.

    `failed` receives unscored images.
    """
    s3, palette = context.s3, _palette(tally.classes)
    latencies: list[float] = []

    def one(pair: Pair) -> Scored:
        truth = read_mask(s3.read(pair.mask)[0])
        if pair.is_there or predictor is None:
            return Scored(truth, read_mask(s3.read(pair.prediction)[0]), None)
        answer = predictor.predict(s3.read(pair.image)[0])
        height, width = answer.mask.shape
        s3.write(pair.prediction, encode_palette_png(answer.mask, width, height, palette=palette))
        return Scored(truth, answer.mask, answer.seconds)

    try:
        for number, (pair, result) in enumerate(
            in_order(pairs, one, concurrency=context.settings.predict.concurrency), 1
        ):
            if isinstance(result, AWSError):
                failed[pair.stem] = str(result)
            elif isinstance(result, GtsegError):
                raise GtsegError(f"Test image {pair.image} cannot be scored: {result}") from result
            else:
                tally.add(pair.stem, result.truth, result.prediction)
                latencies += [] if result.seconds is None else [result.seconds]
            context.progress(f"scoring the {SPLIT} split", number, len(pairs))
    except KeyboardInterrupt:
        raise Interrupted("Predictions so far are kept. Run `gtseg evaluate` to continue.") from None
    if failed and not tally.images:
        raise GtsegError(
            f"Not one of {counted(len(failed), 'test image')} could be scored. {next(iter(failed.values()))}"
        )
    return latencies


def _report_missing(failed: Mapping[str, str], total: int, context: Context) -> None:
    if not failed:
        return
    for name, reason in list(failed.items())[:SHOWN]:
        context.warn(f"{name} is not scored: {reason}")
    context.warn(
        f"{len(failed):,} of {counted(total, 'test image')} could not be predicted and are not scored. `gtseg "
        "evaluate` retries them; if the model runs out of memory or time, use a larger [deploy] instance_type or a "
        "smaller [predict] max_side",
        {"missing": sorted(failed)},
    )


def _palette(classes: int) -> bytes:
    colors = [WHITE, *(SPARE_COLORS[n % len(SPARE_COLORS)] for n in range(classes - 1))]
    return b"".join(color.to_bytes(3, "big") for color in colors).ljust(768, b"\xff")


def _report(section: EvaluationSection, context: Context) -> None:
    if section.only_background:
        context.warn(
            "the model predicts only background, no pixel of another class. Use more epochs, a higher learning rate "
            "or more labeled images"
        )
    facts = section.model_dump(
        mode="json", include={"split", "images", "miou", "miou_builtin", "pixel_accuracy", "intervals"}
    )
    context.finish(sentence(section), facts)
