"""The automated part of a round: train, score, choose a threshold, label the objects above it.

A thread per job takes one step after the other. A step is complete when a transaction records it; before that,
everything that it writes has names and times fixed by an earlier transaction, so that after a kill at any time nothing
is trained, scored or labeled twice.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gtseg.local.clock import read_clock
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.labeling import output
from gtseg.local.labeling.automated.inference import Score, Scoring, measure_quality, read_values
from gtseg.local.labeling.automated.records import (
    MACHINE,
    VALIDATION,
    Round,
    advance,
    find_round,
    list_sample,
)
from gtseg.local.labeling.automated.threshold import TARGET, choose_threshold, risk_of_round
from gtseg.local.labeling.automated.training import (
    Failure,
    create_model,
    model_artifact,
    name_training,
    start_training,
)
from gtseg.local.labeling.counts import count_remaining
from gtseg.local.labeling.masks import encode_mask
from gtseg.local.labeling.records import DAMAGED, Job, find_job
from gtseg.local.labeling.wakeup import wake_engine
from gtseg.local.loop import Threads
from gtseg.local.storage.objects import StorageUnavailable, split_uri
from gtseg.local.training import TrainingJobs

POLL_SECONDS = 0.25
PAUSE_SECONDS = 5.0
"""Delay before a failed step is retried."""
GRACE_SECONDS = 2.0
LABEL_AT_ONCE = 50
TRIES = 3
"""Attempts to run a scoring process that ends without a reason."""
logger = logging.getLogger(__name__)


class Automation:
    """Threads of the jobs in the automated part of a round. Called from the engine's thread."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded, self.store, self.objects = embedded, embedded.store, embedded.objects
        self.stopping = threading.Event()
        self._threads = Threads("automated-labeling")
        self._failures: dict[str, str] = {}
        self._tries: dict[str, int] = {}

    def stop(self) -> None:
        self.stopping.set()
        self._threads.join()

    def is_busy(self, job: Job) -> bool:
        return job.name in self._threads.running()

    def advance(self, job: Job) -> None:
        """Continue a job's round in its thread. Raises Failure with the reason if the round failed."""
        if job.name in self._failures:
            raise Failure(self._failures.pop(job.name))
        if not self.is_busy(job):
            self._threads.start(job.name, partial(self._run, job.name))

    def delete_files(self, job: Job) -> None:
        """Delete the files of a job that has ended, and stop its training job if it is running."""
        current = find_round(self.store, job)
        if current is not None and current.step == "train":
            with contextlib.suppress(ServiceError):
                TrainingJobs(self.embedded).stop(name_training(job, current))
        shutil.rmtree(job.folder(self.store) / "automated", ignore_errors=True)

    def read_scores(self, job: Job, current: Round) -> dict[int, Score]:
        return self._scoring(job, current).read()

    def _scoring(self, job: Job, current: Round) -> Scoring:
        return Scoring(self.embedded, (job.folder(self.store) / "automated").resolve(), current.number)

    def _run(self, name: str) -> None:
        try:
            while not self.stopping.is_set():
                job = find_job(self.store, name)
                current = find_round(self.store, job)
                if job.status != "InProgress" or current is None or current.step in ("people", "done"):
                    return
                if not self._step(job, current):
                    self.stopping.wait(POLL_SECONDS)
        except Failure as failure:
            self._failures[name] = str(failure)
        except StorageUnavailable:  # the storage logs it; the step is retried
            self.stopping.wait(PAUSE_SECONDS)
        except ServiceError as error:
            if error.code != DAMAGED:
                self._failures[name] = f"ClientError: {error.message} ({error.code})"
            self.stopping.wait(PAUSE_SECONDS)
        except Exception:
            logger.exception("A step of automated labeling failed; it will be retried.")
            self.stopping.wait(PAUSE_SECONDS)
        finally:
            self._end_process(name)
            wake_engine(self.store)

    def _end_process(self, name: str) -> None:
        """End the scoring process when the server or the job stops."""
        with contextlib.suppress(ServiceError):
            job = find_job(self.store, name)
            current = find_round(self.store, job)
            if current is not None and (self.stopping.is_set() or job.status != "InProgress"):
                process = self._scoring(job, current).process
                if process.alive():
                    process.end(GRACE_SECONDS)

    def _step(self, job: Job, current: Round) -> bool:
        """Take the current step of the round; return whether it made progress, False to wait."""
        steps = {"train": self._train, "score": self._score, "choose": self._choose, "label": self._label}
        return steps[current.step](job, current)

    def _advance(self, job: Job, current: Round, step: str, **values: str | float | int | None) -> bool:
        with self.store.write() as connection:
            advance(connection, job, current, step=step, **values)
        return True

    # --- train ---

    def _train(self, job: Job, current: Round) -> bool:
        """Start the training job, wait for it, and create its model. Raises Failure."""
        jobs = TrainingJobs(self.embedded)
        record = jobs.records.find(name_training(job, current))
        if record is None:
            start_training(self.embedded, job, current)
            return False
        if record.status in ("InProgress", "Stopping"):
            return False
        if record.status != "Completed":
            reason = record.answer.get("FailureReason", f"its status is {record.status}")
            raise Failure(f"ClientError: The training job {record.name} did not complete: {reason}")
        model = create_model(self.embedded, job, current, artifact=model_artifact(record.answer))
        return self._advance(job, current, "score", model=model)

    # --- score ---

    def _score(self, job: Job, current: Round) -> bool:
        """Run the scoring process, and start it again if it ended without a reason. Raises Failure."""
        scoring = self._scoring(job, current)
        code = scoring.process.exit_code()
        if scoring.process.alive():
            return False
        if code == 0:
            return self._advance(job, current, "choose")
        if reason := scoring.find_failure():
            raise Failure(f"ClientError: The model could not be applied: {reason}")
        tries = self._tries[job.name] = self._tries.get(job.name, 0) + 1
        if tries > TRIES:
            raise Failure(
                f"InternalServerError: The process that applies the model ended {TRIES} times without a reason."
            )
        rows = self._list_scored(job)
        for row in rows:
            scoring.place_image(row["line"], row["uri"])
            if self.stopping.is_set() or find_job(self.store, job.name).status != "InProgress":
                self._tries.pop(job.name, None)
                return False
        answer = TrainingJobs(self.embedded).find(name_training(job, current)).answer
        scoring.prepare([row["line"] for row in rows], artifact=model_artifact(answer))
        scoring.launch()
        return False

    def _list_scored(self, job: Job) -> list[sqlite3.Row]:
        """Return the rows to score: the unlabeled objects, and what is left of the validation set."""
        query = "SELECT line, uri FROM labeling_objects WHERE job = ? AND state = 'waiting' ORDER BY line"
        waiting = self.store.read().execute(query, (job.name,)).fetchall()
        return [*waiting, *(row for row in list_sample(self.store, job, VALIDATION) if row["gone"] is None)]

    # --- choose ---

    def _choose(self, job: Job, current: Round) -> bool:
        """Choose the threshold.

        The probability of an error in any round is at most RISK, of which each round has a share.
        """
        self._tries.pop(job.name, None)
        scoring = self._scoring(job, current)
        scores = scoring.read()
        rows = [row for row in list_sample(self.store, job, VALIDATION) if row["gone"] is None]
        rows = [row for row in rows if row["line"] in scores]
        qualities = [self._measure(job, scoring, row) for row in rows]
        confidences = [scores[row["line"]].confidence for row in rows]
        risk = risk_of_round(current.number)
        found = choose_threshold(confidences, qualities, target=TARGET, risk=risk)
        document = {
            "target": TARGET,
            "risk": risk,
            "model": current.model,
            "threshold": None if found is None or math.isinf(found.confidence) else found.confidence,
            "expectedMeanIoU": found and found.mean,
            "lowerBound": found and found.bound,
            "validationObjectsAbove": found.objects if found else 0,
            "validation": [
                {"datasetObjectId": str(row["line"]), "confidence": confidence, "meanIoU": round(quality, 6)}
                for row, confidence, quality in zip(rows, confidences, qualities, strict=True)
            ],
        }
        self._put(job, f"activelearning/round-{current.number}/threshold.json", document)
        above = [
            row["line"]
            for row, confidence in zip(rows, confidences, strict=True)
            if found and confidence >= found.confidence
        ]
        with self.store.write() as connection:
            connection.executemany(
                "UPDATE labeling_samples SET gone = ? WHERE job = ? AND line = ?",
                [(current.number, job.name, line) for line in above],
            )
            advance(
                connection,
                job,
                current,
                step="label",
                threshold=None if found is None else max(found.confidence, -1.0),
                bound=found.bound if found else None,
                objects=found.objects if found else 0,
                stamp=read_clock(),
            )
        return True

    def _measure(self, job: Job, scoring: Scoring, row: sqlite3.Row) -> float:
        """Return the mean IoU of the model's mask with the consolidated mask of a validation object."""
        bucket, key = split_uri(json.loads(row["result"])[job.attribute])
        return measure_quality(scoring.mask(row["line"]), read_values(self.objects.get(bucket, key)))

    # --- label ---

    def _label(self, job: Job, current: Round) -> bool:
        """Write the masks of objects above the threshold in batches, as many as the job's stopping conditions allow."""
        scoring = self._scoring(job, current)
        scores = scoring.read()
        chosen = self._list_confident(job, current, scores)
        for start in range(0, len(chosen), LABEL_AT_ONCE):
            if self.stopping.is_set() or find_job(self.store, job.name).status != "InProgress":
                return False
            self._label_batch(job, current, scoring, scores, chosen[start : start + LABEL_AT_ONCE])
        lines = [
            {"datasetObjectId": str(line), "confidence": score.confidence} for line, score in sorted(scores.items())
        ]
        self._put(job, f"inference/round-{current.number}/scores.json", lines)
        return self._advance(job, current, "done")

    def _list_confident(self, job: Job, current: Round, scores: Mapping[int, Score]) -> list[int]:
        """Return the lines to label now, most confident first."""
        threshold = current.threshold
        if threshold is None:
            return []
        remaining = count_remaining(self.store, job).objects
        query = "SELECT line FROM labeling_objects WHERE job = ? AND state = 'waiting'"
        waiting = [row["line"] for row in self.store.read().execute(query, (job.name,))]
        known = [line for line in waiting if line in scores and scores[line].is_supported]
        above = [line for line in known if scores[line].confidence >= threshold]
        return sorted(above, key=lambda line: (-scores[line].confidence, line))[:remaining]

    def _label_batch(
        self,
        job: Job,
        current: Round,
        scoring: Scoring,
        scores: Mapping[int, Score],
        lines: Sequence[int],
    ) -> None:
        bucket, prefix = job.output
        done = []
        for line in lines:
            mask = scoring.mask(line)
            stamp = round((current.stamp or 0.0) + line / 1e6, 6)
            key = prefix + output.mask_key(line, stamp)
            png = encode_mask(mask, len(job.labels))
            self.objects.put(bucket, key, png, content_type="image/png", kms_key=job.kms_key)
            metadata = output.machine_metadata(job, scores[line].confidence, scores[line].classes, stamp)
            result = {job.attribute: f"s3://{bucket}/{key}", f"{job.attribute}-metadata": metadata}
            height, width = mask.shape
            done.append((line, stamp, width, height, json.dumps(result, separators=(",", ":"))))
        with self.store.write() as connection:
            for line, stamp, width, height, result_text in done:
                mark_labeled(connection, job, current, line, values=(stamp, width, height, result_text))
            connection.execute("UPDATE labeling_jobs SET modified = ? WHERE name = ?", (read_clock(), job.name))

    def _put(self, job: Job, key: str, document: Any) -> None:
        output.put_json(self.objects, job, key, document)


def mark_labeled(
    connection: sqlite3.Connection,
    job: Job,
    current: Round,
    line: int,
    *,
    values: tuple[float, int, int, str],
) -> None:
    """Mark a waiting object labeled by the model."""
    changed = connection.execute(
        "UPDATE labeling_objects SET state = 'labeled', iteration = ?, stamp = ?, width = ?, height = ?, result = ? "
        "WHERE job = ? AND line = ? AND state = 'waiting'",
        (job.iteration, *values, job.name, line),
    )
    if changed.rowcount:
        connection.execute(
            "INSERT OR REPLACE INTO labeling_samples (job, line, round, part) VALUES (?, ?, ?, ?)",
            (job.name, line, current.number, MACHINE),
        )
