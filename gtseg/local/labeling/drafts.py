"""Drafts of unsubmitted work, the browser tab that has a task open, and the active time of its page.

A draft belongs to a worker and an object and survives an expired lease. Its content is opaque to the server and limited
in size. Each save names the version it is based on, so that a tab cannot overwrite a version it has not loaded.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gtseg.local.clock import read_clock
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.gold import gold_key, job_key
from gtseg.local.labeling.records import ACTIVE, Job
from gtseg.local.labeling.tasks import Task
from gtseg.local.storage.store import Store

MAX_DRAFT_BYTES = 4 << 20
KEPT_DRAFTS = 20
"""Limit on a worker's drafts in a job; the one saved longest ago is deleted first."""
SILENT_SECONDS = 100.0
"""Time without a report after which a tab counts as closed; timers of hidden tabs may run only once a minute."""
TAB_LENGTH = 64
SAVES, SAVES_A_SECOND = 10.0, 1.0
"""Token bucket per worker: burst size and refill rate per second."""


@dataclass(frozen=True)
class Presence:
    """State of a task's draft. `is_elsewhere`: another tab, seen within SILENT_SECONDS, has the task open."""

    is_elsewhere: bool
    version: int
    saved: float | None


class SaveLimit:
    """Rate limit on draft saves per worker."""

    def __init__(self, *, read_clock: Callable[[], float] = time.monotonic) -> None:
        self.read_clock = read_clock
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def consume(self, worker: str) -> None:
        """Consume one save. Raises ServiceError TooManyRequests 429."""
        with self._lock:
            now = self.read_clock()
            left, since = self._left.get(worker, (SAVES, now))
            left = min(SAVES, left + (now - since) * SAVES_A_SECOND)
            if left < 1:
                raise ServiceError(
                    "TooManyRequests",
                    f"Too many saves of drafts; at most {SAVES_A_SECOND:.0f} per second is allowed.",
                    429,
                )
            self._left[worker] = (left - 1, now)


def check_tab(tab: str) -> None:
    """Raise ServiceError InvalidRequest unless `tab` is a valid tab id."""
    if not 1 <= len(tab) <= TAB_LENGTH or not tab.isascii() or not tab.isprintable():
        raise ServiceError("InvalidRequest", f"tab must be 1 to {TAB_LENGTH} printable ASCII characters.")


def report_presence(
    store: Store, task: Task, *, tab: str, active: float = 0, opens: bool = False, take: bool = False
) -> Presence:
    """Record that `tab` still has the task open, and add its `active` seconds.

    A tab that `opens` the task gets it unless another tab was seen within SILENT_SECONDS; with `take` it gets it in any
    case. A report of a tab that does not have the task changes nothing.
    """
    check_tab(tab)
    key, now = (task.job.name, task.line, task.worker), read_clock()
    with store.write() as connection:
        status = connection.execute("SELECT status FROM labeling_jobs WHERE name = ?", (job_key(key[0]),)).fetchone()
        if status["status"] not in ACTIVE:  # the drafts were deleted when the job ended
            return Presence(False, 0, None)
        row = _find(connection, task)
        if not take and (row is None or row["tab"] != tab) and not (opens and _is_free(row, now)):
            if row is None:
                return Presence(True, 0, None)
            return Presence(True, row["version"], row["saved"])
        connection.execute(
            "INSERT INTO labeling_drafts (job, line, worker, tab, seen) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (job, line, worker) DO UPDATE SET tab = excluded.tab, seen = excluded.seen",
            (*key, tab, now),
        )
        if task.state == "leased" or is_revising(connection, task):
            add_activity(connection, task, active)
    return Presence(False, row["version"] if row else 0, row["saved"] if row else None)


def close_tab(store: Store, task: Task, *, tab: str, active: float) -> None:
    """Record that the tab is closing, so that another tab can open the task at once."""
    with store.write() as connection:
        row = _find(connection, task)
        if row is not None and row["tab"] == tab:
            add_activity(connection, task, active)
            connection.execute(
                "UPDATE labeling_drafts SET seen = 0 WHERE job = ? AND line = ? AND worker = ?",
                (task.job.name, task.line, task.worker),
            )


def save_draft(store: Store, task: Task, *, tab: str, base: int, content: bytes) -> int:
    """Store a draft based on version `base`; return the new version.

    Raises ServiceError OpenElsewhere 409 if the tab does not have the task, Changed 409 for a different base version,
    Gone 410 for a task that was answered, declined or released.
    """
    check_tab(tab)
    if not content:
        raise ServiceError("InvalidRequest", "A draft must not be empty.")
    with store.write() as connection:
        state = connection.execute("SELECT state FROM labeling_tasks WHERE id = ?", (task.id,)).fetchone()
        if state["state"] not in ("leased", "expired") and not is_revising(connection, task):
            raise ServiceError("Gone", f"The task is {state['state']}, no longer open.", 410)
        row = _find(connection, task)
        if row is None or row["tab"] != tab:
            raise ServiceError("OpenElsewhere", "The task is open in another tab or on another computer.", 409)
        if row["version"] != base:
            raise ServiceError(
                "Changed",
                f"The draft has version {row['version']}; this one is based on version {base}. Reload it.",
                409,
            )
        now = read_clock()
        connection.execute(
            "UPDATE labeling_drafts SET version = version + 1, saved = ?, seen = ?, content = ? "
            "WHERE job = ? AND line = ? AND worker = ?",
            (now, now, content, task.job.name, task.line, task.worker),
        )
        _delete_oldest(connection, task)
    return base + 1


def read_draft(store: Store, task: Task) -> tuple[int, bytes]:
    """Return (version, content). Raises ServiceError NotFound if there is no draft."""
    row = _find(store.read(), task)
    if row is None or row["content"] is None:
        raise ServiceError("NotFound", "There is no draft of this task.", 404)
    return row["version"], bytes(row["content"])


def add_activity(connection: sqlite3.Connection, task: Task, seconds: float) -> None:
    """Add active seconds to a task; the total is limited to the time since it was accepted."""
    if not 0 <= seconds < float("inf"):
        raise ServiceError("InvalidRequest", f"active must be a number of seconds, at least 0; got {seconds!r}.")
    most = max(0.0, read_clock() - task.accepted)
    connection.execute(
        "INSERT INTO labeling_activity VALUES (?, min(?, ?)) "
        "ON CONFLICT (task) DO UPDATE SET seconds = min(seconds + ?, ?)",
        (task.id, seconds, most, seconds, most),
    )


def is_revising(connection: sqlite3.Connection, task: Task) -> bool:
    """Return whether the worker has reopened the submitted answer."""
    query = "SELECT 1 FROM labeling_held WHERE job = ? AND line = ? AND worker = ? AND revising AND until > ?"
    return connection.execute(query, (task.job.name, task.line, task.worker, read_clock())).fetchone() is not None


def _find(connection: sqlite3.Connection, task: Task) -> sqlite3.Row | None:
    found: sqlite3.Row | None = connection.execute(
        "SELECT * FROM labeling_drafts WHERE job = ? AND line = ? AND worker = ?",
        (task.job.name, task.line, task.worker),
    ).fetchone()
    return found


def _is_free(row: sqlite3.Row | None, now: float) -> bool:
    return row is None or now - row["seen"] >= SILENT_SECONDS


def _delete_oldest(connection: sqlite3.Connection, task: Task) -> None:
    connection.execute(
        "DELETE FROM labeling_drafts WHERE worker = ? AND job = ? AND line IN (SELECT line FROM labeling_drafts "
        "WHERE worker = ? AND job = ? AND saved IS NOT NULL ORDER BY saved DESC LIMIT -1 OFFSET ?)",
        (task.worker, task.job.name, task.worker, task.job.name, KEPT_DRAFTS),
    )


def delete_job_drafts(connection: sqlite3.Connection, job: Job) -> None:
    """Delete the drafts, locks and image versions of a job that has ended."""
    for table in ("labeling_drafts", "labeling_held", "labeling_returned", "labeling_images"):
        connection.execute(f"DELETE FROM {table} WHERE job IN (?, ?)", (job.name, gold_key(job.name)))


def read_seconds(document: dict[str, Any]) -> float:
    """Return `active` of a request body: active seconds since the last report. Raises ServiceError InvalidRequest."""
    value = document.get("active", 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ServiceError("InvalidRequest", f"active must be a number of seconds, at least 0; got {value!r}."[:200])
    return float(value)
