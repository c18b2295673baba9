"""Samples of automated labeling: a random first sample, then the objects of which the model is least confident."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Mapping

from gtseg.local.clock import read_clock
from gtseg.local.labeling.automated.records import TRAINING, VALIDATION, Round, find_round
from gtseg.local.labeling.records import Job
from gtseg.local.storage.store import Store

LARGE = 5000
"""Number of objects from which the validation set is 10 % instead of 20 % of them."""
FIRST_TRAINING = 0.1
"""Share of the objects in the first training set."""
LATER = 0.05
"""Share of the objects that workers label in each later round."""
SMALL = 1250
"""Number of objects below which Ground Truth rejects automated labeling (the server has an option to allow fewer)."""
PROVING = 100
"""Size of the validation set of fewer objects: the bound of a mean of 0.8 exceeds the target from about 80 objects."""
LATER_OF_SMALL = 0.1
FEWEST = 8
FAILURES = 10
"""The job fails if more than one in this many objects of the first sample failed."""


def size_validation(objects: int) -> int:
    """Return the size of the validation set (developer guide, "Automated data labeling").

    Below SMALL objects, where Ground Truth has no automated labeling, up to a third of them, since a fifth would be too
    few for a useful bound.
    """
    share = math.ceil(objects * (0.2 if objects < LARGE else 0.1))
    return share if objects >= SMALL else max(share, min(PROVING, objects // 3))


def size_sample(objects: int) -> int:
    """Return the number of objects that workers label in a later round."""
    return max(FEWEST, math.ceil(objects * (LATER if objects >= SMALL else LATER_OF_SMALL)))


def begin_first_round(store: Store, job: Job) -> None:
    """Choose the validation set and the first training set at random. Does nothing if the job has a round."""
    with store.write() as connection:
        if find_round(store, job) is not None:
            return
        waiting = list_waiting(store, job)
        validation = size_validation(len(waiting))
        training = max(FEWEST, math.ceil(len(waiting) * FIRST_TRAINING))
        chosen = random.Random(job.reference).sample(waiting, min(len(waiting), validation + training))
        insert_round(connection, job, 1)
        insert_sample(connection, job, chosen[:validation], number=1, part=VALIDATION)
        insert_sample(connection, job, chosen[validation:], number=1, part=TRAINING)


def begin_next_round(store: Store, job: Job, current: Round, *, confidences: Mapping[int, float]) -> None:
    """Start the next round with the objects of lowest confidence as its sample; those without a confidence come first.

    Validation objects with a confidence at most that of the sample leave the validation set, so that it remains
    representative of the remaining objects.
    """
    with store.write() as connection:
        now = find_round(store, job)
        if now is None or now.number != current.number:
            return
        waiting = sorted(list_waiting(store, job), key=lambda line: (confidences.get(line, -math.inf), line))
        chosen = waiting[: size_sample(count_objects(store, job))]
        cut = max((confidences.get(line, -math.inf) for line in chosen), default=-math.inf)
        insert_round(connection, job, current.number + 1)
        insert_sample(connection, job, chosen, number=current.number + 1, part=TRAINING)
        kept = connection.execute(
            "SELECT line FROM labeling_samples WHERE job = ? AND part = ? AND gone IS NULL",
            (job.name, VALIDATION),
        ).fetchall()
        gone = [row["line"] for row in kept if confidences.get(row["line"], -math.inf) <= cut]
        connection.executemany(
            "UPDATE labeling_samples SET gone = ? WHERE job = ? AND line = ?",
            [(current.number, job.name, line) for line in gone],
        )


def list_unassigned(store: Store, job: Job, current: Round) -> list[int]:
    """Return the lines of this round's sample that are not yet given to workers."""
    query = (
        "SELECT o.line FROM labeling_samples s JOIN labeling_objects o ON o.job = s.job AND o.line = s.line "
        "WHERE s.job = ? AND s.round = ? AND o.state = 'waiting' ORDER BY o.line"
    )
    return [row["line"] for row in store.read().execute(query, (job.name, current.number))]


def find_sample_fault(store: Store, job: Job) -> str:
    """Return the failure reason if more than a tenth of the first sample failed (developer guide); else ''."""
    query = (
        "SELECT count(*) AS objects, sum(o.state = 'failed') AS failed FROM labeling_samples s JOIN labeling_objects o "
        "ON o.job = s.job AND o.line = s.line WHERE s.job = ? AND s.round = 1"
    )
    row = store.read().execute(query, (job.name,)).fetchone()
    if (row["failed"] or 0) * FAILURES <= row["objects"]:
        return ""
    return (
        f"ClientError: {row['failed']} of the {row['objects']} data objects of the first sample could not be labeled; "
        f"automated labeling requires {100 - 100 // FAILURES} % of them."
    )


def list_waiting(store: Store, job: Job) -> list[int]:
    query = "SELECT line FROM labeling_objects WHERE job = ? AND state = 'waiting' ORDER BY line"
    return [row["line"] for row in store.read().execute(query, (job.name,))]


def count_objects(store: Store, job: Job) -> int:
    query = "SELECT count(*) FROM labeling_objects WHERE job = ? AND state != 'skipped'"
    count: int = store.read().execute(query, (job.name,)).fetchone()[0]
    return count


def insert_round(connection: sqlite3.Connection, job: Job, number: int) -> None:
    connection.execute(
        "INSERT INTO labeling_rounds (job, round, step, stamp) VALUES (?, ?, 'people', ?)",
        (job.name, number, read_clock()),
    )


def insert_sample(connection: sqlite3.Connection, job: Job, lines: list[int], *, number: int, part: str) -> None:
    connection.executemany(
        "INSERT INTO labeling_samples (job, line, round, part) VALUES (?, ?, ?, ?)",
        [(job.name, line, number, part) for line in lines],
    )
