"""Questions of workers to the owner about a point in an image, and the owner's answers."""

from __future__ import annotations

import secrets
import sqlite3
from typing import Any

from gtseg.local.clock import read_clock
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.gold import gold_key, job_key
from gtseg.local.labeling.records import Job
from gtseg.local.labeling.tasks import Task
from gtseg.local.storage.store import Store

MAX_TEXT = 1000
MAX_OPEN = 50
"""Limit on unanswered questions of one worker in one job."""
LISTED = 500


def ask_question(store: Store, task: Task, *, text: str, place: tuple[float, float] | None) -> str:
    """Store a question about the task's image and return its id. `place` is (x, y) in pixels of the image as stored.

    Raises ServiceError InvalidRequest for an empty or too long text or a point outside the image, TooManyRequests 429.
    """
    text = _check_text(text, "question")
    if place is not None and not (0 <= place[0] <= task.width and 0 <= place[1] <= task.height):
        raise ServiceError(
            "InvalidRequest", f"The point {place} is outside the image of {task.width} x {task.height} pixels."
        )
    key = secrets.token_hex(8)
    with store.write() as connection:
        query = "SELECT count(*) FROM labeling_questions WHERE worker = ? AND job IN (?, ?) AND answer IS NULL"
        keys = (job_key(task.job.name), gold_key(task.job.name))
        if connection.execute(query, (task.worker, *keys)).fetchone()[0] >= MAX_OPEN:
            raise ServiceError(
                "TooManyRequests",
                f"You have {MAX_OPEN} unanswered questions in this job, the limit. Wait for the owner's answers.",
                429,
            )
        connection.execute(
            "INSERT INTO labeling_questions (id, job, line, worker, task, x, y, question, asked) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                task.job.name,
                task.line,
                task.worker,
                task.id,
                *(place or (None, None)),
                text,
                read_clock(),
            ),
        )
    return key


def answer_question(store: Store, job: Job, key: str, *, text: str) -> None:
    """Store or replace the owner's answer. Raises ServiceError NotFound 404."""
    text = _check_text(text, "answer")
    with store.write() as connection:
        found = connection.execute(
            "UPDATE labeling_questions SET answer = ?, answered = ?, seen = NULL WHERE id = ? AND job IN (?, ?)",
            (text, read_clock(), key, job.name, gold_key(job.name)),
        ).rowcount
    if not found:
        raise ServiceError("NotFound", f"The job {job.title} has no question {key[:40]!r}.", 404)


def list_questions(
    store: Store, job: Job, *, worker: str | None = None, line: int | None = None
) -> list[dict[str, Any]]:
    """Return a job's questions, optionally of one `worker` or one object; unanswered ones first."""
    rows = store.read().execute(
        "SELECT q.*, w.name, o.uri, o.width, o.height FROM labeling_questions q "
        "JOIN labeling_objects o ON o.job = q.job AND o.line = q.line "
        "LEFT JOIN labeling_workers w ON w.id = q.worker "
        "WHERE q.job IN (?, ?) AND (? IS NULL OR q.worker = ?) AND (? IS NULL OR q.line = ?) "
        "ORDER BY q.answer IS NOT NULL, q.asked DESC LIMIT ?",
        (job.name, gold_key(job.name), worker, worker, line, line, LISTED),
    ).fetchall()  # fmt: skip
    return [_describe(row) for row in rows]


def count_questions(store: Store, job: Job) -> int:
    """Return the number of a job's unanswered questions."""
    query = "SELECT count(*) FROM labeling_questions WHERE job IN (?, ?) AND answer IS NULL"
    return int(store.read().execute(query, (job.name, gold_key(job.name))).fetchone()[0])


def count_own(store: Store, job: Job, worker: str) -> dict[str, int]:
    """Return `asked`, the number of a worker's questions in a job, and `unread`, those with an unread answer."""
    row = (
        store.read()
        .execute(
            "SELECT count(*) AS asked, coalesce(sum(answer IS NOT NULL AND seen IS NULL), 0) AS unread "
            "FROM labeling_questions WHERE worker = ? AND job IN (?, ?)",
            (worker, job.name, gold_key(job.name)),
        )
        .fetchone()
    )
    return dict(row)


def mark_seen(store: Store, job: Job, worker: str) -> None:
    """Mark all answers to the worker's questions as read."""
    with store.write() as connection:
        connection.execute(
            "UPDATE labeling_questions SET seen = ? "
            "WHERE job IN (?, ?) AND worker = ? AND answer IS NOT NULL AND seen IS NULL",
            (read_clock(), job.name, gold_key(job.name), worker),
        )


def _check_text(text: str, what: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= MAX_TEXT:
        raise ServiceError("InvalidRequest", f"The {what} must have 1 to {MAX_TEXT} characters; it has {len(text)}.")
    return text


def _describe(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"], "line": row["line"], "file": row["uri"].rpartition("/")[2], "worker": row["worker"],
        "name": row["name"] or row["worker"],
        "x": row["x"], "y": row["y"], "width": row["width"], "height": row["height"],
        "question": row["question"], "asked": row["asked"], "answer": row["answer"], "answered": row["answered"],
        "unread": row["answer"] is not None and row["seen"] is None,
    }  # fmt: skip
