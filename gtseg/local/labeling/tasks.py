"""Tasks of a worker: lookup, lists and counts."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.gold import (
    count_pending,
    find_task_job,
    gold_key,
)
from gtseg.local.labeling.records import Job, list_active_jobs
from gtseg.local.labeling.workers import Worker, may_label
from gtseg.local.storage.store import Store

GONE = "The labeling job no longer takes answers."


@dataclass(frozen=True)
class Task:
    """One worker's lease of one object. Times are seconds since the epoch; width and height are pixels as stored."""

    id: str
    job: Job
    line: int
    worker: str
    state: str
    accepted: float
    expires: float
    uri: str
    width: int
    height: int
    start: int
    length: int
    digest: str | None

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height


def list_jobs_for(store: Store, worker: Worker) -> list[Job]:
    """Return the jobs in progress that this worker may label, oldest first."""
    return [job for job in list_active_jobs(store) if job.status == "InProgress" and may_label(worker, job)]


def count_available(store: Store, job: Job, worker: Worker) -> dict[str, int]:
    """Count the objects that are available to the worker (including leased), come later, and are answered."""
    connection = store.read()
    total = connection.execute(
        "SELECT count(*) FROM labeling_objects o INDEXED BY labeling_objects_open "
        "WHERE o.job = ? AND o.state = 'open' AND o.slots > 0 AND NOT EXISTS ("
        "SELECT 1 FROM labeling_tasks t WHERE t.job = o.job AND t.line = o.line AND t.worker = ? "
        "AND t.state IN ('leased', 'answered', 'declined')) AND NOT EXISTS ("
        "SELECT 1 FROM labeling_returned r JOIN labeling_workers w ON w.id = r.worker "
        "WHERE r.job = o.job AND r.line = o.line AND r.worker != ? AND w.state = 'active')",
        (job.name, worker.id, worker.id),
    ).fetchone()[0]
    own = dict(
        connection.execute(
            "SELECT state, count(*) FROM labeling_tasks "
            "WHERE job IN (?, ?) AND worker = ? AND state IN ('leased', 'answered') GROUP BY state",
            (job.name, gold_key(job.name), worker.id),
        ).fetchall()
    )
    available = total + own.get("leased", 0)
    available += count_pending(connection, job, worker.id, others=available)
    later = connection.execute(
        "SELECT count(*) FROM labeling_objects WHERE job = ? AND state IN ('waiting', 'queued')", (job.name,)
    ).fetchone()[0]
    return {"available": available, "later": later, "answered": own.get("answered", 0)}


def find_task(store: Store, task_id: str, worker: Worker) -> Task:
    """Return this worker's task. Raises ServiceError NotFound, also for another worker's task."""
    row = store.read().execute(
        "SELECT t.*, o.uri, o.width, o.height, o.start, o.length FROM labeling_tasks t JOIN labeling_objects o "
        "ON o.job = t.job AND o.line = t.line WHERE t.id = ?",
        (task_id,),
    ).fetchone()  # fmt: skip
    if row is None or row["worker"] != worker.id:
        raise ServiceError("NotFound", f"This worker has no task {task_id}.", 404)
    fields = (
        "line",
        "worker",
        "state",
        "accepted",
        "expires",
        "uri",
        "width",
        "height",
        "start",
        "length",
        "digest",
    )
    return Task(id=task_id, job=find_task_job(store, row["job"]), **{name: row[name] for name in fields})


def find_etag(store: Store, task: Task) -> str | None:
    """Return the ETag of the task's image when it was first given to workers; None if it was not stored."""
    query = "SELECT etag FROM labeling_images WHERE job = ? AND line = ?"
    row = store.read().execute(query, (task.job.name, task.line)).fetchone()
    return str(row["etag"]) if row is not None else None


def delete_drafts(connection: sqlite3.Connection, task: Task) -> None:
    """Delete the worker's draft and returned answer of the task's object."""
    for table in ("labeling_drafts", "labeling_returned"):
        connection.execute(
            f"DELETE FROM {table} WHERE job = ? AND line = ? AND worker = ?",
            (task.job.name, task.line, task.worker),
        )
