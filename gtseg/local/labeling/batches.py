"""Consolidation in batches: writes worker responses, request, masks and response, then marks the objects labeled."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gtseg.local.clock import read_clock
from gtseg.local.labeling import output
from gtseg.local.labeling.answers import find_element, read_answer
from gtseg.local.labeling.assist.records import find_suggesting_model
from gtseg.local.labeling.consolidation import consolidate
from gtseg.local.labeling.masks import encode_mask
from gtseg.local.labeling.output import Answered
from gtseg.local.labeling.pictures import MAX_PIXELS, PixelSemaphore
from gtseg.local.labeling.records import CHANGED, Job
from gtseg.local.labeling.verdicts import consolidate_verdicts
from gtseg.local.labeling.workers import find_names
from gtseg.local.storage.objects import Objects, split_uri
from gtseg.local.storage.store import Store

BATCH_OBJECTS = 50
BATCH_BYTES = 16 << 20
"""Limit on the size of the answers in a batch, which bounds its memory."""
THREADS = 2
STORAGE_THREADS = 8
"""Threads that wait for storage requests."""
VOTE_SEMAPHORE = PixelSemaphore(MAX_PIXELS)
VOTE_SECONDS = 3600.0


@dataclass(frozen=True)
class Batch:
    """Objects consolidated together.

    `stamp`, in seconds since the epoch, is part of the request's and response's names.
    """

    stamp: int
    iteration: int
    rows: tuple[sqlite3.Row, ...]


def next_batch(job: Job, store: Store) -> Batch | None:
    """Return the interrupted batch, or a new one from the answered objects; None if there are none."""
    pending = "SELECT * FROM labeling_objects WHERE job = ? AND state = 'consolidating' ORDER BY line"
    rows = store.read().execute(pending, (job.name,)).fetchall()
    if not rows and form_batch(job, store):
        rows = store.read().execute(pending, (job.name,)).fetchall()
    return Batch(rows[0]["batch"], rows[0]["iteration"], tuple(rows)) if rows else None


def form_batch(job: Job, store: Store) -> bool:
    """Assign a batch number and the timestamps of the mask names to some answered objects, in one transaction."""
    chosen = choose_answered(job, store)
    if not chosen:
        return False
    now = read_clock()
    with store.write() as connection:
        row = connection.execute("SELECT stamp FROM labeling_jobs WHERE name = ?", (job.name,)).fetchone()
        stamp = max(int(now), row["stamp"] + 1)  # at least one second apart, because the names have whole seconds
        connection.execute("UPDATE labeling_jobs SET stamp = ? WHERE name = ?", (stamp, job.name))
        connection.executemany(
            "UPDATE labeling_objects SET state = 'consolidating', batch = ?, stamp = ? WHERE job = ? AND line = ?",
            [(stamp, round(now + place / 1000, 6), job.name, line) for place, line in enumerate(chosen)],
        )
    return True


def choose_answered(job: Job, store: Store) -> list[int]:
    """Return the lines of the answered objects of the next batch: at least one, at most BATCH_OBJECTS and BATCH_BYTES.

    Leaves out objects whose answer is being revised, and revisable answers while objects of the iteration are open.
    """
    query = (
        "SELECT o.line, sum(length(a.content)) AS size FROM (SELECT job, line FROM labeling_objects WHERE job = :job "
        "AND state = 'answered' AND NOT EXISTS (SELECT 1 FROM labeling_held h WHERE h.job = labeling_objects.job "
        "AND h.line = labeling_objects.line AND h.until > :now AND (h.revising OR :more)) ORDER BY line LIMIT :most) o "
        "JOIN labeling_answers a ON a.job = o.job AND a.line = o.line GROUP BY o.line ORDER BY o.line"
    )
    more = "SELECT 1 FROM labeling_objects WHERE job = ? AND state IN ('open', 'queued') LIMIT 1"
    words = {
        "job": job.name,
        "most": BATCH_OBJECTS,
        "more": store.read().execute(more, (job.name,)).fetchone() is not None,
        "now": read_clock() if job.status == "InProgress" else float("inf"),
    }
    chosen: list[int] = []
    total = 0
    for row in store.read().execute(query, words):
        total += row["size"]
        if chosen and total > BATCH_BYTES:
            break
        chosen.append(row["line"])
    return chosen


def consolidate_batch(job: Job, store: Store, objects: Objects, *, batch: Batch) -> None:
    """Write everything derived from the batch's answers to the output, then mark its objects labeled or failed."""
    answers = {row["line"]: read_answers(job, store, row["line"]) for row in batch.rows}
    changed = find_changed_images(job, store, objects, batch=batch)
    rows = [row for row in batch.rows if row["line"] not in changed]
    for row in batch.rows:
        key = output.worker_response_key(row["iteration"], row["line"], row["stamp"])
        output.put_json(objects, job, key, output.worker_response(job, answers[row["line"]], region=store.region))
    requests = [output.annotation_request(row["line"], row["uri"], answers[row["line"]]) for row in rows]
    output.put_json(objects, job, output.request_key(batch.iteration, batch.stamp), requests)
    with ThreadPoolExecutor(THREADS) as pool:
        results = list(
            pool.map(
                lambda row: consolidate_object(job, objects, row, answers=answers[row["line"]], folder=store.folder),
                rows,
            )
        )
    responses = [output.annotation_response(row["line"], result) for row, result in zip(rows, results, strict=True)]
    output.put_json(objects, job, output.response_key(batch.iteration, batch.stamp), responses)
    with store.write() as connection:
        for row, result in zip(rows, results, strict=True):
            finish_object(connection, job, row["line"], result=result)
        for line in changed:
            fail_changed(connection, job, line)
        connection.execute("UPDATE labeling_jobs SET modified = ? WHERE name = ?", (read_clock(), job.name))


def read_answers(job: Job, store: Store, line: int) -> list[Answered]:
    """Return the answers of one object in order of submission."""
    rows = store.read().execute(
        "SELECT a.*, (SELECT sum(v.seconds) FROM labeling_tasks t JOIN labeling_activity v ON v.task = t.id "
        "WHERE t.job = a.job AND t.line = a.line AND t.worker = a.worker) AS active "
        "FROM labeling_answers a WHERE a.job = ? AND a.line = ? ORDER BY a.submitted, a.worker", (job.name, line)
    ).fetchall()  # fmt: skip
    workers = find_names(store, job, [row["worker"] for row in rows])
    return [
        Answered(
            *workers[row["worker"]],
            row["accepted"],
            row["submitted"],
            row["content"],
            row["active"],
            find_suggesting_model(store, job, line, row["worker"]),
        )
        for row in rows
    ]


def consolidate_object(
    job: Job, objects: Objects, row: sqlite3.Row, *, answers: list[Answered], folder: Path
) -> dict[str, Any]:
    """Vote, write the mask, and return the new members of the manifest line: `<attribute>` and `<attribute>-metadata`.

    VOTE_SEMAPHORE limits the pixels in progress. Decoded answers are kept in an unnamed file in `folder`, so that only
    one mask of an object is in memory at a time.
    """
    if job.is_verification:
        return consolidate_verdicts(job, [answer.content for answer in answers], row["stamp"])
    size = row["width"], row["height"]
    adjusted = False
    with VOTE_SEMAPHORE.hold(size[0] * size[1], seconds=VOTE_SECONDS), tempfile.TemporaryFile(dir=folder) as file:
        for answer in answers:
            content = json.loads(answer.content)
            file.write(read_answer(content, job.labels, size).data)
            adjusted = adjusted or bool(find_element(content).get("initialValueModified", True))
        file.flush()
        masks = np.memmap(file, np.uint8, "r", shape=(len(answers), size[1], size[0]))
        consolidated = consolidate([np.asarray(mask) for mask in masks])
        png = encode_mask(consolidated.mask, len(job.labels))
        del masks
    bucket, prefix = job.output
    key = prefix + output.mask_key(row["line"], row["stamp"])
    objects.put(bucket, key, png, content_type="image/png", kms_key=job.kms_key)
    # The confidence of a single worker's mask is the integer 0 in real manifests.
    confidence = consolidated.confidence or 0
    metadata = output.mask_metadata(job, confidence, row["stamp"])
    if job.is_adjustment:
        metadata["adjustment-status"] = "adjusted" if adjusted else "unadjusted"
    return {job.attribute: f"s3://{bucket}/{key}", f"{job.attribute}-metadata": metadata}


def find_changed_images(job: Job, store: Store, objects: Objects, *, batch: Batch) -> list[int]:
    """Return the lines whose image has a different ETag than when it was given to workers.

    Deleted images do not count.
    """
    query = (
        "SELECT line, etag FROM labeling_images WHERE job = :job AND line IN "
        "(SELECT line FROM labeling_objects WHERE job = :job AND state = 'consolidating')"
    )
    known = dict(store.read().execute(query, {"job": job.name}).fetchall())

    def is_changed(row: sqlite3.Row) -> bool:
        if row["line"] not in known:  # a job created before ETags were stored
            return False
        info = objects.head(*split_uri(row["uri"]))
        return info is not None and info.etag != known[row["line"]]

    with ThreadPoolExecutor(STORAGE_THREADS) as pool:
        return [row["line"] for row, found in zip(batch.rows, pool.map(is_changed, batch.rows), strict=True) if found]


def fail_changed(connection: sqlite3.Connection, job: Job, line: int) -> None:
    """Mark a consolidating object failed because its image was replaced. The answers remain in the worker response."""
    connection.execute(
        "UPDATE labeling_objects SET state = 'failed', result = ? WHERE job = ? AND line = ?",
        (CHANGED, job.name, line),
    )
    delete_answers(connection, job, line)


def finish_object(connection: sqlite3.Connection, job: Job, line: int, *, result: dict[str, Any]) -> None:
    """Mark a consolidating object labeled. The answers remain in the worker response."""
    text = json.dumps(result, separators=(",", ":"), ensure_ascii=False)
    connection.execute(
        "UPDATE labeling_objects SET state = 'labeled', result = ? WHERE job = ? AND line = ?",
        (text, job.name, line),
    )
    delete_answers(connection, job, line)


def delete_answers(connection: sqlite3.Connection, job: Job, line: int) -> None:
    """Delete the stored answers of an object and their revision locks."""
    for table in ("labeling_answers", "labeling_held"):
        connection.execute(f"DELETE FROM {table} WHERE job = ? AND line = ?", (job.name, line))
