"""Wakeup of the engine, one event per data folder, set when a change may make a step of a job due."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path

from gtseg.local.storage.store import Store

_EVENTS: defaultdict[Path, threading.Event] = defaultdict(threading.Event)


def wake_engine(store: Store) -> None:
    """Wake the engine of the data folder."""
    _EVENTS[store.folder].set()


def wait_for_wakeup(store: Store, seconds: float) -> None:
    """Wait until the engine is woken or `seconds` have passed."""
    _EVENTS[store.folder].wait(seconds)
    _EVENTS[store.folder].clear()
