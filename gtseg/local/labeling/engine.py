"""What moves labeling jobs on: one thread that takes every job's next step, over and over, until nothing is due.

Each step ends in one transaction, and what it writes to S3 before that has names that an earlier transaction fixed: a
kill at any instant loses no object and doubles none.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.jobs.reasons import failure_reason
from gtseg.local.labeling import output
from gtseg.local.labeling.batches import consolidate_batch, next_batch
from gtseg.local.labeling.bell import listen, ring
from gtseg.local.labeling.drafts import forget_job
from gtseg.local.labeling.intake import IntakeError, measure_image, read_objects
from gtseg.local.labeling.records import DAMAGED, Job, find_job, list_active_jobs, read_clock, set_status
from gtseg.local.labeling.tasks import expire, settle_abandoned
from gtseg.local.loop import Loop
from gtseg.local.storage.objects import StorageAway
from gtseg.local.storage.store import Store

__all__ = ["Engine", "count_states", "stopping_count"]

FIRST_ITERATION = 10  # objects, chosen at random (developer guide, "Batches")
OPEN_AT_ONCE = 50  # images measured per step, so that the first are handed out while the rest are looked at
MEASURE_THREADS = 8  # most of the time is spent waiting for a storage elsewhere
MAX_AGE = 30 * 86_400  # seconds after which a job fails
IDLE_SECONDS = 0.5
STOP_SECONDS = 10.0
GATHER_SECONDS = 0.03  # from the first answer to the step that takes all that have come
MANIFEST_SHARE = 20  # output.manifest is rewritten so rarely that it takes a twentieth of the time
MANIFEST_SECONDS = 1.0
logger = logging.getLogger(__name__)


@dataclass
class Rewritten:
    """When output.manifest was last rewritten and how long that took (monotonic seconds); what it showed."""

    ended: float = float("-inf")
    took: float = 0.0
    shown: int = -1

    def is_due(self) -> bool:
        return time.monotonic() - self.ended >= max(MANIFEST_SECONDS, MANIFEST_SHARE * self.took)


class Engine:
    """A Component: `start` begins, `stop` returns when the current step is done."""

    def __init__(self, embedded: Embedded) -> None:
        self.store, self.objects = embedded.store, embedded.objects
        self._rewritten: dict[str, Rewritten] = {}
        self._reported: set[str] = set()
        self._loop = Loop(
            "labeling", self.step, seconds=IDLE_SECONDS, wait=self._listen, wake=lambda: ring(self.store)
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop(STOP_SECONDS)

    def _listen(self, seconds: float) -> None:
        listen(self.store, seconds)
        self._loop.stopping.wait(GATHER_SECONDS)

    def step(self) -> bool:
        """One step of everything; whether there may be more to do at once."""
        busy = expire(self.store) | settle_abandoned(self.store)
        for job in list_active_jobs(self.store):
            try:
                busy |= self._try(job)
            except StorageAway:  # the storage logs it; the step is taken again, under the names that it has
                continue
            except Exception:  # one job's trouble is not the others'; it is tried again
                logger.exception("a step of the labeling job %s failed", job.title)
        return busy

    def _try(self, job: Job) -> bool:
        """One step of a job, or its end where it cannot go on."""
        try:
            return self.advance(job)
        except StorageAway:
            raise
        except IntakeError as error:
            self._end(job, "Failed", failure=str(error))
        except ServiceError as error:
            if error.code == DAMAGED and job.status != "Stopping":
                self._report(error.message)
            elif error.code == DAMAGED:
                self._end(job, "Stopped", failure=error.message)
            else:
                self._end(job, "Failed", failure=f"ClientError: {error.message} ({error.code})")
        return False

    def _report(self, message: str) -> None:
        """Log what is damaged, once: the job waits until it is restored."""
        if message not in self._reported:
            logger.error("%s", message)
            self._reported.add(message)

    def advance(self, job: Job) -> bool:
        """The job's next step; False if it waits for workers."""
        if job.status == "Initializing" or not has_objects(self.store, job):
            return self._begin(job)
        if read_clock() - job.created > MAX_AGE:
            raise IntakeError("ClientError: The labeling job expired: it did not complete within 30 days.")
        if job.status == "InProgress" and self._is_satisfied(job):
            with self.store.write() as connection:
                set_status(connection, job.name, "Stopping")
            return True
        if job.status == "Stopping":
            self._withdraw(job)
        busy = self._open_queued(job) if job.status == "InProgress" else False
        batch = next_batch(job, self.store)
        if batch is not None:
            consolidate_batch(job, self.store, self.objects, batch=batch)
            busy = True
        self._rewrite_manifest(job)
        return busy or self._turn(job)

    # ---------------------------------------------------------------- beginning

    def _begin(self, job: Job) -> bool:
        """Read the manifest: all its lines and the new status in one transaction."""
        with self.store.write() as connection:
            connection.executemany(
                "INSERT INTO labeling_objects (job, line, start, length, uri, state, result, stamp) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        job.name,
                        line.number,
                        line.start,
                        line.length,
                        line.uri,
                        line.state,
                        line.reason,
                        job.created,
                    )
                    for line in read_objects(job, self.store)
                ),
            )
            connection.execute(
                "UPDATE labeling_jobs SET status = 'InProgress', modified = ? WHERE name = ? AND status = 'Initializing'",
                (read_clock(), job.name),
            )
        return True

    def _open_queued(self, job: Job) -> bool:
        """Give the next queued objects to the workers; those whose image cannot be shown fail."""
        query = (
            "SELECT line, uri FROM labeling_objects WHERE job = ? AND state = 'queued' ORDER BY line LIMIT ?"
        )
        rows = self.store.read().execute(query, (job.name, OPEN_AT_ONCE)).fetchall()
        if not rows:
            return False
        with ThreadPoolExecutor(MEASURE_THREADS) as pool:
            measured = list(pool.map(lambda row: (row["line"], *self._measure(row["uri"])), rows))
        now = read_clock()
        with self.store.write() as connection:
            for line, size, reason in measured:
                open_object(connection, job, line, size=size, reason=reason, now=now)
        return True

    def _measure(self, uri: str) -> tuple[tuple[int, int] | None, str]:
        try:
            return measure_image(self.objects, uri), ""
        except IntakeError as error:
            return None, str(error)

    # ---------------------------------------------------------------- going on

    def _turn(self, job: Job) -> bool:
        """When the iteration has nothing left: the next one, or the end of the job."""
        if self._has_unfinished(job):
            return False
        states = count_states(self.store, job.name)
        if job.iteration:
            output.write_intermediate(job, self.store, self.objects, iteration=job.iteration)
        size = min(FIRST_ITERATION if job.iteration == 0 else job.concurrent, states["waiting"])
        if job.status == "InProgress" and size and not self._is_satisfied(job):
            self._queue(job, min(size, stopping_count(job, states) - states["labeled"]))
        else:
            self._end(job, "Stopped" if job.status == "Stopping" else "Completed")
        return True

    def _has_unfinished(self, job: Job) -> bool:
        """Whether the iteration has objects that are neither labeled nor failed."""
        query = "SELECT 1 FROM labeling_objects WHERE job = ? AND state = ? LIMIT 1"
        unfinished = ("open", "answered", "consolidating", "queued")
        return any(self.store.read().execute(query, (job.name, state)).fetchone() for state in unfinished)

    def _queue(self, job: Job, size: int) -> None:
        """The next iteration: at first some at random, then as many as may be open at once, in the manifest's order."""
        query = "SELECT line FROM labeling_objects WHERE job = ? AND state = 'waiting' ORDER BY line"
        with self.store.write() as connection:
            if job.iteration == 0:
                waiting = count_states(self.store, job.name)["waiting"]
                places = sorted(random.Random(job.reference).sample(range(waiting), size))
                lines = [
                    connection.execute(f"{query} LIMIT 1 OFFSET ?", (job.name, place)).fetchone()["line"]
                    for place in places
                ]
            else:
                lines = [row["line"] for row in connection.execute(f"{query} LIMIT ?", (job.name, size))]
            connection.executemany(
                "UPDATE labeling_objects SET state = 'queued', iteration = ? WHERE job = ? AND line = ?",
                [(job.iteration + 1, job.name, line) for line in lines],
            )
            connection.execute(
                "UPDATE labeling_jobs SET iteration = iteration + 1, modified = ? WHERE name = ?",
                (read_clock(), job.name),
            )

    def _is_satisfied(self, job: Job) -> bool:
        """A stopping condition is met while objects are left."""
        if not job.request.get("StoppingConditions"):
            return False
        states = count_states(self.store, job.name)
        left = sum(states.values()) - states["labeled"] - states["failed"] - states["skipped"]
        return left > 0 and states["labeled"] >= stopping_count(job, states)

    def _rewrite_manifest(self, job: Job) -> None:
        rewritten = self._rewritten.setdefault(job.name, Rewritten())
        if not rewritten.is_due():
            return
        states = count_states(self.store, job.name)
        finished = states["labeled"] + states["failed"]
        if finished == rewritten.shown:
            return
        begun = time.monotonic()
        output.write_manifest(job, self.store, self.objects)
        ended = time.monotonic()
        self._rewritten[job.name] = Rewritten(ended, ended - begun, finished)

    # ---------------------------------------------------------------- ending

    def _withdraw(self, job: Job) -> None:
        """A stopping job takes no more answers: what has one is consolidated, the rest stays unlabeled."""
        with self.store.write() as connection:
            connection.execute(
                "UPDATE labeling_objects SET slots = 0, state = CASE WHEN answers > 0 THEN 'answered' ELSE 'waiting' END, "
                "stamp = ? WHERE job = ? AND state IN ('open', 'queued')",
                (read_clock(), job.name),
            )
            cancel_leases(connection, job)

    def _end(self, job: Job, status: str, *, failure: str = "") -> None:
        """The last output.manifest first, then the status that says it is there."""
        failure = failure_reason(failure, self.store.folder)
        if has_objects(self.store, job):
            try:
                output.write_manifest(job, self.store, self.objects)
            except ServiceError as error:
                if not failure or isinstance(error, StorageAway):
                    raise
        with self.store.write() as connection:
            cancel_leases(connection, job)
            connection.execute("DELETE FROM labeling_answers WHERE job = ?", (job.name,))
            forget_job(connection, job)
            if status != "Stopped" and find_job(self.store, job.name).status == "Stopping":
                status = "Stopped" if status == "Completed" and has_unlabeled(connection, job) else status
            set_status(connection, job.name, status, failure=failure)
        self._rewritten.pop(job.name, None)


def open_object(
    connection: sqlite3.Connection,
    job: Job,
    line: int,
    *,
    size: tuple[int, int] | None,
    reason: str,
    now: float,
) -> None:
    """queued -> open with as many places as the job wants answers, or failed."""
    if size is None:
        change = "state = 'failed', result = ?, stamp = ?"
        values: tuple[object, ...] = (reason, now)
    else:
        change = "state = 'open', slots = ?, deadline = ?, width = ?, height = ?"
        values = (job.workers, now + job.lifetime, *size)
    connection.execute(
        f"UPDATE labeling_objects SET {change} WHERE job = ? AND line = ? AND state = 'queued'",
        (*values, job.name, line),
    )


def cancel_leases(connection: sqlite3.Connection, job: Job) -> None:
    connection.execute(
        "UPDATE labeling_tasks SET state = 'cancelled', ended = ? WHERE state = 'leased' AND job = ?",
        (read_clock(), job.name),
    )


def has_unlabeled(connection: sqlite3.Connection, job: Job) -> bool:
    query = "SELECT 1 FROM labeling_objects WHERE job = ? AND state = 'waiting'"
    return connection.execute(query, (job.name,)).fetchone() is not None


def has_objects(store: Store, job: Job) -> bool:
    """Whether the manifest has been read."""
    return (
        store.read().execute("SELECT 1 FROM labeling_objects WHERE job = ? LIMIT 1", (job.name,)).fetchone()
        is not None
    )


STATES = ("waiting", "queued", "open", "answered", "consolidating", "labeled", "failed", "skipped")


def count_states(store: Store, name: str) -> dict[str, int]:
    """How many of a job's objects are in each state."""
    query = "SELECT state, count(*) AS objects FROM labeling_objects WHERE job = ? GROUP BY state"
    counted = {row["state"]: row["objects"] for row in store.read().execute(query, (name,))}
    return {state: counted.get(state, 0) for state in STATES}


def stopping_count(job: Job, states: dict[str, int]) -> int:
    """How many objects may be labeled before a stopping condition is met."""
    conditions, total = job.request.get("StoppingConditions") or {}, sum(states.values())
    percentage = int(conditions.get("MaxPercentageOfInputDatasetLabeled", 100))
    return min(int(conditions.get("MaxHumanLabeledObjectCount", total)), max(1, total * percentage // 100))
