"""The server's clock, which does not jump with the machine's clock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polling import wait_for

from gtseg.local.clock import ClockKeeper, Place, SteadyClock
from gtseg.local.storage.store import Store


class Machine:
    """A wall clock that can be set, and a monotonic counter."""

    def __init__(self) -> None:
        self.wall, self.counter = 1_000_000.0, 500.0

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.counter += seconds

    def make_clock(self, boot: str = "a") -> SteadyClock:
        return SteadyClock(wall=lambda: self.wall, counter=lambda: self.counter, boot=boot)


def test_a_jump_of_the_wall_clock_is_corrected_at_a_twentieth_of_elapsed_time() -> None:
    machine = Machine()
    clock = machine.make_clock()
    machine.wall += 30
    assert clock.read() == 1_000_000
    machine.pass_time(100)
    assert clock.read() == pytest.approx(1_000_105)
    machine.pass_time(1000)
    assert clock.read() == pytest.approx(machine.wall)


def test_a_jump_of_days_is_followed_at_once() -> None:
    machine = Machine()
    clock = machine.make_clock()
    machine.wall += 2 * 86_400
    assert clock.read() == machine.wall


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-80_000, 80_000)), max_size=20))
def test_the_clock_never_goes_back_and_runs_at_most_5_percent_fast(moves: list[tuple[float, float]]) -> None:
    machine = Machine()
    clock = machine.make_clock()
    for passed, jump in moves:
        before = clock.read()
        machine.pass_time(passed)
        machine.wall = max(990_000.0, min(1_010_000.0, machine.wall + jump))
        assert 0.949 * passed - 1e-6 <= clock.read() - before <= 1.051 * passed + 1e-6


def test_a_restarted_server_continues_the_same_time(tmp_path: Path) -> None:
    machine, store = Machine(), Store(tmp_path)
    clock = machine.make_clock()
    machine.wall += 600
    ClockKeeper(store, clock).keep()
    machine.pass_time(10)
    again, other = machine.make_clock(), machine.make_clock(boot="b")
    ClockKeeper(store, again)
    ClockKeeper(store, other)
    assert again.read() == pytest.approx(clock.read(), abs=1)
    assert other.read() == machine.wall  # another boot counts from another moment
    store.close()


def test_the_saved_place_of_another_machine_is_ignored() -> None:
    clock = Machine().make_clock(boot="")
    clock.resume_from(Place("", 5.0))
    assert clock.read() == 1_000_000


SHIFTED = """
import os, time
_time = time.time
def _shifted():
    try:
        return _time() + float(open(os.environ["SHIFT"]).read() or 0)
    except (OSError, ValueError):
        return _time()
time.time = _shifted
time.time_ns = lambda: int(_shifted() * 1e9)
"""


def test_a_jump_of_the_wall_clock_ends_no_lease_and_fails_no_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labeling_fixture import Labeling, draw_answer, square
    from local_aws import LocalAWS

    (tmp_path / "sitecustomize.py").write_text(SHIFTED)
    monkeypatch.setenv("SHIFT", str(tmp_path / "shift"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    aws = LocalAWS(tmp_path / "aws")
    try:
        labeling = Labeling(aws)
        job = labeling.create(2, TaskTimeLimitInSeconds=60, TaskAvailabilityLifetimeInSeconds=120)
        worker = labeling.hire()
        task: Any = labeling.lease(worker, job)
        (tmp_path / "shift").write_text("600")
        for _ in range(2):  # a job begins in a step of the engine, which first ends what is due
            other = labeling.create(1)
            wait_for(lambda other=other: labeling.describe(other)["LabelingJobStatus"] == "InProgress")
        assert worker("GET", f"/tasks/{task['task']}")[1]["state"] == "leased"
        aws.kill9()
        aws.start()
        labeling.connect()
        worker.url = aws.url
        (tmp_path / "shift").write_text("-600")
        assert labeling.lease(worker, job)["task"] == task["task"]
        answer = {"answer": draw_answer(square(), task["labels"])}
        assert worker("POST", f"/tasks/{task['task']}/answer", answer)[0] == 200
        labeling.label_all(worker, job)
        counters = labeling.await_end(job)["LabelCounters"]
        assert (counters["TotalLabeled"], counters["FailedNonRetryableError"]) == (2, 0)
    finally:
        aws.stop()
