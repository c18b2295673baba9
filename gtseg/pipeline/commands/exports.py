"""export: labels of an output manifest in the formats of other tools.

Every line of the manifest is accounted for: written, or left out with a reason. The folder appears only when it is
complete.
"""

from __future__ import annotations

import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.aws.s3 import S3, is_s3_uri
from gtseg.core.account import Account, Flow, Loss, merge_losses
from gtseg.core.classes import BACKGROUND, VOID, VOID_NAME
from gtseg.core.labeling.output_manifest import (
    Failed,
    Labeled,
    Line,
    Unlabeled,
    find_label_attributes,
    read_manifest,
)
from gtseg.core.labeling.references import explain
from gtseg.core.masks import Classes, check_mask, merge_classes
from gtseg.core.output_names import unique_names
from gtseg.core.s3_uris import read_reference, require_file
from gtseg.errors import AWSError, GtsegError, ManifestError, SettingsError, StageError
from gtseg.pipeline.run import Run
from gtseg.pipeline.stages.dataset.records import read_records

if TYPE_CHECKING:
    from gtseg.imports.writers import Writer


WITHOUT_SPLIT = "unassigned"
"""Split name of objects that the dataset did not accept."""


@dataclass(frozen=True)
class Exported:
    """Object with its mask: (H, W) uint8 class indices into the export's classes, 0 background, 255 void."""

    name: str
    image: str
    mask: NDArray[np.uint8]
    split: str = ""


@dataclass(frozen=True)
class Refused:
    image: str
    reason: str


@dataclass(frozen=True)
class Export:
    """Source of an export: class names (without background) and labeled objects, read on access.

    `losses`: lines of the manifest without a label; `total`: number of all lines; `splits`: the dataset split by line.
    """

    manifest: str
    classes: tuple[str, ...]
    lines: tuple[Labeled, ...]
    table: Classes
    s3: S3
    total: int
    losses: tuple[Loss, ...]
    splits: dict[int, str] | None = None

    def objects(self) -> Iterator[Exported | Refused]:
        names = _names(self.lines)
        for line, name in zip(self.lines, names, strict=True):
            try:
                split = self.splits.get(line.number, WITHOUT_SPLIT) if self.splits is not None else ""
                yield Exported(name, _locate(self.manifest, line.image, line.number), self._mask(line), split)
            except GtsegError as error:
                yield Refused(line.image, str(error))

    def read(self, reference: str) -> bytes:
        """Return the bytes of an image of this export."""
        return _read(self.s3, reference)

    def _mask(self, line: Labeled) -> NDArray[np.uint8]:
        body = _read(self.s3, _locate(self.manifest, line.mask, line.number))
        with _open_png(body, line.mask) as image:
            size = image.size
        checked = check_mask(body, line.colors, self.table, size=size)
        with _open_png(checked.annotation or body, line.mask) as image:
            return np.asarray(image).astype(np.uint8)


def _open_png(body: bytes, reference: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(body), formats=("PNG",))
    except (OSError, SyntaxError, ValueError) as error:
        raise ManifestError(f"{reference}: not a readable PNG: {error}") from None


def open_export(
    run: Run,
    s3: S3,
    *,
    manifest: str | None = None,
    label_attribute: str | None = None,
    split: bool | None = None,
) -> Export:
    """Open the labels of the run's job, or of any output manifest (s3:// or a file).

    `split`: use the dataset's split; None: use it if the run's dataset was made from this manifest. Raises StageError
    if the run has none, ManifestError if the manifest has no masks.
    """
    own = run.labeling_job.output_manifest if run.labeling_job else None
    if manifest:
        require_file(manifest, "--manifest")
    uri = manifest or own or (run.dataset.source if run.dataset else None)
    if uri is None:
        raise StageError(f"Run {run.name!r} has no labels to export yet: run `gtseg watch`, or use --manifest URI")
    body = _read(s3, uri)
    attribute = label_attribute or _own_attribute(run, uri) or _only_attribute(uri, body)
    found = list(read_manifest([body], attribute))
    lines = tuple(line for line in found if isinstance(line, Labeled))
    if not lines:
        raise ManifestError(f"{uri}: no object has a label under {attribute}")
    table = merge_classes((line.colors for line in lines), void=(VOID_NAME,))
    losses = merge_losses(_without_label(line) for line in found if not isinstance(line, Labeled))
    splits = _splits(run, s3, uri, asked=split)
    return Export(uri, tuple(table.names[1:]), lines, table, s3, len(found), losses, splits)


def _without_label(line: Line) -> Loss:
    if isinstance(line, Unlabeled):
        return Loss("image", "not labeled yet", line.image, kind="note")
    reason = (
        f"Ground Truth failed to label it: {line.reason}" if isinstance(line, Failed) else getattr(line, "reason", "")
    )
    return Loss("image", reason, line.image)


def _splits(run: Run, s3: S3, uri: str, *, asked: bool | None) -> dict[int, str] | None:
    """Return line number -> split of the dataset that was made from this manifest."""
    is_own = run.dataset is not None and run.dataset.source == uri
    if asked is False or (asked is None and not is_own):
        return None
    if not is_own:
        raise StageError(f"Run {run.name!r} has no dataset of {uri}, so that there is no split: run `gtseg dataset`")
    found = s3.read_if_exists(f"{run.root}objects.jsonl")
    if found is None:
        raise StageError(
            f"{run.root}objects.jsonl, which has the split, does not exist: run `gtseg dataset`, or use --no-split"
        )
    records = read_records([found[0]], "objects.jsonl")
    return {record.line: record.split for record in records if record.status == "accepted" and record.split}


@dataclass(frozen=True)
class Written:
    """Finished export: location, classes, and account."""

    folder: Path
    account: Account
    refused: tuple[Refused, ...]
    parts: dict[str, int]


def write_export(
    source: Export, form: str, out: Path, *, images: bool = True, polygons: bool = False, accept: bool = False
) -> Written:
    """Write all objects below `out`, which appears when complete; objects whose image cannot be read are refused.

    Raises GtsegError, with nothing written, if less than half of the objects can be exported and `accept` is not set.
    """
    from gtseg.imports.writers import FORMATS, Item

    work = out.with_name(f".{out.name}.{os.getpid()}")
    work.mkdir(parents=True)
    try:
        writer: Writer = FORMATS[form](work, source.classes, polygons=polygons)
        refused, pixels, parts = [], Counter[int](), Counter[str]()
        for found in source.objects():
            item = found if isinstance(found, Refused) else _with_image(source, found, work, images=images)
            if isinstance(item, Refused):
                refused.append(item)
                continue
            name = PurePosixPath(item.name)
            writer.add(Item(name.stem, name.suffix, item.mask, item.split))
            pixels.update(dict(zip(*(v.tolist() for v in np.unique(item.mask, return_counts=True)), strict=True)))
            parts[item.split] += 1
        writer.finish()
        account = _account(source, writer, refused, pixels)
        if (shortfall := account.shortfall) and not accept:
            first = refused[0] if refused else None
            message = f"; {first.image}: {first.reason}" if first else ""
            raise GtsegError(f"{shortfall}, and nothing was written. To export anyway, use --yes{message}")
        if out.exists():
            out.rmdir()
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Written(out, account, tuple(refused), dict(parts))


def _with_image(source: Export, item: Exported, work: Path, *, images: bool) -> Exported | Refused:
    if not images:
        return item
    try:
        body = source.read(item.image)
    except (AWSError, ManifestError) as error:
        return Refused(item.image, str(error))
    path = work / "images" / item.split / item.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return item


def _account(source: Export, writer: Writer, refused: list[Refused], pixels: Counter[int]) -> Account:
    names = {0: BACKGROUND, **dict(enumerate(source.classes, 1))}
    shares = {name: pixels.get(index, 0) for index, name in names.items()}
    losses = [*source.losses, *(Loss("image", item.reason, item.image) for item in refused), *writer.losses]
    losses += [Loss("class", "no pixel", repr(name)) for name in source.classes if not shares[name]]
    if pixels.get(VOID):
        shares[VOID_NAME] = pixels[VOID]
    flows = [Flow("image", source.total, len(source.lines) - len(refused))]
    if writer.regions:
        flows.append(Flow("region", writer.regions, writer.regions))
    return Account(tuple(flows), shares, merge_losses(losses))


def _own_attribute(run: Run, uri: str) -> str | None:
    job = run.labeling_job
    return job.label_attribute if job and job.output_manifest == uri else None


def _only_attribute(uri: str, body: bytes) -> str:
    found = list(find_label_attributes([body]))
    if not found:
        raise ManifestError(f"{uri} has no semantic segmentation label")
    if len(found) > 1:
        raise SettingsError(f"{uri} has several labels ({', '.join(found)}): select one with --label-attribute")
    return found[0]


def _locate(manifest: str, reference: str, number: int) -> str:
    """Return the S3 URI of a reference; a path is relative to the manifest.

    Raises ManifestError naming the line for a mistyped URI or another URL.
    """
    reference = read_reference(reference)
    if reason := explain(reference):
        raise ManifestError(f"{reason} (line {number})")
    if is_s3_uri(reference):
        return reference
    base = manifest.rsplit("/", 1)[0] if "/" in manifest else "."
    return f"{base}/{reference}"


def _read(s3: S3, reference: str) -> bytes:
    if is_s3_uri(reference):
        return s3.read(reference)[0]
    try:
        return Path(reference).read_bytes()
    except OSError as error:
        raise ManifestError(f"{reference} cannot be read: {error.strerror}") from None


def _names(lines: tuple[Labeled, ...]) -> list[str]:
    """Return unique file names based on the images' own; stems are unique too, so that no two labels share a file."""
    paths = [line.image.removeprefix("s3://").rstrip("/") for line in lines]
    folders = [PurePosixPath(path).parent.parts for path in paths]
    shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False)))
    relative = ["/".join(PurePosixPath(path).parts[shared:]) for path in paths]
    stems = unique_names(relative)
    return [f"{stem}{PurePosixPath(text).suffix}" for stem, text in zip(stems, relative, strict=True)]
