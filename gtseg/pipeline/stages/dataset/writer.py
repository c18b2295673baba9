"""Phase two: write each accepted object's image and annotation under their final names unless they are there
already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gtseg.aws.s3 import Budget, Bulk, join_uri, split_uri
from gtseg.core.images.photographs import convert_to_jpeg
from gtseg.core.training.channels import annotation_key, image_key
from gtseg.errors import AWSError, ImageError
from gtseg.pipeline.stages.dataset.check import CODEC_BYTES, OWN_CODES, Finding, Spool, replaced
from gtseg.pipeline.stages.dataset.origins import Origin

JPEG, PNG = "image/jpeg", "image/png"


@dataclass(frozen=True, slots=True)
class Placement:
    """Good object with its placement, and the ETags of its written image and annotation."""

    finding: Finding
    split: str
    name: str
    group: str
    object_etag: str = ""
    annotation_etag: str = ""
    reason: str = ""
    is_failure: bool = False

    @property
    def object(self) -> str:
        return image_key(self.split, self.name)

    @property
    def annotation(self) -> str:
        return annotation_key(self.split, self.name)

    @property
    def is_written(self) -> bool:
        return bool(self.object_etag and self.annotation_etag)

    @property
    def is_converted(self) -> bool:
        return self.finding.fact is not None and self.finding.fact.format == "PNG"


@dataclass(frozen=True)
class Writer:
    """Writer of objects. `channels` is the folder's URI, `present` the ETags of its objects."""

    bulk: Bulk
    origin: Origin
    spool: Spool
    channels: str
    present: Mapping[str, str]
    codec: Budget = field(default_factory=lambda: Budget(CODEC_BYTES))

    def find_written(self, placement: Placement) -> Placement:
        """Return the placement with its ETags if both its objects exist already, else without."""
        found = placement.object_etag or self._there(placement.object, *self._expected_image(placement))
        mask = self._there(placement.annotation, *self._expected_annotation(placement))
        return replace(placement, object_etag=found, annotation_etag=mask)

    def write(self, placement: Placement) -> Placement:
        """Write what is missing. Errors of this object are in the result's `reason`."""
        try:
            if not placement.object_etag:
                placement = replace(placement, object_etag=self._write_image(placement))
            if not placement.annotation_etag:
                placement = replace(placement, annotation_etag=self._write_annotation(placement))
        except ImageError as error:
            return replace(placement, reason=f"image: {error}")
        except AWSError as error:
            return self._give_up(placement, error)
        return placement

    def _there(self, key: str, *expected: str) -> str:
        etag = self.present.get(key, "")
        return etag if etag in expected else ""

    def _expected_image(self, placement: Placement) -> tuple[str, ...]:
        """Return the ETags that the image may have: the source's own (S3 keeps an MD5), or the one it had before."""
        finding = placement.finding
        before = (finding.earlier.object_etag,) if finding.earlier else ()
        own = (finding.fact.etag,) if finding.fact and not placement.is_converted else ()
        return before + own

    def _expected_annotation(self, placement: Placement) -> tuple[str, ...]:
        finding = placement.finding
        if finding.earlier:
            return (finding.earlier.annotation_etag,)
        return (finding.spooled.md5 if finding.spooled else finding.mask_etag,)

    def _write_image(self, placement: Placement) -> str:
        finding = placement.finding
        assert finding.fact is not None
        target, source = self._uri(placement.object), finding.image
        if finding.earlier and placement.is_converted:
            return self._move(finding.earlier.object, target, etag=finding.earlier.object_etag)
        if not placement.is_converted:
            return self.origin.transfer(source, target, if_match=finding.fact.etag, content_type=JPEG)
        pixels = finding.fact.width * finding.fact.height
        with self.codec.hold(max(8 * pixels, CODEC_BYTES // 2)):
            body = convert_to_jpeg(self.origin.read(source, if_match=finding.fact.etag).body)
        return self.bulk.put(target, body, content_type=JPEG)

    def _write_annotation(self, placement: Placement) -> str:
        finding = placement.finding
        target = self._uri(placement.annotation)
        if finding.earlier:
            return self._move(finding.earlier.annotation, target, etag=finding.earlier.annotation_etag)
        if finding.spooled:
            return self.bulk.put(target, self.spool.read(finding.spooled), content_type=PNG)
        return self.origin.transfer(finding.mask, target, if_match=finding.mask_etag, content_type=PNG)

    def _move(self, key: str, target: str, *, etag: str) -> str:
        """Copy it from its place in an earlier dataset; the old place is deleted with all stale objects."""
        return self.bulk.copy(self._uri(key), target, if_match=etag)

    def _give_up(self, placement: Placement, error: AWSError) -> Placement:
        if error.code not in OWN_CODES or error.operation.startswith("PutObject"):
            raise error
        fact = placement.finding.fact
        if error.code == "PreconditionFailed":
            if not placement.object_etag and fact:
                return replace(placement, reason=f"image: {replaced(fact.etag)}")
            return replace(placement, reason="mask: it was replaced while the dataset was written", is_failure=True)
        what = "mask" if placement.object_etag else "image"
        return replace(placement, reason=f"{what} cannot be read: {error.code}: {error.message}", is_failure=True)

    def _uri(self, key: str) -> str:
        bucket, prefix = split_uri(self.channels)
        return join_uri(bucket, prefix, key)
