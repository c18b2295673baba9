"""Training metrics for CloudWatch: every data point that a training job logged, under AWS's metric names.

moto implements CloudWatch and has no persistent state: data points are read from the stored logs, and new ones are put
before each request. Namespace `/aws/sagemaker/TrainingJobs`, dimension TrainingJobName.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import urlencode

from gtseg.local.embedded import Embedded
from gtseg.local.logs import LogEvents
from gtseg.local.training.metrics import read_metrics

NAMESPACE = "/aws/sagemaker/TrainingJobs"
"""Also the name of the log group."""
BATCH = 500
Datum = tuple[str, str, float, datetime]
"""(job, metric, value, time)."""


class TrainingMetrics:
    """Training metrics that this server process has not yet sent to CloudWatch."""

    def __init__(self, embedded: Embedded) -> None:
        self._events = LogEvents(embedded.store)
        self._last_event = 0
        """ID of the last log event that was read."""
        self._lock = threading.Lock()

    def take_new(self) -> list[bytes]:
        """Return PutMetricData requests (query protocol) for the data points logged since the last call."""
        with self._lock:
            return [_render(batch) for batch in batched(self._read(), BATCH)]

    def _read(self) -> Iterator[Datum]:
        for event in self._events.arrived(NAMESPACE, after=self._last_event):
            self._last_event = event.id
            moment = datetime.fromtimestamp(event.time / 1000, UTC)
            for metric, value in read_metrics([event.message]):
                yield event.stream.partition("/")[0], metric, value, moment


def batched(items: Iterator[Datum], size: int) -> Iterator[list[Datum]]:
    while batch := list(islice(items, size)):
        yield batch


def _render(batch: list[Datum]) -> bytes:
    form = {"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": NAMESPACE}
    for number, (job, metric, value, moment) in enumerate(batch, 1):
        member = f"MetricData.member.{number}"
        form |= {
            f"{member}.MetricName": metric,
            f"{member}.Value": repr(value),
            f"{member}.Unit": "None",
            f"{member}.Timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            f"{member}.Dimensions.member.1.Name": "TrainingJobName",
            f"{member}.Dimensions.member.1.Value": job,
        }
    return urlencode(form).encode()
