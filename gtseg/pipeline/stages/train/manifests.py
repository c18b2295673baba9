"""Augmented manifest mode: a line per accepted object with the URIs of its image and its mask.

Images and masks are not copied. Only files that the algorithm cannot read in place are taken from the dataset's
channels: PNG photographs, masks whose values are not the dataset's class indices, files that are not in S3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gtseg.aws.s3 import is_s3_uri
from gtseg.errors import StageError
from gtseg.pipeline.run import Context, DatasetSection, Run

PARTS = ("train", "validation")
LABEL = "mask-ref"
"""Attribute of the masks if the dataset's own does not end in -ref, which semantic segmentation requires."""


def write_manifests(run: Run, context: Context) -> tuple[str, str, str]:
    """Return (train manifest, validation manifest, label attribute); a dry run writes none.

    The test split and objects that were not accepted are in neither. Raises StageError before `dataset`, or if its
    objects.jsonl lacks the location of an object's mask.
    """
    if run.dataset is None:
        raise StageError(f"Run {run.name!r} has no dataset to train on. Make one: `gtseg dataset`.")
    label = _label_attribute(run.dataset)
    uris = {part: f"{run.root}manifests/{part}.manifest" for part in PARTS}
    if not context.dry_run:
        s3 = context.s3
        lines = _lines(s3.read(f"{run.root}objects.jsonl")[0], run.dataset, label)
        for part, uri in uris.items():
            s3.write(uri, b"".join(line + b"\n" for line in lines[part]))
            context.note(f"{uri}: {len(lines[part]):,} lines")
    return uris["train"], uris["validation"], label


def _label_attribute(data: DatasetSection) -> str:
    label = data.made_from.sources.get("label_attribute", "") if data.made_from else ""
    return label if label.endswith("-ref") else LABEL


def _lines(objects: bytes, data: DatasetSection, label: str) -> dict[str, list[bytes]]:
    """Return the lines of each split with only what the algorithm reads: the image and its mask."""
    lines: dict[str, list[bytes]] = {part: [] for part in PARTS}
    for row in objects.splitlines():
        record = json.loads(row)
        if record.get("status") == "accepted" and record.get("split") in lines:
            image = _address(record, "image", data, changed="converted", copy="object")
            mask = _address(record, "mask", data, changed="recoded", copy="annotation")
            line = json.dumps({"source-ref": image, label: mask}, ensure_ascii=False)
            lines[record["split"]].append(line.encode())
    return lines


def _address(record: Mapping[str, Any], key: str, data: DatasetSection, *, changed: str, copy: str) -> str:
    """Return the URI from which the algorithm reads a file: its original, or the copy below the channels."""
    own = record.get(key, "")
    if is_s3_uri(own) and not record.get(changed):
        return str(own)
    if not record.get(copy):
        raise StageError(f"objects.jsonl lacks the location of the {key} of {record['image']}: run `gtseg dataset`.")
    return f"{data.channels}{record[copy]}"
