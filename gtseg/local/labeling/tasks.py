"""Handing out work: leases, answers, declines, expiry. Every step is one transaction; each costs the same at 20,000 objects.

A worker holds one lease per job at a time and never gets an object again that they answered or declined, unless the owner
sent the answer back. An object is offered to as many workers as the job wants answers; a lease that ends without one frees
its place. As many declines as answers wanted fail an object, but a free teammate is asked first, once.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from dataclasses import dataclass, replace
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.answers import read_answer
from gtseg.local.labeling.bell import ring
from gtseg.local.labeling.gold import (
    count_pending,
    find_task_job,
    gold_key,
    is_gold,
    job_key,
    take_due,
    take_released_gold,
)
from gtseg.local.labeling.records import CHANGED, Job, find_job, list_active_jobs, read_clock
from gtseg.local.labeling.verdicts import read_verdict
from gtseg.local.labeling.workers import Worker, may_label
from gtseg.local.storage.store import Store

__all__ = ["Task", "answer_task", "count_available", "decline_task", "expire", "fail_changed_image", "find_etag", "find_task", "lease_again", "lease_task", "list_jobs_for", "release_all", "release_task", "settle", "settle_abandoned"]  # fmt: skip

GONE = "The labeling job no longer takes answers."
EXPIRE_AT_ONCE = 500
GRACE_SECONDS = 600.0
"""An answer that its worker may change waits so long for consolidation, while others of its iteration are still open."""
FREE_OBJECT = """
FROM labeling_objects o INDEXED BY labeling_objects_open
WHERE o.job = :job AND o.state = 'open' AND o.slots > 0 AND o.deadline > :now AND NOT EXISTS (
    SELECT 1 FROM labeling_tasks t WHERE t.job = o.job AND t.line = o.line AND t.worker = :worker
    AND t.state IN ('leased', 'answered', 'declined'))
"""
ORDERS = (
    # Sent back to this worker.
    f"""SELECT o.line {FREE_OBJECT} AND EXISTS (SELECT 1 FROM labeling_returned r WHERE r.job = o.job AND r.line = o.line
    AND r.worker = :worker) ORDER BY o.line LIMIT 1""",
    # Never held by this worker, and not waiting for the one to whom it was sent back.
    f"""SELECT o.line {FREE_OBJECT} AND NOT EXISTS (SELECT 1 FROM labeling_tasks t WHERE t.job = o.job AND t.line = o.line
    AND t.worker = :worker) AND NOT EXISTS (SELECT 1 FROM labeling_returned r JOIN labeling_workers w ON w.id = r.worker
    WHERE r.job = o.job AND r.line = o.line AND w.state = 'active') ORDER BY o.line LIMIT 1""",
    # Held before and let go, the one of longest ago first.
    f"""SELECT o.line {FREE_OBJECT} ORDER BY (SELECT max(t.ended) FROM labeling_tasks t WHERE t.job = o.job
    AND t.line = o.line AND t.worker = :worker), o.line LIMIT 1""",
)
HELPFUL_ORDERS = (
    ORDERS[0],
    ORDERS[1].replace(
        "ORDER BY o.line",
        "ORDER BY coalesce((SELECT h.place FROM labeling_order h WHERE h.job = o.job AND h.line = o.line), 1e9), o.line",
    ),
    ORDERS[2],
)
TEAMMATE = """
SELECT 1 FROM labeling_workers w WHERE w.state = 'active' AND (w.team = '*' OR w.team = :team)
AND (EXISTS (SELECT 1 FROM labeling_sessions s WHERE s.worker = w.id AND s.expires > :now)
    OR EXISTS (SELECT 1 FROM labeling_tasks t WHERE t.worker = w.id AND t.job = :job))
AND NOT EXISTS (SELECT 1 FROM labeling_tasks t WHERE t.job = :job AND t.line = :line AND t.worker = w.id
    AND t.state IN ('leased', 'answered', 'declined')) LIMIT 1
"""


@dataclass(frozen=True)
class Task:
    """One worker's lease of one object. Times are epoch seconds; width and height pixels as stored."""

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
    """Jobs in progress whose tasks this worker may do, oldest first."""
    return [job for job in list_active_jobs(store) if job.status == "InProgress" and may_label(worker, job)]


def count_available(store: Store, job: Job, worker: Worker) -> dict[str, int]:
    """How many objects this worker could take now or has in hand, how many come in later iterations, and how many they have answered."""
    connection = store.read()
    total = connection.execute(
        "SELECT count(*) FROM labeling_objects o INDEXED BY labeling_objects_open WHERE o.job = ? AND o.state = 'open' AND o.slots > 0 AND NOT EXISTS ("
        "SELECT 1 FROM labeling_tasks t WHERE t.job = o.job AND t.line = o.line AND t.worker = ? "
        "AND t.state IN ('leased', 'answered', 'declined')) AND NOT EXISTS (SELECT 1 FROM labeling_returned r JOIN labeling_workers w "
        "ON w.id = r.worker WHERE r.job = o.job AND r.line = o.line AND r.worker != ? AND w.state = 'active')",
        (job.name, worker.id, worker.id),
    ).fetchone()[0]
    own = dict(
        connection.execute(
            "SELECT state, count(*) FROM labeling_tasks WHERE job IN (?, ?) AND worker = ? AND state IN ('leased', 'answered') GROUP BY state",
            (job.name, gold_key(job.name), worker.id),
        ).fetchall()
    )
    available = total + own.get("leased", 0)
    available += count_pending(connection, job, worker.id, others=available)
    later = connection.execute(
        "SELECT count(*) FROM labeling_objects WHERE job = ? AND state IN ('waiting', 'queued')", (job.name,)
    ).fetchone()[0]
    return {"available": available, "later": later, "answered": own.get("answered", 0)}


def lease_task(store: Store, name: str, worker: Worker) -> Task | None:
    """The worker's current lease in this job, or the next object; None if there is nothing for this worker now."""
    job = find_job(store, name)
    if not may_label(worker, job):
        raise ServiceError("Forbidden", f"The labeling job {job.title} is not for this worker's team.", 403)
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
    """A new lease of the object of a task whose time is over, or the lease that this worker holds of it.

    Raises ServiceError Gone (410) if the object is not free any more, Conflict (409) if the worker holds another one of the job.
    """
    expire(store)
    task = find_task(store, task_id, worker)
    if not may_label(worker, task.job) or worker.state != "active":
        raise ServiceError("Forbidden", f"The worker {worker.name} is not at work on this job.", 403)
    now = read_clock()
    with store.write() as connection:
        held = connection.execute(
            "SELECT id, line FROM labeling_tasks WHERE worker = ? AND job IN (?, ?) AND state = 'leased' AND expires > ?",
            (worker.id, job_key(task.job.name), gold_key(task.job.name), now),
        ).fetchone()
        if held is not None and held["line"] != task.line:
            raise ServiceError("Conflict", "You hold another image of this job: submit that one first.", 409)
        if held is not None:
            return find_task(store, held["id"], worker)
        check_free(connection, task, worker=worker, now=now)
        again = add_lease(connection, task.job, task.line, worker=worker, now=now)
    return find_task(store, again, worker)


def check_free(connection: sqlite3.Connection, task: Task, *, worker: Worker, now: float) -> None:
    """Raise ServiceError Gone unless the task's object waits for an answer that this worker may give."""
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
        raise ServiceError("Gone", "You have answered or declined this image already.", 410)
    if is_gold(task.job):  # free for every worker once
        return
    if row["state"] != "open" or row["deadline"] <= now:
        raise ServiceError("Gone", "This image has all its answers.", 410)
    if row["slots"] <= 0:
        raise ServiceError("Gone", "Somebody else is labeling this image now.", 410)


def take_object(connection: sqlite3.Connection, job: Job, worker: Worker) -> str | None:
    """A new lease's id: of what was sent back to this worker, then of objects never held, then of those let go."""
    now = read_clock()
    status = connection.execute("SELECT status FROM labeling_jobs WHERE name = ?", (job.name,)).fetchone()[
        "status"
    ]
    if status != "InProgress":
        return None
    if (line := take_due(connection, job, worker.id)) is not None:
        return add_lease(connection, replace(job, name=gold_key(job.name)), line, worker=worker, now=now)
    for query in HELPFUL_ORDERS if has_order(connection, job) else ORDERS:
        row = connection.execute(query, {"job": job.name, "now": now, "worker": worker.id}).fetchone()
        if row is not None:
            return add_lease(connection, job, row["line"], worker=worker, now=now)
    if (line := take_released_gold(connection, job, worker.id)) is not None:
        return add_lease(connection, replace(job, name=gold_key(job.name)), line, worker=worker, now=now)
    return None


def has_order(connection: sqlite3.Connection, job: Job) -> bool:
    """Whether objects are handed out in an order of their own (`gtseg:order`)."""
    query = "SELECT 1 FROM labeling_order WHERE job = ? LIMIT 1"
    return connection.execute(query, (job.name,)).fetchone() is not None


def add_lease(connection: sqlite3.Connection, job: Job, line: int, *, worker: Worker, now: float) -> str:
    task_id = secrets.token_hex(12)
    connection.execute(
        "UPDATE labeling_objects SET slots = slots - 1 WHERE job = ? AND line = ?", (job.name, line)
    )
    connection.execute(
        "INSERT INTO labeling_tasks (id, job, line, worker, state, accepted, expires) SELECT ?, ?, ?, ?, 'leased', ?, "
        "min(?, deadline) FROM labeling_objects WHERE job = ? AND line = ?",
        (task_id, job.name, line, worker.id, now, now + job.time_limit, job.name, line),
    )
    return task_id


def find_task(store: Store, task_id: str, worker: Worker) -> Task:
    """This worker's task. Raises ServiceError NotFound, also for somebody else's."""
    row = store.read().execute(
        "SELECT t.*, o.uri, o.width, o.height, o.start, o.length FROM labeling_tasks t JOIN labeling_objects o "
        "ON o.job = t.job AND o.line = t.line WHERE t.id = ?",
        (task_id,),
    ).fetchone()  # fmt: skip
    if row is None or row["worker"] != worker.id:
        raise ServiceError("NotFound", f"There is no task {task_id} of this worker.", 404)
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


def answer_task(
    store: Store, task_id: str, worker: Worker, *, answer: Any, is_revisable: bool = False
) -> None:
    """Take a worker's answer. Submitting the same answer again changes nothing; an answer under revision is replaced.

    `is_revisable`: the worker may open it again until it is consolidated. Raises ServiceError InvalidAnswer (400) with
    the reason, Gone (410) for a lease that has ended.
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
        forget_work(connection, task)
        if is_revisable:
            connection.execute(
                "INSERT OR REPLACE INTO labeling_held VALUES (?, ?, ?, ?, 0)",
                (task.job.name, task.line, worker.id, read_clock() + GRACE_SECONDS),
            )
        settle(connection, task.job, task.line)
    ring(store)


def replace_answer(connection: sqlite3.Connection, task: Task, *, content: str, digest: str) -> None:
    """Put a changed answer in the place of the one submitted. Raises ServiceError Gone unless it is open for revision."""
    key, now = (task.job.name, task.line, task.worker), read_clock()
    held = connection.execute(
        "DELETE FROM labeling_held WHERE job = ? AND line = ? AND worker = ? AND revising AND until > ?", (*key, now)
    ).rowcount  # fmt: skip
    changed = connection.execute(
        "UPDATE labeling_answers SET content = ?, submitted = ? WHERE job = ? AND line = ? AND worker = ? AND EXISTS ("
        "SELECT 1 FROM labeling_objects o WHERE o.job = labeling_answers.job AND o.line = labeling_answers.line "
        "AND o.state IN ('open', 'answered', 'gold'))",
        (content, now, *key),
    ).rowcount
    if not held or not changed:
        raise ServiceError("Gone", "The answer cannot be changed any more.", 410)
    connection.execute("UPDATE labeling_tasks SET digest = ?, ended = ? WHERE id = ?", (digest, now, task.id))


def forget_work(connection: sqlite3.Connection, task: Task) -> None:
    """What was kept for this worker to go on from: an unsubmitted drawing, an answer sent back."""
    for table in ("labeling_drafts", "labeling_returned"):
        connection.execute(
            f"DELETE FROM {table} WHERE job = ? AND line = ? AND worker = ?",
            (task.job.name, task.line, task.worker),
        )


def decline_task(store: Store, task_id: str, worker: Worker, *, reason: str) -> None:
    """The worker will not label this object; somebody else may."""
    task = find_task(store, task_id, worker)
    if task.state == "declined":
        return
    with store.write() as connection:
        end_lease(connection, task, state="declined", reason=reason[:200])
        change_object(connection, task, "declines = declines + 1, slots = slots + 1")
        forget_work(connection, task)
        settle(connection, task.job, task.line)
    ring(store)


def release_task(store: Store, task_id: str, worker: Worker, *, reason: str = "") -> None:
    """Give the lease back, or skip the object: anybody, this worker too, may have it later. It never fails for that."""
    task = find_task(store, task_id, worker)
    if task.state == "released":
        return
    with store.write() as connection:
        end_lease(connection, task, state="released", reason=reason[:200] or None)
        change_object(connection, task, "slots = slots + 1")
        settle(connection, task.job, task.line)
    ring(store)


def find_etag(store: Store, task: Task) -> str | None:
    """The ETag that the task's image had when workers were first given it; None where it is not known."""
    query = "SELECT etag FROM labeling_images WHERE job = ? AND line = ?"
    row = store.read().execute(query, (task.job.name, task.line)).fetchone()
    return str(row["etag"]) if row is not None else None


def fail_changed_image(store: Store, task: Task) -> None:
    """Offer an object no more whose image was replaced: it fails, once the answers that it has are written."""
    with store.write() as connection:
        row = connection.execute(
            "SELECT state FROM labeling_objects WHERE job = ? AND line = ?", (task.job.name, task.line)
        ).fetchone()
        if row["state"] == "open":
            close_object(connection, task.job, task.line, reason=CHANGED)
    ring(store)


def check_leased(state: str, expires: float) -> None:
    if state == "leased" and expires > read_clock():
        return
    reasons = {"leased": "Its time is over.", "expired": "Its time is over.", "cancelled": GONE}
    raise ServiceError("Gone", f"The task is {state}. {reasons.get(state, '')}".strip(), 410)


def end_lease(
    connection: sqlite3.Connection,
    task: Task,
    *,
    state: str,
    reason: str | None = None,
    digest: str | None = None,
) -> None:
    """leased -> `state`, inside the caller's transaction. Raises ServiceError Gone if it is not leased any more."""
    row = connection.execute("SELECT state, expires FROM labeling_tasks WHERE id = ?", (task.id,)).fetchone()
    check_leased(row["state"], row["expires"])
    connection.execute(
        "UPDATE labeling_tasks SET state = ?, ended = ?, reason = ?, digest = ? WHERE id = ?",
        (state, read_clock(), reason, digest, task.id),
    )


def change_object(connection: sqlite3.Connection, task: Task, change: str) -> None:
    connection.execute(
        f"UPDATE labeling_objects SET {change} WHERE job = ? AND line = ?", (task.job.name, task.line)
    )


def settle(connection: sqlite3.Connection, job: Job, line: int) -> None:
    """Close an open object if it has all its answers, if its lifetime is over, or if as many workers declined it.

    With exactly as many declines it is left open for a teammate who is free; with one more it is closed all the same.
    """
    row = connection.execute(
        "SELECT * FROM labeling_objects WHERE job = ? AND line = ?", (job.name, line)
    ).fetchone()
    if row["state"] != "open":
        return
    if row["answers"] >= job.workers:
        close_object(connection, job, line, reason="")
    elif row["deadline"] <= read_clock():
        close_object(connection, job, line, reason=f"No worker labeled it within {job.lifetime} seconds.")
    elif row["declines"] > job.workers or (
        row["declines"] == job.workers and not has_free_teammate(connection, job, line)
    ):
        connection.execute(
            "UPDATE labeling_objects SET slots = 0 WHERE job = ? AND line = ?", (job.name, line)
        )
        if not has_lease(connection, job, line):
            close_object(connection, job, line, reason=describe_declines(connection, job, line))


def has_free_teammate(connection: sqlite3.Connection, job: Job, line: int) -> bool:
    """Whether somebody is around who may still take the object: signed in to the portal, or at work in this job."""
    team = job.team_arn.rpartition("/")[2].lower() if job.crowd == "private-crowd" else ""
    words = {"team": team, "job": job.name, "line": line, "now": read_clock()}
    return connection.execute(TEAMMATE, words).fetchone() is not None


def settle_abandoned(store: Store) -> bool:
    """Close declined objects that wait for a teammate who has left; whether there were any."""
    jobs = {job.name: job for job in list_active_jobs(store)}
    rows = store.read().execute(
        "SELECT job, line, declines FROM labeling_objects INDEXED BY labeling_objects_declined "
        "WHERE state = 'open' AND declines > 0 AND slots > 0"
    ).fetchall()  # fmt: skip
    left = [
        row for row in rows
        if row["job"] in jobs and row["declines"] >= jobs[row["job"]].workers
        and not has_free_teammate(store.read(), jobs[row["job"]], row["line"])
    ]  # fmt: skip
    if left:
        with store.write() as connection:
            for row in left:
                settle(connection, jobs[row["job"]], row["line"])
    return bool(left)


def has_lease(connection: sqlite3.Connection, job: Job, line: int) -> bool:
    query = "SELECT 1 FROM labeling_tasks WHERE job = ? AND line = ? AND state = 'leased'"
    return connection.execute(query, (job.name, line)).fetchone() is not None


def describe_declines(connection: sqlite3.Connection, job: Job, line: int) -> str:
    rows = connection.execute(
        "SELECT reason FROM labeling_tasks WHERE job = ? AND line = ? AND state = 'declined' ORDER BY ended",
        (job.name, line),
    ).fetchall()
    reasons = sorted({row["reason"] for row in rows if row["reason"]})
    who = "1 worker" if len(rows) == 1 else f"{len(rows)} workers"
    return f"{who} declined the task" + (f": {'; '.join(reasons)}" if reasons else ".")


def close_object(connection: sqlite3.Connection, job: Job, line: int, *, reason: str) -> None:
    """One answer is enough to succeed; with none the object fails for `reason`. Leases of it end."""
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
    """End leases and objects whose time is over; whether there were any."""
    now, jobs = read_clock(), {job.name: job for job in list_active_jobs(store)}
    due = "SELECT job, line FROM labeling_objects WHERE state = 'open' AND deadline <= ? LIMIT ?"
    late = "SELECT id, job, line FROM labeling_tasks WHERE state = 'leased' AND expires <= ? LIMIT ?"
    if not any(store.read().execute(query, (now, 1)).fetchone() for query in (due, late)):
        return False
    with store.write() as connection:
        for row in connection.execute(due, (now, EXPIRE_AT_ONCE)).fetchall():
            settle(connection, jobs[row["job"]], row["line"])
        for row in connection.execute(late, (now, EXPIRE_AT_ONCE)).fetchall():
            connection.execute(
                "UPDATE labeling_tasks SET state = 'expired', ended = ? WHERE id = ?", (now, row["id"])
            )
            connection.execute(
                "UPDATE labeling_objects SET slots = slots + 1 WHERE job = ? AND line = ? AND state = 'open'",
                (row["job"], row["line"]),
            )
            if row["job"] in jobs:
                settle(connection, jobs[row["job"]], row["line"])
    return True


def release_all(store: Store, worker_id: str) -> None:
    """Give back whatever a worker holds, e.g. because they leave."""
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
            settle(connection, find_task_job(store, row["job"]), row["line"])
    ring(store)
