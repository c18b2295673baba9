"""objects.jsonl and dataset.json: what is known of every object, and of the whole. Same input, same bytes."""

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
"""Raised when what is accepted, or what is written for it, changes: earlier findings are not used then."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of objects.jsonl: one line of the manifest.

    `split` of an object that is not accepted is the part it was in before: it returns there. `pixels` by class name.
    `object` and `annotation` are keys below channels/, with the ETags that they got.
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
    """objects.jsonl before it is sent: read anew by everyone who asks, so that memory does not grow with it."""

    file: IO[bytes]
    digest: str
    """The MD5 of its bytes."""

    def __iter__(self) -> Iterator[Record]:
        return read_records(read_pieces(self.file), "objects.jsonl")


def write_records(records: Iterable[Record], file: IO[bytes]) -> RecordFile:
    """Into an empty open file."""
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
    """Raises GtsegError for a file that is not ours, or of a newer gtseg."""
    decode = msgspec.json.Decoder(Record).decode
    try:
        for _, line in split_lines(pieces):
            yield decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ManifestError) as error:
        raise GtsegError(f"{uri} is no objects.jsonl of this gtseg: {error}. Delete it to start afresh") from None


@lru_cache(256)
def recipe(colors: ColorMap, classes: Classes) -> str:
    """Changes when another annotation would be written for the same mask."""
    rows = [f"{e.index}\x1f{e.name}\x1f{e.color}\x1f{classes.index(e.name)}" for e in colors.entries]
    palette = ",".join(map(hex_color, classes.colors))
    return hashlib.sha256("\n".join([str(CHECK), palette, *rows]).encode()).hexdigest()[:16]


@dataclass
class Summary:
    """What one walk over all records tells."""

    counts: dict[str, int]
    """Objects of each part, then those of no part by status."""
    pixels: dict[str, dict[str, int]]
    """part -> class name -> pixels; every class is there, also those without a pixel."""
    converted: int = 0
    recoded: int = 0
    repaired: int = 0
    unchecked: int = 0
    """Accepted objects of whose masks only the palette was looked at: their pixels are not counted."""
    turned: int = 0
    """Images that keep their EXIF rotation."""
    by_machine: dict[str, int] = field(default_factory=dict)
    """part -> how many of its objects a model labeled."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(status, kind of reason) of the others -> how many; see gtseg.core.reasons."""
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    """By the same: one object with its whole reason."""
    unlabeled: str = ""
    """An object without a label."""
    fingerprint: str = ""
    """Of what the channels hold: which bytes under which name in which part, and what the indices mean."""


def summarize(records: Iterable[Record], classes: Classes, order: Table[str, str]) -> Summary:
    """`order` is an empty table: where the accepted are brought into their order."""
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
    """dataset.json as a plain value."""
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
