"""Source of the images: a bucket's prefix, a local folder to upload, or an existing input manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar, cast

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import MISSING_CODES, S3, Bulk, Listed, is_s3_uri, split_uri, work_through
from gtseg.core.images.header import ENOUGH_BYTES, ImageHeader, read_header, read_whole
from gtseg.core.labeling.input_manifest import (
    MANIFEST_ENDINGS,
    MAX_BYTES,
    DataObject,
    InputManifest,
    build_input_manifest,
    check_count,
    examine,
    is_image_name,
    listed_object,
    parse_input_manifest,
    read_side_file,
)
from gtseg.errors import CREDENTIAL_CODES, AWSError, SettingsError, StageError
from gtseg.pipeline.run import Context, Run
from gtseg.settings import Settings

THREADS = 16
UNREADABLE = {
    **{code: f"cannot be read: {code}" for code in MISSING_CODES | CREDENTIAL_CODES | {"NoSuchBucket"}},
    "InvalidRange": "is empty",  # S3's response to a request for the first byte of an empty object
}
JOB_OUTPUT = "/annotations/consolidated-annotation/"
"""Found below an output prefix: masks of an earlier job, never images to label."""

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Gathered:
    """Manifest to write, and what else was found. `folder` and `files` are uploaded to `target` first."""

    manifest: InputManifest
    skipped: tuple[str, ...] = ()
    """Number of files of other kinds."""
    folder: Path | None = None
    files: tuple[Path, ...] = ()
    target: str = ""

    @property
    def buckets(self) -> tuple[str, ...]:
        return tuple(sorted({split_uri(item.uri)[0] for item in self.manifest.objects}))


def gather_images(run: Run, context: Context) -> Gathered:
    """Return every image of [images] source with its header checked. Read-only: nothing is uploaded here."""
    source = context.settings.images.source
    if not source:
        raise SettingsError(
            '[images] source is not set: it must be an "s3://bucket/prefix/", a folder, or an input manifest'
        )
    if source.lower().endswith(MANIFEST_ENDINGS):
        return _from_manifest(source, run, context)
    if is_s3_uri(source):
        return _from_prefix(source, run, context)
    return _from_folder(_local(source, context.settings), run, context)


def _local(source: str, settings: Settings) -> Path:
    return (settings.folder / Path(source).expanduser()).resolve()


def _from_folder(folder: Path, run: Run, context: Context) -> Gathered:
    if folder.is_file():
        raise StageError(
            f"[images] source: {folder} is a file. Use a folder of images (unpack an archive first), an s3:// prefix "
            f"or an input manifest ({', '.join(MANIFEST_ENDINGS)})"
        )
    if not folder.is_dir():
        raise StageError(f"[images] source: folder {folder} does not exist")
    names = sorted(_list_files(folder), key=lambda name: name.encode("utf-8", "surrogateescape"))
    images = [name for name in names if is_image_name(name)]
    if not images:
        raise StageError(f"No image to label: no .jpg, .jpeg or .png below {folder}")
    check_count(len(images))
    target, automated = f"{run.root}images/", context.settings.labeling.automated
    items = _in_parallel(lambda name: _examine_file(folder / name, target + name, automated=automated), images, context)
    manifest = build_input_manifest(items)
    files = tuple(folder / item.uri[len(target) :] for item in manifest.objects)
    skipped = tuple(name for name in names if not is_image_name(name))
    return Gathered(manifest, skipped, folder, files, target)


def _list_files(folder: Path) -> Iterator[str]:
    """Yield relative paths with forward slashes, without hidden files and folders."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield (Path(place) / name).relative_to(folder).as_posix()


def _examine_file(path: Path, uri: str, *, automated: bool) -> DataObject:
    try:
        uri.encode()
    except UnicodeEncodeError:
        return DataObject(ascii(uri), 0, "", "", problem="its name is not UTF-8; rename it")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            return examine(
                listed_object(uri, size, ""), f"has {size:,} bytes; Ground Truth accepts at most {MAX_BYTES:,}"
            )
        body = path.read_bytes()
    except OSError as error:
        return examine(listed_object(uri, 0, ""), f"cannot be read: {error.strerror}")
    item = listed_object(uri, size, hashlib.md5(body, usedforsecurity=False).hexdigest())
    return item if item.problem else examine(item, read_whole(body), automated=automated)


def _from_prefix(source: str, run: Run, context: Context) -> Gathered:
    bucket, key = split_uri(source)
    folder = f"s3://{bucket}/{key if not key or key.endswith('/') else key + '/'}"
    reader, listed = _list(folder, context)
    images: list[DataObject] = []
    skipped: list[str] = []
    for item in listed:
        uri = f"s3://{bucket}/{item.key}"
        if uri.endswith("/") or _is_output(uri, run):
            continue
        if is_image_name(uri):
            images.append(listed_object(uri, item.size, item.etag))
        else:
            skipped.append(uri)
    if not images:
        raise StageError(f"No image to label: no .jpg, .jpeg or .png below {folder}")
    check_count(len(images))
    items = _examine_objects(images, run, context, reader)
    return Gathered(build_input_manifest(items), tuple(skipped))


def _list(folder: str, context: Context) -> tuple[Clients, Iterator[Listed]]:
    """Return clients that may read the folder, and the objects in it."""
    try:
        return context.clients, _begin(context.s3.list_objects(folder))
    except AWSError as error:
        if error.code not in CREDENTIAL_CODES:
            raise
        refusal = error
    try:
        reader = context.clients.unsigned()
        listed = _begin(S3(reader).list_objects(folder))
    except AWSError:
        raise refusal from None
    context.note(f"{folder} is read with unsigned requests: it is public, but your credentials have no access")
    return reader, listed


def _begin(listed: Iterator[Listed]) -> Iterator[Listed]:
    """Return the same objects after requesting the first page, so that a refusal is raised now."""
    first = list(islice(listed, 1))
    return chain(first, listed)


def _is_output(uri: str, run: Run) -> bool:
    """Return whether gtseg or Ground Truth wrote an object: masks in a whole-bucket source must not be labeled."""
    return JOB_OUTPUT in uri or (uri.startswith(run.root) and not uri.startswith(f"{run.root}images/"))


def _from_manifest(source: str, run: Run, context: Context) -> Gathered:
    pairs = list(parse_input_manifest(_read_manifest(source, context)))
    check_count(len(pairs))
    items = [DataObject(uri, -1, "", line) for uri, line in pairs]
    return Gathered(build_input_manifest(_examine_objects(items, run, context, context.clients)))


def _read_manifest(source: str, context: Context) -> bytes:
    if not is_s3_uri(source):
        try:
            return _local(source, context.settings).read_bytes()
        except OSError as error:
            raise StageError(f"[images] source = {source!r} cannot be read: {error.strerror}") from None
    try:
        return context.s3.read(source)[0]
    except AWSError as error:
        if error.code not in CREDENTIAL_CODES:
            raise
    return S3(context.clients.unsigned()).read(source)[0]


def _examine_objects(items: Sequence[DataObject], run: Run, context: Context, reader: Clients) -> Iterable[DataObject]:
    """Return the checked objects. `reader` reads the images with the caller's credentials or unsigned."""
    known, automated = _headers_of_earlier_attempt(run, context), context.settings.labeling.automated
    bulk = Bulk(reader)

    def check(item: DataObject) -> DataObject:
        if item.problem:
            return item
        header = known.get((item.uri, item.etag)) if item.etag else None
        return examine(item, header, automated=automated) if header else _examine_object(item, bulk, automated)

    with bulk:
        return _in_parallel(check, items, context)


def _examine_object(item: DataObject, bulk: Bulk, automated: bool) -> DataObject:
    """Check an object by its first bytes; more are read only if the header is longer.

    An object within these bytes is decoded completely; `gtseg doctor` decodes a sample of longer ones.
    """
    if item.size == 0 or item.size > MAX_BYTES:
        words = (
            "is empty" if item.size == 0 else (f"has {item.size:,} bytes; Ground Truth accepts at most {MAX_BYTES:,}")
        )
        return examine(item, words)
    header: ImageHeader | str | None = None
    for count in (ENOUGH_BYTES, 16 * ENOUGH_BYTES, MAX_BYTES):
        try:
            start = bulk.get(item.uri, span=(0, count))
        except AWSError as error:
            if error.code not in UNREADABLE:
                raise
            return examine(item, UNREADABLE[error.code])
        item = DataObject(item.uri, start.size, item.etag or start.etag, item.own_line)
        is_all = len(start.body) >= start.size
        if header := read_whole(start.body) if is_all else read_header(start.body, is_all=False):
            break
    return examine(item, header or "has a damaged or truncated header", automated=automated)


def _headers_of_earlier_attempt(run: Run, context: Context) -> dict[tuple[str, str], ImageHeader]:
    earlier = run.attempts_of("label")
    found = context.s3.read_if_exists(f"{run.root}labeling/{earlier[-1].name}/images.jsonl") if earlier else None
    return read_side_file(found[0]) if found else {}


def _in_parallel(check: Callable[[T], U], items: Sequence[T], context: Context) -> list[U]:
    """Return the results in order and report progress as they arrive."""
    total = len(items)
    results: list[U | None] = [None] * total
    checked = work_through(enumerate(items), lambda item: check(item[1]), threads=min(THREADS, total))
    for done, ((position, _), result) in enumerate(checked, start=1):
        results[position] = result
        if done % 50 == 0 or done == total:
            context.progress("reading image headers", done, total)
    return cast(list[U], results)
