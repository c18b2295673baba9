"""SIGTERM: the host wants the job to save and leave. Installed before torch is imported: that alone takes seconds."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gtseg.local.algorithm.errors import Stopped


@dataclass
class Interrupt:
    """SIGTERM raises Stopped at once, except within `held()`: there it waits for the end of the block."""

    holding: int = 0
    pending: bool = False

    def receive(self, *_: Any) -> None:
        self.pending = True
        if not self.holding:
            raise Stopped

    @contextmanager
    def held(self) -> Iterator[None]:
        self.holding += 1
        try:
            yield
        finally:
            self.holding -= 1
        if self.pending and not self.holding:
            raise Stopped

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """While the job saves itself after a first SIGTERM, a second one changes nothing."""
        self.holding += 1
        try:
            yield
        finally:
            self.holding -= 1


@contextmanager
def catch_sigterm() -> Iterator[Interrupt]:
    interrupt = Interrupt()
    before = signal.signal(signal.SIGTERM, interrupt.receive)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGTERM, before)
