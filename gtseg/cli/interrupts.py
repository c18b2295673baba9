"""Ctrl-C while a command runs, and after it: remembered, because what it interrupts may turn it into another exception."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupts", "interruptible"]


class Interrupts:
    """Whether Ctrl-C was pressed. As a handler it raises KeyboardInterrupt."""

    came = False

    def __call__(self, number: int, frame: Any) -> None:
        self.came = True
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Ctrl-C raises KeyboardInterrupt inside; afterwards, while the process only ends, it is silent.

    A process that ignores Ctrl-C, as one in the background does, goes on ignoring it.
    """
    interrupts = Interrupts()
    ignores = signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None)
    if ignores or threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = signal.signal(signal.SIGINT, interrupts)
    try:
        yield interrupts
    finally:
        is_command = before is not signal.default_int_handler
        signal.signal(signal.SIGINT, (lambda *_: os._exit(130)) if is_command else before)
