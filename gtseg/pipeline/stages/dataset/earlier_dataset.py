"""Known facts before reading: the label stage's images.jsonl, the earlier dataset, and listings."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

import msgspec

from gtseg.aws.s3 import MISSING_CODES, Bulk, is_s3_uri, join_uri, list_folder, list_pages, split_uri
from gtseg.core.labeling.output_manifest import split_lines
from gtseg.core.labeling.references import explain
from gtseg.core.training.channels import CHANNELS
from gtseg.errors import AWSError
from gtseg.pipeline.stages.dataset.downloads import download, read_pieces
from gtseg.pipeline.stages.dataset.ledger import PAGE, Ledger, Table
from gtseg.pipeline.stages.dataset.origins import Fact
from gtseg.pipeline.stages.dataset.records import Record, read_records

T = TypeVar("T")
NO_BUCKET = "NoSuchBucket"
MARKER, OBJECTS = "dataset.json", "objects.jsonl"


class _ImageLine(msgspec.Struct, rename={"image": "source-ref"}):
    image: str
    etag: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    orientation: int = 1


@dataclass(frozen=True)
class Earlier:
    """State of the run's earlier dataset."""

    marker: bytes | None = None
    digest: str = ""
    """MD5 of objects.jsonl, '' if there is none."""
    records: Mapping[str, Record] = field(default_factory=dict)
    """Records by image and mask, see `find`."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """(Image URI, ETag of its bytes) -> the split that it was assigned to."""
    present: Mapping[str, str] = field(default_factory=dict)
    """ETags of the objects below channels/, by key."""
    has_bucket: bool = True

    def find(self, image: str, mask: str) -> Record | None:
        return self.records.get(_join(image, mask))


def read_earlier(bulk: Bulk, root: str, ledger: Ledger) -> Earlier:
    """Read dataset.json, objects.jsonl and the list of the channels' objects.

    All are empty if the bucket does not exist.
    """
    _, prefix = split_uri(root)
    try:
        files, folders = list_folder(bulk, root)
    except AWSError as error:
        if error.code != NO_BUCKET:
            raise
        return Earlier(has_bucket=False)
    names = {item.key[len(prefix) :] for item in files}
    marker = bulk.get(root + MARKER).body if MARKER in names else None
    earlier = Earlier(marker)
    if OBJECTS in names:
        earlier = _read_objects(bulk, root + OBJECTS, ledger, marker)
    if f"{prefix}channels/" in folders:
        earlier = replace(earlier, present=_list_channels(bulk, root, ledger))
    return earlier


def _read_objects(bulk: Bulk, uri: str, ledger: Ledger, marker: bytes | None) -> Earlier:
    records, splits = ledger.table(str, Record), ledger.table(str, str)
    with tempfile.TemporaryFile() as file:
        download(uri, bulk, file)
        digest = hashlib.md5(usedforsecurity=False)
        for piece in read_pieces(file):
            digest.update(piece)
        for batch in batched(read_records(read_pieces(file), uri)):
            records.add_all((_join(record.image, record.mask), record) for record in batch)
            splits.add_all((record.image, record.split) for record in batch if record.split)
            contents = ((r.image_etag, r.split) for r in batch if r.split and r.image_etag)
            splits.add_all(contents, keep=True)
    return Earlier(marker, digest.hexdigest(), records, splits)


def _join(image: str, mask: str) -> str:
    return f"{image}\n{mask}"


def batched(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(islice(source, PAGE)):
        yield batch


def _list_channels(bulk: Bulk, root: str, ledger: Ledger) -> Table[str, str]:
    """Return the objects of gtseg's channels by key below channels/. Other folders there are ignored."""
    channels = f"{root}channels/"
    start = len(split_uri(channels)[1])
    present = ledger.table(str, str)
    for page in list_pages(bulk, channels):
        keys = ((item.key[start:], item.etag) for item in page)
        present.add_all((key, etag) for key, etag in keys if key.partition("/")[0] in CHANNELS)
    return present


def read_facts(bulk: Bulk, uri: str | None, ledger: Ledger) -> Mapping[str, Fact]:
    """Return image URI -> facts from the label stage; {} if there is no such file, or no access to it."""
    if uri is None or not is_s3_uri(uri):
        return {}
    facts = ledger.table(str, Fact)
    with tempfile.TemporaryFile() as file:
        try:
            download(uri, bulk, file)
        except AWSError as error:
            if error.code in MISSING_CODES or error.code in ("AccessDenied", "403"):
                return {}
            raise
        for batch in batched(_readable_lines(read_pieces(file))):
            facts.add_all(
                (line.image, Fact(line.etag, line.width, line.height, line.format.upper(), line.orientation))
                for line in batch
                if line.etag and line.width and line.height and line.format.upper() in ("JPEG", "PNG")
            )
    return facts


def _readable_lines(pieces: Iterable[bytes]) -> Iterator[_ImageLine]:
    """Yield the readable lines; the images of damaged ones are read again."""
    decode = msgspec.json.Decoder(_ImageLine).decode
    for _, text in split_lines(pieces):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield decode(text)


@dataclass
class _Folder:
    """Number of references to a folder's objects, and the first and last of their keys."""

    number: int
    first: str
    last: str


def list_etags(bulk: Bulk, references: Iterable[str], ledger: Ledger) -> Mapping[str, str]:
    """Return S3 URI -> current ETag by listing the folders from the first to the last referenced key.

    Folders with many more objects than references, or more folders than the limit, are skipped: their ETags are
    unknown.
    """
    folders: dict[str, _Folder] = {}
    for reference in references:
        if explain(reference) or not is_s3_uri(reference):
            continue
        key = split_uri(reference)[1]
        folder = folders.setdefault(reference.rpartition("/")[0] + "/", _Folder(0, key, key))
        folder.number += 1
        folder.first, folder.last = min(folder.first, key), max(folder.last, key)
    if len(folders) > 50 + sum(folder.number for folder in folders.values()) // 100:
        return {}
    etags = ledger.table(str, str)
    for uri, folder in folders.items():
        _list_folder(bulk, uri, folder, etags)
    return etags


def _list_folder(bulk: Bulk, uri: str, folder: _Folder, etags: Table[str, str]) -> None:
    bucket, _ = split_uri(uri)
    most = 10 + folder.number // 100
    pages = list_pages(bulk, uri, start_after=folder.first[:-1], is_flat=True)
    for number, page in enumerate(pages):
        etags.add_all((join_uri(bucket, item.key), item.etag) for item in page)
        if not page or page[-1].key >= folder.last or number > most:
            break
