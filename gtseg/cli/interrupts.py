"""SIGINT during and after a command.

It is recorded, because code may convert KeyboardInterrupt to another exception.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """SIGINT handler that records the signal in `received` and raises KeyboardInterrupt."""

    received = False

    def __call__(self, number: int, frame: Any) -> None:
        self.received = True
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Raise KeyboardInterrupt for Ctrl-C inside; afterwards, while the process is exiting, exit silently.

    A process that ignores SIGINT, such as one in the background, keeps ignoring it.
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
