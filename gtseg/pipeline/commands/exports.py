"""Labels out of an output manifest, one object at a time: what `gtseg export` turns into other formats."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.aws.s3 import S3, is_s3_uri
from gtseg.core.labeling.output_manifest import Labeled, find_label_attributes, read_manifest
from gtseg.core.masks import Classes, check_mask, merge_classes
from gtseg.errors import GtsegError, ManifestError, SettingsError, StageError
from gtseg.pipeline.run import Run

__all__ = ["Export", "Exported", "Refused", "open_export"]


@dataclass(frozen=True)
class Exported:
    """An object with its mask: (H, W) uint8 class indices into the export's classes, 0 background."""

    name: str
    image: str
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Refused:
    image: str
    reason: str


@dataclass(frozen=True)
class Export:
    """What will go out: the class names (background left out) and the labeled objects, read as they are asked for."""

    manifest: str
    classes: tuple[str, ...]
    lines: tuple[Labeled, ...]
    table: Classes
    door: S3

    def objects(self) -> Iterator[Exported | Refused]:
        names = _unique_names(self.lines)
        for line, name in zip(self.lines, names, strict=True):
            try:
                yield Exported(name, _locate(self.manifest, line.image), self._mask(line))
            except GtsegError as error:
                yield Refused(line.image, str(error))

    def read(self, reference: str) -> bytes:
        """The bytes of an image of this export."""
        return _read(self.door, reference)

    def _mask(self, line: Labeled) -> NDArray[np.uint8]:
        body = _read(self.door, _locate(self.manifest, line.mask))
        with Image.open(io.BytesIO(body)) as image:
            size = image.size
        checked = check_mask(body, line.colors, self.table, size=size)
        with Image.open(io.BytesIO(checked.annotation or body)) as image:
            return np.asarray(image).astype(np.uint8)


def open_export(
    run: Run, door: S3, *, manifest: str | None = None, label_attribute: str | None = None
) -> Export:
    """The labels of the run's job, or of any output manifest (s3:// or a file).

    Raises StageError where the run has none, ManifestError where the manifest holds no masks.
    """
    own = run.labeling_job.output_manifest if run.labeling_job else None
    uri = manifest or own or (run.dataset.source if run.dataset else None)
    if uri is None:
        raise StageError(f"Run {run.name!r} has no labels to export yet: `gtseg watch`, or --manifest URI")
    body = _read(door, uri)
    attribute = label_attribute or _own_attribute(run, uri) or _only_attribute(uri, body)
    lines = tuple(line for line in read_manifest([body], attribute) if isinstance(line, Labeled))
    if not lines:
        raise ManifestError(f"{uri}: no object of it is labeled under {attribute}")
    table = merge_classes(line.colors for line in lines)
    return Export(uri, tuple(table.names[1:]), lines, table, door)


def _own_attribute(run: Run, uri: str) -> str | None:
    job = run.labeling_job
    return job.label_attribute if job and job.output_manifest == uri else None


def _only_attribute(uri: str, body: bytes) -> str:
    found = list(find_label_attributes([body]))
    if not found:
        raise ManifestError(f"{uri} holds no semantic segmentation label")
    if len(found) > 1:
        raise SettingsError(
            f"{uri} holds several labels ({', '.join(found)}): choose one with --label-attribute"
        )
    return found[0]


def _locate(manifest: str, reference: str) -> str:
    """An S3 URI as it is; any other reference lies beside the manifest."""
    if is_s3_uri(reference):
        return reference
    base = manifest.rsplit("/", 1)[0] if "/" in manifest else "."
    return f"{base}/{reference}"


def _read(door: S3, reference: str) -> bytes:
    if is_s3_uri(reference):
        return door.read(reference)[0]
    try:
        return Path(reference).read_bytes()
    except OSError as error:
        raise ManifestError(f"{reference}: cannot be read: {error.strerror}") from None


def _unique_names(lines: tuple[Labeled, ...]) -> list[str]:
    """File names by the image's own; an equal name in another prefix gets its line's number."""
    taken: set[str] = set()
    names = []
    for line in lines:
        name = line.image.rstrip("/").rsplit("/", 1)[-1]
        stem, dot, suffix = name.rpartition(".")
        if name.lower() in taken:
            name = f"{stem or suffix}-{line.number}{dot}{suffix if stem else ''}"
        taken.add(name.lower())
        names.append(name)
    return names
