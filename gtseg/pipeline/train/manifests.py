"""The augmented manifest mode: the labeling job's own lines, sorted into train and validation. No image or mask is copied."""

from __future__ import annotations

import json

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.errors import StageError
from gtseg.pipeline.events import Event, Notify
from gtseg.pipeline.run import Run


def write_manifests(run: Run, clients: Clients, *, notify: Notify, dry_run: bool) -> tuple[str, str, str]:
    """(train manifest, validation manifest, label attribute). Rejected and failed objects and the test split are in neither.

    Raises StageError where the dataset does not come from an output manifest.
    """
    source, label = _source(run)
    uris = {part: f"{run.root}manifests/{part}.manifest" for part in ("train", "validation")}
    if not dry_run:
        door = S3(clients)
        lines = _sort_lines(door.read(source)[0], _splits(door.read(f"{run.root}objects.jsonl")[0]), label)
        for part, uri in uris.items():
            door.write(uri, b"".join(line + b"\n" for line in lines[part]))
            notify(Event("train", "note", f"{uri}: {len(lines[part]):,} lines"))
    return uris["train"], uris["validation"], label


def _source(run: Run) -> tuple[str, str]:
    data, job = run.dataset, run.labeling_job
    if data is None or not data.source:
        raise StageError(
            '[train] input = "augmented-manifest" needs a dataset made from an output manifest: `gtseg dataset`.'
        )
    label = getattr(data, "label_attribute", None) or (job.label_attribute if job else "")
    if not label.endswith("-ref"):
        raise StageError(
            f'[train] input = "augmented-manifest" needs a label attribute that ends in -ref, it is {label!r}. Use input = "channels".'
        )
    return data.source, label


def _splits(body: bytes) -> dict[str, str]:
    """Image address -> train, validation or test, of the objects that the dataset took."""
    found = {}
    for line in body.splitlines():
        item = json.loads(line)
        if item.get("status") == "accepted":
            found[item["image"]] = item["split"]
    return found


def _sort_lines(body: bytes, splits: dict[str, str], label: str) -> dict[str, list[bytes]]:
    """Each part's lines, only with what the algorithm reads: the image and its mask."""
    lines: dict[str, list[bytes]] = {"train": [], "validation": []}
    for line in body.splitlines():
        if not line.strip():
            continue
        item = json.loads(line)
        part = splits.get(item.get("source-ref", ""), "")
        if part in lines and label in item:
            kept = {"source-ref": item["source-ref"], label: item[label]}
            lines[part].append(json.dumps(kept, ensure_ascii=False).encode())
    return lines
