"""Execution of a training job from the queue to its end; a killed server resumes it at any step.

`work.stage` is the job's progress: queued -> downloading -> running -> uploading. After a kill a step is repeated,
except `running`: a process that still runs is followed further; otherwise the algorithm is restarted from
`checkpoints/`. Statuses and their messages are those of SageMaker.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.jobs.channels import DownloadError, materialize_channel
from gtseg.local.jobs.processes import Process
from gtseg.local.jobs.reasons import failure_reason
from gtseg.local.jobs.records import now
from gtseg.local.logs import LogEvents
from gtseg.local.storage.objects import StorageUnavailable, split_uri
from gtseg.local.storage.outages import Interrupted
from gtseg.local.training.artifacts import Checkpoints, upload_model
from gtseg.local.training.configuration import write_configuration
from gtseg.local.training.jobs import TrainingJobs
from gtseg.local.training.metrics import read_metrics, record_metrics
from gtseg.local.training.requests import enter
from gtseg.local.training.work import TrainingRecord

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
POLL_SECONDS = 0.25
SYNC_SECONDS = 10.0
GRACE_SECONDS = 120.0
"""AWS kills a container two minutes after SIGTERM."""
SHUTDOWN_SECONDS = 15.0
LINE_BYTES = 262_144
"""Maximum size of a CloudWatch event."""
logger = logging.getLogger(__name__)


class Shutdown(Exception):
    """The server stops; the job keeps its stage."""


class JobFailure(Exception):
    """The job fails with this reason."""


class Execution:
    """Execution of one job in its own thread. `shutdown` is set when the server stops."""

    def __init__(self, jobs: TrainingJobs, name: str, *, shutdown: threading.Event) -> None:
        self.jobs, self.name, self.shutdown = jobs, name, shutdown
        self.embedded = jobs.embedded
        self.folder = jobs.embedded.store.folder.resolve() / "training" / name
        self.root = self.folder / "ml"
        self.process = Process(self.folder / "process")
        self.logs = LogEvents(jobs.embedded.store)
        self._stopped_at: float | None = None
        """Monotonic time at which SIGTERM was sent."""

    def run(self) -> None:
        try:
            self._run()
        except (Shutdown, Interrupted):
            self._pause()

    def _run(self) -> None:
        try:
            self._resume()
        except (Shutdown, Interrupted):
            raise
        except (DownloadError, JobFailure) as error:
            self._fail(str(error))
        except Exception:
            logger.exception("training job %s failed", self.name)
            self.process.end(1)
            self._fail("InternalServerError: We encountered an internal error. Please try again.")

    def _resume(self) -> None:
        record = self._read()
        stage = record.work.stage
        if stage in ("queued", "downloading") and not self._must_stop(record):
            self._download(record)
            stage = "running"
        if stage == "running":
            self._train()
        self._upload()

    # --- download ---

    def _download(self, record: TrainingRecord) -> None:
        """Write the channels and the configuration."""
        self._check_output(record)
        self._enter("Starting", "Preparing the instances for training")
        self._enter("Downloading", "Downloading input data", stage="downloading")
        shutil.rmtree(self.folder, ignore_errors=True)  # may hold files of a deleted job of this name
        for channel in record.answer.get("InputDataConfig", []):
            self._check_input_mode(channel, record)
            materialize_channel(
                self.embedded.background_objects,
                channel,
                self.root / "input" / "data",
                region=self.embedded.store.region,
                role=record.answer["RoleArn"],
            )
            if self.shutdown.is_set():
                raise Shutdown
            if self._must_stop(self._read()):
                return
        write_configuration(self.root, record.answer)
        Checkpoints(self.embedded.background_objects, record.answer, self.root / "checkpoints").download()
        self._enter("Training", "Training image download completed. Training in progress.", stage="running")

    def _check_output(self, record: TrainingRecord) -> None:
        uris = [record.answer["OutputDataConfig"]["S3OutputPath"]]
        uris += [record.answer["CheckpointConfig"]["S3Uri"]] if "CheckpointConfig" in record.answer else []
        for uri in uris:
            bucket, _ = split_uri(uri)
            if not self.embedded.background_objects.bucket_exists(bucket):
                raise JobFailure(f"ClientError: The S3 bucket {bucket} of {uri} does not exist.")

    def _check_input_mode(self, channel: dict[str, Any], record: TrainingRecord) -> None:
        mode = channel.get("InputMode", record.answer["AlgorithmSpecification"]["TrainingInputMode"])
        kind = channel["DataSource"]["S3DataSource"]["S3DataType"]
        if mode == "Pipe" and kind != "AugmentedManifestFile":
            raise JobFailure(
                f"ClientError: Channel {channel['ChannelName']} has the input mode Pipe with S3DataType {kind}:"
                " semantic segmentation reads images in File mode, and in Pipe mode only an AugmentedManifestFile."
            )

    # --- training ---

    def _train(self) -> None:
        """Start the process unless it runs or has ended, and follow it to its end."""
        record = self._read()
        interrupted = record.work.interrupted
        if interrupted:  # an earlier server sent SIGTERM, and may have stopped first
            self.process.wait(GRACE_SECONDS)
        over = self.process.exit_code() is not None and not interrupted
        if not self.process.alive() and not over and not self._must_stop(record):
            self._launch(record)
        checkpoints = Checkpoints(self.embedded.objects, record.answer, self.root / "checkpoints")
        synced = time.monotonic()
        while self._follow():
            if self.shutdown.wait(POLL_SECONDS):
                raise Shutdown
            if time.monotonic() - synced > SYNC_SECONDS:
                with contextlib.suppress(StorageUnavailable):  # retried next time, or at the end
                    checkpoints.upload()
                synced = time.monotonic()

    def _launch(self, record: TrainingRecord) -> None:
        """Start the algorithm; the time that earlier processes used counts towards the time limit."""
        command = [sys.executable, "-m", "gtseg.local.algorithm", "train", "--root", str(self.root)]
        seconds = self.embedded.options.train_seconds
        if seconds is not None:
            command += ["--seconds", f"{seconds:g}"]
        with self.jobs.records.change(self.name) as changed:
            assert changed is not None
            work = changed.work
            work.ran = self._seconds(changed)
            work.launched = time.time()
            work.interrupted = False
            work.stream = work.stream or f"{self.name}/algo-1-{int(time.time())}"
            changed.answer.setdefault("TrainingStartTime", now())
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **record.answer.get("Environment", {})}
        self.process.launch(command, environment=environment)

    def _follow(self) -> bool:
        """Process new output, stop requests and the time limit once; return False when the process has ended."""
        alive = self.process.alive()
        self._read_output(final=not alive)
        if not alive:
            return False
        record = self._read()
        limit = record.answer["StoppingCondition"]["MaxRuntimeInSeconds"]
        if record.status == "InProgress" and self._seconds(record) > limit:
            self._stop_at_limit()
        elif record.status == "Stopping":
            self._end_process()
        return True

    def _stop_at_limit(self) -> None:
        with self.jobs.records.change(self.name) as record:
            if record is not None and record.status == "InProgress":
                record.work.stop = "runtime"
                enter(record, "Stopping", "Stopping the training job", status="Stopping")

    def _end_process(self) -> None:
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self.process.send(signal.SIGTERM)
        elif time.monotonic() - self._stopped_at > GRACE_SECONDS:
            self.process.send(signal.SIGKILL)

    def _seconds(self, record: TrainingRecord) -> float:
        """Return the seconds that the job has trained; a killed process's end is the last change of its output."""
        launched = record.work.launched
        if launched is None:
            return 0.0
        ends = [_last_change(self.process.output), _last_change(self.process.folder / "exit")]
        end = time.time() if self.process.alive() else max(ends)
        return record.work.ran + max(0.0, end - launched)

    def _read_output(self, *, final: bool) -> None:
        """Move new complete lines to CloudWatch and the metrics, in one transaction with the file position."""
        if not self.process.output.exists():
            return
        offset = self._read().work.offset
        with self.process.output.open("rb") as file:
            file.seek(offset)
            chunk = file.read()
        size = len(chunk) if final else chunk.rfind(b"\n") + 1
        if not size:
            return
        text = chunk[:size].replace(os.fsencode(self.root), b"/opt/ml")  # the container's path on AWS
        lines = [line[:LINE_BYTES].decode(errors="replace") for line in text.splitlines() if line.strip()]
        with self.jobs.records.change(self.name) as record:
            assert record is not None
            record.work.offset = offset + size
            record_metrics(record, read_metrics(lines), now())
            if lines:
                self.logs.write(LOG_GROUP, record.work.stream, lines)

    # --- end ---

    def _upload(self) -> None:
        record = self._read()
        if not self._must_stop(record):
            self._raise_failure()
        if record.work.launched is not None:
            self._send_results(record)
        endings = {
            None: ("Completed", "Completed", "Training job completed"),
            "requested": ("Stopped", "Stopped", "Training job stopped"),
            "runtime": (
                "Stopped",
                "MaxRuntimeExceeded",
                "Training job runtime exceeded MaxRuntimeInSeconds provided",
            ),
        }
        status, secondary, message = endings[record.work.stop]
        self._finish(status, secondary, message)

    def _send_results(self, record: TrainingRecord) -> None:
        self._enter("Uploading", "Uploading generated training model", stage="uploading")
        try:
            Checkpoints(self.embedded.background_objects, record.answer, self.root / "checkpoints").upload()
            upload_model(self.embedded.background_objects, record.answer, self.root / "model")
        except ServiceError as error:
            raise JobFailure(f"ClientError: Data upload failed: {error.message}") from None

    def _raise_failure(self) -> None:
        """Raise JobFailure with the container's own reason if its exit code is not 0."""
        code = self.process.exit_code()
        if code == 0:
            return
        failure = self.root / "output" / "failure"
        text = failure.read_text(errors="replace").strip() if failure.exists() else ""
        if not text.startswith(("ClientError:", "AlgorithmError:", "InternalServerError:")):
            text = f"AlgorithmError: {text or 'Please see job logs for more information'}"
        raise JobFailure(f"{text[:1000]}, exit code: {code}")

    def _fail(self, reason: str) -> None:
        record = self._read()
        Checkpoints(self.embedded.background_objects, record.answer, self.root / "checkpoints").upload(missing_ok=True)
        self._finish("Failed", "Failed", "Training job failed", reason=reason)

    def _finish(self, status: str, secondary: str, message: str, *, reason: str | None = None) -> None:
        with self.jobs.records.change(self.name) as record:
            assert record is not None
            record.work.stage = "ended"
            record.answer["TrainingEndTime"] = now()
            if record.work.launched is not None:
                seconds = max(1, round(self._seconds(record)))
                record.answer |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
            if reason is not None:
                record.answer["FailureReason"] = failure_reason(reason, self.embedded.store.folder)
            enter(record, secondary, message, status=status)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pause(self) -> None:
        """Stop the process, which saves a checkpoint; the next server restarts it from there."""
        if not self.process.alive():
            return
        with self.jobs.records.change(self.name) as record:
            if record is not None:
                record.work.interrupted = True
        self.process.send(signal.SIGTERM)
        self.process.wait(SHUTDOWN_SECONDS)
        self._read_output(final=False)

    # --- record ---

    def _read(self) -> TrainingRecord:
        record = self.jobs.records.find(self.name)
        if record is None:
            raise RuntimeError(f"the record of training job {self.name} does not exist")
        return record

    def _must_stop(self, record: TrainingRecord) -> bool:
        return record.status == "Stopping"

    def _enter(self, secondary: str, message: str, *, stage: str | None = None) -> None:
        """Change the secondary status, unless the job is being stopped: that status remains until its end."""
        with self.jobs.records.change(self.name) as record:
            assert record is not None
            if stage is not None:
                record.work.stage = stage
            if record.status == "InProgress" or secondary == "Uploading":
                enter(record, secondary, message)


def _last_change(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
