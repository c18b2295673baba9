"""What every service of the embedded AWS is given, and the options of one server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gtseg.local.storage.objects import Objects
from gtseg.local.storage.store import Store

__all__ = ["Component", "Embedded", "Options"]


@dataclass(frozen=True)
class Options:
    """How one server behaves; nothing here is kept in the data folder."""

    train_seconds: float | None = (
        None  # wall-clock budget of a training job; None: as its hyperparameters say
    )
    crowd_masks: Path | None = None  # folder of index masks: simulated workers label every job that starts
    crowd_workers: int = 3
    crowd_error: float = 0.05
    crowd_seed: int = 0
    crowd_label_values: str = ""  # the mask values of a job's labels in their order, like 0-10; "": 1, 2, ...
    crowd_void: int | None = (
        None  # the mask value that is void; None: 255, but not where there is only 0 beside it
    )
    crowd_drop_void: bool = False  # void becomes background where a job has no label for it
    faults: Path | None = None  # faults.py's settings file; None: no fault ever, and the header is ignored
    head_seconds: float = 30.0  # a client may take to send a request's head, before it is hung up on
    idle_seconds: float = (
        60.0  # a client may be silent in the middle of a body, before it is told RequestTimeout
    )
    max_jobs: int = 1  # training jobs that run at once
    names: tuple[str, ...] = ()  # host names that the server answers for, beside its addresses
    trusted_proxies: tuple[str, ...] = ()  # addresses or networks whose X-Forwarded-For and -Proto count


class Component(Protocol):
    """A service's background work: it lives between `start` and `stop`; `stop` returns within seconds."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Embedded:
    """One running embedded AWS: its store, its S3, its options and the URL that clients use."""

    store: Store
    objects: Objects
    options: Options = field(default_factory=Options)
    url: str = ""
