"""The job queue: limit, order, interrupted jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from gtseg.local.jobs.queue import JobQueue, QueuedWork
from gtseg.local.jobs.records import Record, Records, now
from gtseg.local.storage.store import Store


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records[QueuedWork]]:
    store = Store(tmp_path / "aws")
    yield Records(store, "some-job", QueuedWork)
    store.close()


def add(records: Records[QueuedWork], name: str, *, stage: str = "queued", status: str = "InProgress") -> None:
    records.add(Record(name, status, {"CreationTime": now()}, QueuedWork(stage)))


class Work:
    """A runner that records running jobs, and ends a job when released."""

    def __init__(self, records: Records[QueuedWork]) -> None:
        self.records = records
        self.started: list[str] = []
        self.running: set[str] = set()
        self.most = 0
        self.release: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, shutdown: threading.Event) -> None:
        with self._lock:
            self.started.append(name)
            self.running.add(name)
            self.most = max(self.most, len(self.running))
            event = self.release.setdefault(name, threading.Event())
        while not event.wait(0.01):
            if shutdown.is_set():
                return
        with self.records.change(name) as record:
            assert record is not None
            record.status = "Completed"
        with self._lock:
            self.running.discard(name)


@pytest.fixture
def start(records: Records[QueuedWork]) -> Iterator[Any]:
    queues: list[JobQueue[QueuedWork]] = []

    def launch(work: Any, **settings: Any) -> None:
        queues.append(JobQueue(records, work, **settings))
        queues[-1].start()

    yield launch
    for queue in queues:
        queue.stop()


def test_the_number_of_running_jobs_is_limited_and_the_oldest_run_first(
    records: Records[QueuedWork], start: Any
) -> None:
    for number in range(5):
        add(records, f"job-{number}")
    work, held = Work(records), set()
    start(work, places=2, hold=held.add)
    wait_for(lambda: len(work.running) == 2 and held == {"job-2", "job-3", "job-4"})
    for number in range(5):
        wait_for(lambda name=f"job-{number}": name in work.running)
        work.release[f"job-{number}"].set()
    wait_for(lambda: len(records.list_by_status("Completed")) == 5)
    assert work.started[:2] == ["job-0", "job-1"]
    assert sorted(work.started) == [f"job-{number}" for number in range(5)]
    assert work.most == 2


def test_an_interrupted_job_continues_before_older_queued_ones(records: Records[QueuedWork], start: Any) -> None:
    add(records, "waits")
    add(records, "began", stage="running")
    work = Work(records)
    start(work, places=1)
    wait_for(lambda: work.started)
    assert work.started == ["began"]


def test_a_queued_job_is_stopped_without_running(records: Records[QueuedWork], start: Any) -> None:
    add(records, "runs", stage="running")
    add(records, "stopped", status="Stopping")
    work = Work(records)
    start(work, places=1)
    wait_for(lambda: sorted(work.started) == ["runs", "stopped"])
