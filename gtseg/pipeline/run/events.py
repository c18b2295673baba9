"""How progress leaves a stage: as events. Only the CLI prints them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["note", "warning", "progress", "log", "epoch", "plan", "finished"]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    note: a sentence for people. warning: one that they should act on. progress: `done` of `total` (None: not known yet).
    log: a line of a job's own log. epoch: one epoch of a training job, its numbers in `fields`.
    plan: what --dry-run would have done. finished: the stage's last word. `fields` are the same facts for programs (JSON values).
    """

    stage: str
    kind: Kind
    message: str
    done: int | None = None
    total: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


Notify = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not listen."""


@dataclass(frozen=True)
class Consent:
    """What the user has agreed to. `spend` is asked with the price in words, before anything is created."""

    spend: Callable[[str], bool] = lambda words: True
    check_cost: Callable[[str, Any, int | None], None] = lambda stage, run, objects: None
    """Called with the stage, the run and the number of objects before `spend`: shows the cost, raises where [budget] forbids it."""
    stop: Callable[[str], bool] = lambda words: True
    """Asked before a job that makes no progress is stopped."""
    create_bucket: bool = False
    public_crowd: bool = False
