"""Output of a labeling job: keys, documents, and the output manifest, named as in real Ground Truth jobs.

Every name and time comes from the data folder, so that a step repeated after a kill writes the same objects again,
without duplicates.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gtseg.local.labeling.masks import internal_color_map
from gtseg.local.labeling.records import Job, iso, open_manifest, read_manifest
from gtseg.local.storage.objects import Objects
from gtseg.local.storage.store import Store

CREATION_LAG = 0.1
"""Seconds from the time in a mask's name to its creation-date; 0.05 to 0.16 in real jobs."""


@dataclass(frozen=True)
class Answered:
    """One worker's submission for one object. Times are seconds since the epoch; `content` is the submitted JSON.

    `active` is the active time in seconds; None if it was not reported, as by API clients.
    """

    worker_id: str
    subject: str
    accepted: float
    submitted: float
    content: str
    active: float | None = None
    suggested_by: str = ""
    """The model whose mask was shown to the worker as a suggestion."""


def put_json(objects: Objects, job: Job, key: str, document: Any) -> None:
    bucket, prefix = job.output
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    objects.put(bucket, prefix + key, body, content_type="application/json", kms_key=job.kms_key)


def stamp_file(seconds: float) -> str:
    """Return `YYYY-MM-DD_HH:MM:SS` in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d_%H:%M:%S")


def stamp_exact(seconds: float) -> str:
    """Return the UTC time in ISO 8601 with microseconds (omitted if 0) and without a time zone."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def worker_response_key(iteration: int, line: int, stamp: float) -> str:
    return f"annotations/worker-response/iteration-{iteration}/{line}/{stamp_file(stamp)}.json"


def request_key(iteration: int, stamp: float) -> str:
    return f"annotations/consolidated-annotation/consolidation-request/iteration-{iteration}/{stamp_file(stamp)}.json"


def response_key(iteration: int, stamp: float) -> str:
    return f"annotations/consolidated-annotation/consolidation-response/iteration-{iteration}/{stamp_file(stamp)}.json"


def mask_key(line: int, stamp: float) -> str:
    return f"annotations/consolidated-annotation/output/{line}_{stamp_exact(stamp)}.png"


def worker_response(job: Job, answers: Sequence[Answered], *, region: str) -> dict[str, Any]:
    """Return the worker-response document of one object. Only private teams have workerMetadata."""
    return {"answers": [describe_answer(job, answer, region=region) for answer in answers]}


def describe_answer(job: Job, answer: Answered, *, region: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "acceptanceTime": iso(answer.accepted),
        "answerContent": json.loads(answer.content),
        "submissionTime": iso(answer.submitted),
        # "actively working on that task", without breaks (developer guide, "Output data", annotation metadata)
        "timeSpentInSeconds": round(answer.submitted - answer.accepted if answer.active is None else answer.active, 3),
        "workerId": answer.worker_id,
        **({"suggestedBy": answer.suggested_by} if answer.suggested_by else {}),
    }
    if job.crowd == "private-crowd":
        issuer = f"https://cognito-idp.{region}.amazonaws.com/{region}_gtseglocal"
        identity = {"identityProviderType": "Cognito", "issuer": issuer, "sub": answer.subject}
        described["workerMetadata"] = {"identityData": identity}
    return described


def annotation_request(line: int, uri: str, answers: Iterable[Answered]) -> dict[str, Any]:
    """Return the entry of one object in a consolidation request."""
    annotations = [{"workerId": item.worker_id, "annotationData": {"content": item.content}} for item in answers]
    return {"datasetObjectId": str(line), "dataObject": {"s3Uri": uri}, "annotations": annotations}


def annotation_response(line: int, result: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of one object in a consolidation response."""
    return {"datasetObjectId": str(line), "consolidatedAnnotation": {"content": result}}


def mask_metadata(job: Job, confidence: float, stamp: float) -> dict[str, Any]:
    """Return `<attribute>-metadata` of a labeled object."""
    return {
        "internal-color-map": internal_color_map(job.labels, confidence),
        "type": "groundtruth/semantic-segmentation",
        "human-annotated": "yes",
        "creation-date": stamp_exact(stamp + CREATION_LAG),
        "job-name": f"labeling-job/{job.name}",
    }


def machine_metadata(job: Job, confidence: float, classes: Mapping[int, float], stamp: float) -> dict[str, Any]:
    """Return `<attribute>-metadata` of an object labeled by a model; `classes` maps classes of the mask to
    confidences.
    """
    metadata = mask_metadata(job, confidence, stamp)
    for index, entry in metadata["internal-color-map"].items():
        entry["confidence"] = classes.get(int(index), 0)
    return {**metadata, "human-annotated": "no"}


def failure_metadata(job: Job, reason: str, stamp: float) -> dict[str, Any]:
    """Return `<attribute>-metadata` of a failed object."""
    return {
        "failure-reason": reason,
        "type": f"groundtruth/{'label-verification' if job.is_verification else 'semantic-segmentation'}",
        "creation-date": stamp_exact(stamp),
        "job-name": f"labeling-job/{job.name}",
    }


def write_manifest(job: Job, store: Store, objects: Objects) -> None:
    """Write the current output.manifest, one line per input line in the input's order, replacing it atomically."""
    folder = job.folder(store)
    draft = folder / "output.manifest"
    with open_manifest(job, store), open(draft, "wb") as file:
        for raw in output_lines(job, store):
            file.write(raw + b"\n")
    put_file(objects, job, job.manifest_key, draft)


def output_lines(job: Job, store: Store) -> Iterator[bytes]:
    """Yield the lines of the output manifest: labeled and failed objects with this job's members, others unchanged."""
    query = "SELECT line, length, state, result, stamp FROM labeling_objects WHERE job = ? ORDER BY line"
    with open_manifest(job, store) as file:
        for row in store.read().execute(query, (job.name,)):
            raw = read_manifest(file, job, store, length=row["length"])
            yield complete_line(job, raw, row) if row["state"] in ("labeled", "failed") else raw


def complete_line(job: Job, raw: bytes, row: sqlite3.Row) -> bytes:
    entry = json.loads(raw)
    if row["state"] == "labeled":
        entry.update(json.loads(row["result"]))
    else:
        entry[f"{job.attribute}-metadata"] = failure_metadata(job, row["result"], row["stamp"])
    return encode_line(entry)


def encode_line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode()


def write_intermediate(job: Job, store: Store, objects: Objects, *, iteration: int) -> None:
    """Write annotations/intermediate/<N>/annotations.json: the objects finished in one iteration, as JSON lines."""
    query = (
        "SELECT line, start, length, state, result, stamp FROM labeling_objects "
        "WHERE job = ? AND state IN ('labeled', 'failed') AND iteration = ? ORDER BY line"
    )
    draft = job.folder(store) / "annotations.json"
    with open_manifest(job, store) as source, open(draft, "wb") as file:
        for row in store.read().execute(query, (job.name, iteration)):
            source.seek(row["start"])
            line = complete_line(job, read_manifest(source, job, store, length=row["length"]), row)
            file.write(encode_line({"datasetObjectId": str(row["line"]), "manifestLine": line.decode()}) + b"\n")
    put_file(objects, job, f"{job.output[1]}annotations/intermediate/{iteration}/annotations.json", draft)


def put_file(objects: Objects, job: Job, key: str, draft: Path) -> None:
    objects.put(job.output[0], key, draft, content_type="application/octet-stream", kms_key=job.kms_key)
    draft.unlink()
