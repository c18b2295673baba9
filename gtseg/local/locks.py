"""Locks on files (flock): the kernel lets go of them however a process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["is_locked"]


def is_locked(path: Path) -> bool:
    """Whether a process holds the file's lock for itself alone; False where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe is not waited for
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
