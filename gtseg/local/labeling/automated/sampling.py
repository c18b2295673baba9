"""Who labels what next: the random first sample, then what the model is least sure of."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Mapping

from gtseg.local.labeling.automated.records import TRAINING, VALIDATION, Round, find_round
from gtseg.local.labeling.records import Job, read_clock
from gtseg.local.storage.store import Store

__all__ = ["begin_first_round", "begin_next_round", "find_sample_fault", "list_chosen", "size_validation"]

LARGE = 5000  # objects from which on the validation set is 10 %, not 20 %
FIRST_TRAINING = 0.1  # share of the objects that the first model learns from
LATER = 0.05  # share of the objects that each later round takes to people
SMALL = 1250  # objects below which Ground Truth refuses automated labeling (a server can be told to take fewer)
PROVING = 100  # validation objects of such a set: the bound of a mean of 0.8 is above the target from about 80 on
LATER_OF_SMALL = 0.1
FEWEST = 8
FAILURES = 10  # a job fails if more than one in so many objects of the first sample does


def size_validation(objects: int) -> int:
    """How many objects the validation set has (developer guide, "Automated data labeling").

    Below SMALL objects, where Ground Truth has no automated labeling, up to a third: a fifth of them would prove little.
    """
    share = math.ceil(objects * (0.2 if objects < LARGE else 0.1))
    return share if objects >= SMALL else max(share, min(PROVING, objects // 3))


def size_sample(objects: int) -> int:
    """How many objects a later round takes to people."""
    return max(FEWEST, math.ceil(objects * (LATER if objects >= SMALL else LATER_OF_SMALL)))


def begin_first_round(store: Store, job: Job) -> None:
    """Choose the validation set and the first training set at random, once."""
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
    """Take the objects that the model is least sure of to people; without a confidence first.

    Validation objects that are no surer than the last of them leave the validation set: what is left of it is to the
    objects that are left as the whole set was to all of them.
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


def list_chosen(store: Store, job: Job, current: Round) -> list[int]:
    """Lines of this round's sample that people have not been given yet."""
    query = (
        "SELECT o.line FROM labeling_samples s JOIN labeling_objects o ON o.job = s.job AND o.line = s.line "
        "WHERE s.job = ? AND s.round = ? AND o.state = 'waiting' ORDER BY o.line"
    )
    return [row["line"] for row in store.read().execute(query, (job.name, current.number))]


def find_sample_fault(store: Store, job: Job) -> str:
    """Why the first sample ends the job: more than a tenth of it failed (developer guide); '' if it does not."""
    query = (
        "SELECT count(*) AS objects, sum(o.state = 'failed') AS failed FROM labeling_samples s JOIN labeling_objects o "
        "ON o.job = s.job AND o.line = s.line WHERE s.job = ? AND s.round = 1"
    )
    row = store.read().execute(query, (job.name,)).fetchone()
    if (row["failed"] or 0) * FAILURES <= row["objects"]:
        return ""
    return (
        f"ClientError: {row['failed']} of the {row['objects']} data objects of the first sample could not be labeled; "
        f"automated labeling needs {100 - 100 // FAILURES} % of them."
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
