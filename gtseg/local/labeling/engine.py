"""The engine: a thread that advances every labeling job step by step while any step is due.

Each step ends in one transaction, and the names of what it writes to S3 before that were fixed by an earlier
transaction, so that a kill at any time neither loses nor duplicates an object.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gtseg.local.clock import read_clock
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.jobs.reasons import failure_reason
from gtseg.local.labeling import output
from gtseg.local.labeling.assist.records import has_helpful_order, store_random_order
from gtseg.local.labeling.automated.inference import is_supported_size
from gtseg.local.labeling.automated.records import advance, find_round
from gtseg.local.labeling.automated.rounds import Automation
from gtseg.local.labeling.automated.sampling import (
    begin_first_round,
    begin_next_round,
    find_sample_fault,
    list_unassigned,
)
from gtseg.local.labeling.automated.training import Failure
from gtseg.local.labeling.batches import consolidate_batch, next_batch
from gtseg.local.labeling.counts import count_remaining, count_states, is_satisfied
from gtseg.local.labeling.drafts import delete_job_drafts
from gtseg.local.labeling.gold import gold_key, insert_gold, read_gold
from gtseg.local.labeling.input_objects import InputError, MeasuredImage, measure_image, read_objects
from gtseg.local.labeling.records import DAMAGED, Job, find_job, list_active_jobs, set_status
from gtseg.local.labeling.submissions import close_abandoned, expire
from gtseg.local.labeling.wakeup import wait_for_wakeup, wake_engine
from gtseg.local.loop import Loop
from gtseg.local.storage.objects import StorageUnavailable
from gtseg.local.storage.store import Store

FIRST_ITERATION = 10
"""Objects in the first iteration, chosen at random (developer guide, "Batches")."""
OPEN_AT_ONCE = 50
"""Images measured per step, so that the first are handed out while the others are measured."""
MEASURE_THREADS = 3
"""Threads waiting for remote storage; with 8, requests of workers were delayed (docs/decisions.md)."""
MAX_AGE = 30 * 86_400
"""Age at which a job fails, in seconds."""
IDLE_SECONDS = 0.5
STOP_SECONDS = 10.0
GATHER_SECONDS = 0.03
"""Delay from the first answer to the step that processes all answers received by then."""
MANIFEST_SHARE = 20
"""Ratio of the time between rewrites of output.manifest to the time that a rewrite takes, at least."""
MANIFEST_SECONDS = 1.0
logger = logging.getLogger(__name__)


@dataclass
class ManifestRewrite:
    """Last rewrite of output.manifest: end and duration in monotonic seconds, and the finished objects in it."""

    ended: float = float("-inf")
    took: float = 0.0
    shown: int = -1

    def is_due(self) -> bool:
        return time.monotonic() - self.ended >= max(MANIFEST_SECONDS, MANIFEST_SHARE * self.took)


class Engine:
    """Component that runs the steps; `stop` returns after the current step."""

    def __init__(self, embedded: Embedded) -> None:
        self.store, self.objects = embedded.store, embedded.objects
        self.automation = Automation(embedded)
        self._rewrites: dict[str, ManifestRewrite] = {}
        self._reported: set[str] = set()
        self._loop = Loop(
            "labeling", self.step, seconds=IDLE_SECONDS, wait=self._wait, wake=lambda: wake_engine(self.store)
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop(STOP_SECONDS)
        self.automation.stop()

    def _wait(self, seconds: float) -> None:
        wait_for_wakeup(self.store, seconds)
        self._loop.stopping.wait(GATHER_SECONDS)

    def step(self) -> bool:
        """Take one step of every job; return whether more steps may be due at once."""
        busy = expire(self.store) | close_abandoned(self.store)
        for job in list_active_jobs(self.store):
            try:
                busy |= self._try(job)
            except StorageUnavailable:  # the storage logs it; the step is retried with the same names
                continue
            except Exception:  # do not let one job's error stop the others; the step is retried
                logger.exception("A step of the labeling job %s failed; it will be retried.", job.title)
        return busy

    def _try(self, job: Job) -> bool:
        """Take one step of a job, or end it as failed. Returns whether more steps may be due at once."""
        try:
            return self.advance(job)
        except StorageUnavailable:
            raise
        except (InputError, Failure) as error:
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
        """Log a damaged job once; the job waits until its data is restored."""
        if message not in self._reported:
            logger.error("%s", message)
            self._reported.add(message)

    def advance(self, job: Job) -> bool:
        """Take the job's next step; return False if the job waits for workers."""
        if job.status == "Initializing" or not has_objects(self.store, job):
            return self._begin(job)
        if read_clock() - job.created > MAX_AGE and not self.automation.is_busy(job):
            raise InputError("ClientError: The labeling job expired: it did not complete within 30 days.")
        if job.status == "InProgress" and is_satisfied(self.store, job):
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
        return busy or self._advance_iteration(job)

    # --- start ---

    def _begin(self, job: Job) -> bool:
        """Read the manifest: insert all lines and gold images and set the new status in one transaction."""
        gold = read_gold(self.store, self.objects, job)
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
            insert_gold(connection, job, gold)
            if gold or has_helpful_order(self.store, job):  # in manifest order, gold images would be recognizable
                store_random_order(connection, job)
            connection.execute(
                "UPDATE labeling_jobs SET status = 'InProgress', modified = ? WHERE name = ? AND status = "
                "'Initializing'",
                (read_clock(), job.name),
            )
        return True

    def _open_queued(self, job: Job) -> bool:
        """Open the next queued objects to workers; objects with unreadable images fail."""
        query = "SELECT line, uri FROM labeling_objects WHERE job = ? AND state = 'queued' ORDER BY line LIMIT ?"
        rows = self.store.read().execute(query, (job.name, OPEN_AT_ONCE)).fetchall()
        if not rows:
            return False
        with ThreadPoolExecutor(MEASURE_THREADS) as pool:
            measured = list(pool.map(lambda row: (row["line"], *self._measure(job, row["uri"])), rows))
        now = read_clock()
        with self.store.write() as connection:
            for line, image, reason in measured:
                open_object(connection, job, line, image=image, reason=reason, now=now)
        return True

    def _measure(self, job: Job, uri: str) -> tuple[MeasuredImage | None, str]:
        try:
            found = measure_image(self.objects, uri)
        except InputError as error:
            return None, str(error)
        if job.is_automated and not is_supported_size(*found.size):
            size = "{} x {}".format(*found.size)
            return None, f"ClientError: {uri} has {size} pixels; automated data labeling allows at most 1920 x 1080."
        return found, ""

    # --- progress ---

    def _advance_iteration(self, job: Job) -> bool:
        """When the iteration is complete, start the next one or end the job."""
        if self._has_unfinished(job) or self.automation.is_busy(job):
            return False
        if job.is_automated and job.status == "InProgress":
            return self._advance_round(job)
        size = min(
            FIRST_ITERATION if job.iteration == 0 else job.concurrent,
            count_states(self.store, job.name)["waiting"],
        )
        self._end_iteration(job)
        if job.status == "InProgress" and size:
            self._queue(job, self._choose_lines(job, size))
        else:
            self._end(job, "Stopped" if job.status == "Stopping" else "Completed")
        return True

    def _advance_round(self, job: Job) -> bool:
        """Take the next step of automated labeling; return False while a model is trained or applied."""
        current = find_round(self.store, job)
        if current is None:
            begin_first_round(self.store, job)
            return True
        if current.step == "people":
            return self._label_by_people(job)
        if current.step != "done":
            self.automation.advance(job)
            return False
        self._end_iteration(job)
        if count_states(self.store, job.name)["waiting"]:
            scores = self.automation.read_scores(job, current)
            begin_next_round(self.store, job, current, confidences={line: s.confidence for line, s in scores.items()})
        else:
            self._end(job, "Completed")
        return True

    def _label_by_people(self, job: Job) -> bool:
        """Queue the rest of the sample for workers, limited by the job's concurrency; then continue with training."""
        current = find_round(self.store, job)
        assert current is not None
        chosen = list_unassigned(self.store, job, current)[
            : min(job.concurrent, count_remaining(self.store, job).people)
        ]
        self._end_iteration(job)
        if chosen:
            self._queue(job, chosen)
            return True
        if current.number == 1 and (fault := find_sample_fault(self.store, job)):
            raise InputError(fault)
        if count_states(self.store, job.name)["waiting"]:
            with self.store.write() as connection:
                advance(connection, job, current, step="train")
        else:
            self._end(job, "Completed")
        return True

    def _end_iteration(self, job: Job) -> None:
        if job.iteration:
            output.write_intermediate(job, self.store, self.objects, iteration=job.iteration)

    def _has_unfinished(self, job: Job) -> bool:
        """Return whether the iteration has objects that are neither labeled nor failed."""
        query = "SELECT 1 FROM labeling_objects WHERE job = ? AND state = ? LIMIT 1"
        unfinished = ("open", "answered", "consolidating", "queued")
        return any(self.store.read().execute(query, (job.name, state)).fetchone() for state in unfinished)

    def _choose_lines(self, job: Job, size: int) -> list[int]:
        """Choose the next objects, as many as the stopping conditions allow.

        The first iteration takes a random sample, later ones follow the job's order, which is the manifest's unless
        set.
        """
        remaining = count_remaining(self.store, job)
        query = (
            "SELECT o.line FROM labeling_objects o LEFT JOIN labeling_order h ON h.job = o.job AND h.line = o.line "
            "WHERE o.job = ? AND o.state = 'waiting' ORDER BY coalesce(h.place, 1e9), o.line"
        )
        waiting = [row["line"] for row in self.store.read().execute(query, (job.name,))]
        if job.iteration == 0:
            chosen = random.Random(job.reference).sample(range(len(waiting)), size)
            waiting = [waiting[place] for place in sorted(chosen)]
        return waiting[: min(size, remaining.objects, remaining.people)]

    def _queue(self, job: Job, lines: list[int]) -> None:
        """Queue the objects as the next iteration."""
        with self.store.write() as connection:
            connection.executemany(
                "UPDATE labeling_objects SET state = 'queued', iteration = ? WHERE job = ? AND line = ? AND state = "
                "'waiting'",
                [(job.iteration + 1, job.name, line) for line in lines],
            )
            connection.execute(
                "UPDATE labeling_jobs SET iteration = iteration + 1, modified = ? WHERE name = ?",
                (read_clock(), job.name),
            )

    def _rewrite_manifest(self, job: Job) -> None:
        rewritten = self._rewrites.setdefault(job.name, ManifestRewrite())
        if not rewritten.is_due():
            return
        states = count_states(self.store, job.name)
        finished = states["labeled"] + states["failed"]
        if finished == rewritten.shown:
            return
        begun = time.monotonic()
        output.write_manifest(job, self.store, self.objects)
        ended = time.monotonic()
        self._rewrites[job.name] = ManifestRewrite(ended, ended - begun, finished)

    # --- end ---

    def _withdraw(self, job: Job) -> None:
        """Withdraw the open objects of a stopping job: answered ones are consolidated, the others stay unlabeled."""
        with self.store.write() as connection:
            connection.execute(
                "UPDATE labeling_objects SET slots = 0, state = CASE WHEN answers > 0 THEN 'answered' ELSE 'waiting' "
                "END, "
                "stamp = ? WHERE job = ? AND state IN ('open', 'queued')",
                (read_clock(), job.name),
            )
            cancel_leases(connection, job)

    def _end(self, job: Job, status: str, *, failure: str = "") -> None:
        """Write the final output.manifest, then set the status that announces it."""
        failure = failure_reason(failure, self.store.folder)
        if has_objects(self.store, job):
            try:
                output.write_manifest(job, self.store, self.objects)
            except ServiceError as error:
                if not failure or isinstance(error, StorageUnavailable):
                    raise
        with self.store.write() as connection:
            cancel_leases(connection, job)
            connection.execute("DELETE FROM labeling_answers WHERE job = ?", (job.name,))
            delete_job_drafts(connection, job)
            if status != "Stopped" and find_job(self.store, job.name).status == "Stopping":
                status = "Stopped" if status == "Completed" and has_unlabeled(connection, job) else status
            set_status(connection, job.name, status, failure=failure)
        self._rewrites.pop(job.name, None)
        if job.is_automated:
            self.automation.delete_files(job)


def open_object(
    connection: sqlite3.Connection,
    job: Job,
    line: int,
    *,
    image: MeasuredImage | None,
    reason: str,
    now: float,
) -> None:
    """Open a queued object with as many slots as the job wants answers, or mark it failed with the reason."""
    if image is None:
        change = "state = 'failed', result = ?, stamp = ?"
        values: tuple[object, ...] = (reason, now)
    else:
        change = "state = 'open', slots = ?, deadline = ?, width = ?, height = ?"
        values = (job.workers, now + job.lifetime, *image.size)
        connection.execute("INSERT OR REPLACE INTO labeling_images VALUES (?, ?, ?)", (job.name, line, image.etag))
    connection.execute(
        f"UPDATE labeling_objects SET {change} WHERE job = ? AND line = ? AND state = 'queued'",
        (*values, job.name, line),
    )


def cancel_leases(connection: sqlite3.Connection, job: Job) -> None:
    """Cancel all leases of the job and its gold images."""
    connection.execute(
        "UPDATE labeling_tasks SET state = 'cancelled', ended = ? WHERE state = 'leased' AND job IN (?, ?)",
        (read_clock(), job.name, gold_key(job.name)),
    )


def has_unlabeled(connection: sqlite3.Connection, job: Job) -> bool:
    """Return whether the job has objects that no worker has been given."""
    query = "SELECT 1 FROM labeling_objects WHERE job = ? AND state = 'waiting'"
    return connection.execute(query, (job.name,)).fetchone() is not None


def has_objects(store: Store, job: Job) -> bool:
    """Return whether the manifest has been read."""
    return (
        store.read().execute("SELECT 1 FROM labeling_objects WHERE job = ? LIMIT 1", (job.name,)).fetchone() is not None
    )
