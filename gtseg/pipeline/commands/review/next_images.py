"""label --next N: a follow-up job for the images that the run's model is expected to learn most from.

Every unlabeled image of [images] source is predicted with the run's endpoint (a random sample if there are very many).
The selected ones go to workers with the model's mask to correct; existing labels are kept, and the job's output has
both. The selection is not random, so the dataset uses it for training only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gtseg.aws.s3 import Bulk
from gtseg.core.labeling.chained_jobs import ChainLine
from gtseg.core.labeling.input_manifest import DataObject
from gtseg.core.labeling.output_manifest import CHOSEN
from gtseg.core.labeling.selection import Appearance, choose_next, compute_appearance, expected_iou
from gtseg.core.plurals import counted
from gtseg.errors import GtsegError, ImageError, StageError
from gtseg.pipeline.commands.review.adjust import start_adjustment
from gtseg.pipeline.commands.review.earlier_labels import find_earlier, refuse_running
from gtseg.pipeline.commands.review.prelabel import Prelabeling, find_classes
from gtseg.pipeline.run import Context, EndpointSection, Run
from gtseg.pipeline.run.inference import PROTOBUF, Answer, EndpointPredictor, await_endpoint, in_order
from gtseg.pipeline.stages.label.gold import find_gold
from gtseg.pipeline.stages.label.images import gather_images
from gtseg.pipeline.stages.label.job import upload_images

Predict = Callable[[bytes], Answer]
"""Function from an image's bytes to its mask and probabilities."""
ASKED = 2000
"""Maximum number of images that are predicted."""
COMPARED = 500
"""Maximum number of labeled images that new ones are compared with, spread over all of them."""


@dataclass(frozen=True)
class _Candidate:
    """Facts about one image: the model's confidence, its features, and the location of its mask."""

    item: DataObject
    confidence: float
    features: Appearance
    mask: str


def label_next(run: Run, context: Context, *, count: int, predict: Predict | None = None) -> Run:
    """Return the run with an adjustment job for the `count` images that its model is expected to learn most from.

    Raises StageError without labels or a model in service, while a labeling job is running, or if nothing is left to
    label.
    """
    context = context.of("next")
    refuse_running(run, context)
    earlier = find_earlier(run, context)
    endpoint = _find_model(run, context, is_used=predict is None)
    gathered = gather_images(run, context)
    gold = find_gold([item.uri for item in gathered.manifest.objects], context)
    labeled = {line.image for line in earlier.lines if line.state == "labeled"}
    waiting = [item for item in gathered.manifest.objects if item.uri not in labeled | gold]
    if not waiting:
        but = f" except for {counted(len(gold), 'gold image')}" if gold else ""
        raise StageError(
            f"All {len(labeled):,} images of [images] source are labeled{but}: there is nothing to select."
        )
    sample = random.Random(earlier.mark).sample(waiting, min(ASKED, len(waiting)))
    message = (
        f"{counted(len(sample), 'unlabeled image')} of {len(waiting):,} predicted with {endpoint.name}, "
        f"{min(count, len(sample)):,} of them selected"
    )
    if context.dry_run:
        request = {"EndpointName": endpoint.name, "ContentType": endpoint.content_type, "Accept": PROTOBUF}
        context.plan(f"would have {message}; nothing was changed", {"InvokeEndpoint": request, "images": len(sample)})
        return run
    upload_images(gathered, context)
    with Bulk(context.clients) as bulk:
        predictor = EndpointPredictor(context.hosting, endpoint, context.settings.predict, probabilities=True)
        predict = predict or predictor.predict
        classes = find_classes(run, context.settings, endpoint.name)
        folder = f"{run.root}labeling/next-{earlier.mark}/"
        masks = Prelabeling(folder, endpoint, classes, bulk, lambda body: predict(body).mask)
        candidates = _predict_all(sorted(sample, key=lambda item: item.uri), predict, masks, context)
        known = _read_labeled(sorted(labeled), bulk)
    chosen = choose_next(
        [a.confidence for a in candidates], [a.features for a in candidates], labeled=known, count=count
    )
    picked = [candidates[position] for position in chosen]
    context.note(f"{message}; near-duplicates of them and of labeled images are left out")
    lines = [_line(one, earlier.label, masks.metadata) for one in picked]
    both = replace(earlier, lines=(*earlier.lines, *lines))
    return start_adjustment(run, context.of("adjust"), both, only={one.item.uri: () for one in picked})


def _find_model(run: Run, context: Context, *, is_used: bool) -> EndpointSection:
    if run.endpoint is None or run.endpoint.deleted:
        raise StageError(
            f"Run {run.name!r} has no model in service for the selection: run `gtseg run` or `gtseg deploy` first. "
            "`gtseg label --continue` labels the others in their order."
        )
    if is_used:
        await_endpoint(run.endpoint, context)
    return run.endpoint


def _predict_all(
    items: Sequence[DataObject], predict: Predict, masks: Prelabeling, context: Context
) -> list[_Candidate]:
    """Return results in order; images that cannot be predicted cause a warning and are left out."""

    def predict_one(item: DataObject) -> _Candidate:
        body = masks.bulk.get(item.uri).body
        features, answer = compute_appearance(body), predict(body)
        if answer.probabilities is None:
            raise ImageError("the endpoint returned no probabilities")
        return _Candidate(item, expected_iou(answer.probabilities), features, masks.keep(item, answer.mask))

    found: list[_Candidate] = []
    for done, (item, result) in enumerate(
        in_order(items, predict_one, concurrency=context.settings.predict.concurrency), start=1
    ):
        if isinstance(result, GtsegError):
            context.warn(f"{item.uri}: {result}")
        else:
            found.append(result)
        context.progress("asking the model", done, len(items))
    if not found:
        raise StageError(f"The endpoint returned no mask for any of {counted(len(items), 'image')}.")
    return found


def _read_labeled(images: Sequence[str], bulk: Bulk) -> list[Appearance]:
    step = max(1, len(images) // COMPARED)
    found = []
    for uri in images[::step]:
        try:
            found.append(compute_appearance(bulk.get(uri).body))
        except GtsegError:
            continue  # the image is labeled in any case
    return found


def _line(one: _Candidate, label: str, metadata: Any) -> ChainLine:
    entry = {"source-ref": one.item.uri, CHOSEN: "next", label: one.mask, f"{label}-metadata": metadata}
    return ChainLine(one.item.uri, entry, "labeled")
