"""Loops and threads of background work: repetition, failures, stopping."""

from __future__ import annotations

import inspect
import threading

import pytest

from gtseg.local import loop
from gtseg.local.loop import Loop, Threads


def test_a_busy_step_is_repeated_at_once_and_an_idle_one_after_a_wait() -> None:
    waits: list[float] = []
    enough = threading.Event()
    steps = iter([True, True, False, True])

    def step() -> bool:
        return next(steps, None) or (enough.set() or False)

    looped = Loop("test", step, seconds=7.0, wait=lambda seconds: waits.append(seconds) or enough.wait(0.01))
    looped.start()
    assert enough.wait(10)
    looped.stop()
    assert waits[:1] == [7.0]
    assert next(steps, "all taken") == "all taken"


def test_a_failed_step_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FAILURE_SECONDS", 0.0)
    done = threading.Event()
    outcomes = iter([ZeroDivisionError, ZeroDivisionError])

    def step() -> None:
        failure = next(outcomes, None)
        if failure is not None:
            raise failure
        done.set()

    looped = Loop("test", step, seconds=0.0)
    looped.start()
    assert done.wait(10)
    looped.stop()


def test_a_waiting_loop_is_woken_to_stop() -> None:
    bell = threading.Event()
    looped = Loop("test", lambda: False, seconds=600.0, wait=bell.wait, wake=bell.set)
    looped.start()
    looped.stop()
    assert bell.is_set()


def test_running_threads_are_listed_by_name() -> None:
    threads, end = Threads("test"), threading.Event()
    threads.start("one", end.wait)  # type: ignore[arg-type]
    assert threads.running() == {"one"}
    end.set()
    threads.join()
    assert threads.running() == set()


def test_a_hanging_thread_does_not_keep_the_process_alive() -> None:
    threads, end = Threads("test"), threading.Event()
    threads.start("hangs", end.wait)  # type: ignore[arg-type]
    threads.join(patience=0.0)
    assert threads.running() == {"hangs"}
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "test-hangs")
    end.set()


def test_a_hanging_step_does_not_block_stopping(caplog: pytest.LogCaptureFixture) -> None:
    begun, end = threading.Event(), threading.Event()
    looped = Loop("hanging", lambda: begun.set() or end.wait(60), seconds=0.0)  # type: ignore[func-returns-value]
    looped.start()
    assert begun.wait(10)
    looped.stop(0.01)
    assert "a step of hanging is still running" in caplog.text
    assert inspect.signature(Loop.stop).parameters["patience"].default < 60
    end.set()
