"""CloudWatch Logs of a training job: each line once, in order, as it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gtseg.aws.clients import Clients
from gtseg.aws.failures import translate
from gtseg.aws.waiting import persist
from gtseg.errors import AWSError

TRAINING_JOBS = "/aws/sagemaker/TrainingJobs"

PATIENCE = 20.0
"""Seconds for which a throttled request is retried within one read; the next read starts anew."""


class LogTail:
    """Log lines of `<job>/algo-1-...`; each call of `read` returns the lines since the previous call."""

    def __init__(self, clients: Clients, job: str, *, group: str = TRAINING_JOBS) -> None:
        self._clients, self._group, self._prefix = clients, group, f"{job}/"
        self._tokens: dict[str, str | None] = {}
        self.refusal: AWSError | None = None
        """Why the log cannot be read: denied, or throttled for longer than PATIENCE. The job does not depend on it."""

    def read(self) -> list[str]:
        """Return new lines; [] if there are none, the job has not written yet, or reading is denied."""
        if self.refusal is not None and self.refusal.exit_code == 4:
            return []
        try:
            for stream in self._streams():
                self._tokens.setdefault(stream, None)
            return [line for stream in sorted(self._tokens) for line in self._read_stream(stream)]
        except AWSError as error:
            if error.exit_code != 3:
                self.refusal = error
            return []

    def _streams(self) -> Iterator[str]:
        token: dict[str, Any] = {}
        while True:
            answer = self._call(
                "describe_log_streams", logGroupName=self._group, logStreamNamePrefix=self._prefix, **token
            )
            yield from (stream["logStreamName"] for stream in answer.get("logStreams", []))
            if not (following := answer.get("nextToken")):
                return
            token = {"nextToken": following}

    def _read_stream(self, stream: str) -> Iterator[str]:
        while True:
            last = self._tokens[stream]
            page = {"nextToken": last} if last else {}
            answer = self._call(
                "get_log_events", logGroupName=self._group, logStreamName=stream, startFromHead=True, **page
            )
            yield from (event["message"].rstrip("\n") for event in answer.get("events", []))
            self._tokens[stream] = answer.get("nextForwardToken")
            if self._tokens[stream] == last or not answer.get("events"):
                return

    def _call(self, method: str, **request: Any) -> Any:
        def call() -> Any:
            with translate(f"{method} {request['logGroupName']}"):
                return getattr(self._clients.logs, method)(**request)

        return persist(call, seconds=PATIENCE)
