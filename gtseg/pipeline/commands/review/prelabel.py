"""label --prelabel: a model predicts masks, workers correct them.

Every image is predicted with an endpoint, its mask stored in Ground Truth's format, and an output manifest written as
if from a labeling job (human-annotated: no), from which an adjustment job starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gtseg.aws.groundtruth import OUTPUT_MANIFEST
from gtseg.aws.hosting import Hosting
from gtseg.aws.s3 import Bulk
from gtseg.core.labeling.chained_jobs import write_lines
from gtseg.core.labeling.input_manifest import DataObject
from gtseg.core.labeling.output_manifest import SEGMENTATION
from gtseg.core.masks import BACKGROUND, Classes, encode_palette_png, hex_color
from gtseg.core.masks.colors import SPARE_COLORS, WHITE
from gtseg.core.scores.metrics import Mask
from gtseg.errors import GtsegError, MaskError, SettingsError, StageError
from gtseg.pipeline.commands.review.adjust import start_adjustment
from gtseg.pipeline.commands.review.earlier_labels import read_earlier, refuse_running
from gtseg.pipeline.run import Context, EndpointSection, Run
from gtseg.pipeline.run.inference import EndpointPredictor, in_order
from gtseg.pipeline.stages.label.buckets import ensure_run_bucket
from gtseg.pipeline.stages.label.images import gather_images
from gtseg.pipeline.stages.label.job import upload_images
from gtseg.pipeline.stages.label.reports import report_images
from gtseg.settings import Settings

LABEL = "prelabel-ref"
Predict = Callable[[bytes], Mask]
"""Function from an image's bytes to its (H, W) class indices."""


def prelabel(
    run: Run, context: Context, *, endpoint: str, predict: Predict | None = None, hosting: Hosting | None = None
) -> Run:
    """Return the run with an adjustment job for the masks that `endpoint` predicts for [images] source.

    Masks of an interrupted call are not predicted again. Raises StageError if there is no such endpoint in service or
    the run has another labeling job, SettingsError if the model has more classes than [labeling] labels.
    """
    source, context = f"endpoint {endpoint}", context.of("prelabel")
    if run.labeling_job and run.labeling_job.follows == source:
        words = f"{run.labeling_job.name} corrects the masks of {source} already: nothing to do"
        context.note(words)
        return run
    refuse_running(run, context)
    model = _find_endpoint(endpoint, context.settings, hosting or context.hosting)
    classes = find_classes(run, context.settings, endpoint)
    gathered = gather_images(run, context)
    report_images(gathered, context)
    if context.dry_run:
        words = (
            f"would predict {len(gathered.manifest.objects):,} masks with {source}, then have them adjusted; "
            "nothing was changed"
        )
        context.plan(words, _describe_plan(model, len(gathered.manifest.objects), run))
        return run
    ensure_run_bucket(run, context)
    upload_images(gathered, context)
    predictor = EndpointPredictor(hosting or context.hosting, model, context.settings.predict)
    folder = f"{run.root}labeling/prelabel-{endpoint}/"
    with Bulk(context.clients) as bulk:
        work = Prelabeling(folder, model, classes, bulk, predict or (lambda body: predictor.predict(body).mask))
        entries = work.label_all(gathered.manifest.objects, context)
    s3 = context.s3
    manifest, images = folder + OUTPUT_MANIFEST, f"{folder}images.jsonl"
    s3.write(images, gathered.manifest.side_body())
    s3.write(manifest, write_lines(entries))
    earlier = read_earlier(manifest, LABEL, context, name=source, images=images)
    return start_adjustment(run, context.of("adjust"), earlier)


def _describe_plan(model: EndpointSection, images: int, run: Run) -> dict[str, Any]:
    """Return what a dry run shows: the request for each image, and the location of the masks."""
    request = {"EndpointName": model.name, "ContentType": model.content_type, "Accept": model.accept}
    return {
        "InvokeEndpoint": request,
        "images": images,
        "masks": f"{run.root}labeling/prelabel-{model.name}/",
        "then": "an adjustment job for the masks (CreateLabelingJob), which needs them first",
    }


def _find_endpoint(name: str, settings: Settings, hosting: Hosting) -> EndpointSection:
    found = hosting.find("endpoint", name)
    if found is None or found.status != "InService":
        state = f"is {found.status}" if found else "does not exist"
        raise StageError(f"The endpoint {name!r} {state} in this region: it cannot predict masks.")
    wanted = settings.deploy
    return EndpointSection(
        name=name,
        arn=found.arn,
        config="",
        model="",
        model_data="",
        image_uri="",
        instance_type="",
        content_type=wanted.content_type,
        accept="image/png",
        status=found.status,
        since=found.created,
    )


def find_classes(run: Run, settings: Settings, endpoint: str) -> Classes:
    """Return the classes of the model's indices: those of the training, or [labeling] labels in their order."""
    own = run.dataset if run.endpoint and run.endpoint.name == endpoint else None
    names = own.classes if own else (BACKGROUND, *settings.labeling.labels)
    if len(names) < 2:
        raise SettingsError('[labeling] labels is empty: set the model\'s classes, like labels = ["cat"]')
    if len(names) - 1 > len(SPARE_COLORS):
        raise SettingsError(f"At most {len(SPARE_COLORS)} classes can be prelabeled; there are {len(names) - 1}.")
    return Classes(tuple(names), (WHITE, *SPARE_COLORS[: len(names) - 1]))


@dataclass(frozen=True)
class Prelabeling:
    """Masks of one endpoint in `folder`, named by image and by the state of the endpoint."""

    folder: str
    model: EndpointSection
    classes: Classes
    bulk: Bulk
    predict: Predict

    def label_all(self, objects: Sequence[DataObject], context: Context) -> list[dict[str, Any]]:
        """Return the manifest's entries, in order; an image that the endpoint refuses has no mask."""
        bucket, concurrency = self.folder.split("/")[2], context.settings.predict.concurrency
        there = {f"s3://{bucket}/{item.key}" for item in context.s3.list_objects(f"{self.folder}masks/")}
        metadata, entries, failed = self.metadata, [], []
        results = in_order(objects, lambda item: self._label(item, there), concurrency=concurrency)
        for done, (item, result) in enumerate(results, start=1):
            entry: dict[str, Any] = {"source-ref": item.uri}
            if isinstance(result, GtsegError):
                failed.append(item.uri)
                context.warn(f"{item.uri}: {result}")
            else:
                entry |= {LABEL: result, f"{LABEL}-metadata": metadata}
            entries.append(entry)
            context.progress("predicting", done, len(objects))
        if len(failed) == len(objects):
            raise StageError(f"The endpoint {self.model.name} gave no mask for any of {len(objects):,} images.")
        return entries

    def _label(self, item: DataObject, there: set[str]) -> str:
        """Return the URI of the image's mask, predicted if it does not exist."""
        uri = self._address(item)
        return uri if uri in there else self.keep(item, self.predict(self.bulk.get(item.uri).body))

    def _address(self, item: DataObject) -> str:
        made = f"{item.uri}\n{item.etag}\n{self.model.arn}\n{self.model.since}\n{self.classes.names}"
        return f"{self.folder}masks/{hashlib.sha256(made.encode()).hexdigest()[:24]}.png"

    def keep(self, item: DataObject, mask: Mask) -> str:
        """Write an image's mask in Ground Truth's format and return its URI."""
        self._check(mask)
        height, width = mask.shape
        body, uri = encode_palette_png(mask, width, height, palette=self.classes.palette), self._address(item)
        self.bulk.put(uri, body, content_type="image/png")
        return uri

    def _check(self, mask: Mask) -> None:
        if (highest := int(mask.max(initial=0))) >= len(self.classes.names):
            raise MaskError(
                f"the endpoint returned class {highest}, but there are only {len(self.classes.names) - 1} labels"
            )

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Return `<label>-metadata` of the masks."""
        pairs = enumerate(zip(self.classes.names, self.classes.colors, strict=True))
        made = (self.model.since or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
        return {
            "internal-color-map": {
                str(index): {"class-name": name, "hex-color": hex_color(color), "confidence": 0}
                for index, (name, color) in pairs
            },
            "type": SEGMENTATION,
            "human-annotated": "no",
            "creation-date": made.isoformat(),
            "job-name": f"endpoint/{self.model.name}",
        }
