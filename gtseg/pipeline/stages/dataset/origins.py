"""Sources of images and masks, buckets or local files, with a common interface."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gtseg.aws.s3 import Bulk, Fetched, is_s3_uri
from gtseg.core.images.formats import refuse_kind
from gtseg.core.images.header import read_header
from gtseg.errors import AWSError, ImageError

STARTS = (4096, 131_072, 2_097_152)
"""Bytes to read until an image's header is complete: enough for nearly all images, then for embedded camera
previews."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Facts about one image: `format` JPEG or PNG, stored size in pixels, EXIF orientation 1 to 8."""

    etag: str
    width: int
    height: int
    format: str
    orientation: int = 1


class Origin:
    """Reader of references (S3 URIs or paths). Raises AWSError; a missing file is NoSuchKey too."""

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk

    def read(self, reference: str, *, if_match: str | None = None) -> Fetched:
        if is_s3_uri(reference):
            return self._bulk.get(reference, if_match=if_match)
        body = _read_file(reference)
        fetched = Fetched(body, hashlib.md5(body, usedforsecurity=False).hexdigest(), len(body))
        if if_match and fetched.etag != if_match:
            raise AWSError(f"read {reference}", "PreconditionFailed", "the file has changed")
        return fetched

    def read_start(self, reference: str, size: int) -> Fetched:
        """Return the first `size` bytes of an object, or all of a file. Parts of objects have no checksum."""
        return self._bulk.get(reference, span=(0, size)) if is_s3_uri(reference) else self.read(reference)

    def read_image_facts(self, reference: str) -> Fact:
        """Read the image's header with a small ranged request. Raises ImageError if it is neither JPEG nor PNG, or
        damaged.

        A part of an object has no checksum, so a header that seems damaged is read again with the whole object.
        """
        try:
            return self._read_facts(reference, STARTS)
        except ImageError:
            return self.read_all_facts(reference)

    def read_all_facts(self, reference: str) -> Fact:
        """Read the same from the whole object, which S3's checksum covers."""
        return self._read_facts(reference, (None,))

    def _read_facts(self, reference: str, sizes: Sequence[int | None]) -> Fact:
        header = None
        for size in sizes:
            start = self._start(reference, size)
            header = read_header(start.body, is_all=len(start.body) >= start.size)
            if header is not None:
                break
        if header is None or isinstance(header, str):
            raise ImageError(header or f"its first {STARTS[-1]:,} bytes have no size")
        if refusal := refuse_kind(header.format):
            raise ImageError(refusal)
        return Fact(start.etag, header.width, header.height, header.format, header.orientation)

    def transfer(self, reference: str, target: str, *, if_match: str, content_type: str) -> str:
        """Copy the bytes to `target` and return its ETag. Copies within S3 do not pass through this machine."""
        if is_s3_uri(reference):
            return self._bulk.copy(reference, target, if_match=if_match)
        return self._bulk.put(target, self.read(reference, if_match=if_match).body, content_type=content_type)

    def _start(self, reference: str, size: int | None) -> Fetched:
        if size is None or not is_s3_uri(reference):
            return self.read(reference)
        try:
            return self._bulk.get(reference, span=(0, size))
        except AWSError as error:
            if error.code == "InvalidRange":  # S3's response for an empty object
                raise ImageError("is empty") from None
            raise


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise AWSError(f"read {path}", "NoSuchKey", "file not found") from None
    except OSError as error:
        raise AWSError(f"read {path}", "AccessDenied", str(error)) from None
