"""Bounded waiting for another process; the only module of the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], *, seconds: float = 60, every: float = 0.02) -> T:
    """Return the first true value of `condition()`.

    Fails after `seconds`; this is a bound and not a claim about speed.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {seconds} s")
        time.sleep(every)
    return value


def pause(seconds: float) -> None:
    """Sleep for a shorter time; the `sleep` of code that polls a real server."""
    time.sleep(min(seconds, 0.05))
