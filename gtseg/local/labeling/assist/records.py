"""Options of a job's assistance, suggestions of tasks, and the order in which objects are handed out."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from dataclasses import dataclass

from gtseg.local.jobs.tags import tags_of
from gtseg.local.labeling.records import Job
from gtseg.local.storage.store import Store

# labeling_suggestions: one row per task handed out with suggestions enabled; `model` NULL: it opened without one.
# labeling_order: the position of an object, lowest first; objects without one come last.
DDL = """
CREATE TABLE IF NOT EXISTS labeling_suggestions (
    task TEXT PRIMARY KEY, job TEXT NOT NULL, line INTEGER NOT NULL, worker TEXT NOT NULL, model TEXT,
    mask BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_suggestions_by_object ON labeling_suggestions (job, line, worker);
CREATE TABLE IF NOT EXISTS labeling_order (
    job TEXT NOT NULL, line INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (job, line)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_order_by_place ON labeling_order (job, place);
"""
ASSIST, ORDER = "gtseg:assist", "gtseg:order"
EMPTY_SHARE = 10
"""One task in this many opens without a suggestion."""


@dataclass(frozen=True)
class Suggestion:
    """A mask proposed by a model: a PNG of class indices in the image's size."""

    model: str
    mask: bytes


def has_suggestions(store: Store, job: Job) -> bool:
    """Return whether tasks of a job open with suggestions. Always False for verification and adjustment jobs."""
    return not (job.is_verification or job.is_adjustment) and find_option(store, job, ASSIST) == "true"


def has_helpful_order(store: Store, job: Job) -> bool:
    """Return whether the most informative objects are handed out first."""
    return (
        not (job.is_verification or job.is_adjustment or job.is_automated)
        and find_option(store, job, ORDER) == "helpful"
    )


def find_option(store: Store, job: Job, key: str) -> str:
    """Return the value of a job's tag; '' if it is missing."""
    return next((tag["Value"] for tag in tags_of(store, job.arn) if tag["Key"] == key), "")


def may_have_suggestion(job: Job, line: int) -> bool:
    """Return whether an object may have a suggestion. A random tenth never has one; it is the same after a restart."""
    digest = hashlib.sha256(f"{job.reference}/{line}".encode()).digest()
    return digest[0] * 256 + digest[1] >= 65536 // EMPTY_SHARE


def store_suggestion(store: Store, task_id: str, job: Job, line: int, worker: str, offer: Suggestion | None) -> None:
    """Store the suggestion with which a task opens, or none; an existing record is not changed."""
    values = (offer.model, offer.mask) if offer else (None, None)
    with store.write() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO labeling_suggestions VALUES (?, ?, ?, ?, ?, ?)",
            (task_id, job.name, line, worker, *values),
        )


def find_suggestion(store: Store, task_id: str) -> Suggestion | None:
    """Return the suggestion with which a task opened; None if there was none."""
    query = "SELECT model, mask FROM labeling_suggestions WHERE task = ? AND mask IS NOT NULL"
    row = store.read().execute(query, (task_id,)).fetchone()
    return Suggestion(row["model"], row["mask"]) if row else None


def find_suggesting_model(store: Store, job: Job, line: int, worker: str) -> str:
    """Return the model whose mask was suggested to a worker for an object; '' if there was none."""
    query = (
        "SELECT model FROM labeling_suggestions WHERE job = ? AND line = ? AND worker = ? AND model IS NOT NULL LIMIT 1"
    )
    row = store.read().execute(query, (job.name, line, worker)).fetchone()
    return str(row["model"]) if row else ""


def store_random_order(connection: sqlite3.Connection, job: Job) -> None:
    """Set a random order until a model is trained, since neighboring lines of a manifest are often similar."""
    query = "SELECT line FROM labeling_objects WHERE job = ? ORDER BY line"
    lines = [row["line"] for row in connection.execute(query, (job.name,))]
    random.Random(job.reference).shuffle(lines)
    store_order(connection, job, lines)


def store_order(connection: sqlite3.Connection, job: Job, lines: list[int]) -> None:
    """Hand out these objects first, in this order."""
    connection.execute("DELETE FROM labeling_order WHERE job = ?", (job.name,))
    connection.executemany(
        "INSERT INTO labeling_order VALUES (?, ?, ?)",
        [(job.name, line, place) for place, line in enumerate(lines)],
    )
