"""objects.jsonl and dataset.json: records of every object and their summary. Equal input gives equal bytes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO, Any, Literal

import msgspec

from gtseg.core.labeling.output_manifest import split_lines
from gtseg.core.masks import Classes, ColorMap, hex_color
from gtseg.core.reasons import kind_of
from gtseg.core.training.splits import PARTS
from gtseg.errors import GtsegError, ManifestError
from gtseg.pipeline.stages.dataset.downloads import read_pieces
from gtseg.pipeline.stages.dataset.ledger import Table
from gtseg.version import __version__

Status = Literal["accepted", "rejected", "failed", "unlabeled"]
CHECK = 1
"""Increased when the accepted inputs or the written outputs change, which invalidates earlier findings."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Line of objects.jsonl, for one line of the manifest.

    `split` of an object that is not accepted is its earlier one, to which it returns. `pixels` is by class name.
    `object` and `annotation` are keys below channels/, with their ETags.
    """

    line: int
    image: str
    mask: str = ""
    status: Status
    reason: str = ""
    split: str = ""
    group: str = ""
    name: str = ""
    object: str = ""
    object_etag: str = ""
    annotation: str = ""
    annotation_etag: str = ""
    image_etag: str = ""
    mask_etag: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    orientation: int = 1
    confidence: float | None = None
    pixels: dict[str, int] = {}
    converted: bool = False
    recoded: bool = False
    repaired: bool = False
    recipe: str = ""
    by_machine: bool = False


@dataclass(frozen=True)
class RecordFile:
    """objects.jsonl before it is uploaded; each reader starts from the beginning, so that memory does not grow."""

    file: IO[bytes]
    digest: str
    """MD5 of its bytes."""

    def __iter__(self) -> Iterator[Record]:
        return read_records(read_pieces(self.file), "objects.jsonl")


def write_records(records: Iterable[Record], file: IO[bytes]) -> RecordFile:
    """Write records to an empty open file."""
    encode, digest = msgspec.json.Encoder().encode_into, hashlib.md5(usedforsecurity=False)
    line = bytearray()
    for record in records:
        encode(record, line)
        line += b"\n"
        digest.update(line)
        file.write(line)
        line.clear()
    file.flush()
    return RecordFile(file, digest.hexdigest())


def read_records(pieces: Iterable[bytes], uri: str) -> Iterator[Record]:
    """Yield the records of a file. Raises GtsegError if it is invalid or was written by a newer gtseg."""
    decode = msgspec.json.Decoder(Record).decode
    try:
        for _, line in split_lines(pieces):
            yield decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ManifestError) as error:
        raise GtsegError(f"{uri} is not an objects.jsonl of this gtseg: {error}. Delete it to start again") from None


@lru_cache(256)
def recipe(colors: ColorMap, classes: Classes) -> str:
    """Return a digest that changes if another annotation would be written for the same mask."""
    rows = [f"{e.index}\x1f{e.name}\x1f{e.color}\x1f{classes.index(e.name)}" for e in colors.entries]
    palette = ",".join(map(hex_color, classes.colors))
    return hashlib.sha256("\n".join([str(CHECK), palette, *rows]).encode()).hexdigest()[:16]


@dataclass
class Summary:
    """Summary of all records."""

    counts: dict[str, int]
    """Number of objects of each split, then of the others by status."""
    pixels: dict[str, dict[str, int]]
    """split -> class name -> pixels; includes classes without a pixel."""
    converted: int = 0
    recoded: int = 0
    repaired: int = 0
    unchecked: int = 0
    """Number of accepted objects whose masks were checked by palette only; their pixels are not counted."""
    turned: int = 0
    """Images that keep their EXIF rotation."""
    by_machine: dict[str, int] = field(default_factory=dict)
    """split -> number of its objects labeled by a model."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(status, kind of reason) of the others -> number; see gtseg.core.reasons."""
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    """By the same key: one object with its complete reason."""
    unlabeled: str = ""
    """One object without a label."""
    fingerprint: str = ""
    """Digest of the channels: bytes, names, splits, and the meaning of the indices."""


def summarize(records: Iterable[Record], classes: Classes, order: Table[str, str]) -> Summary:
    """Summarize the records. `order` is an empty table in which the accepted ones are sorted."""
    statuses = ("rejected", "failed", "unlabeled")
    summary = Summary(dict.fromkeys((*PARTS, *statuses), 0), {part: dict.fromkeys(classes.names, 0) for part in PARTS})
    for record in records:
        if record.status == "accepted":
            _add_accepted(summary, record)
            row = f"{record.object} {record.object_etag} {record.annotation} {record.annotation_etag}\n"
            order[row] = ""
        else:
            summary.counts[record.status] += 1
            if record.status != "unlabeled":
                key = (record.status, kind_of(record.reason))
                summary.reasons[key] += 1
                summary.examples.setdefault(key, f"{record.image} (line {record.line}): {record.reason}")
            else:
                summary.unlabeled = summary.unlabeled or f"{record.image} (line {record.line})"
    digest = hashlib.sha256("\x1f".join(classes.names).encode())
    for row in order:
        digest.update(row.encode())
    summary.fingerprint = digest.hexdigest()[:32]
    return summary


def _add_accepted(summary: Summary, record: Record) -> None:
    summary.counts[record.split] += 1
    summary.converted += record.converted
    summary.recoded += record.recoded
    summary.repaired += record.repaired
    summary.unchecked += not record.pixels
    summary.turned += record.orientation != 1 and not record.converted
    if record.by_machine:
        summary.by_machine[record.split] = summary.by_machine.get(record.split, 0) + 1
    totals = summary.pixels[record.split]
    for name, pixels in record.pixels.items():
        totals[name] = totals.get(name, 0) + pixels


def describe_dataset(
    summary: Summary,
    classes: Classes,
    *,
    run: str,
    channels: str,
    source: Mapping[str, Any],
    split: Mapping[str, Any],
    account: Mapping[str, Any],
) -> dict[str, Any]:
    """Return dataset.json as a plain value."""
    rows = [
        {"index": index, "name": name, "color": hex_color(color)}
        for index, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))
    ]
    return {
        "version": 1,
        "gtseg": __version__,
        "run": run,
        "channels": channels,
        "classes": rows,
        "counts": summary.counts,
        "pixels": summary.pixels,
        "images_converted": summary.converted,
        "masks_recoded": summary.recoded,
        "masks_repaired": summary.repaired,
        **({"masks_unchecked": summary.unchecked} if summary.unchecked else {}),
        "split": dict(split),
        "source": dict(source),
        "account": dict(account),
        **({"labeled_by_machine": summary.by_machine} if summary.by_machine else {}),
        "fingerprint": summary.fingerprint,
    }


def write_dataset(description: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(description), indent=2) + b"\n"
