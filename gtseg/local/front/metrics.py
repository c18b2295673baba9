"""`GET /metrics` for Prometheus, with the owner's token: authorization: {credentials_file: FILE} in a scrape
configuration.

Values are read from the data folder on each request, so that they are correct after a restart; none names a job, a
person or an object. A path-style S3 client may have a bucket named metrics: without a bearer token, /metrics is that
bucket.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.records import count_backlog
from gtseg.local.storage.layout import installed_version

PATHS = ("/metrics", "/_gtseg/metrics")
STEPS = ("tasks", "image", "page", "answer", "decline", "release", "autosegment", "draft")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
COUNTS = {
    "labeling_jobs": (
        "Number of labeling jobs.",
        "SELECT status, count(*) FROM labeling_jobs GROUP BY status",
        "status",
    ),
    "labeling_objects": (
        "Number of data objects of unfinished labeling jobs.",
        "SELECT o.state, count(*) FROM labeling_jobs j JOIN labeling_objects o ON o.job = j.name "
        "WHERE j.status IN ('Initializing', 'InProgress', 'Stopping') GROUP BY o.state",
        "state",
    ),
    "labeling_tasks": (
        "Number of tasks assigned to workers, except gold images.",
        "SELECT state, count(*) FROM labeling_tasks WHERE job NOT LIKE '%/gold' GROUP BY state",
        "state",
    ),
    "labeling_workers": (
        "Number of workers.",
        "SELECT state, count(*) FROM labeling_workers GROUP BY state",
        "state",
    ),
}


def is_metrics(path: str, headers: Mapping[str, str], *, has_s3: bool) -> bool:
    """Return whether a request is for the metrics, not for the bucket of that name."""
    bearer = headers.get("authorization", "").lower().startswith("bearer ")
    return path == PATHS[1] or (path == PATHS[0] and (bearer or not has_s3))


class Metrics:
    """The metrics of a server. `observe` is called for every request to the portal."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "gtseg_portal_seconds",
            "Time to the last byte of a portal response in seconds.",
            ["step"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def observe(self, path: str, seconds: float) -> None:
        last = path.rsplit("/", 1)[-1]
        self.seconds.labels(last if last in STEPS else "other").observe(seconds)

    def answer(self, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Return (status, headers, body). Raises ServiceError 401 without the owner's token."""
        token = headers.get("authorization", "").partition(" ")[2].strip()
        owner_token = self.embedded.store.credentials.owner_token
        if not hmac.compare_digest(token.encode("utf-8", "surrogateescape"), owner_token.encode()):
            raise ServiceError("Unauthorized", "Metrics require the owner's token (Authorization: Bearer TOKEN).", 401)
        return 200, {"content-type": CONTENT_TYPE_LATEST}, generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics of the data folder and the storage."""
        embedded = self.embedded
        state = embedded.objects.state()
        info = GaugeMetricFamily("gtseg_info", "Constant 1.", labels=["version", "storage", "only"])
        info.add_metric([installed_version(), state.kind, embedded.options.only], 1)
        yield info
        yield GaugeMetricFamily("gtseg_storage_up", "1 while the storage is available.", value=float(not state.reason))
        yield GaugeMetricFamily(
            "gtseg_backlog_objects",
            "Number of labeled data objects not yet written to the storage.",
            value=count_backlog(embedded.store),
        )
        for name, (text, query, label) in COUNTS.items():
            family = GaugeMetricFamily(f"gtseg_{name}", text, labels=[label])
            for value, number in embedded.store.read().execute(query):
                family.add_metric([value], number)
            yield family
        for name, figure in embedded.background_objects.figures().items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield kind(f"gtseg_storage_{name}", name.replace("_", " ").capitalize() + ".", value=figure)
