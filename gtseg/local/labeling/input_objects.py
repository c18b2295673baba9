"""The input of a job: manifest lines to objects, images to sizes, read in constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.earlier_annotations import find_priors, find_setup_fault
from gtseg.local.labeling.pictures import decoding
from gtseg.local.labeling.records import Job, open_manifest, read_manifest
from gtseg.local.storage.objects import Objects, StorageUnavailable, split_uri
from gtseg.local.storage.store import Store
from gtseg.local.storage.sync import sync_file, sync_folder

MAX_LINE = 100_000
"""Characters (developer guide, "Input manifest")."""
MAX_ATTRIBUTE = 20_000
MAX_OBJECTS = 20_000
"""Semantic segmentation ("Input data quotas")."""
MAX_IMAGE_BYTES = 40 << 20


class InputError(Exception):
    """The input manifest is not valid; the message is the job's failure reason."""


def store_manifest(objects: Objects, uri: str, folder: Path) -> None:
    """Store a copy of the manifest in `folder`. Raises ServiceError ValidationException, StorageUnavailable."""
    bucket, key = split_uri(uri)
    kept = folder / "input.manifest"
    kept.unlink(missing_ok=True)
    try:
        objects.download(bucket, key, kept, shared=True)
    except StorageUnavailable:
        raise
    except ServiceError as error:
        raise ServiceError("ValidationException", f"ManifestS3Uri: {uri} cannot be read: {error.message}") from None
    with kept.open("rb") as file:
        sync_file(file.fileno())
    for place in (folder, folder.parent, folder.parent.parent):
        sync_folder(place)


@dataclass(frozen=True)
class Line:
    """A manifest line. `start` and `length` are in bytes; `state` is waiting, skipped (already labeled) or failed.

    `reason` is the failure reason.
    """

    number: int
    start: int
    length: int
    uri: str
    state: str
    reason: str | None


def read_objects(job: Job, store: Store) -> Iterator[Line]:
    """Yield every line of the stored manifest. Raises InputError."""
    start = blank = 0
    with open_manifest(job, store) as file:
        for line, raw in enumerate(iter(lambda: file.readline(4 * MAX_LINE + 3), b"")):
            if not raw.strip():
                blank = blank or line + 1
            elif blank:
                raise InputError(f"ClientError: line {blank} of the manifest is empty.")
            elif line >= MAX_OBJECTS:
                raise InputError(f"ClientError: the manifest has more than {MAX_OBJECTS} data objects.")
            else:
                uri, state, reason = check_line(raw, line + 1, job=job)
                yield Line(line, start, len(raw), uri, state, reason)
            start += len(raw)
    if start == 0 or blank == 1:
        raise InputError("ClientError: the manifest has no data objects.")


def check_line(raw: bytes, number: int, *, job: Job) -> tuple[str, str, str | None]:
    """Return (source-ref, state, reason) of a line; `number` counts from 1. Raises InputError."""
    try:
        entry = parse_line(raw)
        problem = find_line_fault(entry) or find_review_fault(entry, job)
        if problem:
            raise ValueError(problem)
    except ValueError as error:
        raise InputError(f"ClientError: line {number} of the manifest {error}.") from None
    uri: str = entry["source-ref"]
    if job.attribute in entry:
        return uri, "skipped", None
    if (job.is_adjustment or job.is_verification) and not find_priors(entry, job.attribute):
        verb = "adjust" if job.is_adjustment else "verify"
        return uri, "failed", f"ClientError: The data object has no annotation to {verb}."
    return uri, "waiting", None


def parse_line(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a line with a source-ref.

    Raises ValueError with the rest of the sentence "the line ...".
    """
    try:
        text = raw.decode()
        entry = json.loads(text)
        json.dumps(entry, ensure_ascii=False).encode()  # rejects lone surrogates
    except (ValueError, RecursionError):
        raise ValueError("is not JSON in UTF-8") from None
    if len(text.rstrip("\r\n")) > MAX_LINE:
        raise ValueError(f"has more than {MAX_LINE} characters")
    if not isinstance(entry, dict) or not isinstance(entry.get("source-ref"), str):
        raise ValueError("has no source-ref")
    return entry


def find_line_fault(entry: dict[str, Any]) -> str:
    """Return what is not valid about a line's keys and values for any job; '' if nothing."""
    for key, value in entry.items():
        if key.startswith("$"):
            return f"has the key {key!r}, which starts with $"
        if len(value if isinstance(value, str) else json.dumps(value)) > MAX_ATTRIBUTE:
            return f"has more than {MAX_ATTRIBUTE} characters in {key!r}"
    return ""


def find_review_fault(entry: dict[str, Any], job: Job) -> str:
    """Return what is not valid about a line for an adjustment or verification job; '' if nothing."""
    if not (job.is_adjustment or job.is_verification):
        return ""
    return find_setup_fault(entry, job.attribute, job.labels if job.is_adjustment else None) or ""


def read_line(job: Job, store: Store, start: int, length: int) -> bytes:
    """Read one line of the stored manifest, without its line ending."""
    with open_manifest(job, store) as file:
        file.seek(start)
        return read_manifest(file, job, store, length=length)


@dataclass(frozen=True)
class MeasuredImage:
    """An image that can be displayed: (width, height) as stored, and the ETag of its content."""

    size: tuple[int, int]
    etag: str


def measure_image(objects: Objects, uri: str) -> MeasuredImage:
    """Measure an image. Raises InputError if it cannot be read or displayed, or StorageUnavailable."""
    try:
        bucket, key = split_uri(uri)
        with objects.open(bucket, key) as stream:
            size = stream.info.size
            if size > MAX_IMAGE_BYTES:
                raise InputError(f"ClientError: {uri} has {size} bytes; the limit for an image is {MAX_IMAGE_BYTES}.")
            return MeasuredImage(decode_size(stream.body), stream.info.etag)
    except StorageUnavailable:
        raise
    except ServiceError as error:
        raise InputError(f"ClientError: {uri} cannot be read: {error.message}") from None
    except PictureError as error:
        raise InputError(f"ClientError: {uri} {error}.") from None


def decode_size(content: bytes | BinaryIO) -> tuple[int, int]:
    """Return (width, height) after a check that the image can be decoded: JPEG at 1/8 scale, PNG by its checksums.

    Raises PictureError.
    """
    with open_picture(content) as image:
        width, height = image.size
        if image.format == "PNG":
            image.verify()
        else:
            image.draft("L", (max(1, width // 8), max(1, height // 8)))
            with decoding((width, height)):  # a progressive JPEG is decoded at full size in memory at any scale
                image.load()
    return width, height
