"""Records of objects.jsonl, from the lines of the manifest, their findings and their placements."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from gtseg.core.labeling.output_manifest import Failed, Labeled, Line, Unlabeled
from gtseg.core.masks import Classes
from gtseg.pipeline.stages.dataset.check import Finding
from gtseg.pipeline.stages.dataset.ledger import Table
from gtseg.pipeline.stages.dataset.records import Record, Status
from gtseg.pipeline.stages.dataset.writer import Placement

T = TypeVar("T")


def assemble(
    lines: Iterable[Line],
    findings: Table[int, Finding],
    placements: Table[int, Placement],
    *,
    classes: Classes,
    splits: Mapping[str, str],
) -> Iterator[Record]:
    """Yield a record per line of the manifest, in its order. `splits`: where images were in an earlier dataset."""
    found, placed = _align(findings), _align(placements)
    next(found), next(placed)
    for position, line in enumerate(lines):
        yield _assemble_one(line, found.send(position), placed.send(position), classes=classes, splits=splits)


def _align(table: Table[int, T]) -> Generator[T | None, int, None]:
    """Yield the table's value for each position sent, None if it has none; positions must be ascending."""
    rows = table.rows()
    row = next(rows, None)
    position = yield None
    while True:
        if row is not None and row[0] == position:
            value, row = row[1], next(rows, None)
            position = yield value
        else:
            position = yield None


def _assemble_one(
    line: Line,
    finding: Finding | None,
    place: Placement | None,
    *,
    classes: Classes,
    splits: Mapping[str, str],
) -> Record:
    if finding is None:
        return _without_mask(line, splits)
    record = _describe(line, finding)
    if place is not None:
        return _put(record, place, classes)
    split = splits.get(finding.image, "")
    status = "failed" if finding.is_failure else "rejected"
    return msgspec.structs.replace(record, status=status, reason=finding.reason, split=split)


def _without_mask(line: Line, splits: Mapping[str, str]) -> Record:
    split = splits.get(line.image, "")
    if isinstance(line, Unlabeled | Labeled):
        return Record(line=line.number, image=line.image, status="unlabeled", split=split)
    status: Status = "failed" if isinstance(line, Failed) else "rejected"
    return Record(line=line.number, image=line.image, status=status, reason=line.reason, split=split)


def _describe(line: Line, finding: Finding) -> Record:
    fact = finding.fact
    record = Record(
        line=line.number,
        image=finding.image,
        mask=finding.mask,
        status="accepted",
        mask_etag=finding.mask_etag,
        confidence=finding.confidence,
        recipe=finding.recipe,
        by_machine=finding.by_machine,
    )
    if fact is None:
        return record
    return msgspec.structs.replace(
        record,
        image_etag=fact.etag,
        width=fact.width,
        height=fact.height,
        format=fact.format,
        orientation=fact.orientation,
    )


def _put(record: Record, place: Placement, classes: Classes) -> Record:
    finding = place.finding
    return msgspec.structs.replace(
        record,
        split=place.split,
        group=place.group,
        name=place.name,
        object=place.object,
        object_etag=place.object_etag,
        annotation=place.annotation,
        annotation_etag=place.annotation_etag,
        pixels={classes.name(index): number for index, number in finding.pixels},
        converted=place.is_converted,
        recoded=finding.spooled is not None or bool(finding.earlier and finding.earlier.recoded),
        repaired=finding.repaired,
    )
