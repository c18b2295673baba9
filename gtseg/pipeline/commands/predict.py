"""predict: masks of images from the endpoint or by batch transform, with overlays and probabilities."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from gtseg.aws.s3 import S3, is_s3_uri
from gtseg.core.account import Account, Flow, Loss, merge_losses
from gtseg.core.classes import BACKGROUND
from gtseg.core.hosting.endpoint_images import open_image
from gtseg.core.masks import Classes, draw_overlay, encode_palette_png
from gtseg.core.masks.colors import SPARE_COLORS, WHITE
from gtseg.core.plurals import counted
from gtseg.core.reasons import kind_of
from gtseg.core.scores.metrics import Mask
from gtseg.errors import GtsegError, Interrupted, SettingsError, StageError
from gtseg.pipeline.run import Context, EndpointSection, Run
from gtseg.pipeline.run.batch import BatchItem, open_batch, predict_batch
from gtseg.pipeline.run.inference import Answer, EndpointPredictor, await_endpoint, in_order
from gtseg.pipeline.run.locations import IMAGES, Entry, Place
from gtseg.settings import Settings

HEADER = "predictions.json"
MASK, OVERLAY, PROBABILITIES = ".png", "_overlay.jpg", ".npz"


@dataclass(frozen=True)
class Predicted:
    """Result of one call of `predict`; `failed` has (image, reason)."""

    output: str
    requested: int
    there: int
    failed: tuple[tuple[str, str], ...]
    seconds: tuple[float, ...]

    @property
    def account(self) -> Account:
        """Return the account of images with and without a mask."""
        losses = [Loss("image", kind_of(reason), f"{image}: {reason}") for image, reason in self.failed]
        images = Flow("image", self.requested + self.there, self.requested + self.there - len(self.failed))
        return Account((images,), losses=merge_losses(losses))


def predict(
    run: Run, context: Context, *, sources: Sequence[str], output: str, endpoint: str | None = None
) -> Predicted:
    """Predict masks `<name>.png` of all images of `sources` (files, folders, s3:// prefixes) to `output`, a folder or
    prefix.

    An image whose results all exist and are newer is skipped; masks of another endpoint are never mixed in. Raises
    StageError without an endpoint or images, SettingsError if `output` has other predictions.
    """
    context = context.of("predict")
    settings = context.settings
    section = _endpoint(run, context, endpoint)
    since = section.since.isoformat() if section.since else None
    work = gather(sources, context.s3)
    writer, missing = _begin(run, context, work, output=output, maker={"endpoint": section.arn, "since": since})
    there = len(work) - len(missing)
    if missing:
        await_endpoint(section, context)
    predictor = EndpointPredictor(
        context.hosting, section, settings.predict, probabilities=settings.predict.probabilities
    )
    failed, seconds = _predict_all(missing, predictor, writer, context)
    return _report(Predicted(output, len(missing), there, tuple(failed), tuple(seconds)), context)


def predict_in_batch(
    run: Run,
    context: Context,
    *,
    sources: Sequence[str],
    output: str,
    job: str | None = None,
    model: str | None = None,
) -> Predicted:
    """Predict like `predict`, by SageMaker batch transform of the run's model (or of `job`'s, or any `model`), not an
    endpoint.

    The masks equal those of an endpoint of the model. Raises SettingsError for --probabilities, which only an endpoint
    returns, and the errors of `predict` and gtseg.pipeline.run.batch. A dry run shows the job and writes nothing.
    """
    context = context.of("predict")
    if context.settings.predict.probabilities:
        raise SettingsError("--probabilities needs an endpoint and excludes --batch")
    if context.settings.deploy.accept != "image/png":
        raise SettingsError(
            f"[deploy] accept = {context.settings.deploy.accept!r}: predict supports only masks as image/png"
        )
    batch = open_batch(run, context, job=job, model=model)
    work = gather(sources, context.s3)
    maker = {"model": batch.hosting.model_data, "image": batch.hosting.image_uri}
    writer, missing = _begin(run, context, work, output=output, maker=maker)

    def keep(item: BatchItem, mask: Mask) -> None:
        body = item.place.read(item.entry.name) if context.settings.predict.overlays else b""
        writer.write(item, body, Answer(mask, None, 0.0))

    _, failed = predict_batch(batch, missing, keep)
    if context.dry_run:
        return Predicted(output, 0, len(work) - len(missing), (), ())
    reasons = tuple((item.entry.address, reason) for item, reason in failed)
    return _report(Predicted(output, len(missing), len(work) - len(missing), reasons, ()), context)


def _begin(
    run: Run, context: Context, work: Sequence[BatchItem], *, output: str, maker: Mapping[str, str | None]
) -> tuple[_Writer, list[BatchItem]]:
    """Return the writer of `output`, which is claimed for `maker`, and the images whose results are incomplete."""
    target = Place(output, context.s3)
    _claim(target, maker, context)
    done = _done(target)
    writer = _Writer(target, classes_of(run, context.s3), context.settings)
    missing = [item for item in work if writer.is_due(item, done)]
    if there := len(work) - len(missing):
        context.note(f"{counted(there, 'mask exists', 'masks exist')} already")
    return writer, missing


def _report(result: Predicted, context: Context) -> Predicted:
    written = result.requested - len(result.failed)
    facts = {
        "output": result.output,
        "predicted": written,
        "there": result.there,
        "failed": dict(result.failed),
    }
    context.finish(_summary(result), facts | {"account": result.account.as_json()})
    return result


def _summary(result: Predicted) -> str:
    speed = f", {np.median(result.seconds) * 1000:.0f} ms each (median)" if result.seconds else ""
    losses = "; ".join(loss.text for loss in result.account.losses)
    failed = f"; {len(result.failed)} of {result.requested + result.there} images failed: {losses}" if losses else ""
    return f"{counted(result.requested - len(result.failed), 'mask')} written to {result.output}{speed}{failed}"


def _endpoint(run: Run, context: Context, name: str | None) -> EndpointSection:
    """Return the run's endpoint, or any that is in service."""
    section = run.endpoint
    if name and (section is None or section.name != name):
        found = context.hosting.find("endpoint", name)
        if found is None:
            raise StageError(f"There is no endpoint {name!r} in {context.clients.region}")
        wanted = context.settings.deploy
        section = EndpointSection(
            name=name,
            arn=found.arn,
            config="",
            model="",
            model_data="",
            image_uri="",
            instance_type="",
            content_type=wanted.content_type,
            accept=wanted.accept,
            status=found.status,
            since=found.created,
        )
    if section is None or section.deleted:
        raise StageError(
            f"Run {run.name!r} has no endpoint. Start one with `gtseg deploy`, or select one with --endpoint."
        )
    if section.accept != "image/png":
        raise SettingsError(f"[deploy] accept = {section.accept!r}: predict supports only masks as image/png")
    return section


def gather(sources: Sequence[str], s3: S3) -> list[BatchItem]:
    """Return every image with a unique name: `a/x.jpg` -> `a/x`, or `a/x.jpg` if there is also `a/x.png`."""
    pairs: list[tuple[Place, Entry]] = []
    for source in sources:
        if is_s3_uri(source) and source.lower().endswith(IMAGES):
            folder, _, name = source.rpartition("/")
            place = Place(folder + "/", s3)
            found = place.entry(name)
            if found is None:
                raise StageError(f"Image {source} does not exist")
            pairs.append((place, found))
        elif not is_s3_uri(source) and Path(source).is_file():
            place = Place(str(Path(source).parent))
            entry = place.entry(Path(source).name)
            pairs += [(place, entry)] if entry else []
        else:
            place = Place(source, s3)
            pairs += [(place, entry) for entry in place.entries(IMAGES)]
    if not pairs:
        raise StageError(f"No image to predict in {', '.join(sources)}: supported are {', '.join(IMAGES)}")
    stems = Counter(entry.stem for _, entry in pairs)
    names = [entry.stem if stems[entry.stem] == 1 else entry.name for _, entry in pairs]
    if twice := {name for name, count in Counter(names).items() if count > 1}:
        raise SettingsError(
            f"two images would be written to one name: {sorted(twice)[0]}. Predict their folders separately."
        )
    return [BatchItem(name, place, entry) for (place, entry), name in zip(pairs, names, strict=True)]


def _done(target: Place) -> dict[str, datetime]:
    """Return the modification time of each existing result."""
    if not target.is_remote and not Path(target.root).is_dir():
        return {}
    return {entry.name: entry.modified for entry in target.entries((MASK, OVERLAY, PROBABILITIES))}


def _claim(target: Place, maker: Mapping[str, str | None], context: Context) -> None:
    """Record the source of the predictions; refuse to mix them with others. A dry run only checks."""
    options = context.settings.predict
    mine = {**maker, "large_images": options.large_images, "max_side": options.max_side}
    try:
        found = json.loads(target.read(HEADER)) if target.entry(HEADER) else None
    except ValueError:
        found = {}
    if found is not None and found != mine:
        raise SettingsError(
            f"{target.root} has predictions of another endpoint or model, or with other options ({HEADER}). Use "
            "another --output, or delete it."
        )
    if found is None and not context.dry_run:
        target.write(HEADER, json.dumps(mine, indent=2).encode() + b"\n")


def classes_of(run: Run, s3: S3) -> Classes:
    """Return names and colors of the run's dataset; without one, a palette of numbered classes."""
    found = s3.read_if_exists(f"{run.root}dataset.json") if run.dataset else None
    if found:
        rows = json.loads(found[0])["classes"]
        return Classes(tuple(r["name"] for r in rows), tuple(int(r["color"].lstrip("#"), 16) for r in rows))
    names = run.dataset.classes if run.dataset else (BACKGROUND, *(f"class-{n}" for n in range(1, 254)))
    return Classes(tuple(names), tuple(spare_color(index) for index in range(len(names))))


def spare_color(index: int) -> int:
    return WHITE if index == 0 else SPARE_COLORS[(index - 1) % len(SPARE_COLORS)]


@dataclass(frozen=True)
class _Writer:
    """Write the results of one image: overlay and probabilities first, the mask last, since it marks completeness."""

    target: Place
    classes: Classes
    settings: Settings

    def is_due(self, item: BatchItem, done: Mapping[str, datetime]) -> bool:
        """Return whether one of its results is missing or older than the image."""
        options, changed = self.settings.predict, item.entry.modified
        endings = [MASK] + [OVERLAY] * options.overlays + [PROBABILITIES] * options.probabilities
        return any(done.get(f"{item.name}{ending}", changed) <= changed for ending in endings)

    def write(self, item: BatchItem, body: bytes, answer: Answer) -> None:
        if self.settings.predict.overlays:
            self.target.write(f"{item.name}{OVERLAY}", self._overlay(body, answer))
        if answer.probabilities is not None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, probabilities=answer.probabilities.astype(np.float16))
            self.target.write(f"{item.name}{PROBABILITIES}", buffer.getvalue())
        height, width = answer.mask.shape
        self.target.write(
            f"{item.name}{MASK}", encode_palette_png(answer.mask, width, height, palette=self.classes.palette)
        )

    def _overlay(self, body: bytes, answer: Answer) -> bytes:
        drawn = draw_overlay(open_image(body), answer.mask, self.classes, opacity=self.settings.predict.opacity)
        buffer = io.BytesIO()
        drawn.save(buffer, "JPEG", quality=90)
        return buffer.getvalue()


def _predict_all(
    work: Sequence[BatchItem], predictor: EndpointPredictor, writer: _Writer, context: Context
) -> tuple[list[tuple[str, str]], list[float]]:
    failed: list[tuple[str, str]] = []
    seconds: list[float] = []

    def one(item: BatchItem) -> float:
        body = item.place.read(item.entry.name)
        answer = predictor.predict(body)
        writer.write(item, body, answer)
        return answer.seconds

    try:
        for item, result in in_order(work, one, concurrency=predictor.options.concurrency):
            if isinstance(result, GtsegError):
                failed.append((item.entry.address, str(result)))
                context.warn(f"{item.entry.address}: {result}")
            else:
                seconds.append(result)
            context.progress("predicting", len(failed) + len(seconds), len(work))
    except KeyboardInterrupt:
        raise Interrupted(f"{len(seconds):,} masks are written. Run the same command again to continue.") from None
    return failed, seconds
