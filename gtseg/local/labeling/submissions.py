"""Ends of leases: answer, decline, release or expiry, and their effect on the object. Every step is one transaction.

An object fails when as many workers declined it as answers are wanted; before that, it is offered once more to a free
teammate.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import Any

from gtseg.local.clock import read_clock
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.answers import read_answer
from gtseg.local.labeling.gold import (
    find_task_job,
)
from gtseg.local.labeling.records import CHANGED, Job, list_active_jobs
from gtseg.local.labeling.tasks import GONE, Task, delete_drafts, find_task
from gtseg.local.labeling.verdicts import read_verdict
from gtseg.local.labeling.wakeup import wake_engine
from gtseg.local.labeling.workers import Worker
from gtseg.local.storage.store import Store

EXPIRE_AT_ONCE = 500
GRACE_SECONDS = 600.0
"""Time for which a revisable answer delays consolidation while other objects of its iteration are open."""
TEAMMATE = """
SELECT 1 FROM labeling_workers w WHERE w.state = 'active' AND (w.team = '*' OR w.team = :team)
AND (EXISTS (SELECT 1 FROM labeling_sessions s WHERE s.worker = w.id AND s.expires > :now)
    OR EXISTS (SELECT 1 FROM labeling_tasks t WHERE t.worker = w.id AND t.job = :job))
AND NOT EXISTS (SELECT 1 FROM labeling_tasks t WHERE t.job = :job AND t.line = :line AND t.worker = w.id
    AND t.state IN ('leased', 'answered', 'declined')) LIMIT 1
"""


def answer_task(store: Store, task_id: str, worker: Worker, *, answer: Any, is_revisable: bool = False) -> None:
    """Store a worker's answer. Submitting the same answer again has no effect; an answer under revision is replaced.

    With `is_revisable`, the worker may reopen it until it is consolidated. Raises ServiceError InvalidAnswer 400, and
    Gone 410 for a lease that has ended.
    """
    task = find_task(store, task_id, worker)
    content = json.dumps(answer, separators=(",", ":"), ensure_ascii=False)
    fingerprint = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    if task.state == "answered" and task.digest == fingerprint:
        return
    if task.state != "answered":
        check_leased(task.state, task.expires)
    if task.job.is_verification:
        read_verdict(answer, task.job.labels)
    else:
        read_answer(answer, task.job.labels, task.size)
    with store.write() as connection:
        if task.state == "answered":
            replace_answer(connection, task, content=content, digest=fingerprint)
        else:
            end_lease(connection, task, state="answered", digest=fingerprint)
            connection.execute(
                "INSERT INTO labeling_answers VALUES (?, ?, ?, ?, ?, ?)",
                (task.job.name, task.line, worker.id, task.accepted, read_clock(), content),
            )
            change_object(connection, task, "answers = answers + 1")
        delete_drafts(connection, task)
        if is_revisable:
            connection.execute(
                "INSERT OR REPLACE INTO labeling_held VALUES (?, ?, ?, ?, 0)",
                (task.job.name, task.line, worker.id, read_clock() + GRACE_SECONDS),
            )
        close_if_due(connection, task.job, task.line)
    wake_engine(store)


def replace_answer(connection: sqlite3.Connection, task: Task, *, content: str, digest: str) -> None:
    """Replace a submitted answer. Raises ServiceError Gone unless it is open for revision."""
    key, now = (task.job.name, task.line, task.worker), read_clock()
    held = connection.execute(
        "DELETE FROM labeling_held WHERE job = ? AND line = ? AND worker = ? AND revising AND until > ?", (*key, now)
    ).rowcount
    changed = connection.execute(
        "UPDATE labeling_answers SET content = ?, submitted = ? WHERE job = ? AND line = ? AND worker = ? AND EXISTS ("
        "SELECT 1 FROM labeling_objects o WHERE o.job = labeling_answers.job AND o.line = labeling_answers.line "
        "AND o.state IN ('open', 'answered', 'gold'))",
        (content, now, *key),
    ).rowcount
    if not held or not changed:
        raise ServiceError("Gone", "The answer can no longer be changed.", 410)
    connection.execute("UPDATE labeling_tasks SET digest = ?, ended = ? WHERE id = ?", (digest, now, task.id))


def decline_task(store: Store, task_id: str, worker: Worker, *, reason: str) -> None:
    """Decline the task; another worker may label the object."""
    task = find_task(store, task_id, worker)
    if task.state == "declined":
        return
    with store.write() as connection:
        end_lease(connection, task, state="declined", reason=reason[:200])
        change_object(connection, task, "declines = declines + 1, slots = slots + 1")
        delete_drafts(connection, task)
        close_if_due(connection, task.job, task.line)
    wake_engine(store)


def release_task(store: Store, task_id: str, worker: Worker, *, reason: str = "") -> None:
    """Release the lease or skip the object, which stays available to all workers.

    The object never fails because of it.
    """
    task = find_task(store, task_id, worker)
    if task.state == "released":
        return
    with store.write() as connection:
        end_lease(connection, task, state="released", reason=reason[:200] or None)
        change_object(connection, task, "slots = slots + 1")
        close_if_due(connection, task.job, task.line)
    wake_engine(store)


def fail_changed_image(store: Store, task: Task) -> None:
    """Withdraw an object whose image was replaced; it fails after its existing answers are written."""
    with store.write() as connection:
        row = connection.execute(
            "SELECT state FROM labeling_objects WHERE job = ? AND line = ?", (task.job.name, task.line)
        ).fetchone()
        if row["state"] == "open":
            close_object(connection, task.job, task.line, reason=CHANGED)
    wake_engine(store)


def check_leased(state: str, expires: float) -> None:
    """Raise ServiceError Gone unless the lease is active."""
    if state == "leased" and expires > read_clock():
        return
    reasons = {"leased": "Its time limit has passed.", "expired": "Its time limit has passed.", "cancelled": GONE}
    raise ServiceError("Gone", f"The task is {state}. {reasons.get(state, '')}".strip(), 410)


def end_lease(
    connection: sqlite3.Connection,
    task: Task,
    *,
    state: str,
    reason: str | None = None,
    digest: str | None = None,
) -> None:
    """Change a leased task to `state` within the caller's transaction.

    Raises ServiceError Gone if the lease has ended.
    """
    row = connection.execute("SELECT state, expires FROM labeling_tasks WHERE id = ?", (task.id,)).fetchone()
    check_leased(row["state"], row["expires"])
    connection.execute(
        "UPDATE labeling_tasks SET state = ?, ended = ?, reason = ?, digest = ? WHERE id = ?",
        (state, read_clock(), reason, digest, task.id),
    )


def change_object(connection: sqlite3.Connection, task: Task, change: str) -> None:
    connection.execute(f"UPDATE labeling_objects SET {change} WHERE job = ? AND line = ?", (task.job.name, task.line))


def close_if_due(connection: sqlite3.Connection, job: Job, line: int) -> None:
    """Close an open object if it has all its answers, its lifetime has passed, or too many workers declined it.

    With exactly as many declines as answers wanted it stays open for a free teammate; with one more it is closed.
    """
    row = connection.execute("SELECT * FROM labeling_objects WHERE job = ? AND line = ?", (job.name, line)).fetchone()
    if row["state"] != "open":
        return
    if row["answers"] >= job.workers:
        close_object(connection, job, line, reason="")
    elif row["deadline"] <= read_clock():
        close_object(connection, job, line, reason=f"No worker labeled it within {job.lifetime} seconds.")
    elif row["declines"] > job.workers or (
        row["declines"] == job.workers and not has_free_teammate(connection, job, line)
    ):
        connection.execute("UPDATE labeling_objects SET slots = 0 WHERE job = ? AND line = ?", (job.name, line))
        if not has_lease(connection, job, line):
            close_object(connection, job, line, reason=describe_declines(connection, job, line))


def has_free_teammate(connection: sqlite3.Connection, job: Job, line: int) -> bool:
    """Return whether another worker of the team, signed in to the portal or active in this job, may take the object."""
    team = job.team_arn.rpartition("/")[2].lower() if job.crowd == "private-crowd" else ""
    words = {"team": team, "job": job.name, "line": line, "now": read_clock()}
    return connection.execute(TEAMMATE, words).fetchone() is not None


def close_abandoned(store: Store) -> bool:
    """Close declined objects without a free teammate; return whether there were any."""
    jobs = {job.name: job for job in list_active_jobs(store)}
    rows = (
        store.read()
        .execute(
            "SELECT job, line, declines FROM labeling_objects INDEXED BY labeling_objects_declined "
            "WHERE state = 'open' AND declines > 0 AND slots > 0"
        )
        .fetchall()
    )
    left = [
        row for row in rows
        if row["job"] in jobs and row["declines"] >= jobs[row["job"]].workers
        and not has_free_teammate(store.read(), jobs[row["job"]], row["line"])
    ]  # fmt: skip
    if left:
        with store.write() as connection:
            for row in left:
                close_if_due(connection, jobs[row["job"]], row["line"])
    return bool(left)


def has_lease(connection: sqlite3.Connection, job: Job, line: int) -> bool:
    query = "SELECT 1 FROM labeling_tasks WHERE job = ? AND line = ? AND state = 'leased'"
    return connection.execute(query, (job.name, line)).fetchone() is not None


def describe_declines(connection: sqlite3.Connection, job: Job, line: int) -> str:
    """Return the failure reason of an object that workers declined."""
    rows = connection.execute(
        "SELECT reason FROM labeling_tasks WHERE job = ? AND line = ? AND state = 'declined' ORDER BY ended",
        (job.name, line),
    ).fetchall()
    reasons = sorted({row["reason"] for row in rows if row["reason"]})
    who = "1 worker" if len(rows) == 1 else f"{len(rows)} workers"
    return f"{who} declined the task" + (f": {'; '.join(reasons)}" if reasons else ".")


def close_object(connection: sqlite3.Connection, job: Job, line: int, *, reason: str) -> None:
    """Close an object and end its leases: answered if it has an answer, else failed for `reason`."""
    connection.execute(
        "UPDATE labeling_objects SET slots = 0, state = CASE WHEN answers > 0 THEN 'answered' ELSE 'failed' END, "
        "result = CASE WHEN answers > 0 THEN NULL ELSE ? END, stamp = ? WHERE job = ? AND line = ?",
        (reason, read_clock(), job.name, line),
    )
    connection.execute(
        "UPDATE labeling_tasks SET state = 'cancelled', ended = ? WHERE job = ? AND line = ? AND state = 'leased'",
        (read_clock(), job.name, line),
    )


def expire(store: Store) -> bool:
    """End leases and objects whose time limit has passed; return whether there were any."""
    now, jobs = read_clock(), {job.name: job for job in list_active_jobs(store)}
    due = "SELECT job, line FROM labeling_objects WHERE state = 'open' AND deadline <= ? LIMIT ?"
    late = "SELECT id, job, line FROM labeling_tasks WHERE state = 'leased' AND expires <= ? LIMIT ?"
    if not any(store.read().execute(query, (now, 1)).fetchone() for query in (due, late)):
        return False
    with store.write() as connection:
        for row in connection.execute(due, (now, EXPIRE_AT_ONCE)).fetchall():
            close_if_due(connection, jobs[row["job"]], row["line"])
        for row in connection.execute(late, (now, EXPIRE_AT_ONCE)).fetchall():
            connection.execute("UPDATE labeling_tasks SET state = 'expired', ended = ? WHERE id = ?", (now, row["id"]))
            connection.execute(
                "UPDATE labeling_objects SET slots = slots + 1 WHERE job = ? AND line = ? AND state = 'open'",
                (row["job"], row["line"]),
            )
            if row["job"] in jobs:
                close_if_due(connection, jobs[row["job"]], row["line"])
    return True


def release_all(store: Store, worker_id: str) -> None:
    """Release all leases of a worker, for example before the worker is removed."""
    with store.write() as connection:
        rows = connection.execute(
            "SELECT id, job, line FROM labeling_tasks WHERE worker = ? AND state = 'leased'", (worker_id,)
        ).fetchall()
        for row in rows:
            connection.execute(
                "UPDATE labeling_tasks SET state = 'released', ended = ? WHERE id = ?",
                (read_clock(), row["id"]),
            )
            connection.execute(
                "UPDATE labeling_objects SET slots = slots + 1 WHERE job = ? AND line = ? AND state = 'open'",
                (row["job"], row["line"]),
            )
            close_if_due(connection, find_task_job(store, row["job"]), row["line"])
    wake_engine(store)
