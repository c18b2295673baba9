"""Masks of many images by SageMaker batch transform: create each job once, follow it, run a next job for missing masks.

All files are below `<run>/batch/<mark>/`; the mark identifies the model and the format of requests. `input/` has images
that were converted for the algorithm (re-encoded, scaled or tiled), `manifests/` the input of each job, `output/` the
results. After any interruption the same command finds there what is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from gtseg.aws.s3 import Bulk, Listed, split_uri
from gtseg.aws.transform import TransformState
from gtseg.core.hosting.endpoint_images import (
    Request,
    crop_request,
    fit_request,
    needs_fitting,
    open_image,
    read_answer,
    sent_as_is,
    to_rgb,
)
from gtseg.core.hosting.tiles import Tile, join_masks, plan_tiles
from gtseg.core.hosting.transform import (
    MAX_PICTURE,
    match_outputs,
)
from gtseg.core.images.header import ENOUGH_BYTES
from gtseg.core.plurals import counted
from gtseg.core.scores.metrics import Mask
from gtseg.errors import GtsegError, ImageError, Interrupted, reason_given
from gtseg.pipeline.run.context import Context
from gtseg.pipeline.run.hosted_model import plan_hosting
from gtseg.pipeline.run.inference import in_order
from gtseg.pipeline.run.locations import Entry, Place
from gtseg.pipeline.run.regions import check_regions
from gtseg.pipeline.run.sections import Run
from gtseg.pipeline.run.transform_jobs import Batch, begin_job, follow_earlier, follow_job

THREADS = 8
MOST_JOBS = 5
"""Jobs that one command starts for the images of one bucket; the next command continues."""


@dataclass(frozen=True)
class BatchItem:
    """Image whose mask is wanted, with a unique name."""

    name: str
    place: Place
    entry: Entry


@dataclass(frozen=True)
class Part:
    """Request of a job: one object of a bucket; `tile` is its part of a tiled image."""

    bucket: str
    key: str
    request: Request
    """Request without its body, which is not kept in memory."""
    modified: datetime | None
    """The output must be newer than this; None if the key contains the content's digest."""
    tile: Tile | None = None


@dataclass(frozen=True)
class Planned:
    item: BatchItem
    size: tuple[int, int]
    """(width, height)."""
    parts: tuple[Part, ...]

    @property
    def bucket(self) -> str:
        return self.parts[0].bucket


Keep = Callable[[BatchItem, Mask], None]
"""Callback that receives the (H, W) mask of an image."""


def open_batch(run: Run, context: Context, *, job: str | None = None, model: str | None = None) -> Batch:
    """Return a batch of the run's model, or of any other. Raises StageError if there is none."""
    hosting, training_job = plan_hosting(run, context, job=job, model=model)
    predict, deploy = context.settings.predict, context.settings.deploy
    artifact = context.s3.head(hosting.model_data)
    facts: list[Any] = [
        hosting.model_data,
        artifact.etag if artifact else "",
        hosting.image_uri,
        deploy.content_type,
    ]
    facts += [
        deploy.accept,
        predict.max_side,
        predict.large_images,
        predict.jpeg_quality,
        hosting.environment,
    ]
    if predict.large_images == "tile":
        facts += [predict.tile_size, predict.tile_overlap]
    mark = hashlib.sha256(json.dumps(facts, sort_keys=True, default=dict).encode()).hexdigest()[:12]
    return Batch(run, context, hosting, training_job, f"{run.root}batch/{mark}/")


def predict_batch(batch: Batch, items: Sequence[BatchItem], keep: Keep) -> tuple[Run, list[tuple[BatchItem, str]]]:
    """Call `keep` with the mask of every item, from several threads.

    Returns the run, saved, and the items that failed, with reasons. Images of more than 10 MB are refused by name
    before the first job. The cost of each job is shown and confirmed; a follow-up job is started for missing masks as
    long as each job makes progress. A dry run shows the request of the first job.
    Raises GtsegError if the user or [budget] refuses, Interrupted on Ctrl-C: the job continues, and the same command
    follows it.
    """
    context = batch.context
    planned, failed = _plan(items, batch)
    for item, reason in failed:
        context.warn(f"{item.entry.address}: {reason}")
    check_regions({batch.bucket, *(one.bucket for one in planned)}, context, what="transform job")
    run = batch.run
    if planned and not context.dry_run:
        run = follow_earlier(run, batch, len(planned))
    for bucket, group in groupby(sorted(planned, key=lambda one: one.bucket), key=lambda one: one.bucket):
        run, missing = _work(run, batch, list(group), bucket=bucket, keep=keep)
        failed += missing
    return run, failed


def _work(
    run: Run, batch: Batch, group: list[Planned], *, bucket: str, keep: Keep
) -> tuple[Run, list[tuple[BatchItem, str]]]:
    """Process the images of one bucket.

    Collect existing outputs, start jobs for the others while they make progress.
    """
    context, failed = batch.context, list[tuple[BatchItem, str]]()
    missing = [] if context.dry_run else _collect(group, batch, keep, failed)
    if context.dry_run:
        return begin_job(run, batch, _keys(group), bucket=bucket), []
    for _ in range(MOST_JOBS):
        if not missing:
            return run, failed
        run = begin_job(run, batch, _keys(missing), bucket=bucket)
        state = follow_job(run, batch, run.attempts_of("transform")[-1].name, images=len(missing))
        before, missing = len(missing), _collect(missing, batch, keep, failed)
        why = _why(state)
        if missing and len(missing) == before:
            if before == len(group):
                context.warn(f"{state.name} returned no mask at all: {why}")
            return run, failed + [(one.item, why) for one in missing]
        if missing:
            context.warn(
                f"{state.name} left out {counted(len(missing), 'image')} ({why}): starting another job for them"
            )
    words = f"no mask after {MOST_JOBS} jobs; run the same command again to start the next one"
    return run, failed + [(one.item, words) for one in missing]


def _keys(group: Sequence[Planned]) -> set[str]:
    return {part.key for one in group for part in one.parts}


def _why(state: TransformState) -> str:
    reason = f": {reason_given(state.reason)}" if state.reason else ""
    return f"{state.name} {state.status.lower()} without a mask of it{reason} (log group /aws/sagemaker/TransformJobs)"


def _plan(items: Sequence[BatchItem], batch: Batch) -> tuple[list[Planned], list[tuple[BatchItem, str]]]:
    """Return the requests of each image (its own object, or converted ones, written now), and unusable images."""
    context, planned, failed = batch.context, list[Planned](), list[tuple[BatchItem, str]]()
    there = {item.key for item in context.s3.list_objects(f"{batch.root}input/")} if items else set()
    with Bulk(context.clients) as bulk:

        def one(item: BatchItem) -> Planned:
            return _requests(item, batch, bulk, there)

        try:
            for item, result in in_order(items, one, concurrency=THREADS):
                if isinstance(result, GtsegError):
                    failed.append((item, str(result)))
                else:
                    planned.append(result)
                context.progress("checking the images", len(planned) + len(failed), len(items))
        except KeyboardInterrupt:
            raise Interrupted("No job was started yet. Run the same command again to continue.") from None
    return planned, failed


def _requests(item: BatchItem, batch: Batch, bulk: Bulk, there: set[str]) -> Planned:
    predict, kind = batch.context.settings.predict, batch.context.settings.deploy.content_type
    is_cut = predict.large_images == "tile"
    if item.entry.size > MAX_PICTURE and not is_cut:
        raise ImageError(
            f"its {item.entry.size / 2**20:.1f} MB exceed the {MAX_PICTURE // 2**20} MB of an image "
            "in batch transform: make it smaller, or use --tile"
        )
    if item.place.is_remote:
        head = bulk.get(item.entry.address, span=(0, min(ENOUGH_BYTES, max(1, item.entry.size)))).body
        size = sent_as_is(head, item.entry.size, max_side=predict.max_side, content_type=kind)
        if size:
            bucket, key = split_uri(item.entry.address)
            request = Request(b"", size, size)
            return Planned(item, size, (Part(bucket, key, request, item.entry.modified),))
    body = item.place.read(item.entry.name)
    image = open_image(body)
    if is_cut and needs_fitting(image, body, max_side=predict.max_side):
        tiles = plan_tiles(image.height, image.width, size=predict.tile_size, overlap=predict.tile_overlap)
        colors = to_rgb(image)
        cuts = ((t, crop_request(colors, t.box, content_type=kind, quality=predict.jpeg_quality)) for t in tiles)
        return Planned(item, image.size, tuple(_write(r, batch, bulk, there, tile=t) for t, r in cuts))
    fitted = fit_request(body, max_side=predict.max_side, content_type=kind, quality=predict.jpeg_quality)
    return Planned(item, image.size, (_write(fitted, batch, bulk, there),))


def _write(request: Request, batch: Batch, bulk: Bulk, there: set[str], *, tile: Tile | None = None) -> Part:
    """Write the object of one request under its digest unless it exists, and return it."""
    kind = batch.context.settings.deploy.content_type
    digest = hashlib.sha256(request.body).hexdigest()[:32]
    uri = f"{batch.root}input/{digest[:2]}/{digest}.{kind.rsplit('/', 1)[-1]}"
    bucket, key = split_uri(uri)
    if key not in there and not batch.context.dry_run:
        bulk.put(uri, request.body, content_type=kind)
    return Part(bucket, key, replace(request, body=b""), None, tile)


def _collect(group: Sequence[Planned], batch: Batch, keep: Keep, failed: list[tuple[BatchItem, str]]) -> list[Planned]:
    """Pass on the mask of every image with complete outputs; return the others.

    An invalid output fails its image only.
    """
    context = batch.context
    prefix = split_uri(f"{batch.output}/")[1]
    outputs = {item.key[len(prefix) :]: item for item in context.s3.list_objects(f"{batch.output}/")}
    names = match_outputs([part.key for one in group for part in one.parts], outputs.keys())
    ready = [one for one in group if all(_is_answered(part, names, outputs) for part in one.parts)]
    with Bulk(context.clients) as bulk:

        def one_mask(one: Planned) -> None:
            bodies = (bulk.get(f"{batch.output}/{names[part.key]}").body for part in one.parts)
            keep(one.item, _join(one, bodies, accept=context.settings.deploy.accept))

        try:
            for number, (one, result) in enumerate(in_order(ready, one_mask, concurrency=THREADS), 1):
                if isinstance(result, GtsegError):
                    failed.append((one.item, str(result)))
                context.progress("writing masks", number, len(ready))
        except KeyboardInterrupt:
            raise Interrupted("The masks so far are written. Run the same command again to continue.") from None
    done = {id(one) for one in ready}
    return [one for one in group if id(one) not in done]


def _is_answered(part: Part, names: Mapping[str, str], outputs: Mapping[str, Listed]) -> bool:
    name = names.get(part.key)
    return name is not None and (part.modified is None or outputs[name].modified > part.modified)


def _join(one: Planned, bodies: Iterator[bytes], *, accept: str) -> Mask:
    """Return the (H, W) mask of the image's own size, as an endpoint would."""
    masks = (read_answer(body, part.request, accept=accept)[0] for part, body in zip(one.parts, bodies, strict=True))
    if one.parts[0].tile is None:
        return next(masks)
    width, height = one.size
    tiles = (part.tile for part in one.parts if part.tile is not None)
    return join_masks(zip(tiles, masks, strict=True), height, width)
