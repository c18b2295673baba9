"""Leases of tasks. Every step is one transaction; its cost does not depend on the number of objects.

A worker holds one lease per job at a time and gets an object that they answered or declined only again if the owner
returned the answer. An object is offered to as many workers as the job wants answers; a lease that ends without an
answer frees its slot.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import replace

from gtseg.local.clock import read_clock
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.gold import (
    find_due_gold,
    find_released_gold,
    gold_key,
    is_gold,
    job_key,
)
from gtseg.local.labeling.records import Job, find_job
from gtseg.local.labeling.submissions import expire
from gtseg.local.labeling.tasks import GONE, Task, find_task
from gtseg.local.labeling.workers import Worker, may_label
from gtseg.local.storage.store import Store

FREE_OBJECT = """
FROM labeling_objects o INDEXED BY labeling_objects_open
WHERE o.job = :job AND o.state = 'open' AND o.slots > 0 AND o.deadline > :now AND NOT EXISTS (
    SELECT 1 FROM labeling_tasks t WHERE t.job = o.job AND t.line = o.line AND t.worker = :worker
    AND t.state IN ('leased', 'answered', 'declined'))
"""
ORDERS = (
    # Returned to this worker by the owner.
    f"""SELECT o.line {FREE_OBJECT} AND EXISTS (SELECT 1 FROM labeling_returned r WHERE r.job = o.job
    AND r.line = o.line AND r.worker = :worker) ORDER BY o.line LIMIT 1""",
    # Never held by this worker, and not returned to another active worker.
    f"""SELECT o.line {FREE_OBJECT} AND NOT EXISTS (SELECT 1 FROM labeling_tasks t WHERE t.job = o.job
    AND t.line = o.line AND t.worker = :worker) AND NOT EXISTS (SELECT 1 FROM labeling_returned r
    JOIN labeling_workers w ON w.id = r.worker
    WHERE r.job = o.job AND r.line = o.line AND w.state = 'active') ORDER BY o.line LIMIT 1""",
    # Held before and released or expired, least recent first.
    f"""SELECT o.line {FREE_OBJECT} ORDER BY (SELECT max(t.ended) FROM labeling_tasks t WHERE t.job = o.job
    AND t.line = o.line AND t.worker = :worker), o.line LIMIT 1""",
)
HELPFUL_ORDERS = (
    ORDERS[0],
    ORDERS[1].replace(
        "ORDER BY o.line",
        "ORDER BY coalesce((SELECT h.place FROM labeling_order h WHERE h.job = o.job AND h.line = o.line), 1e9), "
        "o.line",
    ),
    ORDERS[2],
)


def lease_task(store: Store, name: str, worker: Worker) -> Task | None:
    """Return the worker's current lease in this job, or a lease of the next object; None if none is available.

    Raises ServiceError Forbidden 403.
    """
    job = find_job(store, name)
    if not may_label(worker, job):
        raise ServiceError("Forbidden", f"The labeling job {job.title} is not assigned to this worker's team.", 403)
    if worker.state != "active":
        raise ServiceError("Forbidden", f"The worker {worker.name} is {worker.state}.", 403)
    with store.write() as connection:
        held = connection.execute(
            "SELECT id FROM labeling_tasks WHERE worker = ? AND job IN (?, ?) AND state = 'leased' AND expires > ?",
            (worker.id, job.name, gold_key(job.name), read_clock()),
        ).fetchone()
        task_id = held["id"] if held is not None else take_object(connection, job, worker)
    return find_task(store, task_id, worker) if task_id else None


def lease_again(store: Store, task_id: str, worker: Worker) -> Task:
    """Return a new lease of an expired task's object, or the lease of it that the worker holds.

    Raises ServiceError Gone 410 if the object is no longer available, Conflict 409 if the worker holds another task of
    the job, Forbidden 403.
    """
    expire(store)
    task = find_task(store, task_id, worker)
    if not may_label(worker, task.job) or worker.state != "active":
        raise ServiceError("Forbidden", f"The worker {worker.name} is {worker.state} or not on this job's team.", 403)
    now = read_clock()
    with store.write() as connection:
        held = connection.execute(
            "SELECT id, line FROM labeling_tasks WHERE worker = ? AND job IN (?, ?) AND state = 'leased' AND expires > "
            "?",
            (worker.id, job_key(task.job.name), gold_key(task.job.name), now),
        ).fetchone()
        if held is not None and held["line"] != task.line:
            raise ServiceError("Conflict", "You hold another image of this job. Submit that one first.", 409)
        if held is not None:
            return find_task(store, held["id"], worker)
        check_free(connection, task, worker=worker, now=now)
        again = add_lease(connection, task.job, task.line, worker=worker, now=now)
    return find_task(store, again, worker)


def check_free(connection: sqlite3.Connection, task: Task, *, worker: Worker, now: float) -> None:
    """Raise ServiceError Gone unless the task's object is available to this worker."""
    row = connection.execute(
        "SELECT o.state, o.slots, o.deadline, j.status FROM labeling_objects o JOIN labeling_jobs j ON j.name = ? "
        "WHERE o.job = ? AND o.line = ?",
        (job_key(task.job.name), task.job.name, task.line),
    ).fetchone()
    mine = connection.execute(
        "SELECT 1 FROM labeling_tasks WHERE job = ? AND line = ? AND worker = ? AND state IN ('answered', 'declined')",
        (task.job.name, task.line, worker.id),
    ).fetchone()
    if row["status"] != "InProgress":
        raise ServiceError("Gone", GONE, 410)
    if mine is not None:
        raise ServiceError("Gone", "You have already answered or declined this image.", 410)
    if is_gold(task.job):  # each worker answers it once, independent of slots
        return
    if row["state"] != "open" or row["deadline"] <= now:
        raise ServiceError("Gone", "This image has all its answers.", 410)
    if row["slots"] <= 0:
        raise ServiceError("Gone", "Another worker is labeling this image now.", 410)


def take_object(connection: sqlite3.Connection, job: Job, worker: Worker) -> str | None:
    """Lease an object and return the task's id: returned to this worker, else never held, else released before."""
    now = read_clock()
    status = connection.execute("SELECT status FROM labeling_jobs WHERE name = ?", (job.name,)).fetchone()["status"]
    if status != "InProgress":
        return None
    if (line := find_due_gold(connection, job, worker.id)) is not None:
        return add_lease(connection, replace(job, name=gold_key(job.name)), line, worker=worker, now=now)
    for query in HELPFUL_ORDERS if has_order(connection, job) else ORDERS:
        row = connection.execute(query, {"job": job.name, "now": now, "worker": worker.id}).fetchone()
        if row is not None:
            return add_lease(connection, job, row["line"], worker=worker, now=now)
    if (line := find_released_gold(connection, job, worker.id)) is not None:
        return add_lease(connection, replace(job, name=gold_key(job.name)), line, worker=worker, now=now)
    return None


def has_order(connection: sqlite3.Connection, job: Job) -> bool:
    """Return whether the job has an order of its objects (tag `gtseg:order`)."""
    query = "SELECT 1 FROM labeling_order WHERE job = ? LIMIT 1"
    return connection.execute(query, (job.name,)).fetchone() is not None


def add_lease(connection: sqlite3.Connection, job: Job, line: int, *, worker: Worker, now: float) -> str:
    """Insert a lease, take one of the object's slots, and return the task's id."""
    task_id = secrets.token_hex(12)
    connection.execute("UPDATE labeling_objects SET slots = slots - 1 WHERE job = ? AND line = ?", (job.name, line))
    connection.execute(
        "INSERT INTO labeling_tasks (id, job, line, worker, state, accepted, expires) SELECT ?, ?, ?, ?, 'leased', ?, "
        "min(?, deadline) FROM labeling_objects WHERE job = ? AND line = ?",
        (task_id, job.name, line, worker.id, now, now + job.time_limit, job.name, line),
    )
    return task_id
