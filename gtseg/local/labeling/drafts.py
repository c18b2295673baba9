"""Unsubmitted work on the server, which browser tab has a task open, and how long its page was in active use.

A draft belongs to a worker and an object: it outlives a lease whose time ran out. Its content is the page's own, opaque here
and bounded in size. Each save names the version that it was made from, so that no tab overwrites what it has not seen.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.gold import gold_key, job_key
from gtseg.local.labeling.records import ACTIVE, Job, read_clock
from gtseg.local.labeling.tasks import Task
from gtseg.local.storage.store import Store

__all__ = [
    "MAX_DRAFT_BYTES",
    "Pace",
    "Presence",
    "add_activity",
    "forget_job",
    "is_revising",
    "leave",
    "read_draft",
    "read_seconds",
    "report_presence",
    "save_draft",
]

MAX_DRAFT_BYTES = 4 << 20
KEPT_DRAFTS = 20  # of one worker in one job; the one saved longest ago goes first
AWAY_SECONDS = 100.0  # a hidden tab's timers may run once a minute
TAB_LENGTH = 64
SAVES, SAVES_A_SECOND = 10.0, 1.0  # at once, and in the long run, per worker


@dataclass(frozen=True)
class Presence:
    """Which tab has a task open. `is_elsewhere`: another than the one that asks, seen within AWAY_SECONDS."""

    is_elsewhere: bool
    version: int
    saved: float | None


class Pace:
    """Limits how often each worker saves. Raises ServiceError TooManyRequests 429."""

    def __init__(self, *, read_clock: Callable[[], float] = time.monotonic) -> None:
        self.read_clock = read_clock
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, worker: str) -> None:
        with self._lock:
            now = self.read_clock()
            left, since = self._left.get(worker, (SAVES, now))
            left = min(SAVES, left + (now - since) * SAVES_A_SECOND)
            if left < 1:
                raise ServiceError("TooManyRequests", "Drafts are saved once a second at most.", 429)
            self._left[worker] = (left - 1, now)


def check_tab(tab: str) -> None:
    if not 1 <= len(tab) <= TAB_LENGTH or not tab.isascii() or not tab.isprintable():
        raise ServiceError("InvalidRequest", f"tab must be 1 to {TAB_LENGTH} printable ASCII characters.")


def report_presence(
    store: Store, task: Task, *, tab: str, active: float = 0, opens: bool = False, take: bool = False
) -> Presence:
    """Tell that `tab` still has the task open, and add its `active` seconds.

    A tab that `opens` the task gets it unless another was seen lately; with `take` it is taken from that one too. A tab that
    does not have the task changes nothing.
    """
    check_tab(tab)
    key, now = (task.job.name, task.line, task.worker), read_clock()
    with store.write() as connection:
        status = connection.execute("SELECT status FROM labeling_jobs WHERE name = ?", (job_key(key[0]),)).fetchone()
        if status["status"] not in ACTIVE:  # what is unsubmitted was forgotten with the job
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


def leave(store: Store, task: Task, *, tab: str, active: float) -> None:
    """The tab closes: another may open the task without asking."""
    with store.write() as connection:
        row = _find(connection, task)
        if row is not None and row["tab"] == tab:
            add_activity(connection, task, active)
            connection.execute(
                "UPDATE labeling_drafts SET seen = 0 WHERE job = ? AND line = ? AND worker = ?",
                (task.job.name, task.line, task.worker),
            )


def save_draft(store: Store, task: Task, *, tab: str, base: int, content: bytes) -> int:
    """Keep `content`, which was made from version `base`; the new version.

    Raises ServiceError OpenElsewhere 409 for a tab that does not have the task, Changed 409 for another base, Gone 410 for
    a task that was answered, declined or given back.
    """
    check_tab(tab)
    if not content:
        raise ServiceError("InvalidRequest", "A draft must not be empty.")
    with store.write() as connection:
        state = connection.execute("SELECT state FROM labeling_tasks WHERE id = ?", (task.id,)).fetchone()
        if state["state"] not in ("leased", "expired") and not is_revising(connection, task):
            raise ServiceError("Gone", f"The task is {state['state']}.", 410)
        row = _find(connection, task)
        if row is None or row["tab"] != tab:
            raise ServiceError("OpenElsewhere", "The task is open in another tab or on another computer.", 409)
        if row["version"] != base:
            raise ServiceError("Changed", f"Version {row['version']} is kept; this was made from {base}.", 409)
        now = read_clock()
        connection.execute(
            "UPDATE labeling_drafts SET version = version + 1, saved = ?, seen = ?, content = ? "
            "WHERE job = ? AND line = ? AND worker = ?",
            (now, now, content, task.job.name, task.line, task.worker),
        )
        _forget_oldest(connection, task)
    return base + 1


def read_draft(store: Store, task: Task) -> tuple[int, bytes]:
    """(version, content). Raises ServiceError NotFound where nothing was saved."""
    row = _find(store.read(), task)
    if row is None or row["content"] is None:
        raise ServiceError("NotFound", "There is no draft of this task.", 404)
    return row["version"], bytes(row["content"])


def add_activity(connection: sqlite3.Connection, task: Task, seconds: float) -> None:
    """Add active seconds to a task's, which never exceed the time since it was accepted."""
    if not 0 <= seconds < float("inf"):
        raise ServiceError("InvalidRequest", f"active must be a number of seconds from 0; got {seconds!r}.")
    most = max(0.0, read_clock() - task.accepted)
    connection.execute(
        "INSERT INTO labeling_activity VALUES (?, min(?, ?)) "
        "ON CONFLICT (task) DO UPDATE SET seconds = min(seconds + ?, ?)",
        (task.id, seconds, most, seconds, most),
    )


def is_revising(connection: sqlite3.Connection, task: Task) -> bool:
    """Whether the worker has the submitted answer open to change it."""
    query = "SELECT 1 FROM labeling_held WHERE job = ? AND line = ? AND worker = ? AND revising AND until > ?"
    return connection.execute(query, (task.job.name, task.line, task.worker, read_clock())).fetchone() is not None


def _find(connection: sqlite3.Connection, task: Task) -> sqlite3.Row | None:
    found: sqlite3.Row | None = connection.execute(
        "SELECT * FROM labeling_drafts WHERE job = ? AND line = ? AND worker = ?",
        (task.job.name, task.line, task.worker),
    ).fetchone()
    return found


def _is_free(row: sqlite3.Row | None, now: float) -> bool:
    return row is None or now - row["seen"] >= AWAY_SECONDS


def _forget_oldest(connection: sqlite3.Connection, task: Task) -> None:
    connection.execute(
        "DELETE FROM labeling_drafts WHERE worker = ? AND job = ? AND line IN (SELECT line FROM labeling_drafts "
        "WHERE worker = ? AND job = ? AND saved IS NOT NULL ORDER BY saved DESC LIMIT -1 OFFSET ?)",
        (task.worker, task.job.name, task.worker, task.job.name, KEPT_DRAFTS),
    )


def forget_job(connection: sqlite3.Connection, job: Job) -> None:
    """The job has ended: no task of it is opened again."""
    for table in ("labeling_drafts", "labeling_held", "labeling_returned", "labeling_images"):
        connection.execute(f"DELETE FROM {table} WHERE job IN (?, ?)", (job.name, gold_key(job.name)))


def read_seconds(document: dict[str, Any]) -> float:
    """`active` of a body: seconds since the page told last. Raises ServiceError InvalidRequest."""
    value = document.get("active", 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ServiceError("InvalidRequest", f"active must be a number of seconds from 0; got {value!r}."[:200])
    return float(value)
