"""A bell per data folder: whoever changes something that a job waits for rings it, the engine listens."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path

from gtseg.local.storage.store import Store

__all__ = ["listen", "ring"]

_BELLS: defaultdict[Path, threading.Event] = defaultdict(threading.Event)


def ring(store: Store) -> None:
    _BELLS[store.folder].set()


def listen(store: Store, seconds: float) -> None:
    """Wait until somebody rings or the time is over."""
    _BELLS[store.folder].wait(seconds)
    _BELLS[store.folder].clear()
