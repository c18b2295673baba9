"""Waiting for another process: the one place in the tests that sleeps, and never longer than a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], *, seconds: float = 60, every: float = 0.02) -> T:
    """Return the first true value of `condition()`.

    Fails after `seconds`: a bound for a condition that never becomes true, not a claim about speed.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {seconds} s")
        time.sleep(every)
    return value


def pause(seconds: float) -> None:
    """The `sleep` of code that polls a real server, shortened."""
    time.sleep(min(seconds, 0.05))
