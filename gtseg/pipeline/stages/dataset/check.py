"""Phase one: check every labeled object and every pixel of its mask. Nothing is written to S3."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import IO, TypeVar

from gtseg.aws.s3 import Budget
from gtseg.core.labeling.output_manifest import Labeled
from gtseg.core.labeling.references import decoded_forms, explain
from gtseg.core.masks import CheckedMask, Classes, ColorMap, check_mask
from gtseg.core.masks.check import PALETTE_BYTES, check_size, trust_palette
from gtseg.core.masks.png import PALETTE, PngHeader, read_png_header
from gtseg.errors import AWSError, ImageError, MaskError
from gtseg.pipeline.stages.dataset.earlier_dataset import Earlier
from gtseg.pipeline.stages.dataset.origins import Fact, Origin
from gtseg.pipeline.stages.dataset.records import Record, recipe

OWN_CODES = frozenset(
    {"NoSuchKey", "404", "NoSuchBucket", "AccessDenied", "403", "PreconditionFailed", "InvalidObjectState"}
)
"""Error codes that concern one object, not the whole work."""
MISSING_OR_HIDDEN = frozenset({"NoSuchKey", "404", "AccessDenied", "403"})
"""S3 returns 403 for a missing key if the caller may not list the bucket."""
T = TypeVar("T")
APART = 'a model labeled or chose it, and its group is in validation or test ([dataset] machine_labels = "train-only")'
CODEC_BYTES = 36 * 1024 * 1024
"""Number of pixels in the codec at once; it limits memory, independently of the number of threads or objects."""
CODEC_SLOTS = min(4, os.cpu_count() or 1)
"""Few threads decode for the many that wait for S3, because each thread's heap keeps its peak size."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Labeled line with its references resolved to S3 URIs or paths."""

    labeled: Labeled
    image: str
    mask: str


@dataclass(frozen=True, slots=True)
class Spooled:
    """Annotation that must be rewritten: the position of its bytes, and their MD5, the expected ETag."""

    offset: int
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of phase one. `reason` is '' for a good object; `earlier` is set if nothing had to be read again.

    `recipe` identifies the mask's color map and the classes; `group` is what an import wrote to the line.
    """

    image: str
    mask: str
    recipe: str = ""
    confidence: float | None = None
    group: str = ""
    by_machine: bool = False
    is_chosen: bool = False
    reason: str = ""
    is_failure: bool = False
    fact: Fact | None = None
    mask_etag: str = ""
    pixels: tuple[tuple[int, int], ...] = ()
    spooled: Spooled | None = None
    repaired: bool = False
    earlier: Record | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Bytes of a mask as read, and the finding so far. Without bytes the finding is complete."""

    finding: Finding
    mask: bytes | None = None
    colors: ColorMap | None = None


@dataclass
class Spool:
    """Recoded annotations on disk between the phases, so that memory does not grow with their number."""

    file: IO[bytes]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, body: bytes) -> Spooled:
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        with self._lock:
            offset = self.file.seek(0, 2)
            self.file.write(body)
        return Spooled(offset, len(body), md5)

    def read(self, spooled: Spooled) -> bytes:
        with self._lock:
            self.file.seek(spooled.offset)
            return self.file.read(spooled.size)


@dataclass(frozen=True)
class Checker:
    """Checker of objects.

    `facts` (image headers from the label stage) and `etags` (from listings) save requests.
    """

    origin: Origin
    classes: Classes
    spool: Spool
    facts: Mapping[str, Fact] = field(default_factory=dict)
    etags: Mapping[str, str] = field(default_factory=dict)
    earlier: Earlier = field(default_factory=Earlier)
    min_confidence: float = 0.0
    rejects_machine: bool = False
    by_palette: bool = False
    """Return whether a mask is read no further because its palette shows that it can stay unchanged."""
    codec: Budget = field(default_factory=lambda: Budget(CODEC_BYTES))

    def recall(self, candidate: Candidate) -> Finding | None:
        """Return the earlier dataset's finding if image, mask, classes and outputs are all unchanged."""
        if self._refuse(candidate.labeled):
            return None
        for image, mask in product(_forms(candidate.image), _forms(candidate.mask)):
            record = self.earlier.find(image, mask)
            if (
                record is None
                or record.status not in ("accepted", "rejected")
                or not record.mask_etag
                or record.reason == APART
            ):
                continue
            finding = self._begin(replace(candidate, image=image, mask=mask))
            if not self.by_palette and record.status == "accepted" and not record.pixels:
                continue  # only its palette was checked
            if record.recipe == finding.recipe and (known := self._recall(finding, record)):
                return known
        return None

    def fetch(self, candidate: Candidate) -> Fetch:
        """Read all that needs S3.

        Errors of one object go to its Finding; AWSError is raised if it would affect all objects.
        """
        finding = self._begin(candidate)
        if reason := self._refuse(candidate.labeled):
            return Fetch(replace(finding, reason=reason))
        if reason := explain(finding.image) or explain(finding.mask):
            return Fetch(replace(finding, reason=f"{reason} (line {candidate.labeled.number})"))
        try:
            image, fact = _first_there(finding.image, self._facts_of)
        except ImageError as error:
            return Fetch(replace(finding, reason=f"image: {error}"))
        except AWSError as error:
            return Fetch(replace(finding, reason=_own_reason("image", error, finding.image), is_failure=True))
        finding = replace(finding, image=image, fact=fact)
        if self.by_palette and (trusted := self._trust(finding, candidate.labeled.colors)):
            return Fetch(trusted)
        try:
            mask, fetched = _first_there(finding.mask, self.origin.read)
        except AWSError as error:
            reason = _own_reason("mask", error, finding.mask)
            return Fetch(replace(finding, reason=reason, is_failure=True))
        finding = replace(finding, mask=mask, mask_etag=fetched.etag)
        return Fetch(finding, fetched.body, candidate.labeled.colors)

    def _trust(self, finding: Finding, colors: ColorMap) -> Finding | None:
        """Return the finding of a mask whose palette is correct; None if all of it must be read."""
        assert finding.fact is not None
        try:
            start = self.origin.read_start(finding.mask, PALETTE_BYTES)
        except AWSError:  # the full read reports it
            return None
        size = finding.fact.width, finding.fact.height
        is_right = trust_palette(start.body[:PALETTE_BYTES], colors, self.classes, size=size)
        return replace(finding, mask_etag=start.etag) if is_right else None

    def judge(self, fetch: Fetch) -> Finding:
        """Check every pixel of the mask. Raises the same errors as `fetch`."""
        if fetch.mask is None or fetch.colors is None:
            return fetch.finding
        return self._check_mask(fetch.finding, fetch.mask, fetch.colors)

    def _begin(self, candidate: Candidate) -> Finding:
        labeled = candidate.labeled
        made = recipe(labeled.colors, self.classes)
        return Finding(
            candidate.image,
            candidate.mask,
            made,
            labeled.confidence,
            labeled.group,
            labeled.by_machine,
            labeled.is_chosen,
        )

    def _refuse(self, labeled: Labeled) -> str:
        """Return why the settings exclude a label, whatever its mask holds; '' if they do not."""
        if labeled.by_machine and self.rejects_machine:
            return 'a model labeled it ([dataset] machine_labels = "reject")'
        confidence = labeled.confidence
        if confidence is None or confidence >= self.min_confidence:
            return ""
        return f"confidence {confidence:g} is below min_confidence {self.min_confidence:g}"

    def _recall(self, finding: Finding, record: Record) -> Finding | None:
        etags = tuple(map(self.etags.get, (finding.image, finding.mask)))
        if etags != (record.image_etag, record.mask_etag):
            return None
        if self._stale_fact(finding.image, record.image_etag):
            return None
        fact = Fact(record.image_etag, record.width, record.height, record.format, record.orientation)
        known = replace(finding, fact=fact, mask_etag=record.mask_etag, earlier=record)
        if record.status == "rejected":
            return replace(known, reason=record.reason)
        written = ((record.object, record.object_etag), (record.annotation, record.annotation_etag))
        if any(self.earlier.present.get(key) != etag for key, etag in written):
            return None
        pixels = tuple(sorted((self.classes.index(name), n) for name, n in record.pixels.items()))
        return replace(known, pixels=pixels, repaired=record.repaired)

    def _stale_fact(self, image: str, etag: str) -> bool:
        fact = self.facts.get(image)
        return fact is not None and fact.etag != etag

    def _facts_of(self, image: str) -> Fact:
        fact = self.facts.get(image)
        if fact is None:
            return self.origin.read_image_facts(image)
        if self.etags.get(image, fact.etag) != fact.etag and self.origin.read_image_facts(image).etag != fact.etag:
            raise ImageError(replaced(fact.etag))
        return fact

    def _check_mask(self, finding: Finding, mask: bytes, colors: ColorMap) -> Finding:
        try:
            header = read_png_header(mask)
            finding = self._confirm_size(finding, header)
            assert finding.fact is not None
            size = finding.fact.width, finding.fact.height
            checked = self._decode(mask, header, colors, size)
        except ImageError as error:
            return replace(finding, reason=f"image: {error}")
        except AWSError as error:
            return replace(finding, reason=_own_reason("image", error, finding.image), is_failure=True)
        except MaskError as error:
            fact = finding.fact
            turned = fact is not None and fact.orientation > 4 and "EXIF" in str(error)
            hint = (
                f" Its EXIF orientation is {fact.orientation if fact else 1}: rotate the image file and label it again."
                if turned
                else ""
            )
            return replace(finding, reason=f"mask: {error}{hint}")
        spooled = self.spool.keep(checked.annotation) if checked.annotation else None
        return replace(finding, pixels=checked.pixels, spooled=spooled, repaired=checked.repaired)

    def _confirm_size(self, finding: Finding, header: PngHeader) -> Finding:
        """Return the finding; the size is read again from the whole image if it does not fit the mask."""
        fact, image = finding.fact, finding.image
        if fact is None or (header.width, header.height) == (fact.width, fact.height) or image in self.facts:
            return finding
        return replace(finding, fact=self.origin.read_all_facts(image))

    def _decode(self, body: bytes, header: PngHeader, colors: ColorMap, size: tuple[int, int]) -> CheckedMask:
        check_size(header, size)  # before memory is allocated for it
        bytes_per_pixel = 2 if header.color_type == PALETTE else 20
        cost = header.width * header.height * bytes_per_pixel
        with self.codec.hold(max(cost, CODEC_BYTES // CODEC_SLOTS)):
            return check_mask(body, colors, self.classes, size=size)


def replaced(etag: str) -> str:
    return f"the image was replaced after it was labeled (its ETag is no longer {etag})"


def _forms(reference: str) -> tuple[str, ...]:
    """Return a reference as it is, then its URL-decoded form if they differ."""
    return (reference, *decoded_forms(reference))


def _first_there(reference: str, read: Callable[[str], T]) -> tuple[str, T]:
    """Return the form of a reference that exists, and what was read. Raises the error of the unchanged reference."""
    try:
        return reference, read(reference)
    except AWSError as error:
        if error.code not in MISSING_OR_HIDDEN:
            raise
        for form in decoded_forms(reference):
            with contextlib.suppress(AWSError):
                return form, read(form)
        raise


def _own_reason(what: str, error: AWSError, reference: str) -> str:
    """Return why one object cannot be read; raise errors that concern all objects."""
    if error.code not in OWN_CODES:
        raise error
    hint = ""
    if error.code == "NoSuchBucket":
        bucket = reference.partition("://")[2].partition("/")[0]
        hint = f". If its objects were moved, use --rewrite s3://{bucket}/=s3://NEW/"
    elif decoded_forms(reference) and error.code in MISSING_OR_HIDDEN:
        hint = ". The key looks URL-encoded (%20 for a space); the decoded key does not exist either"
    return f"{what} cannot be read: {error.code}: {error.message}{hint}"
