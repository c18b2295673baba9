"""Reader of output manifests: the labels of any Ground Truth job as images, masks and a table."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3, is_s3_uri
from gtseg.core.hosting.endpoint_images import read_mask
from gtseg.core.labeling.output_manifest import (
    NO_TABLE,
    Failed,
    Labeled,
    Line,
    Unusable,
    find_label_attributes,
)
from gtseg.core.labeling.output_manifest import read_manifest as read_lines
from gtseg.core.labeling.references import explain, find_rule_problem
from gtseg.core.masks import Classes, ColorMap, check_mask, draw_overlay, merge_classes
from gtseg.core.masks.png import read_png_header
from gtseg.core.s3_uris import require_file
from gtseg.errors import GtsegError, ManifestError, SettingsError
from gtseg.library.figures import Picture, strip
from gtseg.library.tables import html_table, make_table
from gtseg.pipeline.run.pictures import read_bytes, read_image
from gtseg.pipeline.stages.dataset.sources import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SHOWN = 4
STATUS = {Labeled: "labeled", Failed: "failed", Unusable: "unusable"}


def read_manifest(
    manifest: str | Path, *, label_attribute: str | None = None, rewrite: Mapping[str, str] | None = None
) -> Manifest:
    """Read the output manifest of a semantic segmentation labeling job: a path or an `s3://` URI.

    `label_attribute` selects one of several labels. `rewrite` replaces prefixes of URIs of moved images or masks:
    `{"s3://old-bucket/": "s3://new-bucket/"}`; a UserWarning names a rule that replaces nothing. Images and masks are
    read on access. Raises SettingsError if the label is ambiguous or an address is mistyped, ManifestError naming the
    line that cannot be read.
    """
    place, s3 = require_file(str(manifest), "manifest"), S3(Clients())
    for old, new in (rewrite or {}).items():
        if problem := find_rule_problem(old, new):
            raise SettingsError(f"rewrite {old!r}: {new}: {problem}")
    body = read_bytes(str(Path(place).expanduser()) if not is_s3_uri(place) else place, s3)
    label = label_attribute or _only_label(body, place)
    lines, source = tuple(read_lines([body], label)), Source(place, label, rewrites=rewrite or {})
    for message in source.describe_unused_rules(lines):
        warnings.warn(message, stacklevel=2)
    return Manifest(place, label, lines, source, s3)


def _only_label(body: bytes, place: str) -> str:
    found = find_label_attributes([body])
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise SettingsError(f"{place} has no semantic segmentation label with metadata. {NO_TABLE}")
    raise SettingsError(f"{place} has several labels: label_attribute must be one of {', '.join(found)}")


@dataclass(frozen=True)
class LabeledImage:
    """Line of a manifest. `status` is labeled, failed, unlabeled or unusable; `reason` explains a missing mask."""

    number: int
    uri: str
    """URI or path of the image."""
    mask_uri: str | None
    status: str
    reason: str
    confidence: float | None
    classes: tuple[str, ...]
    """Names of the classes in its color map."""
    _colors: ColorMap | None = field(repr=False, default=None)
    _manifest: Manifest | None = field(repr=False, default=None)

    @property
    def image(self) -> Picture:
        """Return the photograph. Raises GtsegError if it cannot be read."""
        assert self._manifest is not None
        return Picture(read_image(self._readable(self.uri), self._manifest.s3), Path(self.uri).name)

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Return (H, W) uint8 indices into the manifest's `classes`; 255 is void.

        Raises MaskError for an invalid mask.
        """
        if self.mask_uri is None or self._colors is None or self._manifest is None:
            raise ManifestError(f"line {self.number}: {self.uri} has no mask: {self.status}. {self.reason}")
        body = read_bytes(self._readable(self.mask_uri), self._manifest.s3)
        header = read_png_header(body)
        size = (header.width, header.height)
        checked = check_mask(body, self._colors, self._manifest.table_of_classes, size=size)
        return read_mask(checked.annotation or body)

    def _readable(self, reference: str) -> str:
        """Return the reference. Raises ManifestError naming the line for one that is neither an S3 URI nor a path."""
        if reason := explain(reference):
            raise ManifestError(f"line {self.number}: {reason}")
        return reference

    @property
    def overlay(self) -> Picture:
        """Return the photograph with its mask drawn over it."""
        assert self._manifest is not None
        drawn = draw_overlay(self.image.pillow, self.mask, self._manifest.table_of_classes)
        return Picture(drawn, Path(self.uri).name)

    def _repr_png_(self) -> bytes:
        return (self.overlay if self.mask_uri else self.image)._repr_png_()


@dataclass(frozen=True)
class Manifest(Sequence[LabeledImage]):
    """Labels of a job: a sequence of LabeledImage in the manifest's order."""

    address: str
    label_attribute: str
    _lines: tuple[Line, ...] = field(repr=False)
    _source: Source = field(repr=False)
    s3: S3 = field(repr=False)

    @cached_property
    def table_of_classes(self) -> Classes:
        """Names and display colors of the classes of all masks; index 0 is the background."""
        return merge_classes(line.colors for line in self._lines if isinstance(line, Labeled))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by class index; 0 is BACKGROUND."""
        return self.table_of_classes.names

    @property
    def labeled(self) -> list[LabeledImage]:
        """Return the images that have a mask."""
        return [image for image in self if image.status == "labeled"]

    def table(self) -> Any:
        """Return a row per line: number, image, mask, status, reason, confidence. pandas if installed, else dicts."""
        return make_table([_row(image) for image in self])

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> LabeledImage: ...
    @overload
    def __getitem__(self, index: slice) -> list[LabeledImage]: ...
    def __getitem__(self, index: int | slice) -> LabeledImage | list[LabeledImage]:
        if isinstance(index, slice):
            return [self._image(line) for line in self._lines[index]]
        return self._image(self._lines[index])

    def __iter__(self) -> Iterator[LabeledImage]:
        return map(self._image, self._lines)

    def _image(self, line: Line) -> LabeledImage:
        image = self._source.resolve(line.image)
        status, reason = STATUS.get(type(line), "unlabeled"), getattr(line, "reason", "")
        if not isinstance(line, Labeled):
            return LabeledImage(line.number, image, None, status, reason, None, (), None, self)
        names = tuple(entry.name for entry in line.colors.entries)
        mask = self._source.resolve(line.mask)
        return LabeledImage(line.number, image, mask, status, "", line.confidence, names, line.colors, self)

    def _repr_html_(self) -> str:
        counts: dict[str, int] = {}
        for line in self._lines:
            status = STATUS.get(type(line), "unlabeled")
            counts[status] = counts.get(status, 0) + 1
        rows = [{"label": self.label_attribute, "classes": ", ".join(self.classes), **counts}]
        pictures = []
        for image in self.labeled[:SHOWN]:
            try:
                pictures.append(image.overlay)
            except GtsegError:  # unreadable files are reported on access
                continue
        return html_table(rows) + strip(pictures)


def _row(image: LabeledImage) -> dict[str, Any]:
    return {
        "line": image.number,
        "image": image.uri,
        "mask": image.mask_uri,
        "status": image.status,
        "confidence": image.confidence,
        "reason": image.reason,
    }
