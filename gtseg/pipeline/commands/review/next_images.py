"""label --next N: the images that the run's model would learn most from, as a follow-up job over its masks.

Every unlabeled image of [images] source is asked of the run's endpoint (a random sample of them where there are very many); the chosen
ones go to people with the model's mask to correct, and everything that is labeled already stays as it is: the job's output holds
both. What is chosen is no random sample, so that the dataset takes it for training alone.
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
from gtseg.core.labeling.selection import Look, choose_next, expected_iou, look_at
from gtseg.core.plurals import counted
from gtseg.errors import GtsegError, ImageError, StageError
from gtseg.pipeline.commands.review.adjust import start_adjustment
from gtseg.pipeline.commands.review.earlier_labels import find_earlier, refuse_running
from gtseg.pipeline.commands.review.prelabel import Prelabeling, find_classes
from gtseg.pipeline.run import Context, EndpointSection, Run
from gtseg.pipeline.run.inference import PROTOBUF, Answer, Asker, await_endpoint, in_order
from gtseg.pipeline.stages.label.gold import find_gold
from gtseg.pipeline.stages.label.images import gather_images
from gtseg.pipeline.stages.label.job import upload_images

Ask = Callable[[bytes], Answer]
"""An image's bytes -> its mask and probabilities."""
ASKED = 2000
"""Images that the endpoint is asked about at most."""
COMPARED = 500
"""Labeled images that new ones are compared with at most: spread over all of them."""


@dataclass(frozen=True)
class _Asked:
    """What is known of one image: how sure the model is of its mask, what it looks like, and where its mask was put."""

    item: DataObject
    sureness: float
    look: Look
    mask: str


def label_next(run: Run, context: Context, *, count: int, ask: Ask | None = None) -> Run:
    """The run with an adjustment job over the `count` images that its model would learn most from.

    Raises StageError without labels or a model in service, while a labeling job runs, or where nothing is left to label.
    """
    context = context.of("next")
    refuse_running(run, context)
    earlier = find_earlier(run, context)
    endpoint = _find_model(run, context, is_asked=ask is None)
    gathered = gather_images(run, context)
    gold = find_gold([item.uri for item in gathered.manifest.objects], context)
    labeled = {line.image for line in earlier.lines if line.state == "labeled"}
    waiting = [item for item in gathered.manifest.objects if item.uri not in labeled | gold]
    if not waiting:
        but = f" but for {counted(len(gold), 'gold image')}" if gold else ""
        raise StageError(
            f"All {len(labeled):,} images of [images] source are labeled{but}: nothing is left to choose from."
        )
    sample = random.Random(earlier.mark).sample(waiting, min(ASKED, len(waiting)))
    told = f"{counted(len(sample), 'unlabeled image')} of {len(waiting):,} asked of {endpoint.name}, {min(count, len(sample)):,} of them chosen"
    if context.dry_run:
        request = {"EndpointName": endpoint.name, "ContentType": endpoint.content_type, "Accept": PROTOBUF}
        context.plan(f"would have {told}; nothing was touched", {"InvokeEndpoint": request, "images": len(sample)})
        return run
    upload_images(gathered, context)
    with Bulk(context.clients) as bulk:
        asker = Asker(context.hosting, endpoint, context.settings.predict, probabilities=True)
        ask = ask or asker.ask
        classes = find_classes(run, context.settings, endpoint.name)
        folder = f"{run.root}labeling/next-{earlier.mark}/"
        masks = Prelabeling(folder, endpoint, classes, bulk, lambda body: ask(body).mask)
        asked = _ask_all(sorted(sample, key=lambda item: item.uri), ask, masks, context)
        known = _look_at_labeled(sorted(labeled), bulk)
    chosen = choose_next([a.sureness for a in asked], [a.look for a in asked], labeled=known, count=count)
    picked = [asked[position] for position in chosen]
    context.note(f"{told}; near-duplicates of them and of what is labeled are left out")
    lines = [_line(one, earlier.label, masks.metadata) for one in picked]
    both = replace(earlier, lines=(*earlier.lines, *lines))
    return start_adjustment(run, context.of("adjust"), both, only={one.item.uri: () for one in picked})


def _find_model(run: Run, context: Context, *, is_asked: bool) -> EndpointSection:
    if run.endpoint is None or run.endpoint.deleted:
        raise StageError(
            f"Run {run.name!r} has no model in service to choose by: `gtseg run` or `gtseg deploy` first. "
            "`gtseg label --continue` takes the rest as it comes."
        )
    if is_asked:
        await_endpoint(run.endpoint, context)
    return run.endpoint


def _ask_all(items: Sequence[DataObject], ask: Ask, masks: Prelabeling, context: Context) -> list[_Asked]:
    """In the items' order; what cannot be asked is told and left out."""

    def ask_one(item: DataObject) -> _Asked:
        body = masks.bulk.get(item.uri).body
        look, answer = look_at(body), ask(body)
        if answer.probabilities is None:
            raise ImageError("the endpoint gave no probabilities")
        return _Asked(item, expected_iou(answer.probabilities), look, masks.keep(item, answer.mask))

    found: list[_Asked] = []
    for done, (item, result) in enumerate(
        in_order(items, ask_one, concurrency=context.settings.predict.concurrency), start=1
    ):
        if isinstance(result, GtsegError):
            context.warn(f"{item.uri}: {result}")
        else:
            found.append(result)
        context.progress("asking the model", done, len(items))
    if not found:
        raise StageError(f"The endpoint could be asked about none of {counted(len(items), 'image')}.")
    return found


def _look_at_labeled(images: Sequence[str], bulk: Bulk) -> list[Look]:
    step = max(1, len(images) // COMPARED)
    found = []
    for uri in images[::step]:
        try:
            found.append(look_at(bulk.get(uri).body))
        except GtsegError:
            continue  # it is labeled, whatever has become of it
    return found


def _line(one: _Asked, label: str, metadata: Any) -> ChainLine:
    entry = {"source-ref": one.item.uri, CHOSEN: "next", label: one.mask, f"{label}-metadata": metadata}
    return ChainLine(one.item.uri, entry, "labeled")
