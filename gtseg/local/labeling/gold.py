"""Gold images: images with a known mask, mixed into a job's tasks to measure how well each worker labels.

The job's tag `gtseg:gold` is the S3 URI of a manifest with lines {"source-ref": image, "gold-ref": index mask}. Gold
images are stored under a separate job key ("NAME/gold", which is not a valid job name), so that counting,
consolidation and output do not include them. Each worker gets each gold image once, at a random position among about
ten tasks.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.jobs.tags import tags_of
from gtseg.local.labeling.input_objects import InputError, measure_image
from gtseg.local.labeling.pictures import decoding
from gtseg.local.labeling.records import Job, find_job
from gtseg.local.storage.objects import Objects, StorageUnavailable, split_uri
from gtseg.local.storage.store import Store

# labeling_gold: the known mask of a gold image (its labeling_objects row has the state `gold` under the key of gold).
# labeling_gold_scores: mean IoU of the answer with this digest.
DDL = """
CREATE TABLE IF NOT EXISTS labeling_gold (
    job TEXT NOT NULL, line INTEGER NOT NULL, mask BLOB NOT NULL, PRIMARY KEY (job, line));
CREATE TABLE IF NOT EXISTS labeling_gold_scores (
    task TEXT PRIMARY KEY, digest TEXT NOT NULL, iou REAL NOT NULL) WITHOUT ROWID;
"""
TAG, STATE, END = "gtseg:gold", "gold", "/gold"
SHARE = 10
"""One task in SHARE is a gold image, while there are gold images that the worker has not had."""
MOST = 1000
"""Limit on gold images per job."""
VOID = 255
FOREVER = 1e12
"""Deadline of gold images, in seconds since the epoch; they stay available while the job runs."""
DONE = "('answered', 'declined', 'returned')"


@dataclass(frozen=True)
class Gold:
    """An image, its (width, height), and its known mask as PNG."""

    uri: str
    size: tuple[int, int]
    mask: bytes


def gold_key(job: str) -> str:
    """Return the key of a job's gold images in every table, which contains a slash, unlike any job name."""
    return f"{job_key(job)}{END}"


def job_key(key: str) -> str:
    """Return the job's own key from its key or the key of its gold images."""
    return key.removesuffix(END)


def is_gold(job: Job) -> bool:
    """Return whether `job` stands for the gold images of a job: the same job, with `name` set to their key."""
    return job.name.endswith(END)


def find_task_job(store: Store, key: str) -> Job:
    """Return the job of a task's key. Raises ServiceError ResourceNotFound."""
    return replace(find_job(store, job_key(key)), name=key)


def count_gold(store: Store, job: Job) -> int:
    """Return the number of gold images of a job."""
    query = "SELECT count(*) FROM labeling_gold WHERE job = ?"
    return int(store.read().execute(query, (gold_key(job.name),)).fetchone()[0])


# --- reading ---


def read_gold(store: Store, objects: Objects, job: Job) -> list[Gold]:
    """Read the gold images named by the job's tag; [] for verification and adjustment jobs.

    Raises InputError, StorageUnavailable.
    """
    uri = next((tag["Value"] for tag in tags_of(store, job.arn) if tag["Key"] == TAG), "")
    if not uri or job.is_verification or job.is_adjustment:
        return []
    lines = [line for line in _read(objects, uri).splitlines() if line.strip()]
    if len(lines) > MOST:
        raise InputError(f"ClientError: {uri} has more than {MOST} gold images.")
    return [_read_one(objects, line, f"line {n} of {uri}", job) for n, line in enumerate(lines, 1)]


def _read(objects: Objects, uri: str) -> bytes:
    try:
        return objects.get(*split_uri(uri))
    except StorageUnavailable:
        raise
    except ServiceError as error:
        raise InputError(f"ClientError: {uri} cannot be read: {error.message}") from None


def _read_one(objects: Objects, line: bytes, where: str, job: Job) -> Gold:
    try:
        entry = json.loads(line)
        image, mask = entry["source-ref"], entry["gold-ref"]
    except (ValueError, KeyError, TypeError, RecursionError):
        image = mask = None
    if not isinstance(image, str) or not isinstance(mask, str):
        raise InputError(f"ClientError: {where} is not JSON with source-ref and gold-ref.")
    size, png = measure_image(objects, image).size, _read(objects, mask)
    try:
        values = read_index_mask(png)
    except PictureError as error:
        raise InputError(f"ClientError: {mask} {error}.") from None
    if values.shape != (size[1], size[0]):
        raise InputError(
            f"ClientError: {mask} has {values.shape[1]} x {values.shape[0]} pixels, but its image has {size[0]} x "
            f"{size[1]}."
        )
    unknown = sorted({int(value) for value in np.unique(values)} - {*range(len(job.labels) + 1), VOID})
    if unknown:
        raise InputError(f"ClientError: {mask} has the value {unknown[0]}, but the job has {len(job.labels)} labels.")
    return Gold(image, size, png)


def read_index_mask(png: bytes) -> NDArray[np.uint8]:
    """Return the (H, W) uint8 class indices, 255 for void, of a PNG with one channel. Raises PictureError."""
    with open_picture(png, formats=("PNG",)) as mask:
        if mask.mode not in ("L", "P"):
            raise PictureError(f"is not an index mask: its mode is {mask.mode}, not L or P")
        with decoding(mask.size):
            return np.array(mask, np.uint8)


def insert_gold(connection: sqlite3.Connection, job: Job, gold: Sequence[Gold]) -> None:
    """Insert the gold images, numbered after the job's objects in random order."""
    first = connection.execute(
        "SELECT coalesce(max(line), -1) + 1 FROM labeling_objects WHERE job = ?", (job.name,)
    ).fetchone()[0]
    lines = list(range(first, first + len(gold)))
    random.Random(job.reference).shuffle(lines)
    key = gold_key(job.name)
    for line, item in zip(lines, gold, strict=True):
        connection.execute(
            "INSERT INTO labeling_objects (job, line, start, length, uri, state, width, height, deadline, stamp) "
            "VALUES (?, ?, 0, 0, ?, ?, ?, ?, ?, ?)",
            (key, line, item.uri, STATE, *item.size, FOREVER, job.created),
        )
        connection.execute("INSERT INTO labeling_gold VALUES (?, ?, ?)", (key, line, item.mask))


# --- handing out ---


@dataclass(frozen=True)
class Plan:
    """The gold images of one worker in a job.

    done    tasks that the worker has finished
    places  (position among the worker's tasks, line) of gold images never handed to the worker
    released  lines of gold images that the worker released or let expire
    """

    done: int
    places: tuple[tuple[int, int], ...]
    released: tuple[int, ...]


def _plan(connection: sqlite3.Connection, job: Job, worker: str) -> Plan | None:
    """Return the worker's plan; None for a job without gold images."""
    key = gold_key(job.name)
    lines = [
        row["line"] for row in connection.execute("SELECT line FROM labeling_gold WHERE job = ? ORDER BY line", (key,))
    ]
    if not lines:
        return None
    rng = random.Random(f"{job.reference}/{worker}")
    rng.shuffle(lines)
    placed = [(max(1, SHARE * n + rng.randrange(SHARE)), line) for n, line in enumerate(lines)]
    states: dict[int, set[str]] = {}
    query = "SELECT line, state FROM labeling_tasks WHERE worker = ? AND job = ?"
    for row in connection.execute(query, (worker, key)):
        states.setdefault(row["line"], set()).add(row["state"])
    done = connection.execute(
        f"SELECT count(*) FROM labeling_tasks WHERE worker = ? AND job IN (?, ?) AND state IN {DONE}",
        (worker, job.name, key),
    ).fetchone()[0]
    over = {line for line, held in states.items() if held & {"leased", "answered", "declined"}}
    return Plan(
        done,
        tuple(item for item in placed if item[1] not in states),
        tuple(line for line in states if line not in over),
    )


def find_due_gold(connection: sqlite3.Connection, job: Job, worker: str) -> int | None:
    """Return the line of the gold image that is due next for the worker; None if none is due."""
    plan = _plan(connection, job, worker)
    if plan is None:
        return None
    return next((line for place, line in plan.places if place <= plan.done), None)


def find_released_gold(connection: sqlite3.Connection, job: Job, worker: str) -> int | None:
    """Return the line of a gold image that the worker released or let expire; None if there is none."""
    plan = _plan(connection, job, worker)
    return plan.released[0] if plan is not None and plan.released else None


def count_pending(connection: sqlite3.Connection, job: Job, worker: str, *, others: int) -> int:
    """Return how many gold images the worker will get while doing `others` objects, for the count of tasks left."""
    plan = _plan(connection, job, worker)
    if plan is None:
        return 0
    count = 0
    for place, _ in plan.places:
        count += place <= plan.done + others + count
    return count + len(plan.released)
