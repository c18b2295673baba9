"""Revision of submitted answers: reopened by their worker until consolidation, or returned by the owner."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from gtseg.local.clock import read_clock
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.drafts import is_revising
from gtseg.local.labeling.gold import gold_key, job_key
from gtseg.local.labeling.records import Job, find_job
from gtseg.local.labeling.submissions import close_if_due
from gtseg.local.labeling.tasks import Task, find_task
from gtseg.local.labeling.wakeup import wake_engine
from gtseg.local.labeling.workers import Worker, find_names
from gtseg.local.storage.objects import Objects
from gtseg.local.storage.store import Store

REVISION_SECONDS = 3600.0
"""Limit on the duration of a revision; a job's own time limit may be shorter."""
LISTED = 200
RESPONSE_BYTES = 512 << 20
"""Limit on the size of a worker-response file."""
NO_LONGER = "The answer can no longer be changed: it is consolidated, or its job has ended."


@dataclass(frozen=True)
class Submitted:
    """An answer of a worker. `state` is open, held or done; only a "done" answer can no longer be changed."""

    task: str
    line: int
    uri: str
    submitted: float
    seconds: float
    state: str
    comment: str


def revise_task(store: Store, task_id: str, worker: Worker) -> Task:
    """Reopen a submitted answer; it is not consolidated until then. Raises ServiceError Gone 410."""
    task = find_task(store, task_id, worker)
    with store.write() as connection:
        query = "SELECT state FROM labeling_tasks WHERE id = ?"
        state = connection.execute(query, (task.id,)).fetchone()["state"]
        if state != "answered" or not _is_changeable(connection, task):
            raise ServiceError("Gone", NO_LONGER, 410)
        until = read_clock() + min(REVISION_SECONDS, task.job.time_limit)
        connection.execute(
            "INSERT OR REPLACE INTO labeling_held VALUES (?, ?, ?, ?, 1)",
            (task.job.name, task.line, worker.id, until),
        )
    return find_task(store, task_id, worker)


def cancel_revision(store: Store, task_id: str, worker: Worker) -> None:
    """End a revision without a change; the answer stays as submitted."""
    task = find_task(store, task_id, worker)
    with store.write() as connection:
        key = (task.job.name, task.line, worker.id)
        connection.execute("DELETE FROM labeling_held WHERE job = ? AND line = ? AND worker = ? AND revising", key)
        if task.state == "answered":
            connection.execute("DELETE FROM labeling_drafts WHERE job = ? AND line = ? AND worker = ?", key)
    wake_engine(store)


def find_revision(store: Store, task: Task) -> float | None:
    """Return the time until which the answer is reopened; None if it is not."""
    if task.state != "answered" or not is_revising(store.read(), task):
        return None
    row = (
        store.read()
        .execute(
            "SELECT until FROM labeling_held WHERE job = ? AND line = ? AND worker = ?",
            (task.job.name, task.line, task.worker),
        )
        .fetchone()
    )
    return float(row["until"]) if row is not None else None


def _is_changeable(connection: sqlite3.Connection, task: Task) -> bool:
    query = (
        "SELECT 1 FROM labeling_objects o JOIN labeling_answers a ON a.job = o.job AND a.line = o.line AND a.worker = "
        "? "
        "JOIN labeling_jobs j ON j.name = ? WHERE o.job = ? AND o.line = ? AND j.status = 'InProgress' AND (o.state IN "
        "('open', 'answered') OR o.state = 'gold' AND EXISTS (SELECT 1 FROM labeling_held h WHERE h.job = o.job "
        "AND h.line = o.line AND h.worker = a.worker AND h.until > ?))"
    )
    words = (task.worker, job_key(task.job.name), task.job.name, task.line, read_clock())
    return connection.execute(query, words).fetchone() is not None


def list_submitted(store: Store, job: Job, worker: Worker) -> list[Submitted]:
    """Return the worker's answers of a job, latest first."""
    rows = store.read().execute(
        "SELECT t.id, t.line, t.accepted, t.ended, o.uri, o.state, a.worker AS kept, h.until, v.seconds, r.comment "
        "FROM labeling_tasks t "
        "JOIN labeling_objects o ON o.job = t.job AND o.line = t.line "
        "LEFT JOIN labeling_answers a ON a.job = t.job AND a.line = t.line AND a.worker = t.worker "
        "LEFT JOIN labeling_held h ON h.job = t.job AND h.line = t.line AND h.worker = t.worker "
        "LEFT JOIN labeling_activity v ON v.task = t.id "
        "LEFT JOIN labeling_reviews r ON r.job = t.job AND r.line = t.line "
        "WHERE t.job IN (?, ?) AND t.worker = ? AND t.state = 'answered' ORDER BY t.ended DESC LIMIT ?",
        (job.name, gold_key(job.name), worker.id, LISTED),
    ).fetchall()  # fmt: skip
    now = read_clock()
    return [
        Submitted(
            row["id"],
            row["line"],
            row["uri"],
            row["ended"],
            row["ended"] - row["accepted"] if row["seconds"] is None else row["seconds"],
            "done"
            if row["kept"] is None
            or job.status != "InProgress"
            or (row["state"] not in ("open", "answered") and not (row["state"] == "gold" and now < (row["until"] or 0)))
            else "held"
            if row["until"] is not None
            else "open",
            row["comment"] or "",
        )
        for row in rows
    ]


# --- returned by the owner ---


def return_object(
    store: Store, objects: Objects, name: str, line: int, *, comment: str, worker: str | None = None
) -> int:
    """Return an object's answers, all or one worker's, to their workers; the result is their number.

    Each worker gets the object again, starting from their own answer. A labeled object is open again; its mask is left
    out of the output manifest until it is labeled again. Raises ServiceError Conflict 409 if the job has ended or the
    object is being consolidated, NotFound 404 if there is no such answer.
    """
    job = find_job(store, name)
    row = _find_object(store.read(), job, line)
    if row["state"] in ("labeled", "answered", "open"):
        contents = _read_all(store, objects, job, row)
    else:
        raise ServiceError("Conflict", f"Object {line} is {row['state']}: it has no answers to return.", 409)
    chosen = {key: content for key, content in contents.items() if worker in (None, key)}
    if not chosen:
        raise ServiceError("NotFound", f"Object {line} has no answer to return.", 404)
    with store.write() as connection:
        if find_job(store, name).status != "InProgress":
            raise ServiceError("Conflict", f"The job {job.title} has ended. Adjust its masks instead.", 409)
        now_found = _find_object(connection, job, line)
        if (now_found["state"], now_found["stamp"]) != (row["state"], row["stamp"]):
            raise ServiceError("Conflict", f"Object {line} has just changed. Reload it and try again.", 409)
        _reopen(connection, job, line, contents=contents, chosen=chosen, comment=comment)
    wake_engine(store)
    return len(chosen)


def _find_object(connection: sqlite3.Connection, job: Job, line: int) -> sqlite3.Row:
    query = "SELECT * FROM labeling_objects WHERE job = ? AND line = ?"
    row: sqlite3.Row | None = connection.execute(query, (job.name, line)).fetchone()
    if row is None:
        raise ServiceError("NotFound", f"The job {job.title!r} has no object {line}.", 404)
    return row


def _read_all(store: Store, objects: Objects, job: Job, row: sqlite3.Row) -> dict[str, str]:
    """Return worker -> answer as JSON, for all current answers of the object."""
    query = "SELECT worker FROM labeling_tasks WHERE job = ? AND line = ? AND state = 'answered'"
    workers = [found["worker"] for found in store.read().execute(query, (job.name, row["line"]))]
    return {
        worker: json.dumps(
            read_content(store, objects, job, row["line"], worker=worker),
            separators=(",", ":"),
            ensure_ascii=False,
        )
        for worker in workers
    }


def _reopen(
    connection: sqlite3.Connection,
    job: Job,
    line: int,
    *,
    contents: dict[str, str],
    chosen: dict[str, str],
    comment: str,
) -> None:
    """Open a labeled, answered or open object again, with one more slot per returned answer."""
    now = read_clock()
    for worker, content in contents.items():
        key = (job.name, line, worker)
        task = connection.execute(
            "SELECT id, accepted, ended FROM labeling_tasks WHERE job = ? AND line = ? AND worker = ? AND state = "
            "'answered'",
            key,
        ).fetchone()
        if worker in chosen:
            connection.execute("UPDATE labeling_tasks SET state = 'returned' WHERE id = ?", (task["id"],))
            for table in ("labeling_answers", "labeling_held", "labeling_drafts"):
                connection.execute(f"DELETE FROM {table} WHERE job = ? AND line = ? AND worker = ?", key)
            connection.execute(
                "INSERT OR REPLACE INTO labeling_returned VALUES (?, ?, ?, ?, ?, ?)",
                (*key, comment, now, content),
            )
        else:
            connection.execute(
                "INSERT OR IGNORE INTO labeling_answers VALUES (?, ?, ?, ?, ?, ?)",
                (*key, task["accepted"], task["ended"], content),
            )
    connection.execute("DELETE FROM labeling_reviews WHERE job = ? AND line = ?", (job.name, line))
    connection.execute(
        "UPDATE labeling_objects SET state = 'open', result = NULL, batch = NULL, answers = ?, slots = ?, deadline = "
        "?, "
        "iteration = ? WHERE job = ? AND line = ?",
        (
            len(contents) - len(chosen),
            max(
                len(chosen),
                job.workers - (len(contents) - len(chosen)) - _count_leases(connection, job, line),
            ),
            now + job.lifetime,
            job.iteration,
            job.name,
            line,
        ),
    )
    close_if_due(connection, job, line)


def _count_leases(connection: sqlite3.Connection, job: Job, line: int) -> int:
    query = "SELECT count(*) FROM labeling_tasks WHERE job = ? AND line = ? AND state = 'leased'"
    return int(connection.execute(query, (job.name, line)).fetchone()[0])


def find_comment(store: Store, task: Task) -> str | None:
    """Return the owner's comment on an answer returned to this worker; None if it was not returned."""
    row = (
        store.read()
        .execute(
            "SELECT comment FROM labeling_returned WHERE job = ? AND line = ? AND worker = ?",
            (task.job.name, task.line, task.worker),
        )
        .fetchone()
    )
    return str(row["comment"]) if row is not None else None


def count_returned(store: Store, job: Job, worker: str) -> int:
    """Return the number of a worker's answers that the owner returned and that are not resubmitted."""
    query = "SELECT count(*) FROM labeling_returned WHERE job = ? AND worker = ?"
    return int(store.read().execute(query, (job.name, worker)).fetchone()[0])


# --- reading answers ---


def read_content(store: Store, objects: Objects, job: Job, line: int, *, worker: str) -> dict[str, Any]:
    """Return one worker's answer as submitted, from the database or from the worker-response file.

    A returned answer counts until there is a newer one. Raises ServiceError NotFound.
    """
    for table in ("labeling_answers", "labeling_returned"):
        row = (
            store.read()
            .execute(f"SELECT content FROM {table} WHERE job = ? AND line = ? AND worker = ?", (job.name, line, worker))
            .fetchone()
        )
        if row is not None:
            content: dict[str, Any] = json.loads(row["content"])
            return content
    names = find_names(store, job, [worker])
    shown = names[worker][0].rpartition(".")[2].lower() if worker in names else worker.lower()
    for answer in _written_answers(store, objects, job, line):
        if answer["workerId"].rpartition(".")[2].lower() == shown:
            return dict(answer["answerContent"])
    raise ServiceError("NotFound", f"Object {line} has no answer of the worker {worker!r}.", 404)


def _written_answers(store: Store, objects: Objects, job: Job, line: int) -> list[dict[str, Any]]:
    """Return the answers in the newest worker-response file; an object that was returned has several."""
    query = "SELECT iteration FROM labeling_objects WHERE job = ? AND line = ?"
    row = store.read().execute(query, (job.name, line)).fetchone()
    if row is None or row["iteration"] is None:
        return []
    bucket, prefix = job.output
    folder = f"{prefix}annotations/worker-response/iteration-{row['iteration']}/{line}/"
    keys = sorted(info.key for info in objects.list(bucket, folder))
    found: list[dict[str, Any]] = (
        json.loads(objects.get(bucket, keys[-1], limit=RESPONSE_BYTES))["answers"] if keys else []
    )
    return found
