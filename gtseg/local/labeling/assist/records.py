"""Options of a job, which tasks opened with a suggested mask, and the order in which objects are handed out."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from dataclasses import dataclass

from gtseg.local.jobs.tags import tags_of
from gtseg.local.labeling.records import Job
from gtseg.local.storage.store import Store

__all__ = [
    "DDL",
    "Suggestion",
    "find_suggestion",
    "keep_offer",
    "keep_order",
    "keep_random_order",
    "may_be_suggested",
    "orders_helpfully",
    "suggesting_model",
    "suggests",
]

# labeling_suggestions: one row for each task of such a job that was handed out; `model` NULL: it opened empty.
# labeling_order: the place of an object, the lowest first; what has none comes after those that have one.
DDL = """
CREATE TABLE IF NOT EXISTS labeling_suggestions (
    task TEXT PRIMARY KEY, job TEXT NOT NULL, line INTEGER NOT NULL, worker TEXT NOT NULL, model TEXT, mask BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_suggestions_by_object ON labeling_suggestions (job, line, worker);
CREATE TABLE IF NOT EXISTS labeling_order (
    job TEXT NOT NULL, line INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (job, line)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_order_by_place ON labeling_order (job, place);
"""
ASSIST, ORDER = "gtseg:assist", "gtseg:order"
EMPTY_SHARE = 10  # one task in so many opens empty, whatever the model knows


@dataclass(frozen=True)
class Suggestion:
    """A mask that a model proposes: PNG of class indices of the image's size."""

    model: str
    mask: bytes


def suggests(store: Store, job: Job) -> bool:
    """Whether tasks of a job open with suggested masks. Never where masks are judged or corrected."""
    return not (job.is_verification or job.is_adjustment) and find_option(store, job, ASSIST) == "true"


def orders_helpfully(store: Store, job: Job) -> bool:
    """Whether what helps the model most is handed out first."""
    return (
        not (job.is_verification or job.is_adjustment or job.is_automated)
        and find_option(store, job, ORDER) == "helpful"
    )


def find_option(store: Store, job: Job, key: str) -> str:
    return next((tag["Value"] for tag in tags_of(store, job.arn) if tag["Key"] == key), "")


def may_be_suggested(job: Job, line: int) -> bool:
    """Whether an object is not one of the random tenth that opens empty; the same after every restart."""
    digest = hashlib.sha256(f"{job.reference}/{line}".encode()).digest()
    return digest[0] * 256 + digest[1] >= 65536 // EMPTY_SHARE


def keep_offer(store: Store, task_id: str, job: Job, line: int, worker: str, offer: Suggestion | None) -> None:
    """Decide once how a task opens: with this suggestion, or empty."""
    values = (offer.model, offer.mask) if offer else (None, None)
    with store.write() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO labeling_suggestions VALUES (?, ?, ?, ?, ?, ?)",
            (task_id, job.name, line, worker, *values),
        )


def find_suggestion(store: Store, task_id: str) -> Suggestion | None:
    """What a task opened with."""
    query = "SELECT model, mask FROM labeling_suggestions WHERE task = ? AND mask IS NOT NULL"
    row = store.read().execute(query, (task_id,)).fetchone()
    return Suggestion(row["model"], row["mask"]) if row else None


def suggesting_model(store: Store, job: Job, line: int, worker: str) -> str:
    """The model whose mask a worker was shown for an object; '' for none."""
    query = (
        "SELECT model FROM labeling_suggestions WHERE job = ? AND line = ? AND worker = ? AND model IS NOT NULL LIMIT 1"
    )
    row = store.read().execute(query, (job.name, line, worker)).fetchone()
    return str(row["model"]) if row else ""


def keep_random_order(connection: sqlite3.Connection, job: Job) -> None:
    """The order before there is a model: what comes first in a manifest is often alike."""
    query = "SELECT line FROM labeling_objects WHERE job = ? ORDER BY line"
    lines = [row["line"] for row in connection.execute(query, (job.name,))]
    random.Random(job.reference).shuffle(lines)
    keep_order(connection, job, lines)


def keep_order(connection: sqlite3.Connection, job: Job, lines: list[int]) -> None:
    """Hand out these objects first, in this order."""
    connection.execute("DELETE FROM labeling_order WHERE job = ?", (job.name,))
    connection.executemany(
        "INSERT INTO labeling_order VALUES (?, ?, ?)",
        [(job.name, line, place) for place, line in enumerate(lines)],
    )
